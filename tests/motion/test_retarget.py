"""A motion on other rigs: names, rest poses, axes, sizes, files."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from posewright.core.errors import InputError
from posewright.datasets.procedural import walk
from posewright.geometry.rotations import rotvec_to_matrix
from posewright.io import formats
from posewright.io.glb_container import Buffer
from posewright.io.rig import matrices_to_quats
from posewright.motion.clean import fit_rig
from posewright.motion.retarget import retarget
from posewright.skeletons.bone_names import match_bones
from posewright.skeletons.joint_sets import RIG_26
from posewright.skeletons.skeleton import Skeleton
from posewright.structures.motion import Motion

LIMBS = {
    "left_shoulder": "left_elbow",
    "right_elbow": "right_wrist",
    "left_hip": "left_knee",
    "right_knee": "right_ankle",
}
MIXAMO = {
    "pelvis": "Hips", "spine": "Spine", "thorax": "Spine1", "neck": "Head", "head": "HeadTop_End",
    "hip": "UpLeg", "knee": "Leg", "ankle": "Foot", "toe": "ToeBase", "heel": "Heel_End", "clavicle": "Shoulder",
    "shoulder": "Arm", "elbow": "ForeArm", "wrist": "Hand", "nose": "Nose_End", "ear": "Ear_End",
}  # fmt: skip


def character(drop_arms: float = 0.0, yaw: float = 0.0, size: float = 1.0) -> Motion:
    """Our rig under Mixamo's names, with arms lowered by an angle at rest, facing elsewhere, of another size."""
    source = walk(0.1, 30)
    rest = source.rest_offsets[0].astype(float)
    for side, sign in (("left", 1), ("right", -1)):
        turn = rotvec_to_matrix(torch.tensor([0.0, sign * drop_arms, 0.0], dtype=torch.float64)).numpy()
        for joint in ("elbow", "wrist"):
            rest[RIG_26.index(f"{side}_{joint}")] = turn @ rest[RIG_26.index(f"{side}_{joint}")]
    facing = rotvec_to_matrix(torch.tensor([0.0, 0.0, yaw], dtype=torch.float64)).numpy()
    names = tuple(mixamo(name) for name in RIG_26.joint_names)
    rest = (size * rest @ facing.T).astype(np.float32)[None]
    skeleton = Skeleton("character", names, RIG_26.parents)
    ones = np.ones((1, 1, len(names)), np.float32)
    identity = np.zeros((1, 1, len(names), 4), np.float32)
    identity[..., 0] = 1
    joints = formats_pose(identity, rest, skeleton)
    return Motion(
        skeleton, joints, ones, 30.0, rotations_wxyz=identity, rest_offsets=rest, source="character"
    )


def formats_pose(rotations, rest, skeleton):
    """Joints of a rig at the origin."""
    from posewright.io.rig import pose_joints

    return pose_joints(rotations, rest, np.zeros((len(rotations), 1, 3)), skeleton.parents)


def mixamo(name: str) -> str:
    """Name of one of our joints' bones in Mixamo's style."""
    side, _, limb = name.rpartition("_")
    return f"mixamorig:{side.title()}{MIXAMO[limb or side]}"


def directions(motion: Motion, ours: bool) -> np.ndarray:
    """Unit vectors (T, 4, 3) along some limbs."""
    names = motion.skeleton.joint_names
    rows = [(a, b) if ours else (mixamo(a), mixamo(b)) for a, b in LIMBS.items()]
    ends = [[names.index(n) for n in column] for column in zip(*rows, strict=True)]
    along = motion.joints[:, 0, ends[1]] - motion.joints[:, 0, ends[0]]
    return along / np.linalg.norm(along, axis=-1, keepdims=True)


def test_law_onto_itself_nothing_changes():
    motion = walk(1.0, 30, heading=0.7)
    assert np.abs(retarget(motion, motion).joints - motion.joints).max() < 1e-5


@pytest.mark.parametrize("drop_arms", [0.0, 0.9])
def test_law_limbs_point_where_they_pointed_whatever_the_rest_pose(drop_arms):
    motion = walk(1.0, 30, heading=0.7)
    moved = retarget(motion, character(drop_arms))
    assert np.abs(directions(moved, False) - directions(motion, True)).max() < 1e-5


def test_law_a_rig_of_twice_the_size_goes_twice_as_far_and_stands_on_the_floor():
    motion = walk(1.0, 30, heading=0.7)
    moved = retarget(motion, character(size=2.0))
    assert np.allclose(moved.joints, 2 * motion.joints, atol=1e-4)


