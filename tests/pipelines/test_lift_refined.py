"""Test-time optimisation as users meet it: the default lifter, every lifter of the zoo, options, the command line."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import posewright as pw
from posewright.batch.job import fingerprint
from posewright.cli import run_command_line
from posewright.core.errors import InputError
from posewright.evaluate.lifters import save_lifter
from posewright.evaluate.windows import run_clip
from posewright.fitting.refine import RefineOptions
from posewright.io import keypoints_npz
from posewright.models.lifting import raylift, uao
from posewright.pipelines import lift_zoo_refined
from posewright.pipelines.lift import default_model, keypoint_rays, lift_people
from posewright.pipelines.lift_refined import (
    REFINED,
    RefinedRaylift,
    log_expected_errors,
    placed,
    refined_track,
)
from posewright.pipelines.lift_windows import run_windows
from posewright.pipelines.lift_zoo_refined import RefinedLifter, samples_poses, seen_joints
from posewright.pipelines.video_to_motion import RunOptions, keypoints_to_motion
from posewright.skeletons.joint_sets import BODY_24, BODY_26, COCO_17, COCO_FEET_21, H36M_17
from posewright.structures.cameras import Camera
from posewright.structures.keypoints import Keypoints2D
from tests.models.lifting.small import SMALL
from tests.pipelines.test_lift import FOCAL, SIZE, K, _scene, _take
from tests.pipelines.test_lift_zoo import small_lifter
from tests.scenes import walking_keypoints

CAMERA = Camera(K=K, image_size=SIZE, focal_source="given")
REFINABLE = [n for n in SMALL if not samples_poses(type(small_lifter(n).network))]
DETERMINISTIC = [n for n in REFINABLE if n != "lifting/uao"]
"""UAO refines by itself unless told otherwise, with its own settings."""


def noisy(skeleton, seconds=1.0, pixels=4.0, seed=0):
    _, points = _scene(seconds)
    clip = _take(points, skeleton)
    return clip + pixels * np.random.default_rng(seed).normal(size=clip.shape)


def lift(clip, skeleton=COCO_FEET_21, **options):
    return pw.lift(clip, None, skeleton, SIZE, 50.0, FOCAL, **options)


def missed(result, clip):
    """Mean distance in the picture of limb joints from their keypoints, pixels."""
    names = result.skeleton.joint_names
    limbs = [
        i for i, n in enumerate(names) if n.endswith(("hip", "knee", "ankle", "shoulder", "elbow", "wrist"))
    ]
    points = result.positions[:, limbs].astype(np.float64)
    images = points[..., :2] / points[..., 2:] * FOCAL + K[:2, 2]
    return np.nanmean(np.linalg.norm(images - clip[:, limbs], axis=-1))


def rays_of(clip, skeleton=COCO_FEET_21):
    sure = np.isfinite(clip).all(-1)
    keypoints = Keypoints2D(
        skeleton, clip[:, None].astype(np.float32), sure[:, None].astype(np.float32), SIZE, 50.0
    )
    rays, confidence = keypoint_rays(keypoints, CAMERA)
    return torch.from_numpy(np.concatenate([rays[:, 0], confidence[:, 0, :, None]], -1))


# ------------------------------------------------------------------------------------ the default lifter


def test_law_no_steps_change_nothing():
    clip = noisy(COCO_17, 0.5)
    plain = lift(clip, COCO_17).positions
    for refine in (False, 0, RefineOptions(0)):
        np.testing.assert_array_equal(lift(clip, COCO_17, refine=refine).positions, plain)
    assert np.abs(lift(clip, COCO_17, refine=True).positions - plain).max() > 1e-4


class OnTheRay(raylift.Model):
    """A lifter that has everybody flat, 4 m away, every joint on its ray: nothing is left to be done."""

    def __init__(self):
        nn.Module.__init__(self)

    def forward(self, keypoints, focal_known=None):
        points = torch.cat([4 * keypoints[..., :2], torch.zeros_like(keypoints[..., 2:])], -1)
        return points - points[:, :, :1]


@pytest.mark.parametrize("flip", [False, True])
def test_law_a_pose_that_meets_its_keypoints_stays(flip):
    x = rays_of(noisy(H36M_17, 0.4), H36M_17)
    x = (x * 1024).round() / 1024  # sums are exact: a miss of rounding pulls like any other
    first = OnTheRay()(x[None])[0]
    root = torch.cat([4 * x[:, 0, :2], torch.full((len(x), 1), 4.0)], -1)
    options = RefineOptions(8, 1e-2, 1.0, 0.01)
    told = refined_track(OnTheRay(), x, first, True, options, flip, root=root)
    torch.testing.assert_close(told, first, atol=1e-6, rtol=0)
    beside = refined_track(OnTheRay(), x, first, True, options, flip, root=root + 0.1)
    assert (beside - first).abs().max() > 1e-2


def test_law_the_pose_comes_nearer_to_its_keypoints_with_more_steps():
    clip = noisy(COCO_FEET_21, 1.0, 2.0)
    free = RefineOptions(1, 1e-3, 1.0, 0.0)
    misses = [missed(lift(clip, refine=replace(free, iterations=n)), clip) for n in (0, 4, 16)]
    assert misses[0] > 1.03 * misses[1]
    assert misses[1] > 1.03 * misses[2]


def test_law_doubt_lets_joints_go_and_trust_holds_them():
    x = rays_of(noisy(COCO_FEET_21, 1.0, 8.0))
    network = default_model()
    first = run_windows(network, x, True)
    options = RefineOptions(16, 3e-4, 1.0, 0.05)
    moved = []
    for error in (1.0, 0.0005):
        log_errors = torch.full(x.shape[:2], np.log(error))
        told = refined_track(network, x, first, True, options, log_errors=log_errors)
        moved.append((told - first).norm(dim=-1).mean())
    assert moved[0] > 2 * moved[1]


def test_law_what_is_missing_pulls_nowhere_and_need_not_be_there():
    clip = noisy(COCO_17, 0.5)
    clip[3:9, 9] = np.nan
    clip[:, 16] = np.nan
    x = rays_of(clip, COCO_17)
    other = x.clone()
    other[x[..., 2] == 0] = torch.tensor([7.0, -3.0, 0.0])
    network = default_model()
    first = run_windows(network, x, True)
    a, b = (refined_track(network, given, first, True, REFINED) for given in (x, other))
    assert a.isfinite().all()
    torch.testing.assert_close(a, b, atol=2e-5, rtol=0)


def test_law_frames_that_do_not_say_where_somebody_stands_are_not_pulled():
    root = torch.tensor([[0.0, 0.0, 3.0], [torch.nan] * 3, [0.0, 0.0, 5.0], [0.0, 0.0, 6.0]])
    pull = torch.ones(4, 26)
    pull[3, 3:] = 0
    where, pulls = placed(root, pull)
    assert where.isfinite().all()
    assert where[1].tolist() == [0, 0, 3]
    assert (pulls > 0).any(-1).tolist() == [True, False, True, False]
    where, pulls = placed(root[1:2], pull[1:2])
    assert where[0, 2] > 0
    assert (pulls == 0).all()


def test_contract_gaps_absences_and_a_single_frame():
    clip = noisy(COCO_17, 1.0)
    clip[:5] = np.nan
    clip[20:24] = np.nan
    clip[30, 3:] = np.nan
    result = lift(clip, COCO_17, refine=2)
    gone = np.isnan(result.positions).all((1, 2))
    assert np.flatnonzero(gone).tolist() == [0, 1, 2, 3, 4, 20, 21, 22, 23, 30]  # 30: nobody knows where
    sure = np.asarray(np.isfinite(clip).all(-1), np.float32)
    people = Keypoints2D(COCO_17, clip[:, None].astype(np.float32), sure[:, None], SIZE, 50.0)
    relative, _ = lift_people(people, CAMERA, refine=2)
    assert np.isfinite(relative[30]).all()
    assert np.isfinite(lift(clip[40:41], COCO_17, refine=True).positions).all()
    assert np.isnan(lift(np.full((3, 17, 2), np.nan), COCO_17, refine=True).positions).all()


@pytest.mark.parametrize("fps", [24.0, 120.0])
def test_contract_other_frame_rates(fps):
    clip = noisy(COCO_17, 0.5)
    result = pw.lift(clip, None, COCO_17, SIZE, fps, refine=2)
    assert result.positions.shape == (len(clip), 17, 3)
    assert np.isfinite(result.positions).all()


def test_law_windows_do_not_depend_on_those_beside_them():
    """300 frames are four windows: one at a time and all together, memory aside, are the same."""
    x = rays_of(np.concatenate([noisy(COCO_17, 3.0)] * 2)[:300], COCO_17)
    network = default_model()
    first = run_windows(network, x, True)
    told = torch.cat(
        [
            x,
            x[..., 2:],
            torch.zeros_like(x[..., 2:]),
            torch.tensor([0.0, 0.0, 5.0]).expand(*x.shape[:2], 3),
        ],
        -1,
    )
    refiner = RefinedRaylift(network, RefineOptions(2), False)
    one, four = (run_windows(refiner, told, True, n) for n in (1, 4))
    torch.testing.assert_close(one, four, atol=1e-4, rtol=0)
    assert (one - first).abs().max() > 1e-4


def test_law_a_mirrored_clip_gives_a_mirrored_result_with_flip():
    clip = noisy(COCO_17, 0.5)
    mirrored = clip[:, COCO_17.mirror] * [-1, 1] + [2 * 639.5, 0]
    a, b = (lift(c, COCO_17, flip=True, output=BODY_24, refine=2).positions for c in (clip, mirrored))
    np.testing.assert_allclose(b[:, BODY_24.mirror] * [-1, 1, 1], a, atol=3e-3)


def test_law_the_lifter_keeps_its_weights_and_gets_no_gradients():
    network = default_model()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    with torch.inference_mode():
        lift(noisy(COCO_17, 0.2), COCO_17, refine=True)
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())


def test_contract_expected_errors_are_lengths_and_grow_with_doubt():
    clip = noisy(COCO_FEET_21, 1.0)
    hidden = clip.copy()
    hidden[:, COCO_FEET_21.index("left_wrist")] = np.nan
    network = default_model()
    seen, doubted = (
        log_expected_errors(network, x, run_windows(network, x, True), True).exp()
        for x in (rays_of(clip), rays_of(hidden))
    )
    assert seen.shape == (50, 26)
    wrist, knee = BODY_26.indices("left_wrist", "left_knee")
    assert 0.005 < seen[:, knee].mean() < 0.1
    assert doubted[:, wrist].mean() > 1.5 * seen[:, wrist].mean()
    assert (seen[:, 0] == 1).all()
    twice = log_expected_errors(
        network, rays_of(clip), run_windows(network, rays_of(clip), True), True, np.full(27, 2)
    )
    torch.testing.assert_close(twice[:, 1:].exp(), 2 * seen[:, 1:], rtol=1e-4, atol=0)


# ------------------------------------------------------------------------------------------------ the zoo


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_contract_every_lifter_that_does_not_sample_can_be_refined(name):
    lifter = small_lifter(name)
    clip = noisy(H36M_17, 0.4)
    plain = lift(clip, H36M_17, model=lifter)
    np.testing.assert_array_equal(lift(clip, H36M_17, model=lifter, refine=0).positions, plain.positions)
    before = {k: v.clone() for k, v in lifter.network.state_dict().items()}
    refined = lift(clip, H36M_17, model=lifter, refine=RefineOptions(6, 1e-3, 1.0, 0.0))
    assert np.isfinite(refined.positions).all()
    assert np.abs(refined.positions - plain.positions).max() > 1e-5
    assert all(torch.equal(v, before[k]) for k, v in lifter.network.state_dict().items())


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("name", DETERMINISTIC)
def test_law_poses_of_the_zoo_come_nearer_to_their_keypoints(name, flip):
    """Windows as `RefinedLifter` is given them, the person 4 m away; half of the joints are pulled."""
    lifter = small_lifter(name)
    K, W, focal = len(lifter.facts.skeleton), max(lifter.window, 12 if "videopose3d" in name else 1), 2.0
    screen = 0.2 * torch.randn(3, W, K, 2, generator=torch.Generator().manual_seed(0))
    shape = (3, W, K, 1)
    pull = (torch.arange(K) % 2 == 0).float().view(K, 1).expand(shape)
    place = torch.tensor([0.0, 0.0, 4.0]).expand(3, W, K, 3)
    place = place * (0 if lifter.facts.joint_units == "image" else 1)
    told = torch.cat([screen, torch.ones(shape), pull, torch.full(shape, 4 / focal), place], -1)
    joints, keypoints = seen_joints(lifter)
    misses = []
    for steps in (0, 6):
        refiner = RefinedLifter(lifter, focal, flip, RefineOptions(steps, 2e-3, 1.0, 0.0))
        poses = refiner(told)
        answered = screen[:, refiner.answered(W)][:, :, keypoints]
        off = (refiner.image(poses, place[:, refiner.answered(W), :1])[:, :, joints] - answered).norm(dim=-1)
        misses.append(off[..., [k % 2 == 0 for k in keypoints]].mean())
    assert misses[1] < misses[0]


@pytest.mark.parametrize("name", ["lifting/mixste", "lifting/motionagformer", "lifting/simple_baseline"])
def test_law_a_mirrored_clip_gives_a_mirrored_result_by_the_zoo(name):
    lifter, clip = small_lifter(name), noisy(H36M_17, 0.4)
    there = clip[:, H36M_17.mirror] * [-1, 1] + [2 * 639.5, 0]
    a, b = (lift(c, H36M_17, model=lifter, flip=True, refine=2).positions for c in (clip, there))
    a, b = (x - x[:, :1] for x in (a, b))
    np.testing.assert_allclose(b[:, H36M_17.mirror] * [-1, 1, 1], a, atol=3e-3 * np.abs(a).max())


def test_law_keypoints_that_were_made_of_others_or_are_missing_pull_nowhere(monkeypatch):
    """COCO has no spine: its place is made of shoulders and hips."""
    told = []

    def watched(lifter, keypoints, *others):
        told.append(keypoints)
        return run_clip(lifter, keypoints, *others)

    monkeypatch.setattr(lift_zoo_refined, "run_clip", watched)
    clip = noisy(COCO_17, 0.3)
    clip[4:7, COCO_17.index("left_knee")] = np.nan
    result = lift(clip, COCO_17, model=small_lifter("lifting/mixste"), refine=2)
    assert np.isfinite(result.positions).all()
    pull = told[-1][..., 3]
    assert (pull[:, H36M_17.indices("pelvis", "spine", "thorax", "neck", "head")] == 0).all()
    assert (pull[:, H36M_17.indices("right_knee", "left_wrist")] == 1).all()
    knee = pull[:, H36M_17.index("left_knee")]
    assert np.flatnonzero(knee.numpy() == 0).tolist() == [4, 5, 6]


def test_law_uao_takes_the_steps_it_is_told_with_its_own_settings():
    lifter, clip = small_lifter("lifting/uao"), noisy(H36M_17, 0.3)
    config = SMALL["lifting/uao"][0]

    def with_steps(n):
        own = uao.Model(replace(config, iterations=n)).eval()
        own.load_state_dict(lifter.network.state_dict())
        return replace(lifter, network=own)

    for steps in (0, 2, 4):
        told = lift(clip, H36M_17, model=lifter, refine=steps).positions
        np.testing.assert_array_equal(told, lift(clip, H36M_17, model=with_steps(steps)).positions)
    plain = lift(clip, H36M_17, model=lifter).positions
    for own in (lifter, with_steps(0)):
        np.testing.assert_array_equal(lift(clip, H36M_17, model=own, refine=True).positions, plain)
    assert lifter.network.config == config, "the caller's model is as it was"
    assert config.iterations == 4


@pytest.mark.parametrize("name", [n for n in SMALL if n not in REFINABLE])
def test_contract_samplers_are_refused_with_the_reason(name):
    with pytest.raises(InputError, match="samples its poses"):
        lift(noisy(H36M_17, 0.2), H36M_17, model=small_lifter(name), refine=True)
    with pytest.raises(InputError, match="samples its poses"):
        RunOptions(lifter=name.partition(":")[0], refine=4)


# ------------------------------------------------------------------------------------------------ options


@pytest.mark.parametrize("refine", [-1, 2.5, "yes", None])
def test_numbers_of_steps_that_make_no_sense(refine):
    with pytest.raises(InputError, match="refine"):
        lift(noisy(COCO_17, 0.1), COCO_17, refine=refine)
    if refine is not None:
        with pytest.raises(InputError, match="--refine-steps"):
            RunOptions(refine=refine)


def test_samples_of_a_refined_answer_are_refused():
    with pytest.raises(InputError, match="one of the two"):
        lift(noisy(COCO_17, 0.1), COCO_17, refine=True, samples=2)
    with pytest.raises(InputError, match="one of the two"):
        RunOptions(refine=True, samples=2)


def test_law_a_changed_option_is_noticed_and_an_unused_one_is_not(tmp_path):
    marks = [fingerprint(tmp_path, RunOptions(refine=r), everything=True) for r in (False, 0, True, 3)]
    assert marks[0] == marks[1]
    assert len(set(marks)) == 3
    found = {fingerprint(tmp_path, RunOptions(refine=r)) for r in (False, True)}
    assert len(found) == 1, "what is found in the pictures does not depend on it"


def test_contract_a_run_with_refine_says_so_and_fits_the_keypoints_better():
    keypoints = walking_keypoints(seconds=0.5)
    plain, refined = (
        keypoints_to_motion(keypoints, RunOptions(device="cpu", smoothing="none", refine=r))
        for r in (False, 8)
    )
    assert refined.joints.shape == plain.joints.shape
    assert np.abs(refined.joints - plain.joints).max() > 1e-4
    assert refined.keypoints is not None
    assert any("refined" in note for note in refined.keypoints.history)
    assert plain.keypoints is not None
    assert not any("refined" in note for note in plain.keypoints.history)


def test_the_command_line_refines(tmp_path, capsys):
    clip = tmp_path / "walk.npz"
    keypoints_npz.write(walking_keypoints(seconds=0.4), clip)
    quick = ["run", str(clip), "--formats", "npz", "--no-overlay", "--no-report", "--device", "cpu"]
    joints = {}
    for name, options in {
        "plain": [],
        "refined": ["--refine"],
        "none": ["--refine-steps", "0"],
        "default": ["--refine-steps", str(REFINED.iterations)],
        "more": ["--refine-steps", "12"],
    }.items():
        assert run_command_line([*quick, "-o", str(tmp_path / name), *options]) == 0
        joints[name] = pw.load(tmp_path / name / "motion.npz").joints
    np.testing.assert_array_equal(joints["none"], joints["plain"])
    np.testing.assert_array_equal(joints["default"], joints["refined"])
    assert np.abs(joints["refined"] - joints["plain"]).max() > 1e-4
    assert np.abs(joints["more"] - joints["refined"]).max() > 1e-4
    capsys.readouterr()
    for wrong in (
        ["--refine", "--samples", "2"],
        ["--refine-steps", "-2"],
        ["--refine", "--lifter", "lifting/d3dp"],
    ):
        assert run_command_line([*quick, "-o", str(tmp_path / "wrong"), *wrong]) == 1
        said = capsys.readouterr().err.strip()
        assert "refine" in said
        assert len(said.splitlines()) == 1


def test_a_file_of_weights_is_refined(tmp_path):
    save_lifter(small_lifter("lifting/videopose3d"), tmp_path / "w.safetensors")
    options = RunOptions(
        lifter="lifting/videopose3d", lifter_weights=str(tmp_path / "w.safetensors"), refine=2, device="cpu"
    )
    motion = keypoints_to_motion(walking_keypoints(seconds=0.4), options)
    assert np.isfinite(motion.joints).all()
