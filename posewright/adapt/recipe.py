"""Adapt a lifter to footage: what `posewright adapt` does, as a function.

model = choose_lifter("lifting/mixste", weights="mixste.safetensors")
done = adapt_lifter(model, clips, cameras, source=SyntheticClips(load_mocap("train"), ZOO_CLIPS))
done.save(Path("out/mine"))              # weights.safetensors: run --lifter lifting/mixste --lifter-weights FILE
done.report                              # what changed, measured on the part of the clips that was held out
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from posewright.adapt import poseda, posynda
from posewright.adapt.footage import footage_of, held_out, trained_on
from posewright.adapt.report import as_data, in_words, measure, picture_distances
from posewright.adapt.student import student_of
from posewright.adapt.training import AdaptationOptions, Adapted
from posewright.core.errors import InputError
from posewright.core.files import atomic_path
from posewright.datasets.mocap import load_mocap
from posewright.datasets.synthetic import SyntheticClips, SyntheticConfig
from posewright.evaluate.lifters import Lifter
from posewright.models.lifting import raylift
from posewright.structures.cameras import Camera
from posewright.structures.keypoints import Keypoints2D
from posewright.train.lifting import ZOO_CLIPS

Report = Callable[[str, int, int | None], None]
METHODS = {
    "gpa": "places and sizes of the footage (any lifter)",
    "poseda": "the same, and more various poses (any lifter)",
    "posynda": "a teacher's hypotheses, a low-rank adapter (lifters of the D3DP family)",
}

NOT_FOR_THE_DEFAULT = (
    "the default lifter was trained on cameras of all kinds: where the truth was known, adapting it made it 1 to 3 mm "
    "worse, while lifters trained on one kind of camera got 4 to 15 mm better (docs/adaptation.md)"
)
"""What the benchmark says of raylift."""


@dataclass(frozen=True)
class Adaptation:
    """An adapted lifter and what changed."""

    adapted: Adapted
    report: Mapping

    @property
    def warnings(self) -> tuple[str, ...]:
        """Plain sentences."""
        return tuple(self.report["warnings"])

    def save(self, folder: str | Path) -> list[Path]:
        """Write weights.safetensors, report.json, report.md and, if there is one, adapter.safetensors."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        files = self.adapted.save(folder, adapted=json.dumps(self.report["settings"]))
        with atomic_path(folder / "report.json") as part:
            part.write_text(json.dumps(self.report, indent=2) + "\n", encoding="utf-8")
        with atomic_path(folder / "report.md") as part:
            part.write_text(self._page(), encoding="utf-8")
        return [*files, folder / "report.json", folder / "report.md"]

    def _page(self) -> str:
        r = self.report
        head = f"# {r['lifter']}, adapted by {r['settings']['method']} to {r['clips']} clips, {r['windows']} windows\n"
        note = (
            "\nBefore and after, on the last fifth of each clip, which was not trained on. No label of the footage is "
            "known, so these are not errors of the joints in space.\n\n"
        )
        body = "".join(f"* {line}\n" for line in (*in_words(r), *(f"**{w}**" for w in self.warnings)))
        return head + note + body


def adapt_lifter(
    model: Lifter | raylift.Model,
    clips: Sequence[Keypoints2D],
    cameras: Sequence[Camera],
    method: str = "gpa",
    options: AdaptationOptions | None = None,
    source: SyntheticClips | None = None,
    on_progress: Report | None = None,
) -> Adaptation:
    """Adapt a lifter to unlabelled 2D keypoints; the model itself stays as it is.

    Args:
        model: the lifter, with weights.
        clips: the footage: people in any joint set.
        cameras: of each clip; their focal length may be assumed.
        method: one of `METHODS`.
        options: how long, how fast, low-rank or whole.
        source: motion with truth; None: the recordings that lifters are trained on (`load_mocap`).
        on_progress: called with (stage, done, total).

    Raises:
        InputError: no such method, no usable footage, no source, or a lifter or adapter that the method cannot take.
    """
    if method not in METHODS:
        raise InputError(f"adapt: no method {method!r}, expected one of {', '.join(METHODS)}")
    report = on_progress or (lambda stage, done, total: None)
    options = replace(options or AdaptationOptions(), local=method == "poseda")
    student = student_of(model)
    footage = footage_of(student, trained_on(clips), cameras)
    source = source or default_source(model)
    later = held_out(clips)
    report("before", 0, 1)
    before = measure(student, later, cameras)
    report("before", 1, 1)
    train = posynda.adapt if method == "posynda" else poseda.adapt
    adapted = train(student, source, footage, options, lambda done, total: report("adapting", done, total))
    report("after", 0, 1)
    after = measure(adapted.student, later, cameras)
    report("after", 1, 1)
    chosen = {
        k: v if v is None or isinstance(v, int | float | str) else str(v) for k, v in asdict(options).items()
    }
    data = {
        "lifter": student.name,
        "settings": {"method": method, **chosen},
        "clips": len(clips),
        "people": sum(clip.num_people for clip in clips),
        "windows": len(footage),
        "warnings": [
            *footage.warnings,
            *([] if isinstance(model, Lifter) else [NOT_FOR_THE_DEFAULT]),
            *_remarks(before.reprojection_percent, after.reprojection_percent),
        ],
        **as_data(before, after),
        "pictures": picture_distances(source, student, footage, options.seed),
        "loss": round(adapted.loss, 5),
    }
    return Adaptation(adapted, data)


def default_source(model: Lifter | raylift.Model) -> SyntheticClips:
    """The recordings that lifters are trained on here, as the model's kind is trained on them.

    Raises:
        InputError: they are not on this machine.
    """
    return source_of(model, None)


def source_of(model: Lifter | raylift.Model, folder: Path | None) -> SyntheticClips:
    """The recordings of `folder`/train (None: where `load_mocap` looks)."""
    config = ZOO_CLIPS if isinstance(model, Lifter) else SyntheticConfig()
    return SyntheticClips(load_mocap("train", folder), config)


def _remarks(before: float, after: float) -> list[str]:
    if after <= 1.1 * before:
        return []
    return [
        f"joints lie farther from their keypoints than before ({before:g} -> {after:g} % of the body's box): the "
        "adaptation made it worse; use the lifter as it was, or try more steps, a smaller rate or more footage"
    ]