def test_law_a_rig_that_faces_elsewhere_moves_in_its_own_axes():
    motion = walk(1.0, 30, heading=0.7)
    moved = retarget(motion, character(yaw=np.pi / 2))
    x, y, z = np.moveaxis(motion.joints, -1, 0)
    assert np.allclose(moved.joints, np.stack([-y, x, z], -1), atol=1e-4)


def test_missing_frames_stay_missing():
    motion = walk(0.5, 30)
    joints, turns = motion.joints.copy(), motion.rotations_wxyz.copy()
    joints[3:6], turns[3:6] = np.nan, np.nan
    moved = retarget(replace(motion, joints=joints, rotations_wxyz=turns), character())
    assert np.isnan(moved.joints[3:6]).all()
    assert np.isfinite(np.delete(moved.joints, [3, 4, 5], 0)).all()


def test_positions_without_rotations_are_fitted_first():
    motion = walk(0.5, 30)
    bare = replace(motion, rotations_wxyz=None, rest_offsets=None)
    moved = retarget(bare, character())
    assert np.abs(directions(moved, False) - directions(fit_rig(bare), True)).max() < 1e-5


def test_several_people_need_a_choice():
    two = walk(0.2, 30)
    joints = np.concatenate([two.joints, two.joints], 1)
    two = Motion(RIG_26, joints, np.ones(joints.shape[:3], np.float32), 30.0)
    with pytest.raises(InputError, match="2 people"):
        retarget(two, character())
    with pytest.raises(InputError, match="no person 7"):
        retarget(two, character(), person=7)


# ----------------------------------------------------------------------------------------------- names

STYLES = {
    "unreal": "root>pelvis>spine_01>spine_02>spine_03>neck_01>head;spine_03>clavicle_@>upperarm_@>lowerarm_@>hand_@;"
    "pelvis>thigh_@>calf_@>foot_@>ball_@;upperarm_@>upperarm_twist_01_@;thigh_@>thigh_twist_01_@",
    "rigify": "DEF-spine>DEF-spine.001>DEF-spine.002>DEF-spine.003>DEF-spine.004>DEF-spine.005>DEF-spine.006;"
    "DEF-spine.003>DEF-shoulder.@>DEF-upper_arm.@>DEF-upper_arm.@.001>DEF-forearm.@>DEF-hand.@;"
    "DEF-spine>DEF-thigh.@>DEF-thigh.@.001>DEF-shin.@>DEF-foot.@>DEF-toe.@;DEF-spine>DEF-pelvis.@",
    "smpl": "Pelvis>Spine1>Spine2>Spine3>Neck>Head;Spine3>@_Collar>@_Shoulder>@_Elbow>@_Wrist>@_Hand;"
    "Pelvis>@_Hip>@_Knee>@_Ankle>@_Foot",
    "vrm": "J_Bip_C_Hips>J_Bip_C_Spine>J_Bip_C_Chest>J_Bip_C_UpperChest>J_Bip_C_Neck>J_Bip_C_Head;"
    "J_Bip_C_UpperChest>J_Bip_@_Shoulder>J_Bip_@_UpperArm>J_Bip_@_LowerArm>J_Bip_@_Hand;"
    "J_Bip_C_Hips>J_Bip_@_UpperLeg>J_Bip_@_LowerLeg>J_Bip_@_Foot>J_Bip_@_ToeBase",
    "biped": "Bip01>Bip01 Pelvis>Bip01 Spine>Bip01 Spine1>Bip01 Neck>Bip01 Head;"
    "Bip01 Neck>Bip01 @ Clavicle>Bip01 @ UpperArm>Bip01 @ Forearm>Bip01 @ Hand;"
    "Bip01 Pelvis>Bip01 @ Thigh>Bip01 @ Calf>Bip01 @ Foot>Bip01 @ Toe0",
}
EXPECTED = {
    "unreal": ("pelvis", "thigh_l", "calf_l", "upperarm_l", "lowerarm_l", "head", 3, 1),
    "rigify": (
        "DEF-spine",
        "DEF-thigh.L",
        "DEF-shin.L",
        "DEF-upper_arm.L",
        "DEF-forearm.L",
        "DEF-spine.006",
        3,
        2,
    ),
    "smpl": ("Pelvis", "L_Hip", "L_Knee", "L_Shoulder", "L_Elbow", "Head", 3, 1),
    "vrm": ("J_Bip_C_Hips", "J_Bip_L_UpperLeg", "J_Bip_L_LowerLeg", "J_Bip_L_UpperArm", "J_Bip_L_LowerArm")
    + ("J_Bip_C_Head", 3, 1),
    "biped": (
        "Bip01 Pelvis",
        "Bip01 L Thigh",
        "Bip01 L Calf",
        "Bip01 L UpperArm",
        "Bip01 L Forearm",
        "Bip01 Head",
    )
    + (3, 0),
}


