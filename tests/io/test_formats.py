"""What every motion format promises: a new entry of `formats.FORMATS` is tested here without a new line."""

import contextlib
import importlib.util
import json
import pickle
import zipfile

import numpy as np
import pytest

from posewright.core.errors import InputError
from posewright.io import formats
from posewright.skeletons.joint_sets import RIG_26
from posewright.structures.motion import Motion
from tests.io.sample_motion import sample_angles, sample_motion

SLOW = {".c3d"}
"""Formats that start a process for each reading: fewer damaged files."""
EXTERNAL = {".usda": "pxr", ".usd": "pxr", ".fbx": "bpy", ".blend": "bpy"}
"""Formats that need a package of an extra."""
WRITABLE = [s for s in formats.FORMATS if hasattr(formats.format_of("x" + s), "write")]
ROUND_TRIP = [s for s in WRITABLE if s != ".mot"]
IN_PROCESS = [s for s in ROUND_TRIP if s not in (".fbx", ".blend")]
"""Blender is a program to start for each reading: one truncation is tested in test_blender.py."""
WITH_RIG = {".npz", ".json", ".bvh", ".glb", ".usda", ".usd", ".fbx", ".blend"}
PRECISION_MM = {
    ".npz": 0.0,
    ".json": 0.001,
    ".csv": 0.001,
    ".trc": 0.001,
    ".c3d": 0.001,
    ".bvh": 0.001,
    ".glb": 0.001,
    ".usda": 0.01,
    ".usd": 0.01,
    ".fbx": 1.0,
    ".blend": 0.01,
}
"""Largest distance between a joint written and read back, as docs/formats.md states."""


def needs(suffix):
    package = EXTERNAL.get(suffix)
    if package and importlib.util.find_spec(package) is None:
        pytest.skip(f"{suffix} needs the package {package}, which is not installed")


def options(suffix, motion):
    return {"angles": sample_angles(motion)} if suffix == ".mot" else {}


def read_all(files):
    """Joints (T, P, J, 3) of one motion that was written to one or several files."""
    parts = [formats.load(file) for file in files]
    return parts, np.concatenate([part.joints for part in parts], 1)


@pytest.fixture(params=ROUND_TRIP)
def suffix(request):
    needs(request.param)
    return request.param


@pytest.mark.parametrize("suffix", WRITABLE)
def test_contract_module_knows_its_suffixes(suffix):
    assert suffix in formats.format_of(f"a{suffix}").SUFFIXES


@pytest.mark.parametrize("suffix", [s for s in ROUND_TRIP if s != ".csv"])
def test_contract_round_trip_of_one_frame(suffix, tmp_path):
    """A table of one row cannot say its frame rate, which has a test of its own."""
    needs(suffix)
    _round_trip(suffix, 1, 1, 30.0, tmp_path)


@pytest.mark.parametrize(("people", "frames", "fps"), [(1, 7, 29.97), (2, 40, 120.0), (3, 20, 25.0)])
def test_contract_round_trip(suffix, people, frames, fps, tmp_path):
    _round_trip(suffix, people, frames, fps, tmp_path)


def _round_trip(suffix, people, frames, fps, tmp_path):
    motion = sample_motion(people, frames, fps)
    files = formats.save(motion, tmp_path / f"clip{suffix}")
    parts, joints = read_all(files)
    there = np.isfinite(motion.joints)
    assert joints.shape == motion.joints.shape
    error = 1000 * np.linalg.norm(np.where(there, joints - motion.joints, 0), axis=-1)
    assert error.max() <= PRECISION_MM[suffix]
    for part in parts:
        assert part.fps == pytest.approx(fps, rel=1e-6)
        assert part.skeleton.joint_names == motion.skeleton.joint_names
        assert (part.confidence[~np.isfinite(part.joints).all(-1)] == 0).all()
    if len(parts) == 1:
        assert parts[0].person_ids == motion.person_ids
    if suffix in WITH_RIG:
        assert all(part.skeleton == motion.skeleton for part in parts)
        assert all(part.rotations_wxyz is not None for part in parts)


@pytest.mark.parametrize("suffix", sorted(set(ROUND_TRIP) - {".bvh", ".usda", ".usd", ".fbx", ".blend"}))
def test_contract_missing_people_stay_missing(suffix, tmp_path):
    motion = sample_motion(2, 40)
    _, joints = read_all(formats.save(motion, tmp_path / f"clip{suffix}"))
    assert (np.isfinite(joints) == np.isfinite(motion.joints)).all()


@pytest.mark.parametrize("suffix", sorted(WITH_RIG))
def test_contract_rotations_survive(suffix, tmp_path):
    needs(suffix)
    motion = sample_motion(1, 30)
    (read,) = (formats.load(file) for file in formats.save(motion, tmp_path / f"clip{suffix}"))
    same = np.abs((read.rotations_wxyz * motion.rotations_wxyz).sum(-1))
    assert np.degrees(2 * np.arccos(np.minimum(same, 1))).max() < 0.1
    assert np.abs(read.rest_offsets - motion.rest_offsets).max() < 1e-5


