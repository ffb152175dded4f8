"""Universal Scene Description, `.usda` and `.usd`, as UsdSkel; needs the extra `[usd]` (usd-core).

Convention: metres (`metersPerUnit` 1), Z up, our world's axes; `timeCodesPerSecond` is the frame rate and
time code 0 the first frame; quaternions (w, x, y, z). One `SkelRoot` per person, `/motion/person1`, with a
Skeleton, its SkelAnimation and a skinned capsule body. Frames in which a person is missing have no time
samples; the list of those that are there, start time and person numbers are kept in `customData`.
"""

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np

from posewright.core.errors import MissingExtraError
from posewright.core.files import atomic_path
from posewright.io.capsules import capsule_skin
from posewright.io.people import known_order, named_skeleton, require_rotations, select_person, unique_names
from posewright.io.rig import motion_from_poses, rest_positions, rig_frames, root_of
from posewright.io.user_files import expect, reading
from posewright.skeletons.skeleton import Skeleton
from posewright.structures.motion import Motion

SUFFIXES = (".usda", ".usd")


def _pxr() -> ModuleType:
    try:
        import pxr
        import pxr.Gf
        import pxr.Usd
        import pxr.UsdGeom
        import pxr.UsdSkel
        import pxr.Vt
    except ImportError as error:
        raise MissingExtraError("usd-core", "usd", "reading and writing USD") from error
    return pxr


def write(motion: Motion, path: str | Path, *, person: int | None = None, skin: bool = True) -> None:
    """Write all people, or one.

    Args:
        motion: with rotations and rest offsets.
        path: the `.usda` or `.usd` file.
        person: whom; None writes everybody.
        skin: give each rig a simple body.
    """
    motion = select_person(motion, person)
    require_rotations(motion, "USD")
    pxr = _pxr()
    stage = pxr.Usd.Stage.CreateInMemory()
    pxr.UsdGeom.SetStageUpAxis(stage, pxr.UsdGeom.Tokens.z)
    pxr.UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    stage.SetTimeCodesPerSecond(motion.fps)
    stage.SetFramesPerSecond(motion.fps)
    stage.SetStartTimeCode(0)
    stage.SetEndTimeCode(max(motion.num_frames - 1, 0))
    top = pxr.UsdGeom.Xform.Define(stage, "/motion")
    stage.SetDefaultPrim(top.GetPrim())
    top.GetPrim().SetCustomDataByKey("posewright:startTime", float(motion.start_time))
    for p in range(motion.num_people):
        _add_person(pxr, stage, motion, p, skin)
    with atomic_path(path) as temporary:
        stage.GetRootLayer().Export(str(temporary))


def _add_person(pxr: ModuleType, stage, motion: Motion, p: int, skin: bool) -> None:
    """Add one SkelRoot."""
    assert motion.rest_offsets is not None
    where = f"/motion/person{motion.person_ids[p]}"
    skel_root = pxr.UsdSkel.Root.Define(stage, where)
    rig = pxr.UsdSkel.Skeleton.Define(stage, f"{where}/rig")
    offsets = motion.rest_offsets[p].astype(np.float64)
    rest = rest_positions(offsets, motion.skeleton.parents)
    rest = rest - [0, 0, rest[:, 2].min()]
    local = np.where(np.array(motion.skeleton.parents)[:, None] < 0, rest, offsets)
    rig.CreateJointsAttr(_joint_paths(pxr, motion.skeleton))
    rig.CreateJointNamesAttr(list(motion.skeleton.joint_names))
    rig.CreateBindTransformsAttr(_translations(pxr, rest))
    rig.CreateRestTransformsAttr(_translations(pxr, local))
    frames = np.flatnonzero(rig_frames(motion, p))
    prim = skel_root.GetPrim()
    prim.SetCustomDataByKey("posewright:person", int(motion.person_ids[p]))
    prim.SetCustomDataByKey("posewright:present", pxr.Vt.IntArray([int(f) for f in frames]))
    pxr.UsdSkel.BindingAPI.Apply(rig.GetPrim())
    if len(frames):
        animation = _animate(pxr, stage, f"{where}/animation", motion, p, frames, local)
        pxr.UsdSkel.BindingAPI(rig.GetPrim()).CreateAnimationSourceRel().SetTargets([animation.GetPath()])
    if skin:
        _add_body(pxr, stage, f"{where}/body", motion.skeleton, rest, rig)


