"""Files of the SMPL family: equal to the official code, official pickles without running them, clear errors."""

import pickle
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
import torch

import posewright as pw
from posewright.bodies.smpl_pickle import read_model_pickle
from posewright.core.errors import InputError
from posewright.skeletons import joint_sets
from tests.bodies.made_bodies import arrays, kind, parameters

REFERENCE = Path(__file__).parent / "smplx_reference.npz"
NAMES = ("smpl", "smplh", "smplx", "mano", "flame")


@pytest.fixture(scope="module")
def mano_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("bodies") / "MANO_LEFT.npz"
    np.savez(path, **arrays("mano"))
    return path


@pytest.mark.parametrize("name", NAMES)
def test_parity_vertices_and_joints_equal_smplx(name, tmp_path):
    reference = np.load(REFERENCE)
    path = tmp_path / f"{name}.npz"
    np.savez(path, **arrays(name))
    body = pw.load_body(path)
    pose, betas, transl, expression = (None if x is None else x.float() for x in parameters(name))
    mesh = body(body.params_from_rotvec(pose, betas, transl, expression))
    step = max(1, mesh.vertices.shape[1] // 60)
    np.testing.assert_allclose(
        mesh.vertices[:, ::step].numpy(), reference[f"{name}.vertices"], atol=1e-5, rtol=0
    )
    np.testing.assert_allclose(mesh.joints.numpy(), reference[f"{name}.joints"], atol=1e-5, rtol=0)
    assert body.name == name
    assert len(body.joint_names) == len(set(body.joint_names)) == mesh.joints.shape[1]


def _fake_module(monkeypatch, name, **classes):
    """A module to pickle from, gone afterwards: chumpy is not installed here and must not be needed."""
    module = types.ModuleType(name)
    for short, made in classes.items():
        made.__module__, made.__qualname__ = name, short
        setattr(module, short, made)
    monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture
def chumpy_pickle(monkeypatch, tmp_path):
    """MANO as its authors pickled it: chumpy nodes and a sparse matrix, protocol 2, names of Python 2."""

    class Ch:
        def __init__(self, x):
            self.x = x
            self._dirty_vars = {"r"}

    class Select:
        def __init__(self, a, idxs, preferred_shape):
            self.a, self.idxs, self.preferred_shape = a, idxs, preferred_shape

    with monkeypatch.context() as patch:
        _fake_module(patch, "chumpy")
        _fake_module(patch, "chumpy.ch", Ch=Ch)
        _fake_module(patch, "chumpy.reordering", Select=Select)
        values = arrays("mano")
        more = np.concatenate([values["shapedirs"], values["shapedirs"]], -1)
        picked = np.arange(more.size).reshape(more.shape)[..., :10]
        values["shapedirs"] = Select(Ch(more), picked.ravel(), picked.shape)
        values["v_template"] = Ch(values["v_template"])
        values["J_regressor"] = scipy.sparse.csc_matrix(values["J_regressor"])
        values["bs_style"] = "lbs"
        blob = pickle.dumps(values, protocol=2)
    blob = blob.replace(b"cscipy.sparse._csc\n", b"cscipy.sparse.csc\n")
    path = tmp_path / "MANO_LEFT.pkl"
    path.write_bytes(blob)
    return path


def test_parity_a_pickle_of_chumpy_gives_the_same_body_as_arrays(chumpy_pickle, mano_file):
    assert b"chumpy.reordering\nSelect" in chumpy_pickle.read_bytes()
    assert "chumpy" not in sys.modules
    a, b = pw.load_body(chumpy_pickle), pw.load_body(mano_file)
    pose, betas, transl, _ = parameters("mano")
    meshes = [m(m.params_from_rotvec(pose.float(), betas.float(), transl.float())) for m in (a, b)]
    torch.testing.assert_close(meshes[0].vertices, meshes[1].vertices)
    torch.testing.assert_close(meshes[0].joints, meshes[1].joints)


@pytest.mark.parametrize("layout", ["csr_matrix", "csc_matrix", "coo_matrix"])
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_contract_sparse_matrices_of_every_layout(layout, protocol, tmp_path):
    matrix = np.random.default_rng(0).random((5, 7)) * (np.random.default_rng(1).random((5, 7)) > 0.6)
    path = tmp_path / "any.pkl"
    path.write_bytes(pickle.dumps({"m": getattr(scipy.sparse, layout)(matrix)}, protocol=protocol))
    np.testing.assert_array_equal(read_model_pickle(path)["m"], matrix)


class _Hostile:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (open, (self.marker, "w"))


def test_contract_a_hostile_pickle_is_refused_and_not_executed(tmp_path):
    path, marker = tmp_path / "SMPL_NEUTRAL.pkl", tmp_path / "executed"
    path.write_bytes(pickle.dumps({"v_template": _Hostile(str(marker))}, protocol=2))
    with pytest.raises(
        InputError, match=r"SMPL_NEUTRAL.pkl: cannot be read as a body model.*refused, not executed"
    ):
        pw.load_body(path)
    assert not marker.exists()


def test_contract_objects_of_other_kinds_are_not_reconstructed(tmp_path):
    path = tmp_path / "SMPL_NEUTRAL.pkl"
    path.write_bytes(b"ccopy_reg\n_reconstructor\n(cnumpy\nndarray\nc__builtin__\nobject\nNtR.")
    with pytest.raises(InputError, match="not data: refused"):
        pw.load_body(path)


def _changed(**changes):
    values = arrays("mano") | changes
    return {n: x for n, x in values.items() if x is not None}


BAD = {
    "not a body": ({"joints": np.zeros((3, 3))}, "it lacks v_template, shapedirs"),
    "a lacking array": (_changed(weights=None), "it lacks weights;"),
    "wrong vertex count": (
        _changed(weights=np.full((500, 16), 1 / 16)),
        r"weights has shape \(500, 16\), expected \(778, 16\)",
    ),
    "wrong pose directions": (_changed(posedirs=np.zeros((778, 3, 207))), r"posedirs has shape"),
    "another mesh": (
        {
            "v_template": np.zeros((100, 3)),
            "shapedirs": np.zeros((100, 3, 10)),
            "posedirs": np.zeros((100, 3, 9)),
            "J_regressor": np.zeros((2, 100)),
            "kintree_table": np.array([[0, 0], [0, 1]]),
            "weights": np.full((100, 2), 0.5),
            "f": np.zeros((4, 3), int),
        },
        "100 vertices and 2 joints are no known body; expected smpl 6890 and 24",
    ),
    "NaN": (_changed(v_template=np.full((778, 3), np.nan)), "v_template: NaN or infinite"),
    "faces beyond the mesh": (_changed(f=np.full((4, 3), 900)), "f names vertex 900, but there are 778"),
    "weights": (_changed(weights=np.ones((778, 16))), "rows do not add up to 1"),
    "a circle of joints": (
        _changed(kintree_table=np.array([[0, 2, 1, *range(13)], range(16)])),
        "their own ancestors",
    ),
    "words": (_changed(v_template=np.full((778, 3), "x")), "v_template: not numbers"),
}


@pytest.mark.parametrize("case", BAD)
def test_contract_bad_files_are_named_with_what_is_wrong(case, tmp_path):
    values, message = BAD[case]
    path = tmp_path / "body.npz"
    np.savez(path, **values)
    with pytest.raises(InputError, match=rf"body.npz: cannot be read as a body model: .*{message}"):
        pw.load_body(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"\x80\x02garbage"])