def test_contract_one_person_can_be_chosen(suffix, tmp_path):
    motion = sample_motion(3, 20)
    (file,) = formats.save(motion, tmp_path / f"clip{suffix}", person=3)
    assert file.name == f"clip{suffix}"
    read = formats.load(file)
    there = np.isfinite(motion.joints[:, 2:])
    assert read.num_people == 1
    assert np.abs(np.where(there, read.joints - motion.joints[:, 2:], 0)).max() * 1000 <= PRECISION_MM[suffix]
    with pytest.raises(InputError, match="no person 9"):
        formats.save(motion, file, person=9)


@pytest.mark.parametrize("suffix", WRITABLE)
def test_contract_no_half_written_file(suffix, tmp_path, monkeypatch):
    needs(suffix)
    motion = sample_motion(1, 5)

    def fail(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(KeyboardInterrupt):
        formats.save(motion, tmp_path / f"clip{suffix}", **options(suffix, motion))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 700, b"hello world\n" * 80, b"\xff\xfe\x00P\x80" * 300, b"[" * 100000]
)
@pytest.mark.parametrize("suffix", list(formats.FORMATS))
def test_contract_rubbish_is_one_clear_error(suffix, content, tmp_path):
    needs(suffix)
    file = tmp_path / f"rubbish{suffix}"
    file.write_bytes(content)
    with pytest.raises(InputError, match="rubbish"):
        formats.load(file)


