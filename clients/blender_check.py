"""Import our BVH, GLB, FBX and .blend files into Blender (the bpy wheel) and compare joint world positions.

Also: the vertices of the skinned meshes of our body.glb, the bones of body.bvh; number of frames and frame rate; that a
T-posed character stands upright (+Z) and faces -Y with its left at +X.

Run inside an interpreter that has bpy: `python clients/blender_check.py SAMPLES [RESULTS.json]`.
"""

import sys

import bpy
import numpy as np
from expected import Checks, bodies, check_vertices, largest_mm, samples


def load(file: str, fps: float) -> None:
    """Import one file into an empty scene, with its rate set before for glTF, which carries none."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    render = bpy.context.scene.render
    if file.endswith(".bvh"):
        bpy.ops.import_anim.bvh(
            filepath=file, global_scale=0.01, frame_start=0, update_scene_fps=True, update_scene_duration=True
        )
    elif file.endswith(".glb"):
        render.fps, render.fps_base = round(fps), 1.0
        bpy.ops.import_scene.gltf(filepath=file)
    elif file.endswith(".fbx"):
        bpy.ops.import_scene.fbx(filepath=file)
    else:
        bpy.ops.wm.open_mainfile(filepath=file)


def armatures() -> list:
    """Armatures by name."""
    return sorted((o for o in bpy.context.scene.objects if o.type == "ARMATURE"), key=lambda o: o.name)


def joints(rig, names: list[str], frames: int, first: int) -> np.ndarray:
    """(T, J, 3) world positions of the bones' heads."""
    scene = bpy.context.scene
    out = np.full((frames, len(names), 3), np.nan)
    for t in range(frames):
        scene.frame_set(first + t)
        for j, name in enumerate(names):
            bone = rig.pose.bones.get(name)
            if bone is not None:
                out[t, j] = rig.matrix_world @ bone.head
    return out


def with_ends(rig, names: list[str], found: np.ndarray, frames: int, first: int) -> np.ndarray:
    """Fill joints that are the tails of bones: what BVH keeps as end sites, `<parent>_end`."""
    for j, name in enumerate(names):
        parent = rig.pose.bones.get(name.removesuffix("_end"))
        if name.endswith("_end") and rig.pose.bones.get(name) is None and parent is not None:
            for t in range(frames):
                bpy.context.scene.frame_set(first + t)
                found[t, j] = rig.matrix_world @ parent.tail
    return found


def key_range() -> tuple[float, float]:
    """First and last key of all actions."""
    ranges = [action.frame_range for action in bpy.data.actions]
    return min(r[0] for r in ranges), max(r[1] for r in ranges)


def check_file(checks: Checks, name: str, sample: dict, suffix: str, files: list[str]) -> None:
    """Compare all people of one sample in one format."""
    frames, people = sample["joints"].shape[:2]
    fps = float(sample["fps"])
    worst = 0.0
    for file in files:
        load(file, fps)
        rigs = armatures()
        first, last = key_range()
        ids = range(people) if len(files) == 1 else [files.index(file)]
        if len(rigs) != len(ids):
            checks.check(name, f"{suffix} armatures missing", abs(len(rigs) - len(ids)), 0, "armatures")
            continue
        # Blender's BVH and FBX importers put the first key where they like; those files have a key in every frame
        start = round(first) if suffix in (".bvh", ".fbx") else 0
        for rig, p in zip(rigs, ids, strict=True):
            found = joints(rig, sample["names"], frames, start)
            found = with_ends(rig, sample["names"], found, frames, start)
            worst = max(worst, largest_mm(found, sample["joints"][:, p]))
        present = np.flatnonzero(np.isfinite(sample["joints"][:, list(ids)]).all((-1, -2)).any(1))
        kept = frames if suffix in (".bvh", ".fbx") else present[-1] - present[0] + 1
        checks.check(name, f"{suffix} frames lost or added", abs(last - first + 1 - kept), 1e-3, "frames")
        render = bpy.context.scene.render
        checks.check(name, f"{suffix} frame rate off", abs(render.fps / render.fps_base - fps), 1e-3, "Hz")
    checks.check(name, f"{suffix} joint positions", worst, 1.0, "mm")


def check_facing(checks: Checks, name: str, suffix: str, file: str, fps: float) -> None:
    """In the rest pose: head above the feet, toes in front (-Y), left hand at +X."""
    load(file, fps)
    rig = armatures()[0]
    bones = rig.data.bones

    def head(bone: str) -> np.ndarray:
        return np.array(rig.matrix_world @ bones[bone].head_local)

    up = head("head") - (head("left_ankle") + head("right_ankle")) / 2
    forward = head("left_toe") - head("left_ankle")
    left = head("left_wrist") - head("right_wrist")
    lean = np.degrees(np.arccos(up[2] / np.linalg.norm(up)))
    turned = np.degrees(np.abs(np.arctan2(forward[0], -forward[1])))
    checks.check(name, f"{suffix} rest pose leans", lean, 5, "degrees")
    checks.check(name, f"{suffix} rest pose faces away from -Y by", turned, 5, "degrees")
    checks.check(
        name,
        f"{suffix} left hand away from +X by",
        np.degrees(np.arccos(left[0] / np.linalg.norm(left))),
        5,
        "degrees",
    )


def check_body(checks: Checks, name: str, sample: dict) -> None:
    """Compare the skinned mesh of every person."""
    fps = float(sample["fps"])
    load(sample["file"], fps)
    found = []
    for t in sample["frames"].tolist():
        bpy.context.scene.frame_set(t)
        graph = bpy.context.evaluated_depsgraph_get()
        meshes = sorted((o for o in bpy.context.scene.objects if o.type == "MESH"), key=lambda o: o.name)
        found.append([vertices(o.evaluated_get(graph)) for o in meshes if o.find_armature()])
    check_vertices(checks, name, sample, found)


def check_bones(checks: Checks, name: str, sample: dict) -> None:
    """Compare the bones of every person's body.bvh."""
    names, worst = sample["names"].tolist(), 0.0
    for p, file in enumerate(sample["bones"].tolist()):
        load(file, float(sample["fps"]))
        first = round(key_range()[0])
        rig = armatures()[0]
        for f, t in enumerate(sample["frames"].tolist()):
            found = joints(rig, names, 1, first + t)[0]
            worst = max(worst, largest_mm(found, sample["joints"][f, p]))
    checks.check(name, "body.bvh bone positions", worst, 0.1, "mm")


def vertices(shown) -> np.ndarray:
    """(V, 3) world positions of an evaluated mesh."""
    mesh = shown.to_mesh()
    flat = np.empty(3 * len(mesh.vertices), np.float32)
    mesh.vertices.foreach_get("co", flat)
    matrix = np.array(shown.matrix_world)
    shown.to_mesh_clear()
    return flat.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3]


def main() -> int:
    """Check every sample in every format."""
    checks = Checks(f"blender {bpy.app.version_string}")
    for name, sample in samples(sys.argv[1]).items():
        for suffix, files in sample["files"].items():
            if suffix in (".bvh", ".glb", ".fbx", ".blend"):
                check_file(checks, name, sample, suffix, files)
                if name == "made":
                    check_facing(checks, name, suffix, files[0], float(sample["fps"]))
    for name, sample in bodies(sys.argv[1]).items():
        check_body(checks, name, sample)
        check_bones(checks, name, sample)
    return checks.finish(sys.argv[2] if len(sys.argv) > 2 else None)


if __name__ == "__main__":
    sys.exit(main())
