"""Load our body.glb in a browser with three.js, play it, and compare the skinned vertices with ours.

three.js is an npm package that `run.py` installs beside the environment; the browser is a Chromium of the system
(`POSEWRIGHT_CHROMIUM` names another). Without one of them the check says so and is skipped. Nothing is fetched while it
runs: the page and its modules are handed to the browser from disk.

Run inside an interpreter that has playwright: `python clients/three_check.py SAMPLES [RESULTS.json] [NODE_FOLDER]`.
"""

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
from expected import Checks, bodies, check_vertices
from playwright.sync_api import sync_playwright

HOST = "http://posewright.test/"
LAUNCH = ("--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
PAGE = """<!doctype html><title>three</title><script type="importmap">
{"imports": {"three": "./three/build/three.module.js", "three/addons/": "./three/examples/jsm/"}}
</script><script type="module">
import * as THREE from "three";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
window.skinnedVertices = async (times) => {
  const gltf = await new GLTFLoader().loadAsync("./body.glb");
  const meshes = [];
  gltf.scene.traverse((node) => { if (node.isSkinnedMesh) meshes.push(node); });
  meshes.sort((a, b) => (a.name < b.name ? -1 : 1));
  const mixer = new THREE.AnimationMixer(gltf.scene);
  const action = mixer.clipAction(gltf.animations[0]);
  action.play();
  return times.map((time) => {
    mixer.setTime(time);
    gltf.scene.updateMatrixWorld(true);
    return meshes.map((mesh) => {
      mesh.skeleton.update();
      const at = new THREE.Vector3(), out = [];
      for (let i = 0; i < mesh.geometry.attributes.position.count; i++) {
        mesh.getVertexPosition(i, at).applyMatrix4(mesh.matrixWorld);
        out.push(at.x, at.y, at.z);
      }
      return out;
    });
  });
};
window.threeRevision = THREE.REVISION;
</script>"""


def chromium() -> str | None:
    """Program of the browser."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("POSEWRIGHT_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


def in_browser(page, file: str, times: list[float]) -> list[list[np.ndarray]]:
    """Skinned vertices (V, 3), world Z up, per time and mesh."""
    data = Path(file).read_bytes()
    page.unroute_all()
    page.route(HOST + "**", lambda route: answer(route, data))
    page.goto(HOST)
    page.wait_for_function("() => window.threeRevision !== undefined")
    found = page.evaluate("times => window.skinnedVertices(times)", times)
    return [[from_y_up(np.array(flat).reshape(-1, 3)) for flat in meshes] for meshes in found]


def from_y_up(points: np.ndarray) -> np.ndarray:
    """(x, y, z) with Y up to Z up."""
    return np.stack([points[:, 0], -points[:, 2], points[:, 1]], 1)


def answer(route, data: bytes) -> None:
    """Serve the page, three.js and the file from disk."""
    path = route.request.url.removeprefix(HOST)
    if path == "":
        route.fulfill(body=PAGE, content_type="text/html")
    elif path == "body.glb":
        route.fulfill(body=data, content_type="model/gltf-binary")
    elif path.startswith("three/"):
        route.fulfill(path=NODE / "node_modules" / path, content_type="text/javascript")
    else:
        route.fulfill(status=404)


def main() -> int:
    """Check every body."""
    program = chromium()
    if program is None or not (NODE / "node_modules" / "three").is_dir():
        sys.stdout.write("skip three.js: no Chromium, or npm could not install the package\n")
        if len(sys.argv) > 2:
            Path(sys.argv[2]).write_text(json.dumps([]))
        return 0
    revision = json.loads((NODE / "node_modules/three/package.json").read_text())["version"]
    checks = Checks(f"three.js {revision}")
    with sync_playwright() as runner:
        browser = runner.chromium.launch(executable_path=program, args=list(LAUNCH))
        page = browser.new_page()
        for name, sample in bodies(sys.argv[1]).items():
            times = [t / float(sample["fps"]) for t in sample["frames"].tolist()]
            check_vertices(checks, name, sample, in_browser(page, sample["file"], times))
        browser.close()
    return checks.finish(sys.argv[2] if len(sys.argv) > 2 else None)


if __name__ == "__main__":
    NODE = Path(sys.argv[3] if len(sys.argv) > 3 else ".").resolve()
    sys.exit(main())
