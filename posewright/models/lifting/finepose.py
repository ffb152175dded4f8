"""FinePOSE: D3DP whose denoiser is told in words what the person does and what it is made of.

Xu, Guo, Peng, "FinePOSE: Fine-Grained Prompt-Driven 3D Human Pose Estimation via Diffusion Models", CVPR 2024,
https://arxiv.org/abs/2405.05216. Official code: https://github.com/PKU-ICST-MIPL/FinePOSE_CVPR2024 (MIT). A prompt of
77 tokens is put together from learned vectors and the words of the person, the action and the body's parts (part-aware
prompt learning), and goes through CLIP's text tower and a transformer. The tokens of the poses attend to it after the
first spatial block (prompt-pose communication); the step and the whole prompt's vector set the scale and offset of what
they are told (prompt-driven timestamp stylisation). The rest is `nn.pose_diffusion`, as in D3DP.

**Label.** The published evaluation on Human3.6M tells the network the true action of each clip, and projects with the
true root in JPMA: two oracles. Deployable: `Config.action` None, an empty word in the action's place, which the
published weights never saw; or `prompts="parts"`, the authors' own form for data without labels (MPI-INF-3DHP), which
is the one to train for use. `pw.lift` estimates the root. `hypotheses(keypoints, actions=[...])` takes labels.

**Text.** The official checkpoints hold CLIP's tower (ViT-B/32, 63 million weights), which stays frozen. Without one,
`nn.clip_text.read_tower(model.denoiser.prompts.tower, file)` reads the user's own CLIP file; and `stand_in` is a tower
of one layer that knows the words of these prompts only and is trained with the rest: it has no knowledge of language,
so that "sitting" is no nearer to "sitting down" than to "walking".

What differs: the published code keeps no gradients in CLIP, so its learned vectors, which come before it, never learn;
here they do. It mixes up the rows of prompts where a batch holds several actions (recorded, not followed). Half of
CLIP, its image tower, is part of the official class and never used; it is not here. As in D3DP, noise is drawn once.

Convention: keypoints (B, T, 17, 2), screen units (x / w * 2 - 1, y / w * 2 - h / w), T the number of frames the model
was made for; joints (B, T, 17, 3), the mean of the hypotheses, in metres, camera axes, relative to the pelvis;
`hypotheses` gives all, (B, T, H, 17, 3).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from posewright.core.errors import InputError, MissingExtraError
from posewright.core.weights import Paper, Weights
from posewright.nn.attention import attend, check_heads
from posewright.nn.checkpoints import KeyTable, load_strictly, official_arguments, unwrap
from posewright.nn.clip_text import IMAGE_KEYS, KNOWN, VOCABULARY, TextTower, tokens_of
from posewright.nn.clip_text import OFFICIAL_KEYS as TOWER_KEYS
from posewright.nn.diffusion_checkpoints import official_buffers, without_schedule
from posewright.nn.mirror import check_sides
from posewright.nn.mixste import OFFICIAL_KEYS as MIXSTE_KEYS
from posewright.nn.mixste import ConditionedMixSTE
from posewright.nn.pose_diffusion import OFFICIAL_ARGUMENTS, PoseDiffusion, PoseDiffusionConfig
from posewright.nn.post_norm import OFFICIAL_KEYS as BLOCK_KEYS
from posewright.nn.post_norm import PostNormBlock
from posewright.skeletons.joint_sets import H36M_17, get
from posewright.structures.lifting import Lifting

PAPER = Paper(
    title="FinePOSE: Fine-Grained Prompt-Driven 3D Human Pose Estimation via Diffusion Models",
    venue="CVPR 2024",
    url="https://arxiv.org/abs/2405.05216",
    code="https://github.com/PKU-ICST-MIPL/FinePOSE_CVPR2024",
    code_licence="MIT",
)
LIFTING = Lifting(H36M_17, H36M_17, channels=2, output_frames="all")
DEAD = (r"prompts\.tower\.",)
"""CLIP is frozen, unless it is the stand-in."""

TOKENIZER = "openai/clip-vit-base-patch32"
PART_TEXTS = ("A person", "speed", "head", "body", "arm", "leg")
"""The words of the prompt but the action, as published."""
SLOTS = {
    "action": {"subject": 7, "verb": 12, "speed": 10, "head": 10, "body": 10, "arm": 14, "leg": 14},
    "parts": {"subject": 9, "speed": 12, "head": 12, "body": 12, "arm": 16, "leg": 16},
}
"""Tokens of each part of the prompt, 77 together; the last `remain_len` are words, those before them learned."""


@dataclass(frozen=True)
class Config(PoseDiffusionConfig):
    """Sizes, how the sampler is run, and the text."""

    prompts: Literal["action", "parts"] = "action"
    """With a place for the action, as on Human3.6M, or without, as on MPI-INF-3DHP."""
    action: str | None = None
    """Told for all clips: one of Human3.6M's actions or any text; None: not known."""
    stand_in: bool = False
    """A text tower of one layer over the prompts' own words, trained with the rest, in place of CLIP."""
    remain_len: int = 4
    """Words that are kept of each part, start among them."""
    text_width: int = 512
    text_heads: int = 8
    text_layers: int = 12
    """Of CLIP's tower."""
    text_vocabulary: int = VOCABULARY
    prompt_layers: int = 4
    """Of the transformer after CLIP."""
    prompt_hidden: int = 2048

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.prompts not in SLOTS:
            raise InputError(f"finepose: prompts is {self.prompts!r}, expected action or parts")
        if self.prompts == "parts" and self.action is not None:
            raise InputError(
                f"finepose: action {self.action!r}, but prompts is parts, which has no place for one: set it to action"
            )
        smallest = min(SLOTS[self.prompts].values())
        if not 1 <= self.remain_len < smallest:
            raise InputError(f"finepose: remain_len is {self.remain_len}, expected 1 to {smallest - 1}")


