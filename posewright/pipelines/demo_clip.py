"""The clip of `posewright demo`: two people, one walks past, one jumps off a box and leaves the picture.

From Sports2D (David Pagnon and contributors, https://github.com/davidpagnon/Sports2D), BSD-3-Clause: 1768x994 pixels,
230 frames, 30 per second. It is taken out of the wheel `sports2d==0.8.34`, of which nothing else is used.
"""

from collections.abc import Callable
from pathlib import Path

from posewright.core.assets import Asset, WheelMember, obtain

DEMO_CLIP = Asset(
    name="sports2d_demo.mp4",
    sha256="d9a66417185647b112304b57093f0c180f37a768e6a14daca75ca541f3b78039",
    size=3_968_304,
    sources=(WheelMember("sports2d==0.8.34", "Sports2D/Demo/demo.mp4"),),
    licence="BSD-3-Clause",
    credit="Sports2D demo clip, (c) 2022 perfanalytics (David Pagnon)",
)


def obtain_demo_clip(on_progress: Callable[[int, int], None] | None = None) -> Path:
    """Return the path of the demo clip, fetching it at the first call.

    Args:
        on_progress: told (bytes done, bytes in all).

    Raises:
        MissingAssetError: it could not be fetched; the message says what to do.
    """
    return obtain(DEMO_CLIP, (lambda done, total, _: on_progress(done, total)) if on_progress else None)
