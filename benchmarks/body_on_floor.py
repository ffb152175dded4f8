"""Do the feet of fitted bodies stand? With the floor of `fitting`, and without.

    python benchmarks/body_on_floor.py [--motion out/demo/motion.npz]

`recorded`: three clips of `val` on their own shapes, joints with 10 mm of noise and a fifth missing; the truth says
which vertices of the soles touch. `motion`: the people of a finished motion, as `run --body` fits them; the motion says
which foot stands. *Raised* there is a body fitted without a floor and lifted by the same constant. Sliding: mean
horizontal speed of vertices of the soles that touch. Writes results/body_on_floor.csv.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from body_fit import FPS, clips
from row import write_rows

import posewright as pw
from posewright.bodies.model import BodyModel
from posewright.bodies.rig import clip_params
from posewright.fitting.body import FitOptions, fit_body
from posewright.fitting.floor import FloorOptions, soles, touching
from posewright.structures.motion import Motion

LOW = 0.02
"""Metres above the lowest vertex of a standing foot up to which a vertex touches."""


def main() -> None:
    """Measure both and write the table."""
    parser = argparse.ArgumentParser(
        formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__
    )
    parser.add_argument("--motion", type=Path)
    arguments = parser.parse_args()
    body = pw.load_body("anny", topology="low_1229")
    rows = recorded(body)
    if arguments.motion:
        rows += of_motion(body, pw.load(arguments.motion))
    for row in rows:
        print(row)
    print(write_rows("body_on_floor", rows))


def recorded(body: BodyModel) -> list[dict]:
    """Mean over three clips: true bodies, fitted without and with the floor."""
    found: dict[str, list[dict]] = {"truth": [], "fitted": [], "fitted on the floor": []}
    rng = np.random.default_rng(0)
    for params, joints in clips(body, 3, 150):
        sole = soles(body, params.betas)
        mesh = body(params).vertices
        ground = np.array([0, 0, float(torch.quantile(mesh[..., 2].amin(-1), 0.2))])
        true = mesh[:, sole.vertices].double().numpy() - ground
        touch = touching(true, sole.feet, FPS)
        found["truth"].append(standing_scores(true, touch, FPS) | {"joints_mm": 0.0})
        noisy = joints - ground + rng.normal(0, 0.01, joints.shape)
        sure = (rng.random(noisy.shape[:2]) > 0.2).astype(float)
        for name, floor in (("fitted", None), ("fitted on the floor", FloorOptions())):
            fit = fit_body(body, noisy, sure, "body_24", FPS, FitOptions(floor=floor), params.betas)
            made = body(fit.params)
            off = body.joints(made, "body_24").numpy() - (joints - ground)
            scores = standing_scores(made.vertices[:, sole.vertices].double().numpy(), touch, FPS)
            found[name].append(scores | {"joints_mm": 1000 * float(np.linalg.norm(off, axis=-1).mean())})
    return [
        {"data": "recorded", "person": "", "body": name}
        | {key: round(float(np.mean([r[key] for r in parts])), 1) for key in parts[0]}
        for name, parts in found.items()
    ]


def of_motion(body: BodyModel, motion: Motion) -> list[dict]:
    """Everybody of a motion, without and with the floor."""
    assert motion.contacts is not None
    held = pw.with_bodies(replace(motion, bodies=None))
    free = pw.with_bodies(replace(motion, bodies=None, contacts=None))
    rows = []
    for p in range(motion.num_people):
        for name, found in (("raised", free), ("on the floor", held)):
            assert found.bodies is not None
            frames = np.flatnonzero(found.bodies.present()[:, p])
            mesh = body(clip_params(body, found.bodies, p, frames)).vertices.double().numpy()
            stands = motion.contacts[frames, p]
            lowest, standing = mesh[..., 2].min(1), stands.any(-1)
            if name == "raised":
                rise = np.median(np.nanmin(motion.joints[frames, p, :, 2], -1)[standing] - lowest[standing])
                mesh[..., 2] += rise
                lowest = lowest + rise
            sole = soles(body, torch.from_numpy(found.bodies.betas[p]))
            points = mesh[:, sole.vertices]
            touch = stands[:, sole.feet] & (points[..., 2] < _lowest(points, sole.feet) + LOW)
            early, late = np.percentile(1000 * lowest[standing], [5, 95])
            row = {"data": "motion", "person": motion.person_ids[p], "body": name}
            row |= standing_scores(points, touch, motion.fps)
            rows.append(
                row
                | {
                    "lowest_5_percent_mm": round(float(early), 1),
                    "lowest_95_percent_mm": round(float(late), 1),
                }
            )
    return rows


def _lowest(points: np.ndarray, feet: np.ndarray) -> np.ndarray:
    """Height of the lowest vertex of each vertex's own foot (T, F)."""
    return np.stack([points[:, feet == foot, 2].min(1) for foot in (0, 1)], 1)[:, feet]


def standing_scores(points: np.ndarray, touch: np.ndarray, fps: float) -> dict[str, float]:
    """Sliding of soles (T, F, 3) while they touch (T, F), and how deep the deepest is."""
    both = touch[1:] & touch[:-1]
    slid = 1000 * fps * np.linalg.norm(np.diff(points[..., :2], axis=0), axis=-1)[both]
    return {
        "sliding_mm_s": round(float(slid.mean()), 1),
        "deepest_mm": round(float(-1000 * points[..., 2].min()), 1),
    }


if __name__ == "__main__":
    main()