def _joint_paths(pxr: ModuleType, skeleton: Skeleton) -> list[str]:
    """Joints as USD names them: the path from the root."""
    names = unique_names([pxr.Tf.MakeValidIdentifier(name) for name in skeleton.joint_names])
    paths: list[str] = []
    for name, parent in zip(names, skeleton.parents, strict=True):
        paths.append(name if parent < 0 else f"{paths[parent]}/{name}")
    return paths


def _translations(pxr: ModuleType, places: np.ndarray):
    return pxr.Vt.Matrix4dArray(
        [pxr.Gf.Matrix4d(1).SetTranslate(pxr.Gf.Vec3d(*place.tolist())) for place in places]
    )


def _animate(
    pxr: ModuleType, stage, where: str, motion: Motion, p: int, frames: np.ndarray, local: np.ndarray
):
    """Add a SkelAnimation with a sample per present frame."""
    assert motion.rotations_wxyz is not None
    animation = pxr.UsdSkel.Animation.Define(stage, where)
    animation.CreateJointsAttr(_joint_paths(pxr, motion.skeleton))
    animation.CreateScalesAttr(pxr.Vt.Vec3hArray([pxr.Gf.Vec3h(1)] * len(motion.skeleton)))
    translations, rotations = animation.CreateTranslationsAttr(), animation.CreateRotationsAttr()
    places = np.tile(local, (len(frames), 1, 1))
    places[:, root_of(motion)] = motion.joints[frames, p, root_of(motion)]
    turns = motion.rotations_wxyz[frames, p].astype(np.float64)
    turns /= np.linalg.norm(turns, axis=-1, keepdims=True)
    for frame, place, turn in zip(frames.tolist(), places.astype(np.float32), turns.tolist(), strict=True):
        translations.Set(pxr.Vt.Vec3fArray.FromNumpy(place), frame)
        rotations.Set(pxr.Vt.QuatfArray([pxr.Gf.Quatf(*q) for q in turn]), frame)
    return animation.GetPrim()


def _add_body(pxr: ModuleType, stage, where: str, skeleton: Skeleton, rest: np.ndarray, rig) -> None:
    """Add the skinned capsules."""
    skin = capsule_skin(rest, skeleton.joint_names, skeleton.parents)
    mesh = pxr.UsdGeom.Mesh.Define(stage, where)
    mesh.CreatePointsAttr(pxr.Vt.Vec3fArray.FromNumpy(skin.positions))
    mesh.CreateFaceVertexCountsAttr([3] * len(skin.triangles))
    mesh.CreateFaceVertexIndicesAttr(skin.triangles.reshape(-1).tolist())
    mesh.CreateNormalsAttr(pxr.Vt.Vec3fArray.FromNumpy(skin.normals))
    mesh.SetNormalsInterpolation(pxr.UsdGeom.Tokens.vertex)
    mesh.CreateSubdivisionSchemeAttr(pxr.UsdGeom.Tokens.none)
    mesh.CreateExtentAttr([skin.positions.min(0).tolist(), skin.positions.max(0).tolist()])
    binding = pxr.UsdSkel.BindingAPI.Apply(mesh.GetPrim())
    binding.CreateSkeletonRel().SetTargets([rig.GetPath()])
    binding.CreateJointIndicesPrimvar(False, 1).Set(skin.joints.tolist())
    binding.CreateJointWeightsPrimvar(False, 1).Set([1.0] * len(skin.joints))


