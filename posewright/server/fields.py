"""The form fields of a job: a checked subset of the options of `posewright run`, under the same names.

Left out on purpose: whatever names a file or folder of the server, and what only who runs it can know (`--out`,
`--device`, `--detector` with a model file).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from posewright.core.errors import InputError

CHOICES = {
    "mode": ("fast", "balanced", "accurate"),
    "person_order": ("largest", "left-to-right", "first-seen"),
    "camera": ("static", "moving"),
    "smooth": ("one-euro", "butterworth", "savgol", "kalman", "none"),
    "foot_lock": ("auto", "always", "never", "grounding"),
    "body": ("none", "anny"),
    "body_detail": ("full", "low"),
}
FORMATS = ("bvh", "glb", "trc", "c3d", "mot", "csv", "json", "usda", "fbx", "blend", "npz")
_YES, _NO = ("true", "1", "yes", "on"), ("false", "0", "no", "off")


@dataclass(frozen=True)
class Field:
    """One form field."""

    expected: str
    """What a value must be, for people."""
    arguments: Callable[[str], list[str] | None]
    """A value to arguments of `posewright run`, or None if the value cannot be used."""


def arguments_of(form: Mapping[str, str]) -> list[str]:
    """Form fields to arguments of `posewright run`; an empty value means that the field was not given.

    Raises:
        InputError: a field is unknown, its value cannot be used, or two of them contradict each other.
    """
    arguments: list[str] = []
    for name, value in form.items():
        if name not in FIELDS:
            raise InputError(f"{name[:40]!r} is no option of a job; there are: {', '.join(FIELDS)}")
        value = value.strip()
        if not value:
            continue
        made = FIELDS[name].arguments(value)
        if made is None:
            raise InputError(f"{name} is {value[:60]!r}, expected {FIELDS[name].expected}")
        arguments += made
    if "--fov" in arguments and "--focal" in arguments:
        raise InputError("fov and focal both say how wide the camera sees: give one of them")
    return arguments


def _choice(option: str, choices: tuple[str, ...]) -> Field:
    return Field(f"one of {', '.join(choices)}", lambda v: [option, v] if v in choices else None)


def _number(option: str, low: float, high: float, unit: str) -> Field:
    def arguments(value: str) -> list[str] | None:
        try:
            number = float(value)
        except ValueError:
            return None
        return [option, repr(number)] if math.isfinite(number) and low <= number <= high else None

    return Field(f"{unit} between {low:g} and {high:g}", arguments)


def _switch(option_if_off: str) -> Field:
    def arguments(value: str) -> list[str] | None:
        if value.lower() in _YES:
            return []
        return [option_if_off] if value.lower() in _NO else None

    return Field("true or false", arguments)


def _people(value: str) -> list[str] | None:
    whole = value.isascii() and value.isdigit() and int(value[:4]) >= 1 and len(value) <= 3
    return ["--people", value] if whole or value == "all" else None


def _formats(value: str) -> list[str] | None:
    asked = [f.strip().lstrip(".") for f in value.split(",") if f.strip()]
    return ["--formats", ",".join(asked)] if asked and all(f in FORMATS for f in asked) else None


def _image_size(value: str) -> list[str] | None:
    sides = value.lower().split("x")
    usable = len(sides) == 2 and all(s.isascii() and s.isdigit() and 0 < len(s) <= 5 for s in sides)
    return ["--image-size", *sides] if usable else None


FIELDS: dict[str, Field] = {
    "start": _number("--start", 0, 1e6, "seconds"),
    "end": _number("--end", 0, 1e6, "seconds"),
    "fps": _number("--fps", 0.01, 1000, "frames per second"),
    "image_size": Field("pixels such as 1920x1080", _image_size),
    "people": Field("a positive number or all", _people),
    "person_order": _choice("--person-order", CHOICES["person_order"]),
    "mode": _choice("--mode", CHOICES["mode"]),
    "subject_height": _number("--subject-height", 0.3, 2.8, "metres"),
    "fov": _number("--fov", 5, 175, "degrees"),
    "focal": _number("--focal", 1, 1e6, "pixels"),
    "camera": _choice("--camera", CHOICES["camera"]),
    "smooth": _choice("--smooth", CHOICES["smooth"]),
    "foot_lock": _choice("--foot-lock", CHOICES["foot_lock"]),
    "body": _choice("--body", CHOICES["body"]),
    "body_detail": _choice("--body-detail", CHOICES["body_detail"]),
    "max_gap": _number("--max-gap", 0, 60, "seconds"),
    "formats": Field(f"some of {', '.join(FORMATS)}, with commas", _formats),
    "overlay": _switch("--no-overlay"),
    "report": _switch("--no-report"),
}
