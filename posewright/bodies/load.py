"""`load_body`: a body by name, or from a file of the user's own."""

from pathlib import Path

from posewright.bodies.model import BodyModel


def load_body(name: str | Path = "anny", **options) -> BodyModel:
    """Load a parametric body.

    Args:
        name: `anny` (free, made once and cached), or a body of the SMPL family whose files are the user's own: `smpl`,
            `smplh`, `smplx`, `mano`, `flame`, or the path of such a file.
        options: `skinning` (`linear`, `dual_quaternion`) and `dtype` for every body; `topology` and `zero_pose` for
            `anny` (see `bodies.anny.load_anny`); `gender`, `side` and `betas` for the others (see
            `bodies.smpl.load_smpl`).

    Returns:
        A model without learned parameters: `body(body.rest_params())` is its mean shape in the zero pose.

    Raises:
        LookupError: unknown name, or no file of this body was found; says where was looked.
        InputError: a file that is not a body model.
    """
    if str(name) == "anny":
        from posewright.bodies.anny import load_anny

        return load_anny(**options)
    from posewright.bodies.smpl import load_smpl

    return load_smpl(name, **options)
