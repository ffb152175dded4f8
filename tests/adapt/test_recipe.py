"""The whole of an adaptation: any lifter, its files, its report, bad input, and that it helps where it should."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import posewright as pw
from posewright.adapt import poseda
from posewright.adapt.alignment import moved
from posewright.adapt.footage import Footage
from posewright.adapt.recipe import METHODS, adapt_lifter
from posewright.adapt.report import energy_distance, measure
from posewright.adapt.sources import read_footage
from posewright.adapt.student import student_of
from posewright.adapt.training import AdaptationOptions
from posewright.core.errors import InputError
from posewright.evaluate.lifters import Lifter, as_lifter, load_lifter, save_lifter
from posewright.io import keypoints_npz
from posewright.models import create
from posewright.pipelines.lift import choose_lifter, lift_people
from posewright.pipelines.video_to_motion import RunOptions
from posewright.skeletons.joint_sets import BODY_26
from tests.adapt.domains import CAMERA, coco_footage, h36m_footage, source, student

QUICK = AdaptationOptions(steps=2, batch=3)
SEVERAL = (
    "lifting/mixste",
    "lifting/simple_baseline",
    "lifting/videopose3d",
    "lifting/motionbert",
    "lifting/mpm",
    "lifting/platypose",
    "lifting/d3dp",
)


@pytest.mark.parametrize("special", SEVERAL)
def test_contract_any_lifter_is_adapted_and_comes_back_from_its_file(special, tmp_path):
    model = student(special).model
    assert isinstance(model, Lifter)
    before = {k: v.clone() for k, v in model.network.state_dict().items()}
    clip = h36m_footage(2.0)
    done = adapt_lifter(model, [clip], [CAMERA], options=QUICK, source=source())
    assert all(torch.equal(v, before[k]) for k, v in model.network.state_dict().items()), (
        "the lifter itself stays"
    )
    files = done.save(tmp_path)
    assert [f.name for f in files] == ["weights.safetensors", "report.json", "report.md"]
    again = load_lifter(model.name, files[0])
    assert again.fps == model.fps
    assert any(not torch.equal(v, before[k]) for k, v in again.network.state_dict().items())
    adapted, from_file = (lift_people(clip, CAMERA, m)[0] for m in (done.adapted.student.model, again))
    np.testing.assert_allclose(adapted, from_file, atol=1e-4)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["lifter"] == model.name
    assert report["windows"] > 0
    for when in ("before", "after"):
        assert report[when]["frames"] == 20
        assert np.isfinite(
            [report[when]["reprojection_percent"], report[when]["bone_variation_percent"]]
        ).all()
    assert report["pictures"]["place_and_size_aligned"] < report["pictures"]["place_and_size_training"]
    assert "thigh" in (tmp_path / "report.md").read_text()


def test_contract_the_default_lifter_is_adapted_too(tmp_path):
    model = student("lifting/raylift").model
    clip = coco_footage(2.0)
    done = adapt_lifter(model, [clip], [CAMERA], "gpa", QUICK, source())
    assert any("trained on cameras of all kinds" in warning for warning in done.warnings)
    files = done.save(tmp_path)
    again = choose_lifter("lifting/raylift", weights=files[0])
    adapted, from_file = (lift_people(clip, CAMERA, m)[0] for m in (done.adapted.student.model, again))
    np.testing.assert_allclose(adapted, from_file, atol=1e-5)
    pixels = clip.positions[:, 0]
    joints = pw.lift(
        pixels, None, clip.skeleton, (1280, 720), 50.0, model="lifting/raylift", weights=files[0]
    )
    assert np.isfinite(joints.positions).any()
    save_lifter(student().model, tmp_path / "other.safetensors")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="weights of lifting/mixste, expected lifting/raylift"):
        choose_lifter("lifting/raylift", weights=tmp_path / "other.safetensors")


def test_a_low_rank_adapter_is_a_file_of_its_own_and_belongs_to_its_weights(tmp_path):
    model = student().model
    options = replace(QUICK, rank=2, layers="attn")
    clip = h36m_footage(2.0)
    done = adapt_lifter(model, [clip], [CAMERA], "gpa", options, source())
    files = done.save(tmp_path)
    assert [f.name for f in files][:2] == ["weights.safetensors", "adapter.safetensors"]
    assert files[1].stat().st_size < files[0].stat().st_size
    onward = replace(QUICK, adapter=files[1])
    more = adapt_lifter(model, [clip], [CAMERA], "gpa", onward, source())
    assert more.adapted.adapter is not None
    torch.manual_seed(9)
    other = as_lifter(create("lifting/mixste", num_frame=9, embed_dim_ratio=16, depth=2, num_heads=4))
    with pytest.raises(InputError, match="other weights"):
        adapt_lifter(other, [clip], [CAMERA], "gpa", onward, source())
    with pytest.raises(InputError, match="expected one of ktpformer"):
        adapt_lifter(student("lifting/ktpformer").model, [clip], [CAMERA], "gpa", onward, source())


def test_law_the_seed_alone_decides():
    clip = h36m_footage(2.0)
    weights = [
        adapt_lifter(
            student().model, [clip], [CAMERA], options=replace(QUICK, seed=s), source=source()
        ).adapted.student.network.state_dict()
        for s in (3, 3, 4)
    ]
    assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])
    assert any(not torch.equal(weights[0][k], weights[2][k]) for k in weights[0])


def test_bad_input_says_what_was_expected(tmp_path):
    model, clip = student().model, h36m_footage(2.0)
    with pytest.raises(InputError, match="no method 'magic', expected one of gpa, poseda, posynda"):
        adapt_lifter(model, [clip], [CAMERA], "magic", QUICK, source())
    with pytest.raises(InputError, match="no footage"):
        adapt_lifter(model, [], [], "gpa", QUICK, source())
    with pytest.raises(InputError, match="does not sample hypotheses"):
        adapt_lifter(model, [clip], [CAMERA], "posynda", QUICK, source())
    for wrong in ({"steps": 0}, {"batch": 0}, {"learning_rate": 0.0}, {"rank": 0}):
        with pytest.raises(InputError, match="expected"):
            AdaptationOptions(**wrong)
    noise = np.random.default_rng(0).normal(0, 1.0, clip.positions.shape)
    still = replace(clip, positions=(clip.positions[:1] + noise).astype(np.float32))
    done = adapt_lifter(model, [still], [CAMERA], "gpa", QUICK, source())
    assert any("nobody moves" in warning for warning in done.warnings)
    assert set(METHODS) == {"poseda", "gpa", "posynda"}


# ----------------------------------------------------------------------------------------- report, sources


def test_law_a_lifter_that_knows_the_truth_is_measured_as_perfect(monkeypatch):
    from posewright.datasets.procedural import walk
    from posewright.skeletons.convert import convert

    motion = walk(1.0, 50.0, heading=1.2)
    joints, _, _ = convert(motion.joints, motion.confidence, motion.skeleton, BODY_26)
    camera = joints @ CAMERA.R.T + CAMERA.t
    s, clip = student(), h36m_footage(1.0)
    monkeypatch.setattr(type(s), "lift", lambda self, keypoints, cam, flip=False: camera - camera[:, :, :1])
    found = measure(s, [clip], [CAMERA])
    assert found.reprojection_px < 0.01
    assert found.bone_variation_percent < 0.01
    assert found.asymmetry_percent < 0.01
    assert found.frames == 50
    off = camera - camera[:, :, :1]
    off[:, :, BODY_26.index("left_wrist")] *= 1.3
    monkeypatch.setattr(type(s), "lift", lambda self, keypoints, cam, flip=False: off)
    worse = measure(s, [clip], [CAMERA])
    assert worse.asymmetry_percent > 1
    assert worse.bone_variation_percent > found.bone_variation_percent


def test_law_energy_distance_is_zero_for_equal_distributions_and_grows_apart():
    draw = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 400, 3, generator=draw)
    assert abs(energy_distance(a, b)) < 0.03
    assert energy_distance(a, b + 1) > 0.3
    assert energy_distance(a, b + 2) > energy_distance(a, b + 1)


def test_sources_are_a_folder_a_file_or_what_was_kept(tmp_path):
    clip = h36m_footage(1.0)
    keypoints_npz.write(clip, tmp_path / "a.npz")
    keypoints_npz.write(clip, tmp_path / "b.npz")
    (tmp_path / "notes.txt").write_text("hello")
    found = read_footage(tmp_path, RunOptions(focal=1100))
    assert found.names == ("a.npz", "b.npz")
    assert len(found.warnings) == 1
    assert "notes.txt was left out" in found.warnings[0]
    assert found.cameras[0].K[0, 0] == 1100
    assert read_footage(tmp_path / "a.npz", RunOptions()).names == ("a.npz",)
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        InputError, match="no footage to adapt to, expected videos or 2D keypoints .it is empty"
    ):
        read_footage(tmp_path / "empty", RunOptions())
    with pytest.raises(InputError, match="does not exist"):
        read_footage(tmp_path / "nowhere", RunOptions())


# --------------------------------------------------------------------------------------------------- learns


def domain(clips: dict, distance: float, focal: float) -> dict:
    """Training clips seen from a fixed distance with a fixed lens, in the middle of the picture."""
    middle = clips["root"].shape[1] // 2
    place = torch.tensor([0.0, 0.0, distance])
    root = place + clips["root"] - clips["root"][:, middle, None]
    near = (clips["joints"][..., 2] + root[..., 2, None]).amin((1, 2))
    root = root + torch.tensor([0.0, 0.0, 1.0]) * (0.6 - near).clamp_min(0)[:, None, None]
    B = len(root)
    return moved(clips, root, torch.full((B,), focal), torch.ones(B))


def test_learns_from_the_places_of_unlabelled_footage():
    """Trained far away through a long lens, a lifter fails near a wide one; aligned poses bring most of it back."""
    torch.manual_seed(0)
    clips = source()
    s = student_of(as_lifter(create("lifting/semgcn", hid_dim=32, num_layers=2)))
    step = torch.optim.AdamW(s.network.parameters(), 3e-3)
    for _ in range(90):
        batch = s.batch(domain(clips.batch(16, 3), 9.0, 3.4))
        step.zero_grad()
        s.loss(s.network.train(), batch).backward()
        step.step()
    s.network.eval()
    clips.generator.manual_seed(77)
    near = domain(clips.batch(64, s.window), 2.2, 1.3)
    target = s.batch(near)

    def error(network) -> float:
        with torch.no_grad():
            return float((network(target["keypoints"]) - target["joints"]).norm(dim=-1).mean())

    used = torch.ones(64, len(s.skeleton), dtype=torch.bool)
    footage = Footage(target["keypoints"], used, near["screen_focal"], near["focal_known"], s.skeleton)
    before = error(s.network)
    options = AdaptationOptions(steps=60, batch=16, learning_rate=2e-3, local=False)
    adapted = poseda.adapt(student_of(s.model), clips, footage, options)
    assert error(adapted.student.network) < 0.7 * before
