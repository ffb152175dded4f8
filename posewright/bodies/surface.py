"""Carry a body onto another mesh: the nearest points of a surface, as mixtures of its vertices.

Closest point on a triangle after C. Ericson, Real-Time Collision Detection (2005), section 5.1.5.
"""

import numpy as np
from scipy.spatial import KDTree

CANDIDATES = 96
"""Triangles looked at per point, by the distance of their centres: far more than touch at a vertex of a body mesh."""
ON_PLANE = 1e-6
"""Metres from the plane x = 0 at which a point counts as lying on it."""


def nearest_on_surface(
    points: np.ndarray, vertices: np.ndarray, faces: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest point of a surface for each point.

    Points on the plane of symmetry x = 0 go to the nearest point of the surface within that plane: over a hollow
    there would otherwise be two nearest points, one per side, and the result would lean to one.

    Args:
        points: (N, 3).
        vertices: (V, 3).
        faces: (F, 3) triangles.

    Returns:
        (N, 3) vertex indices and (N, 3) barycentric weights.
    """
    corners = vertices[faces]
    tree = KDTree(corners.mean(1))
    near = np.asarray(tree.query(points, k=min(CANDIDATES, len(faces)))[1])
    weights = _on_triangles(points[:, None], corners[near])
    gap = np.linalg.norm(np.einsum("nkc,nkcd->nkd", weights, corners[near]) - points[:, None], axis=-1)
    best = gap.argmin(1)
    rows = np.arange(len(points))
    face, bary = near[rows, best], weights[rows, best]
    middle = np.abs(points[:, 0]) < ON_PLANE
    if middle.any():
        face[middle], bary[middle] = _on_plane(points[middle], corners)
    return faces[face], bary


def _on_triangles(p: np.ndarray, triangle: np.ndarray) -> np.ndarray:
    """Barycentric weights (..., 3) of the nearest points of triangles (..., 3, 3): inside, or on the best edge."""
    a, b, c = np.moveaxis(triangle, -2, 0)
    inside = _plane_weights(p - a, b - a, c - a)
    options = [_edge_weights(p, triangle, i, j) for i, j in ((0, 1), (1, 2), (2, 0))]
    gaps = [np.linalg.norm(np.einsum("...c,...cd->...d", w, triangle) - p, axis=-1) for w in options]
    best = np.argmin(gaps, 0)
    edge = np.take_along_axis(np.stack(options, 0), best[None, ..., None], 0)[0]
    return np.where((inside >= 0).all(-1, keepdims=True), inside, edge)


def _plane_weights(ap: np.ndarray, ab: np.ndarray, ac: np.ndarray) -> np.ndarray:
    """Barycentric weights of the foot of the perpendicular; negative ones where it lies outside."""
    bb, bc, cc = ((x * y).sum(-1) for x, y in ((ab, ab), (ab, ac), (ac, ac)))
    pb, pc = (ap * ab).sum(-1), (ap * ac).sum(-1)
    area = bb * cc - bc * bc
    area = np.where(area > 0, area, np.nan)
    v, w = (cc * pb - bc * pc) / area, (bb * pc - bc * pb) / area
    return np.nan_to_num(np.stack([1 - v - w, v, w], -1), nan=-1.0)


def _edge_weights(p: np.ndarray, triangle: np.ndarray, i: int, j: int) -> np.ndarray:
    """Weights of the nearest point of one edge."""
    start, along = triangle[..., i, :], triangle[..., j, :] - triangle[..., i, :]
    length2 = np.maximum((along * along).sum(-1), np.finfo(float).tiny)
    t = np.clip(((p - start) * along).sum(-1) / length2, 0, 1)
    weights = np.zeros((*t.shape, 3))
    weights[..., i], weights[..., j] = 1 - t, t
    return weights


def _on_plane(points: np.ndarray, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Faces and weights of the nearest points of the curve in which the surface meets the plane x = 0."""
    x = np.where(np.abs(corners[..., 0]) < ON_PLANE, 0.0, corners[..., 0])
    touching = np.flatnonzero((x.min(1) <= 0) & (x.max(1) >= 0))
    ends, there = _crossings(x[touching])
    first, second = np.array([0, 1, 2]), np.array([1, 2, 0])
    whole = (there[:, first] & there[:, second]).ravel()
    face = np.repeat(touching, 3)[whole]
    start, end = (ends[:, k].reshape(-1, 3)[whole] for k in (first, second))
    a, b = (np.einsum("sc,scd->sd", w, corners[face]) for w in (start, end))
    length2 = np.maximum(((b - a) ** 2).sum(-1), np.finfo(float).tiny)
    t = np.clip(((points[:, None] - a) * (b - a)).sum(-1) / length2, 0, 1)
    gap = np.linalg.norm(a + t[..., None] * (b - a) - points[:, None], axis=-1)
    best = gap.argmin(1)
    t = t[np.arange(len(points)), best, None]
    return face[best], (1 - t) * start[best] + t * end[best]


def _crossings(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights (S, 3, 3) of where each edge of triangles meets x = 0, and whether it does in one point (S, 3)."""
    ends, there = np.zeros((*x.shape, 3)), np.zeros(x.shape, bool)
    for k, (i, j) in enumerate(((0, 1), (1, 2), (2, 0))):
        there[:, k] = (x[:, i] * x[:, j] <= 0) & (x[:, i] != x[:, j])
        t = x[:, i] / np.where(there[:, k], x[:, i] - x[:, j], 1.0)
        ends[:, k, i], ends[:, k, j] = 1 - t, t
    return ends, there
