"""Which triangle each pixel of an ideal pinhole camera sees: a z-buffer in numpy, no loop over faces or pixels.

Faces are scan-converted all at once: faces are repeated into the rows they cross and rows into the pixels they
cover. A row's span ends where an edge crosses the row's centre line, and that crossing is computed from the
edge's two end points in one fixed order. So two faces that share an edge compute the same number: no pixel along it
is missed or drawn twice. Depth and barycentric coordinates come from the homogeneous form, in which
1 / z is linear over the picture and needs no clipping: M. Olano, T. Greer, "Triangle Scan Conversion using 2D
Homogeneous Coordinates", Graphics Hardware 1997. Faces that reach behind the near plane are clipped for the
scan conversion only, and keep their barycentric coordinates.

Convention: camera axes as OpenCV, metres, pixels with the centre of the top-left pixel at (0, 0); a pixel is covered
when its centre is. Depth is z.
"""

from collections.abc import Iterator

import numpy as np

NEAR = 0.05
"""Metres; nearer surfaces are cut away."""
CHUNK = 4_000_000
"""Pixels worked on at once: bounds memory (some 300 MB) where many large faces overlap."""


def visible_faces(
    corners: np.ndarray, K: np.ndarray, image_size: tuple[int, int], near: float = NEAR
) -> np.ndarray:
    """Index of the nearest face at each pixel.

    Args:
        corners: (F, 3, 3) corners of the faces, metres, camera axes; faces with NaN are skipped.
        K: (3, 3) intrinsics, pixels.
        image_size: (width, height), pixels.
        near: metres; surfaces with a smaller z are cut away.

    Returns:
        (H, W) int32, -1 where nothing is seen. Both sides of a face are seen. Of faces at exactly the same depth the
        first is taken; otherwise the order of the faces does not matter.
    """
    width, height = image_size
    nearest = np.zeros(height * width)
    seen = np.full(height * width, -1, np.int32)
    corners = np.asarray(corners, np.float64)
    planes = inverse_depth_planes(corners, K)
    usable = np.isfinite(corners).all((1, 2)) & np.isfinite(planes).all(1) & (corners[..., 2] > near).any(1)
    lowest, highest = _inverse_depth_range(corners, near)
    triangles, owners = clip_near(corners, np.flatnonzero(usable), near)
    a, b, c = np.ascontiguousarray(planes.T)
    for face, x, y in _covered_pixels(_project(triangles, K), owners, width, height):
        inverse = a[face] * x + b[face] * y + c[face]
        np.clip(inverse, lowest[face], highest[face], out=inverse)
        _keep_nearest(y * width + x, inverse, face, nearest, seen)
    return seen.reshape(height, width)


def inverse_depth_planes(corners: np.ndarray, K: np.ndarray) -> np.ndarray:
    """Coefficients (F, 3) a b c of a face's 1 / z = a x + b y + c at pixel (x, y); not finite if seen edge-on."""
    u, v, w = (corners[:, i] for i in range(3))
    cofactors = np.cross(v, w) + np.cross(w, u) + np.cross(u, v)
    volume = np.einsum("fi,fi->f", u, np.cross(v, w))
    with np.errstate(divide="ignore", invalid="ignore"):
        return cofactors @ np.linalg.inv(np.asarray(K, np.float64)) / volume[:, None]


