"""Rotations: matrices, quaternions, rotation vectors, 6D and Euler angles, and what one does with them.

Convention: a matrix acts on columns (`x_a = R_a_b @ x_b`). Quaternions are wxyz and named so. Rotation
vectors and Euler angles are in radians. All functions take any leading dimensions, keep the dtype and are
differentiable.

The three 6D layouts in use in the literature put the same two vectors in different places:
`rot6d_cols` is (first column, second column), `rot6d_rows` is (first row, second row), `rot6d_interleaved` is
the first two columns read row by row, (R00, R01, R10, R11, R20, R21).
"""

import math

import roma
import torch
from jaxtyping import Bool, Float
from torch import Tensor


def matrix_to_quat_wxyz(matrix: Float[Tensor, "*B 3 3"]) -> Float[Tensor, "*B 4"]:
    """Convert rotation matrices to unit quaternions wxyz; of the two signs, the one with w >= 0."""
    quat = roma.quat_xyzw_to_wxyz(roma.rotmat_to_unitquat(matrix))
    return torch.where(quat[..., :1] < 0, -quat, quat)


def quat_wxyz_to_matrix(quat_wxyz: Float[Tensor, "*B 4"]) -> Float[Tensor, "*B 3 3"]:
    """Convert quaternions wxyz of any positive norm to rotation matrices."""
    unit = torch.nn.functional.normalize(quat_wxyz, dim=-1)
    return roma.unitquat_to_rotmat(roma.quat_wxyz_to_xyzw(unit))


def matrix_to_rotvec(matrix: Float[Tensor, "*B 3 3"]) -> Float[Tensor, "*B 3"]:
    """Convert rotation matrices to rotation vectors (axis times angle, angle in [0, pi] radians)."""
    return roma.rotmat_to_rotvec(matrix)


def rotvec_to_matrix(rotvec: Float[Tensor, "*B 3"]) -> Float[Tensor, "*B 3 3"]:
    """Convert rotation vectors (axis times angle, radians) to matrices; smooth at zero."""
    return roma.rotvec_to_rotmat(rotvec)


def right_jacobian_inverse(rotvec: Float[Tensor, "*B 3"]) -> Float[Tensor, "*B 3 3"]:
    """Differentiate the logarithm: how `matrix_to_rotvec(R @ rotvec_to_matrix(w))` changes with a small `w`.

    The inverse right Jacobian of SO(3), `1 + [v] / 2 + (1 / a^2 - cot(a / 2) / (2 a)) [v]^2` with `v` the rotation
    vector and `a` its length: G. Chirikjian, Stochastic Models, Information Theory, and Lie Groups, vol. 2 (2011),
    eq. 10.86. Its transpose is the inverse left Jacobian, for small rotations in front. Up to half a turn there is no
    singularity; a series takes over near zero.

    Args:
        rotvec: radians, length in [0, pi].
    """
    angle = rotvec.norm(dim=-1)[..., None, None]
    square = angle.square()
    small = angle < 0.1
    safe = torch.where(small, 1.0, angle)
    exact = 1 / safe.square() - 1 / (2 * safe * torch.tan(safe / 2))
    series = 1 / 12 + square / 720 + square.square() / 30240
    x, y, z = rotvec.unbind(-1)
    zero = torch.zeros_like(x)
    K = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    eye = torch.eye(3, dtype=rotvec.dtype, device=rotvec.device)
    return eye + 0.5 * K + torch.where(small, series, exact) * (K @ K)


def quat_wxyz_to_rotvec(quat_wxyz: Float[Tensor, "*B 4"]) -> Float[Tensor, "*B 3"]:
    """Convert quaternions wxyz of any positive norm to rotation vectors, radians."""
    unit = torch.nn.functional.normalize(quat_wxyz, dim=-1)
    return roma.unitquat_to_rotvec(roma.quat_wxyz_to_xyzw(unit))


def rotvec_to_quat_wxyz(rotvec: Float[Tensor, "*B 3"]) -> Float[Tensor, "*B 4"]:
    """Convert rotation vectors, radians, to unit quaternions wxyz."""
    return roma.quat_xyzw_to_wxyz(roma.rotvec_to_unitquat(rotvec))


def rot6d_cols_to_matrix(rot6d: Float[Tensor, "*B 6"]) -> Float[Tensor, "*B 3 3"]:
    """Orthonormalise (first column, second column) to a rotation.

    Zhou et al., "On the continuity of rotation representations", CVPR 2019; the layout of HMR2 and Multi-HMR.
    """
    return roma.special_gramschmidt(rot6d.unflatten(-1, (2, 3)).mT)


