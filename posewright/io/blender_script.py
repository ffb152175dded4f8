"""Run inside Blender (the `bpy` module or the `blender` program), never imported by posewright.

`write SOURCE.glb TARGET FPS FRAMES [ACTUAL_FPS]` imports our glTF file and saves `.fbx` or `.blend`;
`read SOURCE TARGET.npz` opens `.fbx` or `.blend` and stores every armature's rest pose and its pose in each
frame.

It needs nothing of posewright: only bpy and numpy, which Blender brings.
"""

import sys

import bpy
import numpy as np


def set_rate(fps: float) -> None:
    """Set the scene's frame rate: a whole number over a base, as Blender has it."""
    render = bpy.context.scene.render
    render.fps = max(1, round(fps))
    render.fps_base = render.fps / fps


def write(source: str, target: str, fps: float, frames: int) -> None:
    """Convert our glTF file."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.fps, scene.render.fps_base = max(1, round(fps)), 1.0
    bpy.ops.import_scene.gltf(filepath=source, disable_bone_shape=True)
    stretch_keys(max(1, round(fps)), fps)
    set_rate(fps)
    scene.frame_start, scene.frame_end = 0, frames - 1
    scene.frame_set(0)
    if target.endswith(".blend"):
        bpy.ops.wm.save_as_mainfile(filepath=target, check_existing=False)
    else:
        bpy.ops.export_scene.fbx(
            filepath=target,
            object_types={"ARMATURE", "MESH"},
            add_leaf_bones=False,
            bake_anim_use_nla_strips=False,
            bake_anim_use_all_actions=False,
            bake_anim_simplify_factor=0.0,
        )


def stretch_keys(whole: int, fps: float) -> None:
    """Put the keys of seconds * `whole` at seconds * `fps`, on whole frames."""
    for curve in curves():
        for key in curve.keyframe_points:
            frame = round(key.co[0] / whole * fps)
            key.co[0] = frame
            key.handle_left[0], key.handle_right[0] = frame - 1 / 3, frame + 1 / 3
            key.interpolation = "LINEAR"
        curve.update()


def curves():
    """All animation curves of the file."""
    for action in bpy.data.actions:
        for layer in action.layers:
            for strip in layer.strips:
                for bag in strip.channelbags:
                    yield from bag.fcurves


def read(source: str, target: str) -> None:
    """Store armatures as arrays."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    if source.endswith(".blend"):
        bpy.ops.wm.open_mainfile(filepath=source, use_scripts=False, load_ui=False)
    else:
        bpy.ops.import_scene.fbx(filepath=source, ignore_leaf_bones=False, automatic_bone_orientation=False)
    scene = bpy.context.scene
    rigs = sorted((o for o in scene.objects if o.type == "ARMATURE"), key=lambda o: o.name)
    times = (
        key_times(rigs, scene) if source.endswith(".fbx") else range(scene.frame_start, scene.frame_end + 1)
    )
    poses = [np.empty((len(times), len(rig.pose.bones), 4, 4)) for rig in rigs]
    for n, time in enumerate(times):
        scene.frame_set(int(time), subframe=float(time - int(time)))
        for rig, pose in zip(rigs, poses, strict=True):
            world = np.array(rig.matrix_world)
            pose[n] = world @ np.array([bone.matrix for bone in rig.pose.bones])
    arrays = {"fps": np.array(scene.render.fps / scene.render.fps_base), "rigs": np.array(len(rigs))}
    for n, (rig, pose) in enumerate(zip(rigs, poses, strict=True)):
        names = [bone.name for bone in rig.pose.bones]
        arrays |= {
            f"name{n}": np.array(rig.name),
            f"joints{n}": np.array(names),
            f"parents{n}": np.array([names.index(b.parent.name) if b.parent else -1 for b in rig.pose.bones]),
            f"rest{n}": np.array(rig.matrix_world)
            @ np.array([bone.bone.matrix_local for bone in rig.pose.bones]),
            f"poses{n}": pose,
        }
    np.savez(target, **arrays)


def key_times(rigs: list, scene) -> np.ndarray:
    """Scene time of every frame of an imported FBX.

    Blender 4.5 places the keys of a fractional rate such as 29.97 as if it were the whole number (30), so
    that frames are `fps_base` apart.
    """
    actions = [rig.animation_data.action for rig in rigs if rig.animation_data and rig.animation_data.action]
    first = min((action.frame_range[0] for action in actions), default=scene.frame_start)
    last = max((action.frame_range[1] for action in actions), default=scene.frame_start)
    step = scene.render.fps_base
    return first + step * np.arange(round((last - first) / step) + 1)


def main() -> None:
    """Run the verb given after `--` (Blender) or the script's name (Python)."""
    words = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else sys.argv[1:]
    if words[0] == "write":
        write(words[1], words[2], float(words[3]), int(words[4]))
    else:
        read(words[1], words[2])


if __name__ == "__main__":
    main()