@pytest.mark.parametrize("suffix", list(formats.FORMATS))
def test_contract_absent_file_or_folder(suffix, tmp_path):
    needs(suffix)
    with pytest.raises(InputError, match="no such file"):
        formats.load(tmp_path / f"absent{suffix}")
    (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(InputError, match="folder"):
        formats.load(tmp_path / f"folder{suffix}")


@pytest.mark.parametrize("suffix", IN_PROCESS)
def test_contract_truncated_file_is_refused_or_whole(suffix, tmp_path):
    needs(suffix)
    motion = sample_motion(1, 12)
    (file,) = formats.save(motion, tmp_path / f"clip{suffix}")
    whole = file.read_bytes()
    refused = 0
    for cut in np.linspace(1, len(whole) - 2, 6 if suffix in SLOW else 25).astype(int):
        file.write_bytes(whole[:cut])
        try:
            read = formats.load(file)
        except InputError:
            refused += 1
            continue
        n = read.num_frames
        assert np.abs(read.joints[: n - 1] - motion.joints[: n - 1]).max() < 1e-5
        whole_motion = n == 12 and np.abs(read.joints - motion.joints).max() < 1e-5
        assert (
            suffix in (".csv", ".trc")
            or whole_motion
            or (suffix == ".bvh" and n == 12 and cut > len(whole) - 10)
        ), "only tables may lose whole rows, and only text the last digits of its last number, unnoticed"
    assert refused >= (4 if suffix in SLOW else 15)


@pytest.mark.parametrize("suffix", IN_PROCESS)
def test_contract_damaged_bytes_never_crash(suffix, tmp_path):
    needs(suffix)
    (file,) = formats.save(sample_motion(1, 6), tmp_path / f"clip{suffix}")
    whole = np.frombuffer(file.read_bytes(), np.uint8)
    rng = np.random.default_rng(1)
    for _ in range(6 if suffix in SLOW else 60):
        damaged = whole.copy()
        places = rng.integers(0, min(len(whole), 3000), 4)
        damaged[places] = rng.integers(0, 256, 4)
        file.write_bytes(damaged.tobytes())
        with contextlib.suppress(InputError):
            formats.load(file)


@pytest.mark.parametrize("suffix", sorted(WITH_RIG - {".npz", ".json"}))
def test_contract_positions_alone_cannot_become_a_rig(suffix, tmp_path):
    trc = formats.save(sample_motion(1, 5), tmp_path / "clip.trc")[0]
    with pytest.raises(InputError, match="--fit-rig"):
        formats.convert(trc, tmp_path / f"clip{suffix}")


@pytest.mark.parametrize("source", [".npz", ".bvh", ".glb", ".json"])
@pytest.mark.parametrize("target", [".npz", ".bvh", ".glb", ".trc", ".c3d", ".csv", ".json"])
def test_contract_convert_between_formats(source, target, tmp_path):
    motion = sample_motion(1, 15)
    (first,) = formats.save(motion, tmp_path / f"a{source}")
    (second,) = formats.convert(first, tmp_path / f"b{target}")
    assert np.abs(formats.load(second).joints - motion.joints).max() < 3e-6


def test_npz_keeps_everything(tmp_path):
    motion = sample_motion(2, 14)
    read = formats.load(formats.save(motion, tmp_path / "clip.npz")[0])
    for name in ("joints", "confidence", "joints_raw", "rotations_wxyz", "rest_offsets", "contacts"):
        np.testing.assert_array_equal(getattr(read, name), getattr(motion, name))
    for name in ("positions", "confidence", "times"):
        np.testing.assert_array_equal(getattr(read.keypoints, name), getattr(motion.keypoints, name))
    for name in ("K", "R", "t", "distortion"):
        np.testing.assert_array_equal(getattr(read.camera, name), getattr(motion.camera, name))
    for name in ("skeleton", "fps", "start_time", "person_ids", "source", "warnings", "history"):
        assert getattr(read, name) == getattr(motion, name)


def test_json_is_strict_and_metres(tmp_path):
    motion = sample_motion(2, 14)
    (file,) = formats.save(motion, tmp_path / "clip.json")

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    document = json.loads(file.read_text(encoding="utf-8"), parse_constant=refuse)
    assert document["people"][1]["joints"][0][0] == [None, None, None]
    assert document["up_axis"] == "z"


class Bomb:
    def __reduce__(self):
        return open, ("exploded", "w")


@pytest.mark.parametrize("layout", ["object array in a zip", "bare pickle"])
def test_hostile_npz_never_runs(layout, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "hostile.npz"
    if layout == "bare pickle":
        file.write_bytes(pickle.dumps(Bomb()))
    else:
        array = np.empty(1, object)
        array[0] = Bomb()
        np.savez(file, format="posewright-motion", version=1, joints=array)
    with pytest.raises(InputError):
        formats.load(file)
    assert not (tmp_path / "exploded").exists()


def test_npz_that_claims_to_be_huge_is_refused(tmp_path):
    file = tmp_path / "huge.npz"
    header = b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("joints.npy", header.ljust(127) + b"\n")
    with pytest.raises(InputError):
        formats.load(file)


def test_c3d_longer_than_its_counters_is_refused(tmp_path):
    joints = np.zeros((65536, 1, 26, 3), np.float32)
    motion = Motion(RIG_26, joints, np.ones(joints.shape[:3], np.float32), 120.0)
    with pytest.raises(InputError, match="at most 65535"):
        formats.save(motion, tmp_path / "long.c3d")
    assert list(tmp_path.iterdir()) == []


def test_c3d_of_many_people_has_more_labels_than_one_list_holds(tmp_path):
    motion = sample_motion(12, 13)
    read = formats.load(formats.save(motion, tmp_path / "many.c3d")[0])
    assert read.person_ids == motion.person_ids
    assert np.nanmax(np.abs(read.joints - motion.joints)) < 1e-6


def test_glb_of_a_long_clip_is_read_at_its_keys(tmp_path):
    """After 500 seconds float32 key times are 3e-5 s off."""
    motion = sample_motion(1, 6000, 10.0)
    (file,) = formats.save(motion, tmp_path / "long.glb", skin=False)
    far = np.abs(motion.joints).max() * 1.2e-7  # float32 at this distance from the origin
    assert np.abs(formats.load(file).joints - motion.joints).max() < 1e-6 + 2 * far


def test_one_row_csv_needs_a_rate(tmp_path):
    (file,) = formats.save(sample_motion(1, 1), tmp_path / "clip.csv")
    with pytest.raises(InputError, match="fps="):
        formats.load(file)
    assert formats.load(file, fps=25.0).fps == 25


def test_errors_name_formats_and_options(tmp_path):
    motion = sample_motion(1, 3)
    with pytest.raises(InputError, match=r"\.bvh, \.glb"):
        formats.save(motion, tmp_path / "clip.xyz")
    with pytest.raises(InputError, match="no option speed; it has: onto, person, scale, t_pose"):
        formats.save(motion, tmp_path / "clip.bvh", speed=2)
    with pytest.raises(InputError, match="read but not written"):
        formats.save(motion, tmp_path / "clip.amc")
    with pytest.raises(InputError, match="angles="):
        formats.save(motion, tmp_path / "clip.mot")


def test_several_people_get_a_file_each(tmp_path):
    files = formats.save(sample_motion(2, 20), tmp_path / "new" / "clip.bvh")
    assert [file.name for file in files] == ["clip_person1.bvh", "clip_person2.bvh"]


def test_mot_round_trip(tmp_path):
    motion = sample_motion(2, 30, 60.0)
    angles = sample_angles(motion)
    files = formats.save(motion, tmp_path / "clip.mot", angles=angles)
    mot = formats.format_of("a.mot")
    for p, file in enumerate(files):
        read = mot.read(file)
        rows = np.isfinite(angles.values[:, p]).all(1)
        assert read.names == angles.names
        assert read.fps == pytest.approx(60, rel=1e-6)
        assert read.start_time == pytest.approx(1.5 + np.flatnonzero(rows)[0] / 60, abs=1e-8)
        assert np.abs(read.values[:, 0] - angles.values[rows, p]).max() < 1e-6
    text = files[0].read_text()
    assert "inDegrees=yes" in text
    with pytest.raises(InputError, match="JointAngles"):
        formats.load(files[0])