def rot6d_rows_to_matrix(rot6d: Float[Tensor, "*B 6"]) -> Float[Tensor, "*B 3 3"]:
    """Orthonormalise (first row, second row) to a rotation (PyTorch3D)."""
    return rot6d_cols_to_matrix(rot6d).mT


def rot6d_interleaved_to_matrix(rot6d: Float[Tensor, "*B 6"]) -> Float[Tensor, "*B 3 3"]:
    """Orthonormalise (R00, R01, R10, R11, R20, R21) to a rotation (SPIN and its descendants)."""
    return roma.special_gramschmidt(rot6d.unflatten(-1, (3, 2)))


def matrix_to_rot6d_cols(matrix: Float[Tensor, "*B 3 3"]) -> Float[Tensor, "*B 6"]:
    """Take (first column, second column)."""
    return matrix[..., :, :2].mT.flatten(-2)


def matrix_to_rot6d_rows(matrix: Float[Tensor, "*B 3 3"]) -> Float[Tensor, "*B 6"]:
    """Take (first row, second row)."""
    return matrix[..., :2, :].flatten(-2)


def matrix_to_rot6d_interleaved(matrix: Float[Tensor, "*B 3 3"]) -> Float[Tensor, "*B 6"]:
    """Take (R00, R01, R10, R11, R20, R21)."""
    return matrix[..., :, :2].flatten(-2)


def axis_rotation(axis: str, angle: Float[Tensor, "*B"]) -> Float[Tensor, "*B 3 3"]:
    """Rotate about one coordinate axis, `X`, `Y` or `Z`, by `angle` radians (right-hand rule)."""
    i = _axes(axis)[0]
    return rotvec_to_matrix(angle[..., None] * torch.eye(3, dtype=angle.dtype, device=angle.device)[i])


def euler_to_matrix(angles: Float[Tensor, "*B 3"], order: str) -> Float[Tensor, "*B 3 3"]:
    """Compose intrinsic Euler angles: order `ZXY` means `R = Rz(angles[0]) @ Rx(angles[1]) @ Ry(angles[2])`.

    This is the order in which BVH channels are written and read.
    """
    _check_order(order)
    first, second, third = (axis_rotation(a, angles[..., n]) for n, a in enumerate(order.upper()))
    return first @ second @ third


def matrix_to_euler(matrix: Float[Tensor, "*B 3 3"], order: str) -> Float[Tensor, "*B 3"]:
    """Split rotations into intrinsic Euler angles, the inverse of `euler_to_matrix`, on the principal branch.

    Convention: the outer angles are in [-pi, pi]; the middle one in [-pi/2, pi/2] where the three axes differ
    (`ZXY`), in [0, pi] where the first repeats (`ZXZ`). In gimbal lock only the sum or difference of the
    outer angles is determined: the third is then 0, and the matrix is still reproduced. `unwrap_euler`
    repairs both over time.
    """
    i, j, k = _check_order(order)
    if i != k:
        return _tait_bryan(matrix, i, j, k)
    return _proper_euler(matrix, i, j)


def unwrap_euler(angles: Float[Tensor, "T *B 3"], order: str) -> Float[Tensor, "T *B 3"]:
    """Choose, at each frame, the Euler triple of the same rotation that is nearest to the frame before.

    Every rotation has two triples, (a, b, c) and (a + pi, pi - b, c + pi) (-b where the first axis repeats),
    each up to whole turns. The distance between successive frames depends only on whether the branch is kept
    or changed, so the nearest choice at every frame is one cumulative sum over time, and its total path is
    the shortest possible.

    In gimbal lock only a + c or a - c is determined: c is kept from the last determined frame and a takes the
    rest. The first frame keeps its triple. Frames with NaN stay NaN and are skipped.

    Args:
        angles: radians, time first, all on one branch each (as `matrix_to_euler` gives them).
        order: intrinsic order, such as `ZXY`.
    """
    i, _, k = _check_order(order)
    missing = ~torch.isfinite(angles).all(-1, keepdim=True)
    filled = _hold(angles, ~missing[..., 0]).nan_to_num()
    a, b, c = _release_gimbal(filled, order).unbind(-1)
    other = torch.stack([a + math.pi, -b if i == k else math.pi - b, c + math.pi], -1)
    this = torch.stack([a, b, c], -1)
    kept = _wrap(this[1:] - this[:-1]).square().sum(-1)
    changed = _wrap(other[1:] - this[:-1]).square().sum(-1)
    odd = torch.cumsum(changed < kept, 0) % 2 == 1
    odd = torch.cat([odd.new_zeros(1, *odd.shape[1:]), odd])[: len(angles)]
    chosen = torch.where(odd[..., None], other, this)
    turns = torch.cumsum(torch.round((chosen[1:] - chosen[:-1]) / (2 * math.pi)), 0) * (2 * math.pi)
    return torch.where(missing, torch.nan, torch.cat([chosen[:1], chosen[1:] - turns]))