@pytest.mark.parametrize("suffix", ["npz", "pkl"])
def test_contract_damaged_files_are_input_errors(content, suffix, tmp_path):
    path = tmp_path / f"SMPL_NEUTRAL.{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read as a body model"):
        pw.load_body(path)


def test_contract_search_path_and_names(tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    (tmp_path / "mine" / "mano").mkdir(parents=True)
    np.savez(tmp_path / "mine" / "mano" / "mano_left.npz", **arrays("mano"))
    monkeypatch.setenv("POSEWRIGHT_BODIES", f"{tmp_path / 'empty'}:{tmp_path / 'mine'}")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    body = pw.load_body("mano", side="left")
    assert body.joint_names[0] == "left_wrist"
    with pytest.raises(LookupError, match=r"no file of body mano \(right\) found in .*MANO_RIGHT.npz"):
        pw.load_body("mano", side="right")
    with pytest.raises(LookupError, match="no body 'smal'; the known ones are: anny, smpl"):
        pw.load_body("smal")
    with pytest.raises(LookupError, match="gender is 'other', expected one of neutral"):
        pw.load_body("smpl", gender="other")
    with pytest.raises(FileNotFoundError, match="no such file"):
        pw.load_body(tmp_path / "nothing.npz")


def test_convention_hand_21_of_a_hand(mano_file):
    body = pw.load_body(mano_file, dtype=torch.float64)
    mesh = body(body.params_from_rotvec(parameters("mano")[0]))
    hand = body.joints(mesh, "hand_21", side="left")
    names = joint_sets.HAND_21.joint_names
    for j, name in enumerate(names):
        if name.endswith("_tip"):
            vertex = kind("mano").marks[f"*_{name}"]
            torch.testing.assert_close(hand[:, j], mesh.vertices[:, vertex])
        else:
            torch.testing.assert_close(hand[:, j], mesh.joints[:, body.joint_names.index(f"left_{name}")])
    with pytest.raises(LookupError, match="has no joint of hand_21; pass side="):
        body.joints(mesh, "hand_21")


def test_convention_joint_sets_of_smpl(tmp_path):
    np.savez(tmp_path / "SMPL_NEUTRAL.npz", **arrays("smpl"))
    body = pw.load_body(tmp_path / "SMPL_NEUTRAL.npz")
    pose, betas, *_ = parameters("smpl")
    mesh = body(body.params_from_rotvec(pose.float(), betas.float()))
    assert body.joints(mesh, "smpl_24") is mesh.joints
    for name in ("coco_17", "h36m_17", "halpe_26", "body_24", "rig_26", "coco_feet_21"):
        assert all(body.defined_joints(name)), name
        assert body.joints(mesh, name).isfinite().all()
    known = body.defined_joints("mediapipe_33")
    lacking = {n for n, d in zip(joint_sets.MEDIAPIPE_33.joint_names, known, strict=True) if not d}
    assert lacking == {
        f"{s}_{n}"
        for s in ("left", "right")
        for n in ("eye_inner", "eye_outer", "mouth", "pinky", "index", "thumb")
    }
    seen = body.joints(mesh, "mediapipe_33").isfinite().all(-1).all(0)
    assert tuple(seen.tolist()) == body.defined_joints("mediapipe_33")
    coco = body.joints(mesh, "coco_17")
    torch.testing.assert_close(coco[:, 0], mesh.vertices[:, 332])
    hips = [joint_sets.SMPL_24.index(f"{s}_hip") for s in ("left", "right")]
    torch.testing.assert_close(body.joints(mesh, "h36m_17")[:, 0], mesh.joints[:, hips].mean(1))


def test_convention_upright_stands_a_y_up_body_up(mano_file):
    upright = pw.load_body(mano_file).upright
    y_up, z_forward, x_left = torch.eye(3)[1], torch.eye(3)[2], torch.eye(3)[0]
    torch.testing.assert_close(upright @ y_up, torch.tensor([0.0, 0.0, 1.0]))
    torch.testing.assert_close(upright @ z_forward, torch.tensor([0.0, -1.0, 0.0]))
    torch.testing.assert_close(upright @ x_left, x_left)
