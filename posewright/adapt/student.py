"""What is adapted: any lifter of the zoo, or the default one, behind one small interface.

    student = student_of(load_lifter("lifting/mixste", "mixste.safetensors"))
    batch = student.batch(clip)                  # a batch of `datasets.synthetic` as the network reads it
    student.loss(student.network, batch)         # the loss that it is trained with
    student.save("adapted.safetensors")          # `run --lifter NAME --lifter-weights FILE` takes it

Convention: as the lifter's own; clips hold `BODY_26` at 50 frames per second, camera axes, metres.
"""

import copy
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from posewright.core.files import atomic_path
from posewright.evaluate.lifters import RAYLIFT, Lifter, save_lifter
from posewright.models.lifting import raylift
from posewright.pipelines.lift import lift_points, lifted_joints
from posewright.skeletons.joint_sets import BODY_26
from posewright.skeletons.skeleton import Skeleton
from posewright.structures.cameras import Camera
from posewright.structures.keypoints import Keypoints2D
from posewright.train.lifting import CLIPS_RATE, loss_of, network_batch

SINGLE_FRAMES, RAYLIFT_FRAMES = 27, 64
"""Frames of a window for methods that look at one frame, and for the default lifter, which takes any number."""


@dataclass(frozen=True)
class Student:
    """A lifter that is about to be trained further."""

    model: Lifter | raylift.Model

    @property
    def name(self) -> str:
        """Path of the method."""
        return self.model.name if isinstance(self.model, Lifter) else RAYLIFT

    @property
    def network(self) -> nn.Module:
        """What is trained."""
        return self.model.network if isinstance(self.model, Lifter) else self.model

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return next(self.network.parameters()).device

    @property
    def skeleton(self) -> Skeleton:
        """Joint set of the keypoints it reads."""
        return self.model.facts.skeleton if isinstance(self.model, Lifter) else BODY_26

    @property
    def fps(self) -> float:
        """Frames per second of its windows."""
        return (self.model.fps or CLIPS_RATE) if isinstance(self.model, Lifter) else CLIPS_RATE

    @property
    def window(self) -> int:
        """Frames of a window."""
        if not isinstance(self.model, Lifter):
            return RAYLIFT_FRAMES
        return self.model.window if self.model.window > 1 else SINGLE_FRAMES

    @property
    def stride(self) -> int:
        """Recorded frames for each frame of the window."""
        return max(1, round(CLIPS_RATE / self.fps))

    @property
    def given(self) -> np.ndarray:
        """(26,) bool: the points of `BODY_26` that it gives itself."""
        return lifted_joints(self.model) if isinstance(self.model, Lifter) else np.ones(len(BODY_26), bool)

    def batch(self, clip: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A batch of clips, on any device, as the network reads and should answer them."""
        clip = {name: value.to(self.device) for name, value in clip.items()}
        if isinstance(self.model, Lifter):
            unmirrored = torch.zeros(len(clip["joints"]), dtype=torch.bool, device=self.device)
            return network_batch(self.model, clip, unmirrored)
        keypoints = torch.cat([clip["rays"], clip["confidence"][..., None]], -1)
        return {"keypoints": keypoints, "focal_known": clip["focal_known"], "joints": clip["joints"]}

    def loss(self, network: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """The loss that the method is trained with, of a network of its class on a batch."""
        if isinstance(self.model, Lifter):
            return loss_of(self.model.facts, network, batch)
        return raylift.loss(network(batch["keypoints"], batch["focal_known"]), batch["joints"])

    def lift(self, keypoints: Keypoints2D, camera: Camera, flip: bool = False) -> np.ndarray:
        """Joints (T, P, 26, 3) of `BODY_26`, relative to the pelvis, as users get them."""
        return lift_points(keypoints, camera, self.model, str(self.device), flip)[0]

    def of(self, network: nn.Module) -> "Student":
        """The same method with another network of its class."""
        if isinstance(self.model, Lifter):
            return Student(replace(self.model, network=network.eval()))
        assert isinstance(network, raylift.Model)
        return Student(network.eval())

    def save(self, path: str | Path, **notes: str) -> None:
        """Write weights that `run --lifter NAME --lifter-weights FILE` and `pw.lift(model=NAME, weights=FILE)` take."""
        if isinstance(self.model, Lifter):
            save_lifter(self.model, path, **notes)
            return
        state = {name: value.detach().cpu().contiguous() for name, value in self.model.state_dict().items()}
        metadata = {"model": RAYLIFT, "config": json.dumps(asdict(self.model.config)), **notes}
        with atomic_path(path) as part:
            save_file(state, part, metadata=metadata)


def student_of(model: Lifter | raylift.Model) -> Student:
    """Make a student of a lifter; its own weights stay as they are."""
    if isinstance(model, Lifter):
        return Student(replace(model, network=copy.deepcopy(model.network)))
    return Student(copy.deepcopy(model))
