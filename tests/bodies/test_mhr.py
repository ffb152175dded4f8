"""MHR: equal to the official classes, files read without running them, a body like any other."""

import pickle
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch

import posewright as pw
from posewright.bodies.mhr_file import ARRAYS, CORRECTIVES, KNOWN, NAMES, read_mhr, write_npz
from posewright.bodies.mhr_joints import JOINT_NAMES, PARENTS
from posewright.bodies.rig import body_rig, clip_params
from posewright.core.errors import InputError
from posewright.geometry.rotations import quat_wxyz_to_matrix, rotvec_to_matrix
from posewright.skeletons import joint_sets
from tests.bodies.made_mhr import REFERENCE, as_released, person, recorded, write_plain, write_script

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
INPUTS = ("identity", "model_parameters", "expression")


@pytest.fixture(scope="module")
def reference():
    with np.load(REFERENCE) as file:
        return {n: torch.from_numpy(file[n]) for n in file.files if not n.startswith("rig/")}


@pytest.fixture(scope="module")
def traced_file(tmp_path_factory):
    return write_script(tmp_path_factory.mktemp("traced") / "mhr_model.pt", dict(recorded()))


@pytest.fixture(scope="module")
def body(traced_file):
    return pw.load_body("mhr", traced_file, dtype=torch.float64)


def _inputs(reference, dtype=torch.float64):
    return [reference[f"input/{n}"].to(dtype) for n in INPUTS]


