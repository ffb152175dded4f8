"""Object keypoint similarity (OKS), the overlap measure of 2D poses.

Definition: COCO keypoint evaluation, https://cocodataset.org/#keypoints-eval: the mean over keypoints of
exp(-d^2 / (2 s^2 k^2)), with d the distance, s the square root of the person's area and k twice the keypoint's sigma.
Here s comes from the boxes of the two poses themselves, since no segmented area is known.
"""

import numpy as np

from posewright.skeletons.skeleton import Skeleton

COCO_SIGMAS = {
    "nose": 0.026,
    "eye": 0.025,
    "ear": 0.035,
    "shoulder": 0.079,
    "elbow": 0.072,
    "wrist": 0.062,
    "hip": 0.107,
    "knee": 0.087,
    "ankle": 0.089,
}
"""How far annotators of COCO disagree, as a fraction of the person's scale."""
OTHER_SIGMA = 0.089
"""For keypoints COCO does not have (hands, feet, mouth corners, spine)."""


def keypoint_sigmas(skeleton: Skeleton) -> np.ndarray:
    """Return (K,) the sigma of each keypoint by its name."""
    words = [name.split("_") for name in skeleton.joint_names]
    return np.array(
        [next((COCO_SIGMAS[w] for w in parts if w in COCO_SIGMAS), OTHER_SIGMA) for parts in words]
    )


def keypoint_similarity(a: np.ndarray, b: np.ndarray, weights: np.ndarray, sigmas: np.ndarray) -> np.ndarray:
    """Return the similarity (...) in [0, 1] of poses, keypoints weighted; 0 where no keypoint is in both.

    Args:
        a: (..., K, 2) pixels, NaN where missing.
        b: (..., K, 2), broadcastable to `a`.
        weights: (..., K) how much each keypoint counts, such as its confidence.
        sigmas: (K,), see `keypoint_sigmas`.
    """
    closeness = keypoint_closeness(a, b, sigmas)
    weights = np.where(closeness > 0, np.broadcast_to(weights, closeness.shape), 0.0)
    return (closeness * weights).sum(-1) / np.maximum(weights.sum(-1), 1e-9)


def keypoint_closeness(a: np.ndarray, b: np.ndarray, sigmas: np.ndarray) -> np.ndarray:
    """Return (..., K) exp(-d^2 / (2 s^2 k^2)) of each keypoint, 0 where it is missing in either pose."""
    a, b = np.broadcast_arrays(a, b)
    known = np.asarray(np.isfinite(a).all(-1) & np.isfinite(b).all(-1))
    area = np.maximum(_box_area(a, known), _box_area(b, known))
    squared = np.where(known, np.square(np.nan_to_num(a) - np.nan_to_num(b)).sum(-1), np.inf)
    spread = 2 * np.square(2 * sigmas) * np.maximum(area, 1.0)[..., None]
    return np.exp(-np.minimum(squared / spread, 700.0)) * known


def _box_area(points: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return (...) the area of the box around the known points, at least a tenth of its longer side squared."""
    low = np.where(known[..., None], points, np.inf).min(-2)
    high = np.where(known[..., None], points, -np.inf).max(-2)
    size = np.where(np.isfinite(high - low), high - low, 0.0)
    return np.maximum(size.prod(-1), 0.1 * np.square(size.max(-1)))
