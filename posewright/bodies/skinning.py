"""Skinning: vertices follow the joints by their weights, linearly or by dual quaternions.

Linear blend skinning averages the joints' transforms (Magnenat-Thalmann et al., "Joint-dependent local deformations
for hand animation and object grasping", Graphics Interface 1988; with the notation of Loper et al., "SMPL", 2015,
equations 2-4). Dual quaternion skinning averages unit dual quaternions, so that a twisted limb keeps its volume
(L. Kavan et al., "Geometric skinning with approximate dual quaternion blending", ACM TOG 27(4), 2008, section 4).

Convention: a joint's transform takes rest points to posed ones, `x -> R x + t`; metres.
"""

import warnings

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from posewright.geometry.rotations import matrix_to_quat_wxyz


class SkinWeights(nn.Module):
    """How much each vertex follows each joint; most vertices follow two or three of them.

    Args:
        joints: indices of each vertex's joints, padded by any index of weight 0.
        weights: their weights; each row adds up to 1.
        joint_count: of the body.
    """

    joints: Tensor
    weights: Tensor
    crow: Tensor
    col: Tensor
    values: Tensor
    crow_t: Tensor
    col_t: Tensor
    values_t: Tensor

    def __init__(self, joints: Int[Tensor, "V K"], weights: Float[Tensor, "V K"], joint_count: int):
        super().__init__()
        self.shape = (len(joints), joint_count)
        weights, order = weights.sort(dim=1, descending=True)
        self.register_buffer("joints", joints.long().gather(1, order), persistent=False)
        self.register_buffer("weights", weights, persistent=False)
        dense = self.dense()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
            self._add_sparse(dense)

    def _add_sparse(self, dense: Float[Tensor, "V J"]) -> None:
        """Register the parts of the weights and of their transpose in compressed rows."""
        for suffix, matrix in (("", dense), ("_t", dense.mT.contiguous())):
            csr = matrix.to_sparse_csr()
            self.register_buffer(f"crow{suffix}", csr.crow_indices(), persistent=False)
            self.register_buffer(f"col{suffix}", csr.col_indices(), persistent=False)
            self.register_buffer(f"values{suffix}", csr.values(), persistent=False)

    def dense(self) -> Float[Tensor, "V J"]:
        """The weights as one matrix."""
        zeros = self.weights.new_zeros(self.shape)
        return zeros.scatter_add_(1, self.joints, self.weights)

    def blend(self, per_joint: Float[Tensor, "J C"]) -> Float[Tensor, "V C"]:
        """Average what the joints carry over each vertex's weights."""
        if per_joint.device.type == "cpu" and torch.backends.mkl.is_available():
            forward = (self.crow, self.col, self.values, self.shape)
            backward = (self.crow_t, self.col_t, self.values_t, self.shape[::-1])
            return _SparseProduct.apply(per_joint, forward, backward)
        return self.dense() @ per_joint


class _SparseProduct(torch.autograd.Function):
    """A fixed sparse matrix times a dense one, with gradients of any order for the dense one."""

    @staticmethod
    def forward(ctx, x, matrix, transposed):
        ctx.matrices = matrix, transposed
        crow, col, values, shape = matrix
        return torch.sparse_csr_tensor(crow, col, values, shape, check_invariants=False) @ x

    @staticmethod
    def backward(ctx, *grads):
        matrix, transposed = ctx.matrices
        return _SparseProduct.apply(grads[0].contiguous(), transposed, matrix), None, None


def linear_blend_skinning(
    vertices: Float[Tensor, "V 3 N"],
    rotations: Float[Tensor, "N J 3 3"],
    translations: Float[Tensor, "N J 3"],
    weights: SkinWeights,
) -> Float[Tensor, "V 3 N"]:
    """Move each vertex by the weighted mean of its joints' transforms.

    Bodies come last in `vertices` because the products over them then run along memory.
    """
    count, joints = rotations.shape[:2]
    transforms = torch.cat([rotations, translations[..., None]], -1).permute(1, 2, 3, 0)
    A = weights.blend(transforms.reshape(joints, 12 * count)).reshape(-1, 3, 4, count)
    x, y, z = vertices[:, None].unbind(2)
    out = torch.addcmul(A[:, :, 3], A[:, :, 0], x)
    return torch.addcmul(torch.addcmul(out, A[:, :, 1], y), A[:, :, 2], z)


def dual_quaternion_skinning(
    vertices: Float[Tensor, "V 3 N"],
    rotations: Float[Tensor, "N J 3 3"],
    translations: Float[Tensor, "N J 3"],
    weights: SkinWeights,
) -> Float[Tensor, "V 3 N"]:
    """Move each vertex by the normalised weighted mean of its joints' dual quaternions.

    Of the two quaternions of each rotation the one nearer to that of the vertex's heaviest joint is taken. Rotations
    only: scale and shear in `rotations` are lost. Slower than linear blending, by the gathering of every weight.
    """
    real = matrix_to_quat_wxyz(rotations)
    dual = 0.5 * _product(torch.cat([torch.zeros_like(translations[..., :1]), translations], -1), real)
    both = torch.cat([real, dual], -1)[:, weights.joints]
    same = (both[..., :4] * both[:, :, :1, :4]).sum(-1, keepdim=True) >= 0
    share = weights.weights[None, :, :, None]
    mean = torch.where(same, share, -share).mul(both).sum(2)
    mean = mean / torch.linalg.vector_norm(mean[..., :4], dim=-1, keepdim=True)
    w, axis, dual_w, dual_axis = mean.split([1, 3, 1, 3], -1)
    x = vertices.permute(2, 0, 1)
    turned = x + 2.0 * torch.linalg.cross(axis, torch.linalg.cross(axis, x) + w * x)
    shift = 2.0 * (w * dual_axis - dual_w * axis + torch.linalg.cross(axis, dual_axis))
    return (turned + shift).permute(1, 2, 0)


def _product(a: Float[Tensor, "*B 4"], b: Float[Tensor, "*B 4"]) -> Float[Tensor, "*B 4"]:
    """Hamilton product of quaternions wxyz."""
    a_w, a_v = a[..., :1], a[..., 1:]
    b_w, b_v = b[..., :1], b[..., 1:]
    scalar = a_w * b_w - (a_v * b_v).sum(-1, keepdim=True)
    return torch.cat([scalar, a_w * b_v + b_w * a_v + torch.linalg.cross(a_v, b_v)], -1)


SKINNINGS = {"linear": linear_blend_skinning, "dual_quaternion": dual_quaternion_skinning}
"""Ways to skin, by the name `BodyModel` takes."""
