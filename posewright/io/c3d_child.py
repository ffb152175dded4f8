"""Read one C3D file with ezc3d and store its arrays as npz: run as a process of its own by `c3d.read`.

ezc3d is C++, and a damaged file can end the process that reads it (seen with 1.7.2); this way only this one
ends.
"""

import sys

import ezc3d
import numpy as np

MODEL_OUTPUTS = ("ANGLES", "FORCES", "MOMENTS", "POWERS", "SCALARS")
"""Groups of points that are not positions (Vicon's model outputs)."""


def extract(source: str, target: str) -> None:
    """Store points, residuals, labels, unit, rate, first frame and names of model outputs."""
    c3d = ezc3d.c3d(source)
    point = c3d["parameters"]["POINT"]
    groups = [group for group in MODEL_OUTPUTS if group in point]
    np.savez(
        target,
        points=c3d["data"]["points"][:3],
        residuals=c3d["data"]["meta_points"]["residuals"][0],
        labels=np.array(_labels(point), str),
        unit=np.array(_texts(point, "UNITS")[:1], str),
        rate=np.array(point["RATE"]["value"][0], float),
        first_frame=np.array(c3d["header"]["points"]["first_frame"], int),
        outputs=np.array([label for group in groups for label in _texts(point, group)], str),
    )


def _texts(parameters: dict, name: str) -> list[str]:
    return [str(value).strip() for value in parameters[name]["value"]] if name in parameters else []


def _labels(parameters: dict) -> list[str]:
    """LABELS, LABELS2, LABELS3...: one list holds at most 255."""
    labels, extra = _texts(parameters, "LABELS"), 2
    while f"LABELS{extra}" in parameters:
        labels += _texts(parameters, f"LABELS{extra}")
        extra += 1
    return labels


if __name__ == "__main__":
    extract(sys.argv[1], sys.argv[2])
