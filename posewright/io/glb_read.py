"""A `Motion` out of a glTF document: skins are people, the nodes' own pose is the rest pose."""

from dataclasses import replace

import numpy as np
import torch

from posewright.geometry.rotations import slerp_quat_wxyz
from posewright.io.glb_container import read_accessor
from posewright.io.people import known_order, named_skeleton, unique_names
from posewright.io.rig import motion_from_poses, quats_to_matrices
from posewright.io.user_files import expect
from posewright.skeletons.skeleton import Skeleton
from posewright.structures.motion import Motion

DEFAULTS = {"translation": (0.0, 0.0, 0.0), "rotation": (0.0, 0.0, 0.0, 1.0), "scale": (1.0, 1.0, 1.0)}
TO_Z_UP = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
"""The world of the file, Y up, in ours."""
MAX_FRAMES = 10_000_000


def motion_of_document(document: dict, binary: bytes, source: str, fps: float | None) -> Motion:
    """Build the motion of all skins; see `glb.read`."""
    nodes = document.get("nodes", [])
    parents = node_parents(nodes)
    channels = _channels(document, binary)
    extras = document.get("extras") or {}
    ours = extras.get("posewright") if isinstance(extras, dict) else None
    ours = ours if isinstance(ours, dict) else {}
    times, fps = _times(channels, ours, fps)
    skeleton, chosen = person_joints(document, nodes, parents, source)
    rest = TO_Z_UP @ global_pose(nodes, parents, {}, np.zeros(1))
    pose = TO_Z_UP @ global_pose(nodes, parents, channels, times)
    described = ours.get("people", [])[: len(chosen)]
    motion = motion_from_poses(
        skeleton,
        np.stack([rest[0, joints] for joints in chosen]),
        np.stack([pose[:, joints] for joints in chosen], 1),
        fps,
        np.array([_present(person["present"], len(times)) for person in described]).T if described else None,
    )
    return replace(
        motion,
        person_ids=tuple(int(person["id"]) for person in described) or motion.person_ids,
        start_time=float(ours.get("start_time", 0.0)),
        source=str(ours.get("source", source)),
        warnings=(*map(str, ours.get("warnings", ())), *motion.warnings),
        history=(*map(str, ours.get("history", ())), f"read from {source}"),
    )


def person_joints(
    document: dict, nodes: list[dict], parents: list[int], source: str
) -> tuple[Skeleton, list[list[int]]]:
    """The joint set shared by all people of a file, and each person's nodes in its order."""
    return _skeleton(_rigs(document.get("skins", []), nodes, parents), nodes, parents, source)


def node_parents(nodes: list[dict]) -> list[int]:
    """Index of each node's parent; -1 for roots. A node with two parents or a circle is an error."""
    parents = [-1] * len(nodes)
    for n, node in enumerate(nodes):
        for child in node.get("children", ()):
            expect(0 <= child < len(nodes) and parents[child] < 0, "the nodes form no tree")
            parents[child] = n
    for n in range(len(nodes)):
        steps, at = 0, n
        while at >= 0:
            at, steps = parents[at], steps + 1
            expect(steps <= len(nodes), "the nodes form a circle")
    return parents


def _rigs(skins: list[dict], nodes: list[dict], parents: list[int]) -> list[list[int]]:
    """Joint nodes of each person, parents first; several skins on the same joints are one person."""
    expect(bool(skins), "there is no skin (skeleton) in the file")
    rigs: list[list[int]] = []
    for skin in skins:
        joints = skin["joints"]
        expect(
            bool(joints) and all(0 <= j < len(nodes) for j in joints), "a skin names nodes that do not exist"
        )
        if any(set(joints) & set(other) for other in rigs):
            continue
        ordered = all(_joint_parent(j, joints, parents) < n for n, j in enumerate(joints))
        rigs.append(joints if ordered else sorted(joints, key=lambda j: _depth(j, parents)))
    return rigs


def _depth(node: int, parents: list[int]) -> int:
    depth = 0
    while parents[node] >= 0:
        node, depth = parents[node], depth + 1
    return depth


def _skeleton(
    rigs: list[list[int]], nodes: list[dict], parents: list[int], source: str
) -> tuple[Skeleton, list[list[int]]]:
    """The joint set shared by all people, and each person's nodes in its order."""
    described = []
    for joints in rigs:
        names = unique_names([str(nodes[j].get("name", "")) for j in joints])
        described.append((names, [_joint_parent(j, joints, parents) for j in joints]))
    names, tree = described[0]
    expect(tree.count(-1) == 1, f"the skeleton has {tree.count(-1)} roots, expected one")
    expect(
        all(other == described[0] for other in described),
        "the skins of the file have different joints; posewright reads people who share one joint set",
    )
    known = known_order(names, tree)
    skeleton, order = known if known else (named_skeleton(names, tree, source), list(range(len(names))))
    return skeleton, [[joints[place] for place in order] for joints in rigs]


def _joint_parent(joint: int, joints: list[int], parents: list[int]) -> int:
    """Place in `joints` of the nearest ancestor that is a joint too."""
    at = parents[joint]
    while at >= 0 and at not in joints:
        at = parents[at]
    return joints.index(at) if at >= 0 else -1