def geodesic_distance(a: Float[Tensor, "*#B 3 3"], b: Float[Tensor, "*#B 3 3"]) -> Float[Tensor, "..."]:
    """Angle in [0, pi] radians of the rotation from `a` to `b`; gradient 0 where they are equal."""
    return torch.linalg.norm(matrix_to_rotvec(a.mT @ b), dim=-1)


def slerp(
    start: Float[Tensor, "*#B 3 3"], end: Float[Tensor, "*#B 3 3"], fraction: Float[Tensor, "*#B"]
) -> Float[Tensor, "... 3 3"]:
    """Interpolate rotations along the shortest arc at constant speed: `start` at fraction 0, `end` at 1."""
    return start @ rotvec_to_matrix(fraction[..., None] * matrix_to_rotvec(start.mT @ end))


def slerp_quat_wxyz(
    start: Float[Tensor, "*#B 4"], end: Float[Tensor, "*#B 4"], fraction: Float[Tensor, "*#B"]
) -> Float[Tensor, "... 4"]:
    """Interpolate quaternions wxyz as `slerp` does matrices; the result has w >= 0."""
    return matrix_to_quat_wxyz(slerp(quat_wxyz_to_matrix(start), quat_wxyz_to_matrix(end), fraction))


def rotation_between(a: Float[Tensor, "*#B 3"], b: Float[Tensor, "*#B 3"]) -> Float[Tensor, "... 3 3"]:
    """Return the smallest rotation that takes the direction of `a` to the direction of `b`.

    Accurate also where they nearly oppose each other; where they exactly do, the axis is not determined and
    one perpendicular to `a` is taken. The lengths of `a` and `b` (not zero) do not matter.
    """
    a, b = torch.broadcast_tensors(
        torch.nn.functional.normalize(a, dim=-1), torch.nn.functional.normalize(b, dim=-1)
    )
    total = a + b
    opposite = torch.linalg.norm(total.detach(), dim=-1, keepdim=True) < 8 * torch.finfo(a.dtype).eps
    total = torch.where(opposite, a, total)
    # quaternion (|a+b|^2 / 2, a x b), with a x b = a x (a+b) so that it stays exact when a+b is tiny
    quat = torch.cat([total.square().sum(-1, keepdim=True) / 2, torch.linalg.cross(a, total)], -1)
    half_turn = torch.cat([torch.zeros_like(a[..., :1]), perpendicular(a)], -1)
    return quat_wxyz_to_matrix(
        torch.where(opposite, half_turn, quat) / quat.norm(dim=-1, keepdim=True).detach()
    )


def perpendicular(vector: Float[Tensor, "*B 3"]) -> Float[Tensor, "*B 3"]:
    """Return some unit vector perpendicular to each vector.

    Its cross product with the coordinate axis it is least along.
    """
    axis = torch.nn.functional.one_hot(vector.abs().argmin(-1), 3).to(vector.dtype)
    return torch.nn.functional.normalize(torch.linalg.cross(vector, axis), dim=-1)


def mean_rotation(
    matrices: Float[Tensor, "*B N 3 3"], weights: Float[Tensor, "*B N"] | None = None
) -> Float[Tensor, "*B 3 3"]:
    """Average N rotations: the rotation nearest to their weighted sum (chordal L2 mean).

    Hartley et al., "Rotation averaging", IJCV 2013, section 5.3.
    """
    if weights is not None:
        matrices = matrices * weights[..., None, None]
    nearest = roma.special_procrustes(matrices.sum(-3))
    assert isinstance(nearest, Tensor)
    return nearest


def continuous_quat_wxyz(quat_wxyz: Float[Tensor, "T *B 4"]) -> Float[Tensor, "T *B 4"]:
    """Choose signs so that successive quaternions (time first) never oppose.

    NaN frames stay NaN and are skipped.
    """
    finite = torch.isfinite(quat_wxyz).all(-1)
    filled = _hold(quat_wxyz, finite).nan_to_num()
    opposed = (filled[1:] * filled[:-1]).sum(-1, keepdim=True) < 0
    sign = torch.cumprod(torch.where(opposed, -1.0, 1.0).to(quat_wxyz.dtype), 0)
    return torch.cat([quat_wxyz[:1], quat_wxyz[1:] * sign])


