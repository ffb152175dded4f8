"""Where the user's own body files are looked for, and what they are called.

The folders of `POSEWRIGHT_BODIES` (several, separated as in PATH), then `bodies` in the user's data folder
(`~/.local/share/posewright/bodies`, `~/Library/Application Support/posewright/bodies`, `%APPDATA%/posewright/bodies`),
each with the sub-folders in which the official downloads come. Names are compared without regard to case.
"""

import os
import sys
from pathlib import Path

NAMES = {
    "smpl": (
        "SMPL_{gender}",
        "basicModel_{gender}_lbs_10_207_0_v1.0.0",
        "basicmodel_{gender}_lbs_10_207_0_v1.1.0",
        "basicModel_{letter}_lbs_10_207_0_v1.0.0",
        "basicmodel_{letter}_lbs_10_207_0_v1.1.0",
    ),
    "smplh": ("SMPLH_{gender}", "{gender}/model"),
    "smplx": ("SMPLX_{gender}", "{gender}/model"),
    "mano": ("MANO_{side}",),
    "flame": ("FLAME_{gender}", "{gender}_model", "generic_model"),
}
"""File names without suffix; `generic_model` is FLAME's neutral one."""
FOLDERS = ("", "{name}", "models", "models/{name}", "{name}/models", "assets", "{name}/assets")
SUFFIXES = (".npz", ".pkl")


def search_folders() -> list[Path]:
    """Folders in which bodies are looked for, in this order; they may not exist."""
    named = os.environ.get("POSEWRIGHT_BODIES", "")
    return [*(Path(p).expanduser() for p in named.split(os.pathsep) if p), _data_folder() / "bodies"]


def _data_folder() -> Path:
    """The user's data folder of posewright."""
    if sys.platform == "win32":
        base = Path(os.environ.get("APPDATA", Path.home() / "AppData" / "Roaming"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "posewright"


def find_file(name: str | Path, gender: str, side: str) -> Path:
    """Return the file of a body by its name, or the path itself if it is one.

    Raises:
        LookupError: unknown name or gender, or no such file; lists where was looked.
    """
    if Path(name).suffix.lower() in SUFFIXES or Path(name).is_file():
        return _existing(Path(name))
    kind = str(name).lower()
    if kind not in NAMES:
        known = ", ".join(("anny", *NAMES, "mhr"))
        raise LookupError(
            f"no body {str(name)!r}; the known ones are: {known}, or the path of a .npz or .pkl file"
        )
    for option, value, known in (
        ("gender", gender, ("neutral", "male", "female")),
        ("side", side, ("left", "right")),
    ):
        if value not in known:
            raise LookupError(f"{option} is {value!r}, expected one of {', '.join(known)}")
    wanted = _wanted(kind, gender, side)
    if found := search_files(kind, wanted):
        return found
    looked = ", ".join(map(str, search_folders()))
    raise LookupError(
        f"no file of body {kind} ({gender if kind != 'mano' else side}) found in {looked}. These files are licensed by "
        f"their authors: register at their site and put e.g. {wanted[0]}.npz or .pkl into one of these folders, or "
        "name the folder in POSEWRIGHT_BODIES. The free body is 'anny'"
    )


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a body model, .npz or .pkl")
    return path


def _wanted(kind: str, gender: str, side: str) -> list[str]:
    """File names without suffix for these options."""
    patterns = [p for p in NAMES[kind] if p != "generic_model" or gender == "neutral"]
    return [p.format(gender=gender.upper(), letter=gender[0], side=side.upper()) for p in patterns]


def search_files(kind: str, wanted: list[str], suffixes: tuple[str, ...] = SUFFIXES) -> Path | None:
    """The first file of the search path that has one of the names.

    Args:
        kind: of the body, which sub-folders may be called.
        wanted: names without suffix, with folders before them where a name alone says nothing.
        suffixes: in the order of preference.
    """
    places = (_look(folder, kind, wanted, suffixes) for folder in search_folders())
    return next((p for p in places if p is not None), None)


def _look(folder: Path, kind: str, wanted: list[str], suffixes: tuple[str, ...]) -> Path | None:
    """The first file in a folder or the usual sub-folders that has one of the names.

    `{gender}/model` names no body by itself: it is looked for only in folders that do.
    """
    for sub in FOLDERS:
        for name in wanted:
            if "/" in name and "{name}" not in sub:
                continue
            place = folder / sub.format(name=kind)
            parent = place / name.rpartition("/")[0].lower()
            if found := _with_suffix(parent, name.rpartition("/")[2].lower(), suffixes):
                return found
    return None


def _with_suffix(folder: Path, stem: str, suffixes: tuple[str, ...]) -> Path | None:
    """The file of this name in a folder, whatever the case of its letters."""
    if not folder.is_dir():
        return None
    files = {p.name.lower(): p for p in folder.iterdir()}
    return next((files[stem + suffix] for suffix in suffixes if stem + suffix in files), None)