def _channels(document: dict, binary: bytes) -> dict[tuple[int, str], tuple[np.ndarray, np.ndarray, str]]:
    """(node, path) -> times, values, interpolation of the first animation."""
    animations = document.get("animations", [])
    if not animations:
        return {}
    out = {}
    for channel in animations[0]["channels"]:
        target, sampler = channel["target"], animations[0]["samplers"][channel["sampler"]]
        if "node" not in target or target["path"] not in DEFAULTS:
            continue
        times = read_accessor(document, binary, sampler["input"]).astype(np.float64)
        values = read_accessor(document, binary, sampler["output"]).astype(np.float64)
        mode = sampler.get("interpolation", "LINEAR")
        per_key = 3 if mode == "CUBICSPLINE" else 1
        expect(mode in ("LINEAR", "STEP", "CUBICSPLINE"), f"interpolation {mode!r} is not known")
        expect(len(values) == per_key * len(times), "an animation has another number of values than of times")
        expect(bool(np.isfinite(times).all() and np.isfinite(values).all()), "an animation holds NaN")
        expect(bool((np.diff(times) > 0).all()), "the times of an animation do not increase")
        expect(
            values.shape[1:] == np.shape(DEFAULTS[target["path"]]), "an animation has values of a wrong shape"
        )
        out[target["node"], target["path"]] = (times, values, mode)
    return out


def _times(channels: dict, ours: dict, fps: float | None) -> tuple[np.ndarray, float]:
    """Seconds of each frame, and the rate."""
    keys = np.unique(np.concatenate([times for times, _, _ in channels.values()] or [np.zeros(1)]))
    if fps is None:
        step = float(np.median(np.diff(keys))) if len(keys) > 1 else 1 / 30
        fps = float(ours["fps"]) if "fps" in ours else _round_rate(1 / step)
    expect(np.isfinite(fps) and fps > 0, f"the frame rate is {fps}, expected a positive number")
    if "num_frames" in ours and fps == ours.get("fps"):
        count, start = int(ours["num_frames"]), 0.0
    else:
        count, start = round(float(keys[-1] - keys[0]) * fps) + 1, float(keys[0])
    expect(0 < count <= MAX_FRAMES, f"the file promises {count} frames")
    return start + np.arange(count) / fps, fps


def _round_rate(rate: float) -> float:
    """Undo the rounding of float32 times."""
    return round(rate, 3) if abs(rate - round(rate)) > 1e-3 * rate else float(round(rate))


def _present(intervals: list[list[int]], frames: int) -> np.ndarray:
    mask = np.zeros(frames, bool)
    for first, last in intervals:
        mask[int(first) : int(last) + 1] = True
    return mask


def global_pose(nodes: list[dict], parents: list[int], channels: dict, times: np.ndarray) -> np.ndarray:
    """(T, N, 4, 4) world matrices of all nodes, Y up."""
    out = np.empty((len(times), len(nodes), 4, 4))
    for n in sorted(range(len(nodes)), key=lambda node: _depth(node, parents)):
        local = _local(nodes[n], n, channels, times)
        out[:, n] = local if parents[n] < 0 else out[:, parents[n]] @ local
    return out


def _local(node: dict, n: int, channels: dict, times: np.ndarray) -> np.ndarray:
    """(T, 4, 4) matrix of a node relative to its parent: T R S, or its fixed matrix."""
    if "matrix" in node:
        matrix = np.array(node["matrix"], float).reshape(4, 4).T
        return np.broadcast_to(matrix, (len(times), 4, 4))
    parts = {}
    for path, default in DEFAULTS.items():
        fixed = np.broadcast_to(np.array(node.get(path, default), float), (len(times), len(default)))
        if (n, path) in channels:
            keys, values, how = channels[n, path]
            parts[path] = _sample(keys, values, how, times, path)
        else:
            parts[path] = fixed
    matrix = np.zeros((len(times), 4, 4))
    matrix[:, :3, :3] = quats_to_matrices(parts["rotation"][:, [3, 0, 1, 2]]) * parts["scale"][:, None, :]
    matrix[:, :3, 3] = parts["translation"]
    matrix[:, 3, 3] = 1
    return matrix


def _sample(keys: np.ndarray, values: np.ndarray, mode: str, times: np.ndarray, path: str) -> np.ndarray:
    """Values at `times`, held before the first and after the last key (glTF 2.0, appendix C)."""
    # key times are float32: a frame that is a key but for that rounding is that key
    nearest = keys[np.clip(np.searchsorted((keys[1:] + keys[:-1]) / 2, times), 0, len(keys) - 1)]
    times = np.where(np.abs(times - nearest) <= 1e-6 + 1.2e-7 * np.abs(times), nearest, times)
    at = np.clip(np.searchsorted(keys, times, side="right") - 1, 0, max(len(keys) - 2, 0))
    following = np.minimum(at + 1, len(keys) - 1)
    span = np.where(following > at, keys[following] - keys[at], 1.0)
    u = np.clip((times - keys[at]) / span, 0, 1)[:, None]
    if mode == "STEP":
        return values[np.where(u[:, 0] >= 1 - 1e-6, following, at)]
    if mode == "CUBICSPLINE":
        inward, points, outward = values.reshape(len(keys), 3, -1).swapaxes(0, 1)
        a, b = points[at], points[following]
        m, n = span[:, None] * outward[at], span[:, None] * inward[following]
        h = (2 * u**3 - 3 * u**2 + 1, u**3 - 2 * u**2 + u, -2 * u**3 + 3 * u**2, u**3 - u**2)
        return h[0] * a + h[1] * m + h[2] * b + h[3] * n
    if path != "rotation":
        return values[at] * (1 - u) + values[following] * u
    wxyz = torch.from_numpy(np.ascontiguousarray(values[:, [3, 0, 1, 2]]))
    turned = slerp_quat_wxyz(wxyz[at], wxyz[following], torch.from_numpy(np.ascontiguousarray(u[:, 0])))
    return turned.numpy()[:, [1, 2, 3, 0]]