def swing_twist(
    matrix: Float[Tensor, "*B 3 3"], axis: Float[Tensor, "*#B 3"]
) -> tuple[Float[Tensor, "*B 3 3"], Float[Tensor, "*B"]]:
    """Split `matrix = swing @ twist`: the twist turns about `axis`, the swing about one perpendicular to it.

    Args:
        matrix: rotations.
        axis: unit vectors.

    Returns:
        The swing, and the angle of the twist in (-pi, pi] radians; 0 where the swing is a half turn and the
        twist is not determined.
    """
    quat = matrix_to_quat_wxyz(matrix)
    w, along = quat[..., 0], (quat[..., 1:] * axis).sum(-1)
    lost = w.square() + along.square() < (8 * torch.finfo(quat.dtype).eps) ** 2
    angle = 2 * torch.atan2(torch.where(lost, 0.0, along), torch.where(lost, 1.0, w))
    return matrix @ rotvec_to_matrix(-angle[..., None] * axis), angle


def _axes(letters: str) -> list[int]:
    """Positions of axis letters, any case."""
    if not set(letters.upper()) <= set("XYZ"):
        raise ValueError(f"rotation axes {letters!r}: expected only the letters X, Y and Z")
    return ["XYZ".index(c) for c in letters.upper()]


def _check_order(order: str) -> tuple[int, int, int]:
    """Return the three axes of an Euler order; neighbours must differ."""
    axes = _axes(order)
    if len(axes) != 3 or axes[0] == axes[1] or axes[1] == axes[2]:
        raise ValueError(
            f"Euler order {order!r}: expected three axes such as 'ZXY' or 'ZXZ', neighbours different"
        )
    return axes[0], axes[1], axes[2]


def _parity(i: int, j: int) -> int:
    """+1 where axes i, j and the third one are right-handed in this order, else -1."""
    return 1 if (j - i) % 3 == 1 else -1


def _gimbal_limit(dtype: torch.dtype) -> float:
    """Below this cosine (sine) of the middle angle the outer angles are rounding noise."""
    return 100 * torch.finfo(dtype).eps


def _tait_bryan(matrix: Tensor, i: int, j: int, k: int) -> Tensor:
    """Split R = Ri(a) Rj(b) Rk(c).

    A is read after c is undone, so that R is reproduced however noisy c is.
    """
    s = _parity(i, j)
    x, y = matrix[..., i, i], -s * matrix[..., i, j]
    locked = torch.hypot(x, y).detach() < _gimbal_limit(matrix.dtype)
    c = torch.atan2(torch.where(locked, 0.0, y), torch.where(locked, 1.0, x))
    b = torch.atan2(
        s * matrix[..., i, k], torch.where(locked, 0.0, (x.square() + y.square() + locked).sqrt())
    )
    undone = s * c.sin()[..., None] * matrix[..., :, i] + c.cos()[..., None] * matrix[..., :, j]
    return torch.stack([torch.atan2(s * undone[..., k], undone[..., j]), b, c], -1)


def _proper_euler(matrix: Tensor, i: int, j: int) -> Tensor:
    """Split R = Ri(a) Rj(b) Ri(c), as `_tait_bryan`."""
    s, other = _parity(i, j), 3 - i - j
    x, y = s * matrix[..., i, other], matrix[..., i, j]
    locked = torch.hypot(x, y).detach() < _gimbal_limit(matrix.dtype)
    c = torch.atan2(torch.where(locked, 0.0, y), torch.where(locked, 1.0, x))
    b = torch.atan2(torch.where(locked, 0.0, (x.square() + y.square() + locked).sqrt()), matrix[..., i, i])
    undone = c.cos()[..., None] * matrix[..., :, j] - s * c.sin()[..., None] * matrix[..., :, other]
    return torch.stack([torch.atan2(s * undone[..., other], undone[..., j]), b, c], -1)


def _release_gimbal(angles: Tensor, order: str) -> Tensor:
    """In gimbal-locked frames keep the third angle of the last free frame and give the first the rest."""
    i, j, k = _check_order(order)
    a, b, c = angles.unbind(-1)
    free = (b.sin() if i == k else b.cos()).abs() >= _gimbal_limit(angles.dtype)
    sense = torch.sign(b.cos() if i == k else _parity(i, j) * b.sin())
    held = torch.where(free, c, _hold(c[..., None], free)[..., 0])
    return torch.stack([a + sense * (c - held), b, held], -1)


def _wrap(angle: Tensor) -> Tensor:
    """Bring angle differences into [-pi, pi]."""
    return angle - 2 * math.pi * torch.round(angle / (2 * math.pi))


def _hold(values: Float[Tensor, "T *B C"], valid: Bool[Tensor, " T *B"]) -> Float[Tensor, "T *B C"]:
    """Repeat the last valid frame over the invalid ones after it.

    Frames before the first valid one are kept.
    """
    frame = torch.arange(len(values), device=values.device).view(-1, *[1] * (valid.ndim - 1))
    last = torch.cummax(torch.where(valid, frame, -1), 0).values
    source = torch.where(last < 0, frame, last)[..., None].expand(values.shape)
    return torch.gather(values, 0, source)
