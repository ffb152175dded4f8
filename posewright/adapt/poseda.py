"""PoseDA: adapt any lifter to unlabelled footage, by training on known poses seen as the footage sees its people.

Chai, Jiang, Hwang, Wang, "Global Adaptation meets Local Generalization: Unsupervised Domain Adaptation for 3D Human
Pose Estimation", ICCV 2023, https://arxiv.org/abs/2303.16456. Official code: https://github.com/rese1f/PoseDA (MIT; one
function, the alignment). Source poses with truth are put where the people of the footage stand (`adapt.alignment`,
GPA), half of them made more various beforehand (`adapt.augmentation`, LPA), and the lifter goes on training on them.
No label of the footage is used, nor its picture: only 2D keypoints.

What differs: the paper trains the lifter anew on such poses; here it goes on from its weights, for some hundred steps.
The source is the recorded motion that lifters here are trained on.

Convention: see `adapt.alignment`.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from posewright.adapt.alignment import aligned_clips
from posewright.adapt.augmentation import Augmentor
from posewright.adapt.footage import Footage
from posewright.adapt.student import Student
from posewright.adapt.training import AdaptationOptions, Adapted, clips_of, prepared, train_student
from posewright.core.weights import Paper
from posewright.datasets.synthetic import SyntheticClips

PAPER = Paper(
    title="Global Adaptation meets Local Generalization: Unsupervised Domain Adaptation for 3D Human Pose Estimation",
    venue="ICCV 2023",
    url="https://arxiv.org/abs/2303.16456",
    code="https://github.com/rese1f/PoseDA",
    code_licence="MIT",
)


def adapt(
    student: Student,
    clips: SyntheticClips,
    footage: Footage,
    options: AdaptationOptions,
    on_step: Callable[[int, int], None] | None = None,
) -> Adapted:
    """Train a student on source clips aligned to the footage.

    Args:
        student: any lifter; its network is trained in place.
        clips: the source, with truth.
        footage: the target, without.
        options: `local` says whether poses are augmented too.
        on_step: called with (steps done, steps to do).
    """
    prepared(student, options)
    footage = footage.to(student.device)
    random = torch.Generator().manual_seed(options.seed)
    augmentor = Augmentor(footage, seed=options.seed, device=student.device) if options.local else None

    def hardness(batch: dict[str, Tensor]) -> Tensor:
        return student.loss(student.network, student.batch(batch))

    def batch_of(step: int) -> dict[str, Tensor]:
        source = clips_of(student, clips, options, step)
        target = footage.drawn(options.batch, random)
        plain = aligned_clips(source, target)
        if augmentor is None:
            return student.batch(plain)
        made = augmentor.step(source, target, hardness)
        return student.batch({name: _half_and_half(plain[name], made[name]) for name in plain})

    return train_student(student, batch_of, student.loss, options, on_step)


def _half_and_half(first: Tensor, second: Tensor) -> Tensor:
    """Every second clip of each."""
    odd = torch.arange(len(first), device=first.device) % 2 == 1
    return torch.where(odd.view(-1, *(1,) * (first.ndim - 1)), second, first)