@pytest.mark.parametrize("layout", ["traced", "released", "npz"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_parity_vertices_and_joints_equal_the_official_classes(
    layout, dtype, reference, traced_file, tmp_path
):
    path = traced_file
    if layout != "traced":
        path = write_script(tmp_path / "mhr_model.pt", as_released(recorded()))
    if layout == "npz":
        write_npz(path, tmp_path / "body.npz")
        path = tmp_path / "body.npz"
    body = pw.load_body("mhr", path, dtype=dtype)
    mesh = body(body.params_from_mhr(*_inputs(reference, dtype)))
    states = reference["output/skeleton_state"][:, 1:].to(dtype)
    expected = reference["output/vertices"].to(dtype) / 100
    torch.testing.assert_close(mesh.vertices, expected, atol=2e-6, rtol=0)
    torch.testing.assert_close(mesh.joints, states[..., :3] / 100, atol=2e-6, rtol=0)
    rotations = quat_wxyz_to_matrix(states[..., 3:7].roll(1, -1))
    torch.testing.assert_close(mesh.rotations @ body.zero_rotations, rotations, atol=5e-6, rtol=0)
    assert float(states[..., 7].max() / states[..., 7].min()) > 2, "joints that scale are in it"
    assert body.name == "mhr"
    first = {"traced": "joint_1"}.get(layout, "bone1")
    assert body.joint_names[0] == first
    assert body.shape_names[45] == ("parameter_18" if layout == "traced" else "control18")


def test_law_without_corrections_the_mesh_differs_and_the_joints_do_not(reference, traced_file, body):
    plain = pw.load_body("mhr", traced_file, correctives=False, dtype=torch.float64)
    params = plain.params_from_mhr(*_inputs(reference))
    a, b = body(params), plain(params)
    torch.testing.assert_close(a.joints, b.joints)
    assert float((a.vertices - b.vertices).abs().max()) > 0.01
    still = replace(params, global_orient=torch.eye(3).double(), body_pose=torch.eye(3).double())
    still = replace(still, body_pose=still.body_pose.expand(7, 3, 3))
    torch.testing.assert_close(body(still).vertices, plain(still).vertices)


def test_law_global_rotation_turns_the_body_about_its_root(reference, body):
    params = body.params_from_mhr(*_inputs(reference))
    R = rotvec_to_matrix(torch.tensor([0.5, -1.0, 2.0]).double())
    plain, turned = body(params), body(replace(params, global_orient=R @ params.global_orient))
    root = plain.joints[:, :1]
    torch.testing.assert_close(turned.vertices, (plain.vertices - root) @ R.mT + root)
    moved = body(replace(params, transl=params.transl + 0.3))
    torch.testing.assert_close(moved.vertices, plain.vertices + 0.3)


def test_law_gradients_are_those_of_finite_differences(reference, body):
    identity, parameters, expression = (x[:1] for x in _inputs(reference))
    pick = torch.randn(60, 3, generator=torch.Generator().manual_seed(0)).double()

    def energy(i, p, e):
        mesh = body(body.params_from_mhr(i, p, e))
        return (mesh.vertices * pick).sum() + mesh.joints.square().sum()

    given = tuple(x.clone().requires_grad_() for x in (identity, parameters, expression))
    assert torch.autograd.gradcheck(energy, given, eps=1e-6, atol=1e-6)


def test_law_leading_dimensions_broadcast(reference, body):
    identity, parameters, expression = _inputs(reference)
    many = body(body.params_from_mhr(identity[0], parameters.reshape(2, 4, -1)))
    one = body(body.params_from_mhr(identity[0], parameters[5], torch.zeros(72).double()))
    torch.testing.assert_close(many.vertices[1, 1], one.vertices)
    with pytest.raises(ValueError, match=r"identity has shape \(8, 44\), expected \(..., 45\)"):
        body.params_from_mhr(identity[:, :44], parameters, expression)
    with pytest.raises(ValueError, match=r"model_parameters has shape .* expected \(..., 24\)"):
        body.params_from_mhr(identity, parameters[:, 1:], expression)


def test_law_zero_pose_and_rest_joints_agree_with_the_mesh(reference, body):
    betas = body.params_from_mhr(*_inputs(reference)).betas
    mesh = body(replace(body.rest_params(8), betas=betas))
    torch.testing.assert_close(body.rest_joints(betas), mesh.joints)
    torch.testing.assert_close(body.zero_pose(betas).joints, mesh.joints)
    zero, skin = body.zero_pose(betas[:1]), body.weights.dense()
    rest = body.rest_vertices(betas[0])
    placed = zero.joints[0] + torch.einsum("jab,vjb->vja", zero.turns[0], rest[:, None] - zero.rest_joints[0])
    torch.testing.assert_close(torch.einsum("vj,vja->va", skin, placed), mesh.vertices[0])


def test_contract_a_first_joint_that_moves_is_kept(reference, tmp_path):
    """With a parameter on the first joint it is no longer the world; the others stay what they were."""
    arrays = recorded()
    arrays[ARRAYS["transform"]][3, 20] = 0.7
    values = pw.load_body("mhr", write_plain(tmp_path / "mhr.npz", arrays), dtype=torch.float64)
    assert values.joint_names == tuple(f"joint_{j}" for j in range(9))
    mesh = values(values.params_from_mhr(*_inputs(reference)))
    angle = 0.7 * reference["input/model_parameters"][:, 20].double()
    R = rotvec_to_matrix(torch.stack([angle, 0 * angle, 0 * angle], -1))
    world = values.zero_rotations[0] @ R @ values.zero_rotations[0].mT
    expected = reference["output/vertices"].double() / 100
    torch.testing.assert_close(mesh.vertices, expected @ world.mT, atol=2e-6, rtol=0)


def _hostile(path, traced_file, marker):
    class Hostile:
        def __reduce__(self):
            return (open, (str(marker), "w"))

    with zipfile.ZipFile(traced_file) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            data = pickle.dumps(Hostile(), 2) if name.endswith("/data.pkl") else old.read(name)
            new.writestr(name, data)


def test_contract_a_hostile_archive_is_refused_and_not_executed(traced_file, tmp_path):
    path, marker = tmp_path / "mhr_model.pt", tmp_path / "executed"
    _hostile(path, traced_file, marker)
    with pytest.raises(InputError, match=r"mhr_model.pt: cannot be read as an MHR rig: .*not executed"):
        pw.load_body("mhr", path)
    assert not marker.exists()


def _changed(name, change):
    arrays = as_released(recorded())
    arrays[name] = change(arrays[name])
    return arrays


def _set(value, *place):
    def change(array):
        array = array.copy()
        array[place] = value
        return array

    return change


BAD = {
    "joints": (ARRAYS["offsets"], lambda x: x[:-1], r"transform has shape \(63, 69\), expected \(56, 69\)"),
    "transform": (ARRAYS["transform"], lambda x: x[:-7], r"transform has shape \(56, 69\), expected"),
    "shapes": (ARRAYS["shapes"], lambda x: x[:, :-1], r"shape_vectors has shape \(45, 59, 3\)"),
    "influences": (ARRAYS["skin_joints"], lambda x: x[:-1], "skin_indices_flattened has shape"),
    "NaN": (ARRAYS["template"], _set(np.nan, 3, 1), "template: NaN or infinite"),
    "joint out of range": (ARRAYS["skin_joints"], _set(9, 5), "names 1 to 9, expected 0 to 8"),
    "face out of range": (ARRAYS["faces"], _set(-1, 0, 0), "names -1 to"),
    "weights": (ARRAYS["skin_weights"], lambda x: 0.5 * x, "do not add up to 1"),
    "quaternions": (ARRAYS["prerotations"], lambda x: 2 * x, "expected unit quaternions"),
    "circle": (ARRAYS["parents"], _set(3, 1), "expected one root|their own ancestors"),
    "two roots": (ARRAYS["parents"], _set(-1, 4), "expected one root"),
    "shape columns": (ARRAYS["transform"], _set(1.0, 9, -1), "last 45 columns move joints"),
    "words": (NAMES["joint_names"], lambda x: x[:-1], "has 8 names, expected 9"),
    "corrections": (CORRECTIVES["output"], lambda x: x[:-1], "expected .*180, H"),
    "corrections out of range": (CORRECTIVES["indices"], _set(42, 1, 0), "beyond 28 rows or 42 columns"),
}


@pytest.mark.parametrize("case", BAD)
def test_contract_arrays_that_do_not_fit_are_named(case, tmp_path):
    name, change, message = BAD[case]
    path = write_script(tmp_path / "mhr_model.pt", _changed(name, change))
    with pytest.raises(InputError, match=rf"mhr_model.pt: cannot be read as an MHR rig: .*({message})"):
        read_mhr(path)


@pytest.mark.parametrize("name", [*ARRAYS.values(), *CORRECTIVES.values()])
def test_contract_missing_arrays_are_named(name, tmp_path):
    arrays = as_released(recorded())
    del arrays[name]
    path = write_script(tmp_path / "mhr_model.pt", arrays)
    with pytest.raises(InputError, match=f"it (lacks|has only a part of) .*{name}"):
        read_mhr(path)


def test_contract_files_that_are_something_else(tmp_path, monkeypatch):
    path = tmp_path / "mhr_model.pt"
    path.write_bytes(b"words")
    with pytest.raises(InputError, match="mhr_model.pt: cannot be read as an MHR rig: it is no zip archive"):
        pw.load_body(path)
    np.savez(tmp_path / "other.npz", v_template=np.zeros((3, 3)))
    with pytest.raises(InputError, match="it lacks character_torch.blend_shape.base_shape.*v_template"):
        pw.load_body("mhr", tmp_path / "other.npz")
    with pytest.raises(FileNotFoundError, match="expected mhr_model.pt"):
        pw.load_body("mhr", tmp_path / "nothing.pt")
    monkeypatch.setenv("POSEWRIGHT_BODIES", str(tmp_path / "nowhere"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    with pytest.raises(LookupError, match="no file of body mhr found in .*facebookresearch/MHR/releases"):
        pw.load_body("mhr")
    with pytest.raises(ValueError, match="expected linear: joints of MHR have scales"):
        pw.load_body("mhr", path, skinning="dual_quaternion")


def test_contract_found_by_name_and_refused_as_another_body(traced_file, tmp_path, monkeypatch):
    (tmp_path / "mhr" / "assets").mkdir(parents=True)
    (tmp_path / "mhr" / "assets" / "mhr_model.pt").write_bytes(traced_file.read_bytes())
    monkeypatch.setenv("POSEWRIGHT_BODIES", str(tmp_path))
    assert pw.load_body("mhr").name == pw.load_body(traced_file).name == "mhr"
    with pytest.raises(InputError, match="holds the body mhr, expected smplx"):
        pw.load_body("smplx", traced_file)
    with pytest.raises(ValueError, match="anny has no file"):
        pw.load_body("anny", traced_file)


def test_contract_convert_writes_a_plain_npz_with_the_same_numbers(tmp_path, capsys):
    from posewright.cli import run_command_line

    arrays = as_released(recorded())
    source = write_script(tmp_path / "mhr_model.pt", arrays)
    assert run_command_line(["convert", str(source), str(tmp_path / "mhr.npz")]) == 0
    assert run_command_line(["convert", str(REFERENCE), str(tmp_path / "mhr.pt")]) != 0
    bad = write_script(tmp_path / "other.pt", {"a.b": np.zeros(3)})
    assert run_command_line(["convert", str(bad), str(tmp_path / "other.npz")]) == 1
    assert "other.pt: cannot be read as an MHR rig: it lacks" in capsys.readouterr().err
    assert not (tmp_path / "other.npz").exists()
    with np.load(tmp_path / "mhr.npz", allow_pickle=False) as plain:
        assert set(plain.files) == set(KNOWN)
        for name in KNOWN:
            np.testing.assert_array_equal(plain[name], arrays[name])


def test_contract_a_rig_without_names_has_no_joint_sets(body):
    mesh = body(body.rest_params())
    with pytest.raises(LookupError, match="no names that are known, so that no joint of coco_17"):
        body.joints(mesh, "coco_17")
    assert not any(body.defined_joints("coco_17"))


@pytest.fixture(scope="module")
def human(tmp_path_factory):
    """A rig with the released tree: its names are known though the file has none."""
    return pw.load_body("mhr", write_plain(tmp_path_factory.mktemp("human") / "mhr.npz", person()))


def test_convention_the_published_rig():
    assert len(JOINT_NAMES) == len(set(JOINT_NAMES)) == len(PARENTS) == 127
    named = {n: JOINT_NAMES[p] for n, p in zip(JOINT_NAMES, PARENTS, strict=True) if p >= 0}
    assert named["l_upleg_twist4_proc"] == "l_upleg"
    assert named["r_thumb_null"] == "r_thumb3"
    assert named["l_wrist"] == "l_wrist_twist"
    assert named["c_tongue0"] == "c_jaw"
    assert [JOINT_NAMES[i] for i in (40, 41, 42, 76, 77, 78)] == [
        f"{s}_{n}" for s in "rl" for n in ("lowarm", "wrist_twist", "wrist")
    ]
    sides = {n for n in JOINT_NAMES if n.startswith("l_")}
    assert {f"r_{n[2:]}" for n in sides} == {n for n in JOINT_NAMES if n.startswith("r_")}


def test_convention_joint_sets_of_the_published_rig(human):
    mesh = human(human.rest_params())
    assert human.joint_names == JOINT_NAMES[1:]
    for name in ("coco_17", "h36m_17", "halpe_26", "body_24", "rig_26", "coco_feet_21", "smpl_24"):
        lacking = {
            n
            for n, d in zip(joint_sets.get(name).joint_names, human.defined_joints(name), strict=True)
            if not d
        }
        assert lacking == ({"spine1", "spine2", "spine3"} if name == "smpl_24" else set()), name
    known = human.defined_joints("mediapipe_33")
    missing = {n for n, d in zip(joint_sets.MEDIAPIPE_33.joint_names, known, strict=True) if not d}
    assert missing == {f"{s}_{n}" for s in ("left", "right") for n in ("eye_inner", "eye_outer", "mouth")}
    for side in ("left", "right"):
        assert all(human.defined_joints("hand_21", side))
        hand = human.joints(mesh, "hand_21", side)
        tip = human.joint_names.index(f"{side[0]}_index_null")
        torch.testing.assert_close(hand[joint_sets.HAND_21.index("index_tip")], mesh.joints[tip])
    coco = human.joints(mesh, "coco_17")
    torch.testing.assert_close(coco[0], mesh.vertices[[2767, 2766]].mean(0))
    left, right = (coco[joint_sets.COCO_17.index(f"{s}_elbow")] for s in ("left", "right"))
    torch.testing.assert_close(left, torch.tensor([0.44, 1.4, -0.03]))
    assert right[0] < 0 < left[0], "left along +X"
    assert float((human.upright @ left)[2]) == pytest.approx(1.4, abs=1e-6)


def test_law_landmarks_follow_the_mesh_with_its_corrections(tmp_path):
    """A landmark is the midpoint of its vertices before and after posing when they follow the same joints."""
    rng = np.random.default_rng(1)
    arrays = person(seed=1)
    pairs = ((2767, 2766), (120, 57), (17698, 17429))
    for a, b in pairs:
        arrays[ARRAYS["skin_joints"]][b] = arrays[ARRAYS["skin_joints"]][a]
    arrays[CORRECTIVES["indices"]] = np.stack([np.arange(16) % 8, rng.integers(0, 750, 16)])
    arrays[CORRECTIVES["weights"]] = rng.standard_normal(16).astype(np.float32)
    arrays[CORRECTIVES["output"]] = rng.standard_normal((3 * 18_439, 8)).astype(np.float32)
    body = pw.load_body("mhr", write_plain(tmp_path / "mhr.npz", arrays))
    pose = 0.4 * torch.randn(2, 126, 3, generator=torch.Generator().manual_seed(0))
    mesh = body(body.params_from_rotvec(pose))
    for name, pair in zip(("nose", "left_ear", "right_heel"), pairs, strict=True):
        mark = mesh.landmarks[:, body.landmark_names.index(f"{name}_mark")]
        torch.testing.assert_close(mark, mesh.vertices[:, list(pair)].mean(1), atol=1e-5, rtol=0)


def test_contract_a_body_is_fitted_like_any_other(human):
    """Joints of a random pose and shape, made by MHR's own parameters, come back."""
    from posewright.fitting.body import FitOptions, fit_body

    rng = torch.Generator().manual_seed(3)
    parameters = torch.zeros(6, human.parameter_count)
    parameters[:, :6] = 0.3 * torch.randn(6, 6, generator=rng)
    for limb in ("uparm", "lowarm", "upleg", "lowleg"):
        for side in "lr":
            column = 3 * JOINT_NAMES.index(f"{side}_{limb}")
            parameters[:, column : column + 3] = 0.4 * torch.randn(6, 3, generator=rng)
    parameters[:, -2:] = torch.tensor([2.0, 0.05])
    params = human.params_from_mhr(torch.zeros(45), parameters)
    joints = human.joints(human(params), "body_24").numpy()
    fit = fit_body(human, joints, np.ones(joints.shape[:2]), "body_24", 30.0, FitOptions(cutoff_hz=0.0))
    assert np.nanmean(fit.distance) < 0.005
    lengths = human.rest_joints(fit.params.betas) - human.rest_joints(params.betas[0])
    assert float(lengths.norm(dim=-1)[human.joint_names.index("l_lowleg")]) < 0.01


def test_law_a_skinned_mesh_in_a_file_is_the_body_without_corrections(body, traced_file):
    from posewright.structures.motion_bodies import MotionBodies

    plain = pw.load_body("mhr", traced_file, correctives=False)
    rng = np.random.default_rng(0)
    poses, betas = rng.standard_normal((5, 1, 8, 4)), 0.5 * rng.standard_normal((1, 51))
    bodies = MotionBodies(
        model="mhr",
        shape_names=plain.shape_names,
        joint_names=plain.joint_names,
        betas=betas.astype(np.float32),
        rotations_wxyz=(poses / np.linalg.norm(poses, axis=-1, keepdims=True)).astype(np.float32),
        transl=np.zeros((5, 1, 3), np.float32),
    )
    rig, frames = body_rig(plain, bodies, 0), np.arange(5)
    mesh = plain(clip_params(plain, bodies, 0, frames))
    moved = mesh.rotations @ torch.from_numpy(rig.bind[:, :3, :3])
    shifts = (mesh.rotations @ torch.from_numpy(rig.bind[:, :3, 3:]))[..., 0] + mesh.joints
    which = torch.from_numpy(rig.skin_joints.astype(np.int64))
    each = (moved[:, which] @ torch.from_numpy(rig.vertices)[:, None, :, None])[..., 0] + shifts[:, which]
    skinned = (each * torch.from_numpy(rig.skin_weights)[..., None]).sum(2)
    torch.testing.assert_close(skinned, mesh.vertices, atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="load it with correctives=False"):
        body_rig(body, bodies, 0)
