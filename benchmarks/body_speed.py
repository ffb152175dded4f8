"""Bodies per second of our body models beside the packages `anny` and `smplx`, in one process, on one machine.

`python benchmarks/body_speed.py [--seconds 3] [--threads 2]` writes `results/body_speed.csv`. Packages that are not
installed are left out and said so (see `record_bodies.py` for how to have them). Every row: forward without gradients,
every body with a shape and a pose of its own, single precision, the best of the repetitions. SMPL bodies come from
files of random numbers, which take as long as the licensed ones.
"""

import argparse
import importlib.util
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from row import write_rows

import posewright as pw
from posewright.geometry.rotations import rotvec_to_matrix

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tests.bodies.made_bodies import arrays

BATCHES = (1, 32)
ANNY = {"full": "anny", "low_1229": "notoes_collapse10pc"}
"""Our topology and the name `anny` has for it."""


def rate(run: Callable[[], object], count: int, seconds: float) -> float:
    """Bodies per second of the fastest of as many repetitions as fit into `seconds`."""
    with torch.no_grad():
        run()
        best, end = float("inf"), time.perf_counter() + seconds
        while time.perf_counter() < end:
            start = time.perf_counter()
            run()
            best = min(best, time.perf_counter() - start)
    return count / best


def anny_rows(seconds: float) -> list[dict]:
    """Ours and the package's, on both topologies."""
    rows = []
    for topology, theirs in ANNY.items():
        body = pw.load_body("anny", topology=topology)
        package = _anny_package(theirs)
        for count in BATCHES:
            g = torch.Generator().manual_seed(count)
            shape, rotvec = torch.rand(count, 6, generator=g), 0.3 * torch.randn(count, 104, 3, generator=g)
            params = replace(body.params_from_rotvec(rotvec), betas=shape)
            pose = torch.eye(4).repeat(count, 104, 1, 1)
            pose[..., :3, :3] = rotvec_to_matrix(rotvec)
            runs = {"posewright": lambda b=body, p=params: b(p)}
            if package is not None:
                runs["anny"] = lambda m=package, x=pose, s=shape: m(pose_parameters=x, phenotype_kwargs=s)
            rows += _rows("anny", topology, body.vertex_count, count, runs, seconds)
    return rows


def _anny_package(topology: str):
    """The package's model in single precision with the skinning it takes by default, or None."""
    if importlib.util.find_spec("anny") is None:
        print("anny is not installed: left out", file=sys.stderr)
        return None
    import anny

    try:
        return anny.Anny(topology=topology).float()
    except ModuleNotFoundError as error:
        print(f"anny {topology}: {error}: left out", file=sys.stderr)
        return None


def smpl_rows(seconds: float) -> list[dict]:
    """Ours and the package's, SMPL on random numbers."""
    values, rows = arrays("smpl"), []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "SMPL_NEUTRAL.npz")
        np.savez(path, **values)
        body = pw.load_body(path)
    for count in BATCHES:
        g = torch.Generator().manual_seed(count)
        betas, rotvec = torch.randn(count, 10, generator=g), 0.3 * torch.randn(count, 24, 3, generator=g)
        params = body.params_from_rotvec(rotvec, betas)
        runs = {"posewright": lambda p=params: body(p)}
        if importlib.util.find_spec("smplx") is not None:
            runs["smplx"] = _smplx_run(values, betas, rotvec)
        rows += _rows("smpl", "full", body.vertex_count, count, runs, seconds)
    return rows


def _smplx_run(values: dict, betas: torch.Tensor, rotvec: torch.Tensor) -> Callable[[], object]:
    import smplx
    from smplx.utils import Struct

    model = smplx.SMPL("", data_struct=Struct(**values), batch_size=len(betas))
    pose = rotvec.flatten(1)
    return lambda: model(betas=betas, global_orient=pose[:, :3], body_pose=pose[:, 3:])


def _rows(body: str, topology: str, vertices: int, count: int, runs: dict, seconds: float) -> list[dict]:
    """One row per implementation."""
    rows = []
    for name, run in runs.items():
        speed = rate(run, count, seconds)
        rows.append(
            {
                "body": body,
                "topology": topology,
                "vertices": vertices,
                "batch": count,
                "implementation": name,
                "bodies_per_second": f"{speed:.0f}",
                "threads": torch.get_num_threads(),
            }
        )
        print(f"{body} {topology:9} batch {count:3}  {name:11} {speed:8.0f} bodies/s")
    return rows


def main() -> None:
    """Measure and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="per row")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(write_rows("body_speed", anny_rows(options.seconds) + smpl_rows(options.seconds)))


if __name__ == "__main__":
    main()