def tree(text: str, low: bool) -> tuple[list[str], list[int]]:
    """Bones and parents of chains `a>b>c;b>d`, with @ for each side."""
    names, parents = [], []
    for chain in text.split(";"):
        for side in ("l", "r") if "@" in chain else ("",):
            above = -1
            for name in chain.replace("@", side if low else side.upper()).split(">"):
                if name not in names:
                    names.append(name)
                    parents.append(above)
                above = names.index(name)
    return names, parents


@pytest.mark.parametrize("style", STYLES)
def test_contract_bones_of_other_programs_are_recognised(style):
    names, parents = tree(STYLES[style], style == "unreal")
    found = match_bones(names, parents)
    *bones, spine, neck = EXPECTED[style]
    wanted = ("hips", "left_thigh", "left_shin", "left_upper_arm", "left_forearm", "head")
    assert [names[found.bones[w]] for w in wanted] == bones
    assert (len(found.spine), len(found.neck)) == (spine, neck)
    assert (
        all(
            f"{side}_{limb}" in found.bones
            for side in ("left", "right")
            for limb in ("clavicle", "hand", "foot", "toe")
        )
        or style == "smpl"
    )


def test_unknown_names_are_listed_and_a_mapping_helps():
    rig = character()
    names = tuple(f"Bone.{n:03}" for n in range(26))
    strange = replace(rig, skeleton=Skeleton("strange", names, RIG_26.parents))
    with pytest.raises(InputError, match=r"not recognised: hips.*Bone\.004.*mapping file"):
        retarget(walk(0.2, 30), strange)
    own = {
        "hips": "pelvis",
        "upper_arm": "shoulder",
        "forearm": "elbow",
        "thigh": "hip",
        "shin": "knee",
        "foot": "ankle",
    }
    mapping = {
        bone if bone == "hips" else f"{side}_{bone}": names[
            RIG_26.index(joint if bone == "hips" else f"{side}_{joint}")
        ]
        for bone, joint in own.items()
        for side in ("left", "right")
    }
    mapping |= {
        "spine": [names[RIG_26.index("spine")], names[RIG_26.index("thorax")]],
        "head": names[RIG_26.index("neck")],
    }
    motion = walk(0.5, 30, heading=0.4)
    assert np.allclose(
        retarget(motion, strange, mapping).joints[:, :, :13], motion.joints[:, :, :13], atol=1e-3
    )
    with pytest.raises(InputError, match="bone mapping"):
        retarget(motion, strange, {"left_thigh": "no such bone"})


# ----------------------------------------------------------------------------------------------- files


def mixamo_glb(path: Path, rig: Motion) -> None:
    """A character as exporters write it: centimetres under a turned armature, bones with axes of their own, a skin."""
    rng = np.random.default_rng(0)
    parents = rig.skeleton.parents
    world = np.zeros((26, 3))
    for j, p in enumerate(parents):
        world[j] = rig.rest_offsets[0, j] + (world[p] if p >= 0 else 0)
    world[:, 2] -= world[:, 2].min()
    y_up = np.stack([world[:, 0], world[:, 2], -world[:, 1]], -1)
    armature = np.eye(4)
    armature[:3, :3] = 0.01 * rotvec_to_matrix(torch.tensor([-np.pi / 2, 0, 0])).numpy()
    own = rotvec_to_matrix(torch.from_numpy(rng.normal(0, 1, (26, 3)))).numpy()
    pose = np.tile(np.eye(4), (26, 1, 1))
    pose[:, :3, :3], pose[:, :3, 3] = 0.01 * own, y_up
    nodes = []
    for j, p in enumerate(parents):
        local = np.linalg.inv(pose[p] if p >= 0 else armature) @ pose[j]
        w, x, y, z = matrices_to_quats(local[None, :3, :3])[0].tolist()
        children = [c for c, q in enumerate(parents) if q == j]
        node = {
            "name": rig.skeleton.joint_names[j],
            "translation": local[:3, 3].tolist(),
            "rotation": [x, y, z, w],
        }
        nodes.append(node | ({"children": children} if children else {}))
    nodes.append({"name": "Armature", "matrix": armature.T.ravel().tolist(), "children": [0, 27]})
    nodes.append({"name": "Body", "mesh": 0, "skin": 0})
    buffer = Buffer()
    attributes = {
        "POSITION": buffer.add(y_up.astype(np.float32), "VEC3", bounds=True),
        "JOINTS_0": buffer.add(np.tile(np.arange(26, dtype=np.uint8)[:, None], (1, 4)), "VEC4"),
        "WEIGHTS_0": buffer.add(np.tile(np.float32([1, 0, 0, 0]), (26, 1)), "VEC4"),
    }
    bind = np.linalg.inv(pose).astype(np.float32)
    document = {
        "asset": {"version": "2.0"},
        "scenes": [{"nodes": [26]}],
        "scene": 0,
        "nodes": nodes,
        "skins": [{"joints": list(range(26)), "inverseBindMatrices": buffer.add(bind, "MAT4")}],
        "meshes": [{"primitives": [{"attributes": attributes, "mode": 0}]}],
        "materials": [{"name": "shirt"}],
    }
    path.write_bytes(buffer.pack(document))


