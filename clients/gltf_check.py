"""Validate our GLB files with Khronos' own validator (on Node) and check their structure with pygltflib.

Khronos' validator is the npm package `gltf-validator`; `run.py` installs it into the environment's folder if
it finds `node` and `npm`, and says so if not. pygltflib then reads the file and its arrays are checked
against the specification.

Run inside an interpreter that has pygltflib: `python clients/gltf_check.py SAMPLES [RESULTS.json]
[NODE_FOLDER]`.
"""

import json
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pygltflib
from expected import Checks, bodies, samples

VALIDATE = """
const validator = require('gltf-validator');
const bytes = new Uint8Array(require('fs').readFileSync(process.argv[1]));
validator.validateBytes(bytes).then(report => console.log(JSON.stringify(
  {version: report.validatorVersion, errors: report.issues.numErrors, warnings: report.issues.numWarnings})));
"""


def khronos(checks_rows: list[dict], folder: Path, files: dict[str, str]) -> int:
    """Run the reference validator on every file and return the number of failed checks."""
    node = shutil.which("node")
    if node is None or not (folder / "node_modules" / "gltf-validator").is_dir():
        sys.stdout.write(
            "skip Khronos glTF validator: node or its package is not here; structure is checked below\n"
        )
        return 0
    failed = 0
    for name, file in files.items():
        words = [node, "-e", VALIDATE, file]
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True, timeout=600)
        report = json.loads(done.stdout)
        checks = Checks(f"Khronos glTF validator {report['version']}")
        checks.check(name, ".glb errors", report["errors"], 0, "errors")
        checks.check(name, ".glb warnings", report["warnings"], 0, "warnings")
        failed += checks.failed
        checks_rows += checks.rows
    return failed


def array(gltf: pygltflib.GLTF2, index: int) -> np.ndarray:
    """Array of an accessor, by its own arithmetic."""
    accessor = gltf.accessors[index]
    view = gltf.bufferViews[accessor.bufferView]
    dtype = {5121: "<u1", 5123: "<u2", 5125: "<u4", 5126: "<f4"}[accessor.componentType]
    width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}[accessor.type]
    blob = gltf.binary_blob()[view.byteOffset :]
    return np.frombuffer(blob, dtype, accessor.count * width).reshape(accessor.count, width)


def structure(checks: Checks, name: str, file: str, people: int, frames: int) -> None:
    """Check what the specification asks of skins, weights, quaternions, times, bounds and alignment."""
    gltf = pygltflib.GLTF2().load(file)
    checks.check(name, ".glb skins missing", abs(len(gltf.skins) - people), 0, "skins")
    weights = [array(gltf, p.attributes.WEIGHTS_0).sum(1) for m in gltf.meshes for p in m.primitives]
    checks.check(name, ".glb vertex weights away from 1", np.abs(np.concatenate(weights) - 1).max(), 1e-6, "")
    joints = [
        int(array(gltf, primitive.attributes.JOINTS_0).max()) - len(skin.joints) + 1
        for mesh, skin in zip(gltf.meshes, gltf.skins, strict=True)
        for primitive in mesh.primitives
    ]
    checks.check(name, ".glb vertices bound beyond the skin", max(0, *joints, 0), 0, "joints")
    animation = gltf.animations[0]
    turns = [
        array(gltf, animation.samplers[c.sampler].output)
        for c in animation.channels
        if c.target.path == "rotation"
    ]
    norms = np.abs(np.linalg.norm(np.concatenate(turns), axis=1) - 1)
    checks.check(name, ".glb quaternions away from unit length", norms.max(), 1e-6, "")
    flips = max(int(((t[1:] * t[:-1]).sum(1) < 0).sum()) for t in turns)
    checks.check(name, ".glb quaternions that take the long way", flips, 0, "keys")
    times = [array(gltf, s.input)[:, 0] for s in animation.samplers]
    checks.check(
        name, ".glb times that do not increase", sum(int((np.diff(t) <= 0).sum()) for t in times), 0, "keys"
    )
    checks.check(name, ".glb more keys than frames", max(0, max(map(len, times)) - frames), 0, "keys")
    wrong = sum(
        not np.array_equal(array(gltf, i).min(0), np.float32(a.min))
        or not np.array_equal(array(gltf, i).max(0), np.float32(a.max))
        for i, a in enumerate(gltf.accessors)
        if a.min
    )
    checks.check(name, ".glb min or max that are wrong", wrong, 0, "accessors")
    checks.check(name, ".glb views off 4 bytes", sum(v.byteOffset % 4 for v in gltf.bufferViews), 0, "bytes")


def main() -> int:
    """Check every sample."""
    found = samples(sys.argv[1])
    checks = Checks(f"pygltflib {version('pygltflib')}")
    files = {name: sample["files"][".glb"][0] for name, sample in found.items()}
    meshes = bodies(sys.argv[1])
    files |= {f"{name} body": sample["file"] for name, sample in meshes.items()}
    checks.failed += khronos(checks.rows, Path(sys.argv[3] if len(sys.argv) > 3 else "."), files)
    for name, sample in found.items():
        frames, people = sample["joints"].shape[:2]
        structure(checks, name, files[name], people, frames)
    for name, sample in meshes.items():
        structure(checks, f"{name} body", sample["file"], sample["there"].shape[1], int(sample["num_frames"]))
    return checks.finish(sys.argv[2] if len(sys.argv) > 2 else None)


if __name__ == "__main__":
    sys.exit(main())