def barycentrics(corners: np.ndarray, face: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where rays from the camera's centre meet their faces, perspective-correct.

    Args:
        corners: (F, 3, 3) corners of all faces, camera axes.
        face: (P,) the face each ray meets.
        rays: (P, 3) directions of any length, camera axes.

    Returns:
        (P, 3) barycentric coordinates, in [0, 1] and summing to 1 (a ray that just misses its face, by rounding or
        the sampling of a distorted lens, is taken to the face's edge), and (P, 3) the points met, camera axes.
    """
    used, face = np.unique(face, return_inverse=True)
    u, v, w = (corners[used, i] for i in range(3))
    opposite = np.stack([np.cross(v, w), np.cross(w, u), np.cross(u, v)], 1)
    opposite *= np.sign(np.einsum("fi,fi->f", u, opposite[:, 0]))[:, None, None]
    parts = np.einsum("pki,pi->pk", opposite[face], rays)
    np.maximum(parts, 0, out=parts)
    total = parts[:, 0] + parts[:, 1] + parts[:, 2]
    missed = total <= 0
    weights = (parts + missed[:, None]) / np.where(missed, 3, total)[:, None]
    return weights, np.einsum("pk,pki->pi", weights, corners[used][face])


def clip_near(corners: np.ndarray, faces: np.ndarray, near: float) -> tuple[np.ndarray, np.ndarray]:
    """Cut faces at the plane z = near (Sutherland and Hodgman 1974, one plane, all faces at once).

    Args:
        corners: (F, 3, 3), camera axes.
        faces: (G,) indices of the faces to treat.
        near: metres.

    Returns:
        (H, 3, 3) triangles in front of the plane and (H,) the face each is a piece of.
    """
    triangles = corners[faces]
    front = triangles[..., 2] > near
    count = front.sum(1)
    whole, one, two = (np.flatnonzero(count == n) for n in (3, 1, 2))
    pieces, owners = [triangles[whole]], [faces[whole]]
    if len(one):
        a, b, c = _lone_corner_first(triangles[one], front[one])
        pieces.append(np.stack([a, _cut(a, b, near), _cut(a, c, near)], 1))
        owners.append(faces[one])
    if len(two):
        a, b, c = _lone_corner_first(triangles[two], ~front[two])
        ab, ac = _cut(a, b, near), _cut(a, c, near)
        pieces += [np.stack([ab, b, c], 1), np.stack([ab, c, ac], 1)]
        owners += [faces[two], faces[two]]
    return np.concatenate(pieces), np.concatenate(owners)


def _project(points: np.ndarray, K: np.ndarray) -> np.ndarray:
    """Pixels of points, element by element: a corner that faces share gets the same bits in each (BLAS may not)."""
    flat = points[..., :2] / points[..., 2:]
    x = K[0, 0] * flat[..., 0] + K[0, 1] * flat[..., 1] + K[0, 2]
    return np.stack([x, K[1, 1] * flat[..., 1] + K[1, 2]], -1)


def _inverse_depth_range(corners: np.ndarray, near: float) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest 1 / z a face can have: bounds what rounding does to faces seen nearly edge-on."""
    z = np.maximum(corners[..., 2], near)
    return 1 / z.max(1), 1 / z.min(1)


def _lone_corner_first(triangles: np.ndarray, lone: np.ndarray) -> tuple[np.ndarray, ...]:
    """Turn each triangle, keeping its sense, so that its one marked corner comes first."""
    first = lone.argmax(1)
    rows = np.arange(len(triangles))
    return tuple(triangles[rows, (first + i) % 3] for i in range(3))


def _cut(a: np.ndarray, b: np.ndarray, near: float) -> np.ndarray:
    """Points where the edges from a to b cross the near plane, computed alike from either end."""
    swap = (a[:, 2] > b[:, 2])[:, None]
    low, high = np.where(swap, b, a), np.where(swap, a, b)
    share = (near - low[:, 2]) / (high[:, 2] - low[:, 2])
    point = low + share[:, None] * (high - low)
    point[:, 2] = near
    return point


def _covered_pixels(
    pixels: np.ndarray, owners: np.ndarray, width: int, height: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield (face, x, y) of all pixels whose centres lie in the triangles (H, 3, 2), a chunk at a time."""
    order = np.argsort(pixels[..., 1], axis=1, kind="stable")
    corners = np.take_along_axis(pixels, order[..., None], 1).T.reshape(6, -1)
    first = np.ceil(np.clip(corners[3], 0, height)).astype(np.int64)
    last = np.ceil(np.clip(corners[5], 0, height)).astype(np.int64)
    outside = (corners[:3].max(0) < 0) | (corners[:3].min(0) > width - 1)
    last[outside] = first[outside]
    triangle, y = _expand(first, last)
    left, right = _row_spans(corners, triangle, y, width)
    filled = np.flatnonzero(right > left)
    triangle, y, left, right = triangle[filled], y[filled], left[filled], right[filled]
    ends = np.cumsum(right - left)
    for start, stop in _chunks(ends):
        row, x = _expand(left[start:stop], right[start:stop])
        yield owners[triangle[start:stop][row]], x, y[start:stop][row]


def _chunks(ends: np.ndarray) -> Iterator[tuple[int, int]]:
    """Ranges of rows that hold about CHUNK pixels each, given the running total of their pixels."""
    if not len(ends):
        return
    marks = np.searchsorted(ends, np.arange(CHUNK, ends[-1] + CHUNK, CHUNK), side="left") + 1
    start = 0
    for stop in np.unique(np.minimum(marks, len(ends))).tolist():
        yield start, stop
        start = stop


def _expand(first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All (item, value) with first[item] <= value < last[item]."""
    lengths = np.maximum(last - first, 0)
    item = np.repeat(np.arange(len(first)), lengths)
    starts = np.cumsum(lengths) - lengths
    return item, np.arange(len(item)) + (first - starts)[item]


def _row_spans(
    corners: np.ndarray, triangle: np.ndarray, y: np.ndarray, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """First column, and column after the last, whose centres a triangle covers on row y.

    Args:
        corners: (6, H) x then y of the top, middle and bottom corner of each triangle.
        triangle: (R,) of each row.
        y: (R,).
        width: of the picture, pixels.
    """
    x0, x1, x2, y0, y1, y2 = (values[triangle] for values in corners)
    long = _crossing(x0, y0, x2, y2, y)
    upper = y < y1
    short = _crossing(
        np.where(upper, x0, x1), np.where(upper, y0, y1), np.where(upper, x1, x2), np.where(upper, y1, y2), y
    )
    # clipped before the rounding: a corner just before the near plane may lie past the integers
    left = np.ceil(np.clip(np.minimum(long, short), 0, width))
    right = np.ceil(np.clip(np.maximum(long, short), 0, width))
    return left.astype(np.int64), right.astype(np.int64)


def _crossing(x0: np.ndarray, y0: np.ndarray, x1: np.ndarray, y1: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Column at which edges cross row y; y0 <= y1 in every face, so both faces of an edge agree on every bit."""
    rise = y1 - y0
    return x0 + (y - y0) / np.where(rise > 0, rise, 1) * (x1 - x0)


def _keep_nearest(
    pixel: np.ndarray, inverse: np.ndarray, face: np.ndarray, nearest: np.ndarray, seen: np.ndarray
) -> None:
    """Update `nearest` (largest 1 / z of each pixel) and `seen` (its face) in place."""
    before = nearest[pixel]
    np.maximum.at(nearest, pixel, inverse)
    won = np.flatnonzero((inverse == nearest[pixel]) & (inverse > before))
    won = won[np.argsort(-face[won], kind="stable")]  # the last written stays: the first face, on a tie
    seen[pixel[won]] = face[won]