def read(path: str | Path) -> Motion:
    """Read all skeletons of a stage, one person each; the rest pose is `restTransforms`.

    Raises:
        InputError: absent, damaged, or without a skeleton.
        MissingExtraError: usd-core is not installed.
    """
    with reading(path, "USD") as path:
        pxr = _pxr()
        try:
            stage = pxr.Usd.Stage.Open(str(path))
        except pxr.Tf.ErrorException as error:
            raise ValueError(str(error).strip().split("\n")[-1]) from error
        rigs = [pxr.UsdSkel.Skeleton(prim) for prim in stage.Traverse() if prim.IsA(pxr.UsdSkel.Skeleton)]
        expect(bool(rigs), "there is no skeleton (UsdSkel) in the file")
        return _motion(pxr, stage, rigs, path)


def _motion(pxr: ModuleType, stage, rigs: list, path: Path) -> Motion:
    described = [_joints(rig) for rig in rigs]
    names, parents = described[0]
    expect(parents.count(-1) == 1, f"the skeleton has {parents.count(-1)} roots, expected one")
    expect(
        all(other == described[0] for other in described), "the skeletons of the file have different joints"
    )
    known = known_order(names, parents)
    skeleton, order = known if known else (named_skeleton(names, parents, path.stem), list(range(len(names))))
    times = np.arange(stage.GetStartTimeCode(), stage.GetEndTimeCode() + 0.5)
    poses = [_poses(pxr, stage, rig, times) for rig in rigs]
    people = [rig.GetPrim().GetParent() for rig in rigs]
    present = [person.GetCustomDataByKey("posewright:present") for person in people]
    ids = [person.GetCustomDataByKey("posewright:person") for person in people]
    there = None
    if all(frames is not None for frames in present):
        there = np.stack([np.isin(np.arange(len(times)), np.array(frames)) for frames in present], 1)
    motion = motion_from_poses(
        skeleton,
        np.stack([rest[order] for rest, _ in poses]),
        np.stack([pose[:, order] for _, pose in poses], 1),
        float(stage.GetTimeCodesPerSecond()),
        there,
    )
    top = stage.GetDefaultPrim()
    start = top.GetCustomDataByKey("posewright:startTime") if top else None
    return replace(
        motion,
        person_ids=tuple(ids) if all(i is not None for i in ids) else motion.person_ids,
        start_time=float(start or 0.0),
        source=path.name,
        history=(f"read from {path.name}",),
    )


def _joints(rig) -> tuple[list[str], list[int]]:
    """Names and parents of a skeleton's joints."""
    paths = [str(joint) for joint in rig.GetJointsAttr().Get() or []]
    expect(bool(paths), "a skeleton has no joints")
    given = rig.GetJointNamesAttr().Get()
    names = [str(name) for name in given] if given else [path.rpartition("/")[2] for path in paths]
    expect(len(names) == len(paths), "a skeleton has another number of joint names than of joints")
    place = {path: n for n, path in enumerate(paths)}
    return unique_names(names), [place.get(path.rpartition("/")[0], -1) for path in paths]


def _poses(pxr: ModuleType, stage, rig, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rest (J, 4, 4) and poses (T, J, 4, 4) of a skeleton in our world."""
    cache = pxr.UsdSkel.Cache()
    root = pxr.UsdSkel.Root.Find(rig.GetPrim())
    expect(bool(root), "a skeleton is not inside a SkelRoot")
    cache.Populate(root, pxr.Usd.PrimDefaultPredicate)
    query = cache.GetSkelQuery(rig)
    expect(bool(query), "a skeleton is not valid")
    rest = query.ComputeJointSkelTransforms(pxr.Usd.TimeCode.Default(), True)
    poses = [np.array(query.ComputeJointSkelTransforms(pxr.Usd.TimeCode(t))) for t in times.tolist()]
    to_world = np.array(pxr.UsdGeom.XformCache(0).GetLocalToWorldTransform(rig.GetPrim()))
    metres = float(pxr.UsdGeom.GetStageMetersPerUnit(stage))
    y_up = pxr.UsdGeom.GetStageUpAxis(stage) == pxr.UsdGeom.Tokens.y
    turn = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]]) if y_up else np.eye(4)
    world = turn @ np.diag([metres, metres, metres, 1.0]) @ to_world.T
    return world @ np.array(rest).swapaxes(-1, -2), world @ np.stack(poses).swapaxes(-1, -2)
