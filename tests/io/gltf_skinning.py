"""A glTF skin evaluated from the file alone, by the words of the specification (sections 3.7.3.1, 3.11): independent of
what wrote it."""

import json
import struct

import numpy as np

_TYPES = {5121: "<u1", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}


class SkinnedFile:
    """Document and arrays of a `.glb`."""

    def __init__(self, path):
        data = path.read_bytes()
        (length,) = struct.unpack_from("<I", data, 12)
        self.document = json.loads(data[20 : 20 + length])
        self.binary = data[20 + length + 8 :]

    def array(self, index):
        accessor = self.document["accessors"][index]
        view = self.document["bufferViews"][accessor["bufferView"]]
        width = _WIDTHS[accessor["type"]]
        flat = np.frombuffer(
            self.binary, _TYPES[accessor["componentType"]], accessor["count"] * width, view["byteOffset"]
        )
        return flat.reshape(accessor["count"], width)

    def vertices(self, time):
        """World vertices (V, 3) of every skinned mesh at a time in seconds, Y up."""
        world = self._world(time)
        return [self._skinned(node, world) for node in self.document["nodes"] if "skin" in node]

    def _skinned(self, node, world):
        skin = self.document["skins"][node["skin"]]
        attributes = self.document["meshes"][node["mesh"]]["primitives"][0]["attributes"]
        bind = self.array(skin["inverseBindMatrices"]).reshape(-1, 4, 4).swapaxes(1, 2).astype(float)
        matrices = world[skin["joints"]] @ bind
        joints, weights = (
            self.array(attributes["JOINTS_0"]),
            self.array(attributes["WEIGHTS_0"]).astype(float),
        )
        blended = np.einsum("vk,vkij->vij", weights, matrices[joints])
        points = self.array(attributes["POSITION"]).astype(float)
        return np.einsum("vij,vj->vi", blended[:, :3, :3], points) + blended[:, :3, 3]

    def _world(self, time):
        """(N, 4, 4) of every node."""
        nodes = self.document["nodes"]
        local = {n: dict(node) for n, node in enumerate(nodes)}
        for channel in (self.document.get("animations") or [{"channels": []}])[0]["channels"]:
            target = channel["target"]
            local[target["node"]][target["path"]] = self._sample(channel["sampler"], time, target["path"])
        world = np.zeros((len(nodes), 4, 4))

        def visit(n, above):
            world[n] = above @ _matrix(local[n])
            for child in nodes[n].get("children", []):
                visit(child, world[n])

        for root in self.document["scenes"][0]["nodes"]:
            visit(root, np.eye(4))
        return world

    def _sample(self, index, time, path):
        sampler = self.document["animations"][0]["samplers"][index]
        times, values = self.array(sampler["input"])[:, 0], self.array(sampler["output"]).astype(float)
        after = int(np.clip(np.searchsorted(times, time), 1, len(times) - 1)) if len(times) > 1 else 0
        before = max(after - 1, 0)
        span = float(times[after] - times[before])
        part = np.clip((time - times[before]) / span, 0, 1) if span else 0.0
        a, b = values[before], values[after]
        mixed = (1 - part) * a + part * (-b if path == "rotation" and a @ b < 0 else b)
        return mixed / np.linalg.norm(mixed) if path == "rotation" else mixed


def _matrix(node):
    """Local matrix of a node: translation times rotation (xyzw)."""
    x, y, z, w = node.get("rotation", (0.0, 0.0, 0.0, 1.0))
    matrix = np.eye(4)
    matrix[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    matrix[:3, 3] = node.get("translation", (0.0, 0.0, 0.0))
    return matrix
