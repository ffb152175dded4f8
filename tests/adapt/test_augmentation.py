"""Local pose augmentation: what a transformation keeps, and that generator and critics learn beside the lifter."""

import torch

from posewright.adapt.augmentation import LARGEST_STRETCH, LIMBS, Augmentor, transformed
from posewright.adapt.footage import footage_of
from posewright.skeletons.joint_sets import BODY_26
from tests.adapt.domains import CAMERA, h36m_footage, source, student

PAIRS = len({name.split("_")[-1] for name in LIMBS})


def joints() -> torch.Tensor:
    return source().batch(4, 9)["joints"]


def bones(x: torch.Tensor) -> torch.Tensor:
    return x - x[:, :, [max(p, 0) for p in BODY_26.parents]]


def test_law_zero_changes_nothing():
    x = joints()
    out = transformed(x, torch.zeros(4, len(LIMBS), 3), torch.zeros(4, PAIRS))
    torch.testing.assert_close(out, x - x[:, :, :1], atol=1e-5, rtol=1e-5)


def test_law_turns_keep_bone_lengths_and_carry_what_hangs_on_a_limb():
    x = joints()
    turns = torch.zeros(4, len(LIMBS), 3)
    turns[:, list(LIMBS).index("left_arm")] = torch.tensor([0.3, 0.2, -0.1])
    out = transformed(x, turns, torch.zeros(4, PAIRS))
    torch.testing.assert_close(bones(out).norm(dim=-1), bones(x).norm(dim=-1), atol=1e-5, rtol=1e-5)
    changed = ((out - x).norm(dim=-1) > 1e-4).any(1).any(0)
    assert {n for n, c in zip(BODY_26.joint_names, changed, strict=True) if c} == {"left_elbow", "left_wrist"}
    elbow, wrist = BODY_26.index("left_elbow"), BODY_26.index("left_wrist")
    before, after = (
        torch.cosine_similarity(bones(y)[:, :, elbow], bones(y)[:, :, wrist], dim=-1) for y in (x, out)
    )
    torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-4)


def test_law_stretches_are_the_same_on_both_sides_and_the_size_stays():
    x = joints()
    out = transformed(x, torch.zeros(4, len(LIMBS), 3), 0.1 * torch.randn(4, PAIRS))
    ratio = bones(out).norm(dim=-1) / bones(x).norm(dim=-1).clamp_min(1e-9)
    mirror = torch.from_numpy(BODY_26.mirror)
    torch.testing.assert_close(ratio[..., 1:], ratio[..., mirror][..., 1:], atol=1e-4, rtol=1e-4)
    names = ("left_knee", "left_ankle", "right_knee", "right_ankle", "spine", "thorax")
    index = list(BODY_26.indices(*names))
    sizes = [bones(y)[:, 0, index].norm(dim=-1).sum(-1) for y in (x, out)]
    torch.testing.assert_close(sizes[0], sizes[1], atol=1e-5, rtol=1e-5)


def test_learns_without_touching_the_lifter():
    s = student()
    footage = footage_of(s, [h36m_footage()], [CAMERA])
    augmentor, clips = Augmentor(footage), source()
    random = torch.Generator().manual_seed(0)
    network = s.network.train()
    for _ in range(12):
        batch, target = clips.batch(8, s.window), footage.drawn(8, random)
        made = augmentor.step(batch, target, lambda c: s.loss(network, s.batch(c)))
    assert all(p.grad is None for p in network.parameters())
    assert made["joints"].isfinite().all()
    assert not made["joints"].requires_grad
    assert not torch.allclose(made["joints"], batch["joints"], atol=1e-3)
    lengths = [bones(x["joints"])[..., 1:, :].norm(dim=-1) for x in (made, batch)]
    ratio = lengths[0] / lengths[1].clamp_min(1e-6)
    assert ratio.log().abs().max() < 2.1 * LARGEST_STRETCH
    first = torch.stack([p.detach().flatten()[0] for p in augmentor.generator.parameters()])
    fresh = torch.stack([p.detach().flatten()[0] for p in Augmentor(footage).generator.parameters()])
    assert not torch.equal(first, fresh)


def test_law_the_seed_alone_decides():
    s = student()
    footage = footage_of(s, [h36m_footage()], [CAMERA])
    batch = source().batch(4, s.window)
    target = footage.drawn(4, torch.Generator().manual_seed(0))
    made = [Augmentor(footage, seed=n).augmented(batch, target)["joints"] for n in (1, 1, 2)]
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])
