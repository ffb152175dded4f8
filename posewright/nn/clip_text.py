"""The text tower of CLIP: tokens of a text to a vector for each token.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021,
https://arxiv.org/abs/2103.00020, section 2.4. Official code: https://github.com/openai/CLIP (MIT). A causal pre-norm
transformer with the sigmoid approximation of GELU. Weights are the user's own file: openai's layout (also inside other
checkpoints), or that of transformers. Tokens of the few words that our methods use are below, so that no tokenizer is
needed for them.

Convention: tokens (*B, 77) whole numbers, 0 after the end; embeddings (*B, 77, C).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from posewright.core.errors import InputError
from posewright.nn.attention import SelfAttention
from posewright.nn.checkpoints import KeyTable, load_strictly, unwrap

CONTEXT = 77
"""Tokens of a text, its start, its end and what is left empty among them."""
VOCABULARY = 49_408
START, END = 49_406, 49_407
Tokenize = Callable[[str], Sequence[int]]
"""A text to its tokens, without start and end."""
WORDS: dict[str, tuple[int, ...]] = {
    "": (),
    "a person": (320, 2533),
    "speed": (4163,),
    "head": (1375,),
    "body": (1774,),
    "arm": (4793,),
    "leg": (4924,),
    "directions": (16440,),
    "discussion": (5060,),
    "eating": (4371,),
    "greeting": (17754,),
    "phoning": (745, 5197),
    "photo": (1125,),
    "posing": (10518,),
    "purchases": (21887,),
    "sitting": (4919,),
    "sittingdown": (42988, 653, 1136),
    "smoking": (9038,),
    "waiting": (2680,),
    "walkdog": (8588, 1929),
    "walking": (3941,),
    "walktogether": (8588, 1952),
}
"""Texts and their tokens by CLIP's byte pair encoding: parts of a person, and the actions of Human3.6M."""
KNOWN = (0, *sorted({token for tokens in WORDS.values() for token in tokens}), START, END)
"""Every token of `WORDS`, rising: a vocabulary for towers that know no other words."""


def tokens_of(text: str, renumbered: bool = False, tokenize: Tokenize | None = None) -> Int[Tensor, " C"]:
    """Tokens of a text, between start and end, cut to the context.

    Args:
        text: of any case.
        renumbered: as places in `KNOWN`, for a tower of that vocabulary.
        tokenize: finds the tokens of texts that are not among `WORDS`.

    Raises:
        InputError: a text that is not known where no other can be.
    """
    words = WORDS.get(" ".join(text.lower().split()))
    if words is None and (renumbered or tokenize is None):
        tower = "the small text tower" if renumbered else "us"
        raise InputError(f"text {text!r} is not known to {tower}, expected one of {', '.join(WORDS)}")
    ids = [START, *(tokenize(text) if words is None and tokenize else words or ())][: CONTEXT - 1] + [END]
    if renumbered:
        ids = [KNOWN.index(token) for token in ids]
    return torch.tensor(ids + [0] * (CONTEXT - len(ids)))


class TextBlock(nn.Module):
    """x + attention(norm(x)) over the tokens before, then x + network(norm(x))."""

    def __init__(self, dim: int, num_heads: int):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attn = SelfAttention(dim, num_heads)
        self.fc1, self.fc2 = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x: Float[Tensor, "*B N C"]) -> Float[Tensor, "*B N C"]:
        x = x + self.attn(self.norm1(x), causal=True)
        inside = self.fc1(self.norm2(x))
        return x + self.fc2(inside * torch.sigmoid(1.702 * inside))


class TextTower(nn.Module):
    """Embeddings of tokens, learned positions, blocks, and a last norm; ViT-B/32: 512 wide, 8 heads, 12 layers."""

    def __init__(self, dim: int = 512, num_heads: int = 8, layers: int = 12, vocabulary: int = VOCABULARY):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, dim)
        self.positions = nn.Parameter(torch.empty(CONTEXT, dim))
        self.blocks = nn.ModuleList(TextBlock(dim, num_heads) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)
        nn.init.normal_(self.embedding.weight, std=0.02)
        nn.init.normal_(self.positions, std=0.01)

    def forward(self, embedded: Float[Tensor, "B N C"]) -> Float[Tensor, "B N C"]:
        """Mix embeddings of tokens, which may hold learned ones between them."""
        x = embedded + self.positions
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


