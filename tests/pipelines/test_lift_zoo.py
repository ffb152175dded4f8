"""Every published lifter through the pipeline, at sizes that run in milliseconds, with random weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import posewright as pw
from posewright.core.errors import InputError
from posewright.evaluate.lifters import (
    Lifter,
    Precision,
    as_lifter,
    facts_of,
    load_lifter,
    save_lifter,
    without_weights,
    zoo,
)
from posewright.evaluate.windows import run_clip
from posewright.models import create, find
from posewright.motion.clean import to_motion
from posewright.pipelines.complete_body import complete_body
from posewright.pipelines.lift import choose_lifter, keypoint_rays, lift_people
from posewright.pipelines.lift_zoo import lift_with, metric_joints, network_input, screen_keypoints
from posewright.pipelines.video_to_motion import RunOptions, keypoints_to_motion
from posewright.skeletons.joint_sets import BODY_24, BODY_26, COCO_17, H36M_17, MPI_17, RIG_26
from posewright.skeletons.skeleton import Skeleton
from posewright.structures.cameras import Camera
from posewright.structures.keypoints import Keypoints2D
from tests.models.lifting.small import SMALL
from tests.nn.test_half_precision import needs_bfloat16
from tests.pipelines.test_lift import FOCAL, SIZE, K, _scene, _take

CAMERA = Camera(K=K, image_size=SIZE, focal_source="given")


def statistics(facts):
    if facts.keypoint_units != "standardised":
        return None
    J, N = len(facts.skeleton), len(facts.output_skeleton)
    return {
        "keypoint_mean": torch.linspace(-0.1, 0.1, 2 * J).view(J, 2),
        "keypoint_deviation": torch.full((J, 2), 0.2),
        "joint_mean": torch.linspace(-0.5, 0.5, 3 * N).view(N, 3),
        "joint_deviation": torch.full((N, 3), 0.3),
    }


def small_lifter(special: str, **changes):
    config, _ = SMALL[special]
    name = special.partition(":")[0]
    torch.manual_seed(0)
    network = find(name).Model(config)
    return as_lifter(network, statistics=statistics(facts_of(name, config)), **changes)


@pytest.fixture(scope="module")
def clip():
    _, pixels = _scene(1.0)
    return _take(pixels, H36M_17)


@pytest.fixture(scope="module", params=SMALL)
def lifter(request):
    return small_lifter(request.param)


FIXED_FRAMES = [name for name in SMALL if name.partition(":")[0] != "lifting/hot"]
"""Those that do not choose frames: pruning chooses others in the mirrored clip."""
SEQUENCES = [name for name in SMALL if small_lifter(name).facts.output_frames == "all"]
"""Those that answer for all frames of a window."""


@pytest.fixture(scope="module")
def file(lifter, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    save_lifter(lifter, path)
    return path


def test_contract_lifts_from_a_file_of_weights(lifter, file, clip):
    result = pw.lift(
        clip, None, "h36m_17", SIZE, 50.0, FOCAL, model=lifter.name, weights=file, output="body_24"
    )
    assert result.positions.shape == (50, 24, 3)
    assert result.positions.dtype == np.float32
    assert np.isfinite(result.positions).all()
    assert lifter.name in result.history[0]
    again = pw.lift(clip, None, "h36m_17", SIZE, 50.0, FOCAL, model=lifter, output="body_24")
    np.testing.assert_allclose(again.positions, result.positions, atol=1e-4)


def test_contract_joints_that_are_not_lifted_are_guesses(lifter, clip):
    result = pw.lift(clip, None, "h36m_17", SIZE, 50.0, FOCAL, model=lifter, output="body_24")
    lifted = np.isin(BODY_24.joint_names, lifter.facts.output_skeleton.joint_names)
    lifted[BODY_24.index("pelvis")] = True
    assert not lifted[BODY_24.indices("left_heel", "right_toe", "nose", "left_ear")].any()
    assert (result.confidence[:, ~lifted] <= 0.2 + 1e-6).all()
    assert (result.confidence[:, ~lifted] > 0).all()
    assert (result.confidence[:, BODY_24.indices("left_knee", "right_wrist", "pelvis")] == 1).all()


@pytest.mark.parametrize("frames", [1, 2, 8, 9, 10, 37])
def test_contract_any_length(lifter, frames):
    x = torch.randn(frames, len(lifter.facts.skeleton), lifter.facts.channels)
    joints = run_clip(lifter, x)
    assert joints.shape == (frames, len(lifter.facts.output_skeleton), 3)
    assert joints.isfinite().all()


def test_contract_gaps_and_absences(lifter, clip):
    holey = clip.copy()
    holey[5:9, 3] = np.nan
    holey[:, 13] = np.nan
    holey[:3] = np.nan
    holey[20:24] = np.nan
    result = pw.lift(holey, None, "h36m_17", SIZE, 30.0, model=lifter)
    gone = np.isnan(result.positions).all((1, 2))
    assert np.flatnonzero(gone).tolist() == [0, 1, 2, 20, 21, 22, 23]
    assert np.isfinite(result.positions[~gone]).all()
    assert (result.confidence[5:9, 3] < 0.3).all()
    assert (result.confidence[~gone, 13] < 0.3).all()


@pytest.mark.parametrize("name", FIXED_FRAMES)
def test_law_a_mirrored_clip_gives_a_mirrored_result_with_flip(name, clip):
    lifter = small_lifter(name)
    mirrored = clip[:, H36M_17.mirror] * [-1, 1] + [2 * 639.5, 0]
    a, b = (
        pw.lift(x, None, "h36m_17", SIZE, 50.0, FOCAL, model=lifter, flip=True, output="h36m_17").positions
        for x in (clip, mirrored)
    )
    a, b = (x - x[:, :1] for x in (a, b))
    b = b[:, H36M_17.mirror] * [-1, 1, 1]
    np.testing.assert_allclose(b, a, atol=2e-3 * np.abs(a).max())


@pytest.mark.parametrize("name", SEQUENCES)
def test_law_blended_windows_equal_the_network_where_one_window_is_the_clip(name):
    lifter = small_lifter(name)
    x = torch.randn(
        lifter.window if lifter.window > 1 else 9, len(lifter.facts.skeleton), lifter.facts.channels
    )
    torch.testing.assert_close(run_clip(lifter, x), lifter.network(x[None])[0], atol=1e-5, rtol=1e-5)


def test_law_windows_of_one_frame_methods_are_centred():
    """With a network that returns the x of the middle keypoint, the clip must come back unshifted."""
    lifter = small_lifter("lifting/mpm")

    class Middle(torch.nn.Module):
        def forward(self, x):
            return x[:, (x.shape[1] - 1) // 2, None, :, :1].expand(-1, -1, -1, 3)

    x = torch.arange(30.0)[:, None, None].expand(30, 17, 2)
    lifter = lifter.__class__(lifter.name, Middle(), lifter.facts, 9)
    assert run_clip(lifter, x)[:, 0, 0].tolist() == list(range(30))


@pytest.mark.parametrize("special", ["lifting/videopose3d", "lifting/videopose3d:causal"])
def test_law_convolutions_in_pieces_equal_the_whole(special, monkeypatch):
    lifter = small_lifter(special)
    x = torch.randn(50, 17, 2)
    whole = run_clip(lifter, x)
    monkeypatch.setattr("posewright.evaluate.windows.FRAMES_AT_ONCE", 7)
    torch.testing.assert_close(run_clip(lifter, x), whole, atol=1e-5, rtol=1e-5)
    changed = x.clone()
    changed[30:] += 1
    seen = (run_clip(lifter, changed) - whole).abs().amax((1, 2)) > 1e-6
    first = 30 if "causal" in special else 26
    assert int(seen.nonzero()[0]) == first


@pytest.mark.parametrize("special", ["lifting/motionbert", "lifting/mixste", "lifting/simple_baseline"])
def test_run_makes_a_whole_motion_of_it(special, clip):
    keypoints = Keypoints2D(
        H36M_17, clip[:, None].astype(np.float32), np.ones((50, 1, 17), np.float32), SIZE, 50.0
    )
    relative, confidence = lift_people(keypoints, CAMERA, small_lifter(special), flip=True)
    assert relative.shape == (50, 1, 24, 3)
    motion = to_motion(relative, confidence, keypoints, CAMERA)
    assert motion.skeleton == RIG_26
    assert np.isfinite(motion.joints).all()
    lengths = np.linalg.norm(motion.joints[:, 0, 4] - motion.joints[:, 0, 3], axis=-1)
    assert np.ptp(lengths) < 1e-3, "feet hang on their ankles"


def test_run_options_name_a_lifter_and_its_weights(clip, tmp_path):
    save_lifter(small_lifter("lifting/semgcn"), tmp_path / "w.safetensors")
    keypoints = Keypoints2D(
        H36M_17, clip[:20, None].astype(np.float32), np.ones((20, 1, 17), np.float32), SIZE, 50.0
    )
    options = RunOptions(lifter="lifting/semgcn", lifter_weights=str(tmp_path / "w.safetensors"))
    motion = keypoints_to_motion(keypoints, options)
    assert "lifted by lifting/semgcn" in motion.history
    assert np.isfinite(motion.joints).all()
    assert not any("out of view" in warning for warning in motion.warnings)
    assert any(warning.startswith("the lifter gives no feet") for warning in motion.warnings)
    default = keypoints_to_motion(keypoints, RunOptions())
    assert not any("gives no feet" in warning for warning in default.warnings)
    with pytest.raises(InputError, match="comes without weights"):
        keypoints_to_motion(keypoints, RunOptions(lifter="lifting/semgcn"))


@pytest.mark.parametrize("special", ["lifting/mixste", "lifting/convformer", "lifting/simple_baseline"])
def test_law_long_clips_are_lifted_as_short_ones(special, monkeypatch):
    lifter = small_lifter(special)
    x = torch.randn(40, len(lifter.facts.skeleton), lifter.facts.channels)
    expected = run_clip(lifter, x, flip=True)
    monkeypatch.setattr("posewright.evaluate.windows.PACKED_FROM", 1)
    torch.testing.assert_close(run_clip(lifter, x, flip=True), expected, atol=1e-5, rtol=1e-5)


@needs_bfloat16
@pytest.mark.parametrize("frames", [5, 40, 600])
def test_precision_of_a_lifter_changes_its_joints_a_little(frames):
    torch.manual_seed(0)
    lifter = as_lifter(create("lifting/mixste", num_frame=9, embed_dim_ratio=64, depth=2))
    x = np.random.default_rng(0).uniform(200, 900, (frames, 17, 2))

    def lifted(model: Lifter, precision: Precision | None = None) -> np.ndarray:
        joints = pw.lift(x, None, "h36m_17", SIZE, 50.0, model=model, precision=precision).positions
        return joints - joints[:, :1]

    exact, half = lifted(lifter), lifted(lifter, "bfloat16")
    assert half.dtype == exact.dtype
    size = np.linalg.norm(exact, axis=-1).mean()
    assert 0 < np.linalg.norm(half - exact, axis=-1).mean() < 0.02 * size
    np.testing.assert_array_equal(lifted(replace(lifter, precision="bfloat16")), half)


def test_bad_input_precision_is_for_named_lifters():
    with pytest.raises(InputError, match="name one, or leave it out"):
        choose_lifter(precision="bfloat16")
    with pytest.raises(InputError, match="expected one of float32, bfloat16"):
        choose_lifter(small_lifter("lifting/semgcn"), precision="float16")  # pyright: ignore[reportArgumentType]
    assert choose_lifter(precision="float32") is choose_lifter()
    with pytest.raises(InputError, match="name one with --lifter"):
        RunOptions(precision="bfloat16")
    with pytest.raises(InputError, match="expected float32 or bfloat16"):
        RunOptions(lifter="lifting/mixste", precision="half")  # pyright: ignore[reportArgumentType]


def test_law_windows_without_overlap_cut_as_the_papers_do():
    lifter = small_lifter("lifting/mixste")
    x = torch.randn(20, 17, 2)
    joints = run_clip(lifter, x, overlap=False)
    torch.testing.assert_close(joints[:9], lifter.network(x[None, :9])[0], atol=1e-5, rtol=1e-5)
    last = lifter.network(x[None, 11:])[0]
    torch.testing.assert_close(joints[18:], last[7:], atol=1e-5, rtol=1e-5)


def test_law_image_units_come_back_as_the_metres_they_were_made_from():
    """The true pose in image units, seen by the true camera, must come back but for its size."""
    from posewright.evaluate.units import LEG_AND_TRUNK_METRES, image_from_camera, leg_and_trunk

    joints, pixels = _scene(1.0)
    truth = torch.from_numpy(_take(joints, H36M_17))
    lifter = small_lifter("lifting/motionbert")
    keypoints = Keypoints2D(
        H36M_17,
        _take(pixels, H36M_17)[:, None].astype(np.float32),
        np.ones((len(joints), 1, 17), np.float32),
        SIZE,
        50.0,
    )
    screen, _ = screen_keypoints(lifter, keypoints, CAMERA)
    focal = 2 * FOCAL / SIZE[0]
    image = image_from_camera(truth, 0, torch.tensor(focal))
    np.testing.assert_allclose(screen[:, 0] - screen[:, 0, :1], image[..., :2], atol=1e-5)
    back = metric_joints(lifter, image, torch.from_numpy(screen[:, 0]).double(), focal, 50.0)
    relative = truth - truth[:, :1]
    size = LEG_AND_TRUNK_METRES / leg_and_trunk(relative, H36M_17).mean()
    torch.testing.assert_close(back, size * relative, atol=3e-3, rtol=0)


def test_convention_screen_units():
    lifter = small_lifter("lifting/mixste")
    positions = np.full((1, 1, 17, 2), np.nan, np.float32)
    positions[0, 0, 0] = (639.5, 359.5)
    positions[0, 0, 1] = (-0.5, -0.5)
    positions[0, 0, 2] = (1279.5, 719.5)
    present = np.isfinite(positions).all(-1).astype(np.float32)
    screen, sure = screen_keypoints(lifter, Keypoints2D(H36M_17, positions, present, SIZE, 30.0), CAMERA)
    np.testing.assert_allclose(screen[0, 0, :3], [(0, 0), (-1, -0.5625), (1, 0.5625)], atol=1e-6)
    assert sure[0, 0, 3:].sum() == 0


def test_convention_confidence_is_told_where_the_method_reads_it():
    lifter = small_lifter("lifting/motionagformer")
    x, c = torch.randn(9, 17, 2), torch.rand(9, 17)
    assert torch.equal(network_input(lifter, x, c)[..., 2], c)
    mpi = as_lifter(lifter.network, "xs_3dhp")
    assert mpi.facts.skeleton == MPI_17
    assert (network_input(mpi, x, c)[..., 2] == 1).all()
    assert network_input(small_lifter("lifting/mixste"), x, c).shape == (9, 17, 2)


@pytest.mark.parametrize("fps", [12.5, 30.0, 120.0])
def test_contract_any_frame_rate(fps):
    _, pixels = _scene(1.0, fps)
    lifter = small_lifter("lifting/mixste")
    result = pw.lift(_take(pixels, COCO_17), None, COCO_17, SIZE, fps, model=lifter)
    assert result.positions.shape == (len(pixels), 17, 3)
    assert np.isfinite(result.positions[:, 5:]).all()


def test_convention_frame_rates_of_the_published_weights():
    assert small_lifter("lifting/mixste").fps == 50
    assert small_lifter("lifting/mpm").fps == 25
    assert small_lifter("lifting/gla_gcn:individual").fps == 60
    assert small_lifter("lifting/semgcn").fps is None
    assert as_lifter(small_lifter("lifting/motionagformer").network, "b_3dhp").fps is None


def test_law_the_default_lifter_is_not_mixed_in(clip, monkeypatch):
    monkeypatch.setattr("posewright.pipelines.lift.default_model", None)
    monkeypatch.setattr("posewright.models.lifting.raylift.load", None)
    lifter = small_lifter("lifting/mixste")
    assert np.isfinite(pw.lift(clip, None, "h36m_17", SIZE, model=lifter).positions).all()


@pytest.mark.parametrize("name", zoo())
def test_without_weights_says_where_they_are(name, clip):
    with pytest.raises(InputError, match="comes without weights") as error:
        pw.lift(clip, None, "h36m_17", SIZE, model=name)
    for card in find(name).WEIGHTS.values():
        assert card.url in str(error.value)
    assert "train_lifter" in without_weights(name)


def test_wrong_joint_counts_name_what_fits(clip):
    with pytest.raises(ValueError, match=r"h36m_16.*converted"):
        pw.lift(clip[:, :16], None, "h36m_17", SIZE, model=small_lifter("lifting/mixste"))
    upper = Skeleton("upper_13", COCO_17.joint_names[:13], COCO_17.parents[:13])
    with pytest.raises(InputError, match=r"reads 17 joints \(h36m_17\), and right_knee.*cannot be had"):
        pw.lift(np.zeros((4, 13, 2)), None, upper, SIZE, model=small_lifter("lifting/mixste"))


def test_weights_of_another_method_or_broken_ones_are_refused(tmp_path):
    lifter = small_lifter("lifting/mixste")
    save_lifter(lifter, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="holds weights of lifting/mixste"):
        load_lifter("lifting/ktpformer", tmp_path / "a.safetensors")
    (tmp_path / "b.safetensors").write_bytes((tmp_path / "a.safetensors").read_bytes()[:500])
    with pytest.raises(InputError, match="safetensors"):
        load_lifter("lifting/mixste", tmp_path / "b.safetensors")
    (tmp_path / "c.pth").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="checkpoint"):
        load_lifter("lifting/mixste", tmp_path / "c.pth")
    with pytest.raises(InputError, match="no such file"):
        load_lifter("lifting/mixste", tmp_path / "d.pth")
    with pytest.raises(InputError, match="no lifter"):
        pw.lift(np.zeros((1, 17, 2)), None, COCO_17, SIZE, model="lifting/nothing")
    with pytest.raises(InputError, match="not named"):
        pw.lift(np.zeros((1, 17, 2)), None, COCO_17, SIZE, weights=tmp_path / "a.safetensors")


class Opens:
    """Writes a file when unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def test_checkpoints_that_would_run_code_are_refused(tmp_path):
    torch.save({"model": Opens(tmp_path / "ran")}, tmp_path / "bad.pth")
    with pytest.raises(InputError, match="running code"):
        load_lifter("lifting/mixste", tmp_path / "bad.pth")
    assert not (tmp_path / "ran").exists()