def test_a_character_keeps_its_mesh_and_axes_and_moves_as_wanted(tmp_path):
    motion = walk(1.0, 30, heading=0.7)
    mixamo_glb(tmp_path / "character.glb", character(drop_arms=0.8))
    rig = formats.load(tmp_path / "character.glb")
    assert np.allclose(rig.rest_offsets[0], character(drop_arms=0.8).rest_offsets[0], atol=1e-5)
    moved = retarget(motion, rig)
    formats.save(moved, tmp_path / "moved.glb", onto=tmp_path / "character.glb")
    again = formats.load(tmp_path / "moved.glb")
    assert again.fps == 30
    assert np.abs(again.joints - moved.joints).max() < 2e-5
    before, after = ((tmp_path / f).read_bytes() for f in ("character.glb", "moved.glb"))
    from posewright.io.glb_container import read_accessor, unpack

    old, new = unpack(before), unpack(after)
    assert new[0]["materials"] == old[0]["materials"]
    assert new[0]["meshes"] == old[0]["meshes"]
    for accessor in range(len(old[0]["accessors"])):
        assert np.array_equal(read_accessor(*old, accessor), read_accessor(*new, accessor))
    assert json.dumps(new[0]["skins"]) == json.dumps(old[0]["skins"])


def test_joints_of_another_rig_are_refused(tmp_path):
    mixamo_glb(tmp_path / "character.glb", character())
    with pytest.raises(InputError, match="retarget the motion to it first"):
        formats.save(walk(0.2, 30), tmp_path / "moved.glb", onto=tmp_path / "character.glb")
    assert not (tmp_path / "moved.glb").exists()


def test_a_bvh_file_keeps_its_hierarchy_channels_and_unit(tmp_path):
    motion = walk(0.5, 30, heading=0.7)
    formats.save(character(drop_arms=0.6), tmp_path / "rig.bvh", scale=10.0)
    text = (
        (tmp_path / "rig.bvh")
        .read_text()
        .replace("Zrotation Xrotation Yrotation", "Xrotation Yrotation Zrotation")
    )
    (tmp_path / "rig.bvh").write_text(text)
    rig = formats.load(tmp_path / "rig.bvh", unit=0.1)
    moved = retarget(motion, rig)
    formats.save(moved, tmp_path / "moved.bvh", onto=tmp_path / "rig.bvh")
    written = (tmp_path / "moved.bvh").read_text()
    assert written.split("MOTION")[0].split() == text.split("MOTION")[0].split()
    again = formats.load(tmp_path / "moved.bvh", unit=0.1)
    assert np.abs(again.joints - moved.joints).max() < 1e-5


@pytest.mark.parametrize("name", ["cmu_05_13", "cmu_10_03_daz", "cmu_131_03_3dsmax", "reactidle_003_genuine"])
def test_recorded_rigs_of_four_programs(tmp_path, name, shared_data):
    path = shared_data / "formats" / f"{name}.bvh"
    shutil.copy(path, tmp_path / "rig.bvh")
    motion = walk(0.5, 30, heading=0.7)
    rig = formats.load(tmp_path / "rig.bvh", stretch="mean")
    moved = retarget(motion, rig)
    formats.save(moved, tmp_path / "moved.bvh", onto=tmp_path / "rig.bvh")
    again = formats.load(tmp_path / "moved.bvh", stretch="mean")
    assert np.abs(again.joints - moved.joints).max() < 1e-4
    found = match_bones(rig.skeleton.joint_names, rig.skeleton.parents).bones
    for ours, (bone, end) in {
        "left_hip": ("thigh", "shin"),
        "left_shoulder": ("upper_arm", "forearm"),
    }.items():
        along = moved.joints[:, 0, found[f"left_{end}"]] - moved.joints[:, 0, found[f"left_{bone}"]]
        child = {"left_hip": "left_knee", "left_shoulder": "left_elbow"}[ours]
        wanted = motion.joints[:, 0, RIG_26.index(child)] - motion.joints[:, 0, RIG_26.index(ours)]
        cosine = (along * wanted).sum(-1) / np.linalg.norm(along, axis=-1) / np.linalg.norm(wanted, axis=-1)
        assert cosine.min() > 0.9999
