"""A recorded clip on an Anny body, for the tests of fitting."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

import posewright as pw
from posewright.bodies import anny
from posewright.bodies.model import BodyModel
from posewright.core.assets import cache_folder
from posewright.datasets.anatomy import with_anatomy
from posewright.datasets.mocap import load_mocap
from posewright.fitting.body import fit_body
from posewright.structures.bodies import BodyParams

FPS = 50.0


@dataclass(frozen=True)
class Clip:
    body: BodyModel
    params: BodyParams
    joints: np.ndarray
    """(T, 24, 3) of `body_24`."""

    def errors_mm(self, params: BodyParams) -> np.ndarray:
        found = self.body.joints(self.body(params), "body_24").numpy()
        return 1000 * np.linalg.norm(found - self.joints, axis=-1)


@pytest.fixture(scope="session")
def anny_low() -> BodyModel:
    if not (cache_folder() / anny.FILE).is_file():
        pytest.skip("the Anny body is not in the cache; load it once to make it")
    return pw.load_body("anny", topology="low_1229")


@pytest.fixture(scope="session")
def clip(anny_low, shared_data) -> Clip:
    """A recorded walk of val on the walker's own shape, on the floor."""
    take = next(t for t in load_mocap("val", shared_data / "mocap") if t.description == "walk")
    joints = torch.from_numpy(np.asarray(take.joints[40:80], np.float64))
    still = torch.zeros(len(joints), dtype=torch.float64)
    points = with_anatomy(joints, still, still).numpy()[:, :24]
    params = fit_body(anny_low, points, np.ones(points.shape[:2]), "body_24", FPS).params
    low = torch.quantile(anny_low(params).vertices[..., 2].amin(-1), 0.2)
    params = replace(params, transl=params.transl - torch.tensor([0.0, 0.0, 1.0]) * low)
    return Clip(anny_low, params, anny_low.joints(anny_low(params), "body_24").numpy())