OFFICIAL_KEYS: KeyTable = (
    (r"(^|\.)embedding\.weight$", r"\1token_embedding.weight"),
    (r"(^|\.)positions$", r"\1positional_embedding"),
    (r"(^|\.)blocks\.(\d+)\.norm(\d)\.", r"\1transformer.resblocks.\2.ln_\3."),
    (r"(^|\.)blocks\.(\d+)\.fc1\.", r"\1transformer.resblocks.\2.mlp.c_fc."),
    (r"(^|\.)blocks\.(\d+)\.fc2\.", r"\1transformer.resblocks.\2.mlp.c_proj."),
    (r"(^|\.)blocks\.(\d+)\.attn\.qkv\.", r"\1transformer.resblocks.\2.attn.in_proj_"),
    (r"(^|\.)blocks\.(\d+)\.attn\.proj\.", r"\1transformer.resblocks.\2.attn.out_proj."),
    (r"(^|\.)norm\.", r"\1ln_final."),
)
"""Ours to those of openai's `CLIP`, without prefix."""
IMAGE_KEYS = r"^(visual\.|logit_scale$|text_projection$|input_resolution$|context_length$|vocab_size$)"
"""Of the same class, for images and for comparing them with texts."""


def load_tower(tower: TextTower, state_dict: Mapping) -> TextTower:
    """Load the text part of a CLIP checkpoint, in openai's layout or that of transformers.

    Raises:
        InputError: it is not all there, or of another size.
    """
    state = {
        key: value.float() for key, value in unwrap(state_dict).items() if not re.search(IMAGE_KEYS, key)
    }
    if any(key.startswith("text_model.") for key in state):
        state = from_transformers(state)
    return load_strictly(tower, state, OFFICIAL_KEYS)


def read_tower(tower: TextTower, path: str | Path) -> TextTower:
    """Load the text part of a CLIP file in safetensors, such as `model.safetensors` of openai/clip-vit-base-patch32.

    Raises:
        InputError: no such file, or not a CLIP that fits.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not Path(path).is_file():
        raise InputError(f"{path}: no such file; expected CLIP's weights as safetensors")
    try:
        return load_tower(tower, load_file(path))
    except SafetensorError as error:
        raise InputError(f"{path}: not a safetensors file that can be read ({error})") from None


def from_transformers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Turn the text part of transformers' `CLIPModel` or `CLIPTextModel` into openai's layout."""
    renamed: dict[str, Tensor] = {}
    table: KeyTable = (
        (r"^text_model\.embeddings\.token_embedding\.", "token_embedding."),
        (r"^text_model\.embeddings\.position_embedding\.weight$", "positional_embedding"),
        (r"^text_model\.final_layer_norm\.", "ln_final."),
        (r"^text_model\.encoder\.layers\.", "transformer.resblocks."),
        (r"\.layer_norm(\d)\.", r".ln_\1."),
        (r"\.mlp\.fc1\.", ".mlp.c_fc."),
        (r"\.mlp\.fc2\.", ".mlp.c_proj."),
        (r"\.self_attn\.out_proj\.", ".attn.out_proj."),
    )
    for key, value in state.items():
        if (
            not key.startswith("text_model.")
            or key.endswith("position_ids")
            or re.search(r"\.[kv]_proj\.", key)
        ):
            continue
        if ".q_proj." in key:
            each = [state.get(key.replace(".q_proj.", f".{name}_proj.")) for name in "qkv"]
            present = [part for part in each if part is not None]
            value, key = torch.cat(present), re.sub(r"\.self_attn\.q_proj\.", ".attn.in_proj_", key)
        for pattern, replacement in table:
            key = re.sub(pattern, replacement, key)
        renamed[key] = value
    return renamed