def lifting(config: Config) -> Lifting:
    """Conventions of one configuration."""
    return Lifting(
        get(config.keypoint_skeleton), get(config.joint_skeleton), config.in_chans, output_frames="all"
    )


class PromptEncoder(nn.Module):
    """Words and learned vectors to one vector for each token of the prompt, and one for all (FPP)."""

    def __init__(self, config: Config):
        super().__init__()
        c, width = config, config.text_width
        self.config = c
        layers, vocabulary = (1, len(KNOWN)) if c.stand_in else (c.text_layers, c.text_vocabulary)
        self.tower = TextTower(width, c.text_heads, layers, vocabulary)
        self.tower.requires_grad_(c.stand_in)
        self.learned = nn.ParameterDict(
            {
                part: nn.Parameter(0.02 * torch.randn(count - c.remain_len, width))
                for part, count in SLOTS[c.prompts].items()
            }
        )
        self.blocks = nn.ModuleList(
            PostNormBlock(width, c.num_heads, c.prompt_hidden, c.drop_rate) for _ in range(c.prompt_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.whole = nn.Linear(width, c.embed_dim_ratio)

    def forward(
        self, parts: Int[Tensor, "B 6 N"], action: Int[Tensor, "B N"] | None = None
    ) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B N C"]]:
        """Return the vector of the whole prompt and those of its tokens.

        Args:
            parts: tokens of `PART_TEXTS`.
            action: tokens of the action; None where the prompt has no place for it.
        """
        words = {
            name: parts[:, i] for i, name in enumerate(("subject", "speed", "head", "body", "arm", "leg"))
        }
        if action is not None:
            words["verb"] = action
        self._check(words)
        kept = self.config.remain_len
        pieces = []
        for part in SLOTS[self.config.prompts]:
            learned = self.learned[part]
            pieces += [learned.expand(len(parts), -1, -1), self.tower.embedding(words[part][:, :kept])]
        x = self.tower(torch.cat(pieces, 1))
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        last = torch.full_like(parts[:, 0, 0], x.shape[1] - 1) if action is None else action.argmax(-1)
        return self.whole(x[torch.arange(len(x), device=x.device), last]), x

    def _check(self, words: Mapping[str, Tensor]) -> None:
        """Refuse an action without its place, or a place without action."""
        if ("verb" in words) != (self.config.prompts == "action"):
            raise InputError(
                f"finepose: {'an' if 'verb' in words else 'no'} action, but prompts is {self.config.prompts}"
            )


class PromptAttention(nn.Module):
    """Each joint's sequence attends to the prompt's tokens, styled by step and prompt (FPC and PTS)."""

    def __init__(self, dim: int, text_width: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        check_heads(dim, num_heads)
        self.num_heads = num_heads
        self.norm, self.text_norm = nn.LayerNorm(dim), nn.LayerNorm(text_width)
        self.query = nn.Linear(dim, dim)
        self.key, self.value = nn.Linear(text_width, dim), nn.Linear(text_width, dim)
        self.style = nn.Linear(dim, 2 * dim)
        self.styled_norm = nn.LayerNorm(dim)
        self.out = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(dropout)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(
        self,
        x: Float[Tensor, "BH T J D"],
        prompt: Float[Tensor, "B N C"],
        step: Float[Tensor, "BH D"],
    ) -> Float[Tensor, "BH T J D"]:
        """Add what the tokens hear of the prompt.

        Args:
            x: tokens of all hypotheses.
            prompt: tokens of the prompt of each window.
            step: vector of the diffusion step and of the whole prompt, of all hypotheses.
        """
        text = self.text_norm(prompt)
        queries = self.query(self.norm(x)).view(len(prompt), -1, x.shape[-1])
        dropout = self.dropout.p if self.training else 0.0
        heard = attend(queries, self.key(text), self.value(text), self.num_heads, dropout=dropout).view(
            x.shape
        )
        scale, shift = self.style(F.silu(step))[:, None, None].chunk(2, -1)
        styled = self.styled_norm(heard) * (1 + scale) + shift
        return x + self.out(self.dropout(F.silu(styled)))


class Denoiser(ConditionedMixSTE):
    """Noisy poses, keypoints, diffusion step and prompt to clean poses (figure 2)."""

    def __init__(self, config: Config):
        super().__init__(config)
        c = config
        self.prompts = PromptEncoder(c)
        self.communication = PromptAttention(c.embed_dim_ratio, c.text_width, c.num_heads, c.drop_rate)

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        keypoints: Float[Tensor, "B T J C"],
        noisy: Float[Tensor, "B H T J 3"],
        steps: Int[Tensor, " B"],
        whole: Float[Tensor, "B D"],
        prompt: Float[Tensor, "B N C"],
    ) -> Float[Tensor, "B H T J 3"]:
        H = noisy.shape[1]
        step = self.told(steps, H) + whole[:, None].expand(-1, H, -1).flatten(0, 1)
        x = self.layers(
            self.tokens(keypoints, noisy) + step[:, None, None],
            self.spatial_position,
            self.temporal_position,
            told=lambda tokens: self.communication(tokens, prompt, step),
        )
        return self.head(x).unflatten(0, noisy.shape[:2])


class Model(PoseDiffusion):
    """Keypoints of a window, and what the person does if that is known, to hypotheses of the poses (figure 2)."""

    denoiser: Denoiser
    part_tokens: Tensor
    action_tokens: Tensor

    def __init__(self, config: Config):
        super().__init__(config, Denoiser(config))
        self.settings = config
        parts = torch.stack([self._tokens(text) for text in PART_TEXTS])
        self.register_buffer("part_tokens", parts, persistent=False)
        self.register_buffer("action_tokens", self._tokens(config.action or ""), persistent=False)

    def sample(
        self,
        keypoints: Float[Tensor, "B T J C"],
        start: Float[Tensor, "#B H T J 3"] | None = None,
        step_noise: Float[Tensor, "..."] | None = None,
        actions: Sequence[str | None] | None = None,
        **told: Any,
    ) -> Float[Tensor, "B K H T J 3"]:
        """As `PoseDiffusion.sample`; `actions` says what each window's person does (None: not known).

        Telling the true action of a recording is an oracle; what the user knows of the footage is not.
        """
        return super().sample(keypoints, start, step_noise, **(told or self.encoded(len(keypoints), actions)))

    def denoised(
        self,
        keypoints: Float[Tensor, "B T J C"],
        joints: Float[Tensor, "B T J 3"],
        actions: Sequence[str | None] | None = None,
        **told: Any,
    ) -> Float[Tensor, "B T J 3"]:
        """As `PoseDiffusion.denoised`, with actions where they are labelled."""
        return super().denoised(keypoints, joints, **(told or self.encoded(len(keypoints), actions)))

    def encoded(self, windows: int, actions: Sequence[str | None] | None = None) -> dict[str, Tensor]:
        """Encode the prompts, as the denoiser is told them: `whole` (B, D) and `prompt` (B, 77, C).

        Raises:
            InputError: actions where the prompt has no place for them, or not one for each window.
        """
        c = self.settings
        if actions is not None and (c.prompts != "action" or len(actions) != windows):
            raise InputError(
                f"finepose: {len(actions)} actions for {windows} windows and prompts {c.prompts}, expected one for "
                "each window (None: not known), and prompts action"
            )
        tokens = self.action_tokens[None]
        if actions is not None:
            tokens = torch.stack([self._tokens(a or "") for a in actions]).to(self.action_tokens.device)
        self._check_vocabulary()
        parts = self.part_tokens.expand(len(tokens), -1, -1)
        whole, prompt = self.denoiser.prompts(parts, tokens if c.prompts == "action" else None)
        return {"whole": whole.expand(windows, -1), "prompt": prompt.expand(windows, -1, -1)}

    def _tokens(self, text: str) -> Tensor:
        return tokens_of(text, self.settings.stand_in, clip_tokens)

    def _check_vocabulary(self) -> None:
        """Refuse a text tower whose words are not CLIP's."""
        c = self.settings
        if not c.stand_in and c.text_vocabulary < VOCABULARY:
            raise InputError(
                f"finepose: a text tower of {c.text_vocabulary} words, expected CLIP's {VOCABULARY}: tell it prompts "
                "by `denoiser.prompts` and their tokens"
            )


def clip_tokens(text: str) -> list[int]:
    """Tokens of any text by CLIP's tokenizer, which transformers downloads for the user, without start and end.

    Raises:
        MissingExtraError: transformers is not installed.
    """
    try:
        from transformers import CLIPTokenizer  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise MissingExtraError("transformers", "hf", f"CLIP's tokens of {text!r}") from None
    return CLIPTokenizer.from_pretrained(TOKENIZER)(text, add_special_tokens=False)["input_ids"]


# --------------------------------------------------------------------------------------------- checkpoints

_TEXT_KEYS: KeyTable = (
    (r"^prompts\.tower\.", "clip_text."),
    (r"^prompts\.blocks\.", "textTransEncoder.layers."),
    *((pattern.replace(r"(^|\.)", r"^(clip_text\.)"), name) for pattern, name in TOWER_KEYS),
    *((rf"^(textTransEncoder\..*){pattern}", rf"\1{name}") for pattern, name in BLOCK_KEYS),
    (r"^prompts\.learned\.", "ctx_"),
    (r"^prompts\.norm\.", "text_ln."),
    (r"^prompts\.whole\.", "text_proj.0."),
)
DENOISER_KEYS: KeyTable = (
    (r"^denoiser\.", ""),
    *_TEXT_KEYS,
    (r"^communication\.style\.", "temporal_cross_attn.proj_out.emb_layers.1."),
    (r"^communication\.styled_norm\.", "temporal_cross_attn.proj_out.norm."),
    (r"^communication\.out\.", "temporal_cross_attn.proj_out.out_layers.2."),
    (r"^communication\.", "temporal_cross_attn."),
    *MIXSTE_KEYS,
)
"""Ours to those of the official denoiser, `MixSTE2`, by itself."""
OFFICIAL_KEYS: KeyTable = (*DENOISER_KEYS, (r"^", "pose_estimator."))
_IMAGES = IMAGE_KEYS.replace("^", r"^(pose_estimator\.)?clip_text\.")


def load_official(
    state_dict: Mapping,
    args: object = None,
    joints_left: list[int] | None = None,
    joints_right: list[int] | None = None,
    is_train: bool | None = None,
    **kwargs: Any,
) -> Model:
    """Load a checkpoint of the official `FinePOSE`, or of its denoiser `MixSTE2` alone.

    CLIP's image tower, which every official checkpoint holds and nothing reads, is left out.

    Args:
        state_dict: bare or wrapped. One of `FinePOSE` holds the noise schedule too, which must be that of `timestep`.
        args: what `FinePOSE` takes, a dict or a namespace: `number_of_frames`, `cs`, `dep`, `timestep`, `scale`,
            `test_time_augmentation`.
        joints_left: of the poses; they must be those of `joint_skeleton`.
        joints_right: their counterparts, in the same order.
        is_train: no matter here.
        **kwargs: fields of `Config`, among them `prompts`: `parts` for the checkpoint of MPI-INF-3DHP.

    Raises:
        InputError: keys, sizes, schedule or joints are not those of the arguments.
    """
    given = official_arguments(args, tuple(OFFICIAL_ARGUMENTS))
    config = Config(**({OFFICIAL_ARGUMENTS[name]: value for name, value in given.items()} | kwargs))
    check_sides("finepose", get(config.joint_skeleton).mirror.tolist(), joints_left, joints_right)
    state = {key: value for key, value in unwrap(state_dict).items() if not re.search(_IMAGES, key)}
    model = Model(config)
    if not any(key.startswith("pose_estimator.") for key in state):
        return load_strictly(model, state, DENOISER_KEYS)
    weights = without_schedule(state, official_buffers(model.schedule), "finepose")
    return load_strictly(model, weights, OFFICIAL_KEYS)


VARIANTS = {
    "243": Config(),
    "243_parts": Config(prompts="parts"),
    "243_stand_in": Config(prompts="parts", stand_in=True),
    "243_3dhp": Config(prompts="parts", keypoint_skeleton="mpi_17", joint_skeleton="mpi_17"),
}
"""`243` and `243_3dhp` as published; `243_parts` and `243_stand_in` are the latter for Human3.6M's joints: no label."""
PARAMETERS = {"243": 112_478_723}
"""Measured on the official class (200,590,084), without the 88,111,361 of CLIP's image side, which it never uses."""

_FOLDER = "https://pan.baidu.com/s/17E_leXMUXMYJRzMAgpZCsw (code 0306)"
WEIGHTS = {
    "h36m_cpn_243": Weights(
        url=_FOLDER, licence="none stated", trained_on=("Human3.6M, CPN keypoints and action labels",)
    ),
    "3dhp_gt_243": Weights(
        url=_FOLDER, licence="none stated", trained_on=("MPI-INF-3DHP, ground-truth keypoints",)
    ),
}
