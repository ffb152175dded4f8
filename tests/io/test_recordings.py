"""Original recordings of others, read by our readers and compared with positions computed elsewhere.

The positions in `mocap/*.npz` were made from the same takes by another reader and forward kinematics,
resampled from 120 to 50 Hz (every fifth 50 Hz frame falls on a frame of the original) and rounded to 2^-14 m,
which is 0.03 mm either way.
"""

import numpy as np
import pytest

from posewright.io import formats

ROUNDING_MM = 0.04
"""Half of 2^-14 m, and float32."""


@pytest.fixture(scope="module")
def take(shared_data):
    """Load an original file."""
    cache = {}

    def load(name, **options):
        key = (name, *options.items())
        if key not in cache:
            cache[key] = formats.load(shared_data / "formats" / name, **options)
        return cache[key]

    return load


@pytest.fixture(scope="module")
def positions(shared_data):
    """Positions (T, J, 3) and joint names of one sequence of the converted motion capture."""

    def load(file, sequence):
        with np.load(shared_data / "mocap" / f"{file}.npz") as z:
            i = [str(n) for n in z["seq_names"]].index(sequence)
            first, last = z["seq_start"][i : i + 2]
            return z["positions"][first:last].astype(np.float64), [str(n) for n in z["joint_names"]]

    return load


def of(motion, joint):
    return motion.joints[:, 0, motion.skeleton.index(joint)].astype(np.float64)


def largest_mm(a, b):
    assert abs(len(a) - len(b)) <= 1
    n = min(len(a), len(b))
    assert n > 25
    return 1000 * np.linalg.norm(a[:n] - b[:n], axis=-1).max()


ASF_TO_BVH = {
    "root": "Hips",
    "lfemur": "LeftUpLeg",
    "ltibia": "LeftLeg",
    "lfoot": "LeftFoot",
    "ltoes": "LeftToeBase",
    "rfemur": "RightUpLeg",
    "rtibia": "RightLeg",
    "rfoot": "RightFoot",
    "rtoes": "RightToeBase",
    "upperback": "Spine",
    "thorax": "Spine1",
}
"""Same joint in both files of the take, below the thorax bone that the BVH lacks."""


def test_amc_against_reference_positions(take, positions):
    motion = take("cmu_05_13.amc")
    reference, names = positions("train/cmu_05", "05_13")
    assert (motion.num_frames, motion.fps) == (1095, 120)
    for asf, bvh in ASF_TO_BVH.items():
        assert largest_mm(of(motion, asf)[::12], reference[::5, names.index(bvh)]) < 2 * ROUNDING_MM, asf


def test_amc_above_the_thorax_against_reference_positions(take, positions):
    """The reference restored the thorax bone from the skeleton file, so arms and head agree too."""
    motion = take("cmu_05_13.amc")
    reference, names = positions("train/cmu_05", "05_13")
    pairs = {"lhumerus": "LeftArm", "lradius": "LeftForeArm", "rradius": "RightForeArm", "lowerneck": "Neck"}
    for asf, bvh in pairs.items():
        assert largest_mm(of(motion, asf)[::12], reference[::5, names.index(bvh)]) < 1.0, asf


def test_bvh_equals_amc_of_the_same_take(take):
    amc, bvh = take("cmu_05_13.amc"), take("cmu_05_13.bvh", skip_frames=1)
    for asf, name in ASF_TO_BVH.items():
        assert largest_mm(of(amc, asf), of(bvh, name)) < 0.01, asf


def test_c3d_joint_centres_equal_amc_of_the_same_take(take):
    """The C3D (DEC floats, LABELS2, integers of 0.096 mm) holds joint centres; its world is turned by 90
    degrees."""
    amc, c3d = take("cmu_05_13.amc"), take("cmu_05_13.c3d")
    assert (c3d.num_frames, c3d.fps, len(c3d.skeleton)) == (1095, 120, 330)
    assert c3d.start_time == pytest.approx(19 / 120)
    pairs = {
        "lfemur": "LHJ0",
        "ltibia": "LFE0",
        "lfoot": "LTI0",
        "rfemur": "RHJ0",
        "rtibia": "RFE0",
        "rfoot": "RTI0",
    }
    for asf, label in pairs.items():
        x, y, z = of(amc, asf).T
        assert largest_mm(np.stack([-y, x, z], 1), of(c3d, f"Dance:{label}")) < 0.2, asf