def test_an_authors_checkpoint_loads_by_variant(tmp_path):
    from posewright.models.lifting import videopose3d as vp
    from posewright.nn.checkpoints import official_key

    config = vp.VARIANTS["27"]
    model = vp.Model(config)
    table = vp.official_keys(config)
    official = {official_key(k, table): v for k, v in model.state_dict().items()}
    state = {"epoch": 3, "lr": 0.1, "random_state": np.random.RandomState(0), "model_pos": official}
    torch.save(state, tmp_path / "official.bin")
    lifter = load_lifter("lifting/videopose3d", tmp_path / "official.bin", "27")
    x = torch.randn(1, 30, 17, 2)
    assert torch.equal(lifter.network(x), model.eval()(x))
    with pytest.raises(InputError, match="27_causal"):
        load_lifter("lifting/videopose3d", tmp_path / "official.bin")
    with pytest.raises(LookupError, match="243_coco"):
        load_lifter("lifting/videopose3d", tmp_path / "official.bin", "9")


def test_convention_completed_feet_and_face():
    joints, _ = _scene(0.2)
    truth = _take(joints, BODY_26)
    bare = truth.copy()
    extra = [
        i for i, n in enumerate(BODY_26.joint_names) if n.endswith(("toe", "heel", "nose", "eye", "ear"))
    ]
    bare[:, extra] = np.nan
    whole = complete_body(bare)
    assert np.isfinite(whole).all()
    known = np.isfinite(bare)
    assert np.array_equal(whole[known], bare[known])
    for side in ("left", "right"):
        toe, heel, ankle = (whole[:, BODY_26.index(f"{side}_{n}")] for n in ("toe", "heel", "ankle"))
        true_toe = truth[:, BODY_26.index(f"{side}_toe")]
        ahead, true_ahead = toe - ankle, true_toe - ankle
        cosine = (
            (ahead * true_ahead).sum(-1)
            / np.linalg.norm(ahead, axis=-1)
            / np.linalg.norm(true_ahead, axis=-1)
        )
        assert np.median(cosine) > 0.8, "feet point forward"
        assert (((heel - ankle) * ahead).sum(-1) < 0).all()
    nose, neck = whole[:, BODY_26.index("nose")], whole[:, BODY_26.index("neck")]
    walked = (joints[-1, 0] - joints[0, 0])[[0, 2]]
    assert (((nose - neck)[:, [0, 2]] * walked).sum(-1) > 0).all(), "the nose points where the person walks"


def test_the_points_of_the_default_lifter_are_left_alone(clip):
    keypoints = Keypoints2D(
        H36M_17, clip[:, None].astype(np.float32), np.ones((50, 1, 17), np.float32), SIZE, 50.0
    )
    rays, _ = keypoint_rays(keypoints, CAMERA)
    points, given = lift_with(small_lifter("lifting/semgcn"), keypoints, CAMERA)
    assert rays.shape[:3] == points.shape[:3]
    assert given.sum() == 16
