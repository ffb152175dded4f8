"""`load_body`: a body by name, or from a file of the user's own."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

from posewright.bodies.model import BodyModel
from posewright.core.errors import InputError

if TYPE_CHECKING:
    from posewright.bodies.mhr import MHRModel


@overload
def load_body(name: Literal["mhr"], path: str | Path | None = None, **options) -> "MHRModel": ...
@overload
def load_body(name: str | Path = "anny", path: str | Path | None = None, **options) -> BodyModel: ...
def load_body(name: str | Path = "anny", path: str | Path | None = None, **options) -> BodyModel:
    """Load a parametric body.

    Args:
        name: `anny` (free, made once and cached); a body whose files are the user's own: `smpl`, `smplh`, `smplx`,
            `mano`, `flame`, `mhr`; or the path of such a file.
        path: the file of the named body; None: looked for in the search path (`bodies.smpl_files`).
        options: `skinning` (`linear`, `dual_quaternion`) and `dtype` for every body; `topology` and `zero_pose` for
            `anny` (see `bodies.anny.load_anny`); `correctives` for `mhr` (see `bodies.mhr.load_mhr`); `gender`, `side`
            and `betas` for the others (see `bodies.smpl.load_smpl`).

    Returns:
        A model without learned parameters: `body(body.rest_params())` is its mean shape in the zero pose.

    Raises:
        LookupError: unknown name, or no file of this body was found; says where was looked.
        InputError: a file that is not a body model, or another one than the named.
    """
    if str(name) == "anny":
        if path is not None:
            raise ValueError(f"anny has no file of the user's own, but path is {path}; leave it out")
        from posewright.bodies.anny import load_anny

        return load_anny(**options)
    if str(name).lower() == "mhr":
        from posewright.bodies.mhr import load_mhr

        return load_mhr(path, **options)
    if path is None:
        return _from_file(name, options)
    body = _from_file(path, options)
    if body.name != str(name).lower():
        raise InputError(f"{path}: holds the body {body.name}, expected {name}")
    return body


def _from_file(source: str | Path, options: dict) -> BodyModel:
    """A body by the path of its file, or one of the SMPL family by name."""
    from posewright.bodies.mhr_file import is_mhr_npz

    if Path(source).suffix.lower() == ".pt" or is_mhr_npz(Path(source)):
        from posewright.bodies.mhr import load_mhr

        return load_mhr(source, **options)
    from posewright.bodies.smpl import load_smpl

    return load_smpl(source, **options)
