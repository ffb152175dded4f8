"""The default lifter's error model on filmed recordings: what it expected, beside what was so.

The truth is brought to the lifter's body size (`raylift.TRUNK_AND_LEG_METRES`) before it is compared: one camera does
not see size, and the error model speaks of a person of that size.
"""

from dataclasses import dataclass, replace

import numpy as np

from posewright.evaluate.lifting import STATURE_PER_TRUNK_AND_LEG, Corruption, View, keypoints_of
from posewright.metrics.calibration import squared_distances
from posewright.models.lifting import raylift, raylift_errors
from posewright.pipelines.lift import lift_errors, lift_points
from posewright.pipelines.lift_errors import ROOT, TrackErrors
from posewright.skeletons.joint_sets import BODY_26, COCO_FEET_21
from posewright.skeletons.skeleton import Skeleton


@dataclass(frozen=True)
class ErrorsOnView:
    """One view's frames (N valid ones of T), errors and covariances in camera axes, metres."""

    points: np.ndarray
    """(N, 26, 3) the estimate, relative to the pelvis."""
    truth: np.ndarray
    """(N, 26, 3) relative to the pelvis."""
    covariance: np.ndarray
    """(N, 26, 3, 3) of joints relative to the pelvis (that of the pelvis is 0)."""
    square: np.ndarray
    """(N, 26) squared Mahalanobis distance; NaN for the pelvis."""
    root_z: np.ndarray
    """(N, 3) the root's error over its standard deviation: across x, y, depth."""
    standardised: np.ndarray
    """(T', C) errors over standard deviations, in frames without a break."""
    errors: TrackErrors
    valid: np.ndarray
    """(T,) bool."""


def errors_on_view(
    view: View,
    corruption: Corruption,
    lifter: raylift.Model,
    model: raylift_errors.Model,
    skeleton: Skeleton = COCO_FEET_21,
    true_size: bool = False,
    hidden: tuple[str, ...] = (),
) -> ErrorsOnView:
    """Lift a view's noisy keypoints and compare what was expected with the truth.

    Args:
        view: a recording seen by a camera.
        corruption: of the keypoints.
        lifter: the default lifter.
        model: of its errors.
        skeleton: joint set of the keypoints.
        true_size: leave the truth in the size in which it was recorded.
        hidden: names of keypoints that are missing throughout.
    """
    keypoints, camera = keypoints_of(view, skeleton, corruption)
    lost = np.isin(keypoints.skeleton.joint_names, hidden)
    sure = np.where(lost, 0, keypoints.confidence).astype(np.float32)
    keypoints = replace(keypoints, confidence=sure)
    points, _ = lift_points(keypoints, camera, model=lifter)
    found = lift_errors(keypoints, camera, points, lifter, model)[0]
    assert found is not None
    part, errors = found
    own = raylift.TRUNK_AND_LEG_METRES * STATURE_PER_TRUNK_AND_LEG
    size = 1.0 if true_size else own / view.stature
    truth = view.points[part] * size
    told, relative = points[part, 0], truth - truth[:, :1]
    good = view.sequence.valid[part] & np.isfinite(told).all((1, 2))
    gaussians = errors.gaussians(slice(None))
    selection = np.concatenate([np.eye(len(BODY_26)), np.zeros((len(BODY_26), 1))], axis=1)
    covariance = gaussians.covariance(selection)
    square = np.full(told.shape[:2], np.nan)
    square[good, 1:] = squared_distances(told[good, 1:], covariance[good, 1:], relative[good, 1:])
    sigma = np.sqrt(np.einsum("tjii->tji", covariance[:, 1:]))
    z = ((relative - told)[:, 1:] / sigma).reshape(len(told), -1)
    root_z = _root_z(errors, gaussians, truth[:, 0])
    return ErrorsOnView(
        told[good], relative[good], covariance[good], square[good], root_z[good], z[good], errors, good
    )


def _root_z(errors: TrackErrors, gaussians, truth: np.ndarray) -> np.ndarray:
    """The root's error (T, 3) in the axes of the person's view, over its standard deviation."""
    turn = np.linalg.inv(_root_axes(gaussians, errors))
    deviation = (turn @ (truth - errors.root)[..., None])[..., 0]
    matrix = np.zeros((1, ROOT + 1))
    matrix[0, ROOT] = 1
    covariance = gaussians.covariance(matrix)[:, 0]
    own = turn @ covariance @ turn.swapaxes(-1, -2)
    return deviation / np.sqrt(np.einsum("tii->ti", own))


def _root_axes(gaussians, errors: TrackErrors) -> np.ndarray:
    """Columns: across x, across y, the place of the root (so that the third number is relative depth)."""
    axes = gaussians.own[:, ROOT].astype(np.float64)
    length = np.linalg.norm(axes, axis=-2, keepdims=True)
    length[..., 2] /= np.linalg.norm(errors.root, axis=-1)[:, None]
    return axes / length