@pytest.mark.parametrize(
    ("file", "mocap", "sequence", "offset", "left_out"),
    [
        (
            "cmu_131_03_3dsmax.bvh",
            "train/cmu_131",
            "131_03",
            1,
            "Neck|Head|Collar|Shoulder|Elbow|Wrist|hand|Finger|Thumb|neck",
        ),
        ("cmu_10_03_daz.bvh", "train/cmu_10_daz", "10_03", 3.4, "head_top"),
    ],
)
def test_cgspeed_bvh_against_reference_positions(take, positions, file, mocap, sequence, offset, left_out):
    """Frame k of the reference is frame `offset + 2.4 k` of the file; `left_out` hang on the bone that it
    lacks."""
    motion = take(file)
    reference, names = positions(mocap, sequence)
    k = [k for k in range(len(reference)) if abs((offset + 2.4 * k) - round(offset + 2.4 * k)) < 1e-6]
    frames = [round(offset + 2.4 * n) for n in k]
    compared = [n for n in names if not any(part in n for part in left_out.split("|"))]
    assert len(compared) >= 15
    for name in compared:
        assert largest_mm(of(motion, name)[frames], reference[k, names.index(name)]) < 2 * ROUNDING_MM, name


def test_reactidle_bvh_against_reference_positions(take, positions):
    """Six channels on most joints, mixed rotation orders, names with dots, bones that change length."""
    motion = take("reactidle_003_genuine.bvh")
    reference, names = positions("extra_idle/reactidle_003", "003_genuine")
    assert motion.skeleton.joint_names == tuple(names)
    assert motion.fps == 24
    assert motion.rotations_wxyz is None
    assert "stretch='mean'" in motion.warnings[0]
    for name in names:
        assert largest_mm(of(motion, name), reference[:, names.index(name)]) < 2 * ROUNDING_MM, name


def test_reactidle_bvh_with_rigid_bones(take):
    exact, rigid = take("reactidle_003_genuine.bvh"), take("reactidle_003_genuine.bvh", stretch="mean")
    assert rigid.rotations_wxyz is not None
    moved = 1000 * np.linalg.norm(exact.joints - rigid.joints, axis=-1).max()
    assert 1 < moved < 6
    assert "rigid" in rigid.history[-1]


@pytest.mark.parametrize(
    ("file", "frames", "joints", "unit"),
    [
        ("cmu_05_13.bvh", 1096, 38, "cmu"),
        ("cmu_131_03_3dsmax.bvh", 1102, 38, "cmu"),
        ("cmu_10_03_daz.bvh", 363, 57, "cm"),
        ("reactidle_003_genuine.bvh", 918, 26, "m"),
    ],
)
def test_units_and_up_axis_of_original_bvh_are_recognised(take, file, frames, joints, unit):
    motion = take(file)
    assert motion.joints.shape == (frames, 1, joints, 3)
    assert f"unit {unit} (guessed), y up" in motion.history[0]
    assert motion.warnings == () or "stretch" in motion.warnings[0]


def test_vicon_static_trial(take):
    motion = take("pycgm_sample_static.c3d")
    assert (motion.num_frames, motion.fps) == (275, 100)
    assert "without 26 model outputs" in motion.history[0]
    head = motion.joints[:, 0, motion.skeleton.index("LFHD"), 2]
    toe = motion.joints[:, 0, motion.skeleton.index("LTOE"), 2]
    assert 1.5 < np.nanmean(head) < 2.0
    assert 0 < np.nanmean(toe) < 0.15


def test_comma_separated_trc(take, shared_data):
    """51 markers in mm; the header promises 652 frames, the file has 93. Recorded with Z up, which TRC cannot
    say."""
    motion = take("pyomeca_markers.trc", up="z")
    assert motion.joints.shape == (93, 1, 51, 3)
    assert motion.fps == 100
    assert "promises 652 frames, there are 93" in motion.warnings[0]
    text = (shared_data / "formats" / "pyomeca_markers.trc").read_text().splitlines()
    np.testing.assert_allclose(
        1000 * motion.joints[0, 0, 0], [float(v) for v in text[6].split(",")[2:5]], atol=1e-3
    )


@pytest.mark.parametrize("target", [".bvh", ".glb", ".npz", ".trc", ".c3d"])
@pytest.mark.parametrize("source", ["cmu_131_03_3dsmax.bvh", "cmu_05_13.amc"])
def test_original_recordings_convert(take, source, target, tmp_path):
    motion = take(source)
    (file,) = formats.save(motion, tmp_path / f"take{target}")
    again = formats.load(file)
    assert again.num_frames == motion.num_frames
    same = again.joints[
        :, :, again.skeleton.indices(*motion.skeleton.joint_names)
    ]  # BVH orders joints depth first
    assert 1000 * np.linalg.norm(same - motion.joints, axis=-1).max() < 0.01
