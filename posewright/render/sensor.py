"""What a camera does to a picture: exposure, white balance, blur, noise, vignetting, compression.

Noise follows the usual sensor model, variance linear in the light: shot noise plus read noise (A. Foi et al.,
"Practical Poissonian-Gaussian noise modeling and fitting for single-image raw-data", IEEE TIP 2008), added in linear
light before the sRGB curve, so that shadows look noisier than highlights.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from posewright.core.errors import InputError
from posewright.render.mesh import srgb_to_linear
from posewright.render.shading import encode


@dataclass(frozen=True)
class Sensor:
    """How a camera takes a picture; the defaults change nothing but add the noise of a phone indoors."""

    exposure: float = 0.0
    """Stops: +1 doubles the light."""
    white_balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Factors on linear red, green, blue."""
    blur: float = 0.0
    """Standard deviation of the lens's blur, pixels."""
    motion: tuple[float, float] = (0.0, 0.0)
    """Pixels (x, y) the whole picture moves while the shutter is open."""
    shot_noise: float = 0.012
    """Standard deviation at full light, as a share of it; grows with the square root of the light."""
    read_noise: float = 0.003
    """Standard deviation in the dark, as a share of full light."""
    vignette: float = 0.0
    """Share of the light lost in the corners."""
    jpeg_quality: int | None = None
    """1 to 100; None: no compression."""


def expose(image: np.ndarray, sensor: Sensor, seed: int = 0) -> np.ndarray:
    """Take an ideal picture (H, W, 3) uint8 sRGB as `sensor` would; the same seed gives the same noise."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise InputError(f"expose: the picture is {image.dtype} {image.shape}, expected uint8 (H, W, 3)")
    light = np.asarray(srgb_to_linear(np.arange(256) / 255))[image]
    light = _blurred(light, sensor) * (_falloff(image.shape[:2], sensor.vignette)[..., None])
    light = light * (2.0**sensor.exposure * np.array(sensor.white_balance, np.float32)).astype(np.float32)
    noise = np.random.default_rng(seed).standard_normal(light.shape, np.float32)
    light += noise * np.sqrt(sensor.shot_noise**2 * light + sensor.read_noise**2).astype(np.float32)
    taken = encode(light)
    if sensor.jpeg_quality is None:
        return taken
    _, data = cv2.imencode(".jpg", taken[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, sensor.jpeg_quality])
    return np.ascontiguousarray(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1])


def shutter(frames: Sequence[np.ndarray]) -> np.ndarray:
    """Mean in linear light of pictures taken while the shutter is open: motion blur of moving people."""
    if not len(frames):
        raise InputError("shutter: no pictures; expected at least one")
    table = np.asarray(srgb_to_linear(np.arange(256) / 255))
    return encode(np.asarray(np.mean([table[frame] for frame in frames], axis=0, dtype=np.float32)))


def random_sensor(seed: int) -> Sensor:
    """Draw a plausible camera: phone or action camera, indoors or out."""
    rng = np.random.default_rng(seed)
    exposure = float(rng.normal(0, 0.25))
    red, green, blue = np.exp(rng.normal(0, 0.04, 3)).tolist()
    return Sensor(
        exposure=exposure,
        white_balance=(red, green, blue),
        blur=float(rng.uniform(0.2, 0.9)),
        shot_noise=float(rng.uniform(0.005, 0.03)),
        read_noise=float(rng.uniform(0.001, 0.008)),
        vignette=float(rng.uniform(0, 0.25)),
        jpeg_quality=int(rng.integers(70, 96)),
    )


def _blurred(light: np.ndarray, sensor: Sensor) -> np.ndarray:
    length = float(np.hypot(*sensor.motion))
    if length > 0:
        light = cv2.filter2D(light, -1, _streak(sensor.motion), borderType=cv2.BORDER_REPLICATE)
    if sensor.blur > 0:
        light = cv2.GaussianBlur(light, (0, 0), sensor.blur, borderType=cv2.BORDER_REPLICATE)
    return light


def _streak(motion: tuple[float, float]) -> np.ndarray:
    """Kernel of a straight, even motion: samples a quarter pixel apart, shared bilinearly, summing to 1."""
    length = float(np.hypot(*motion))
    half = int(np.ceil(length / 2)) + 1
    along = np.linspace(-0.5, 0.5, int(np.ceil(4 * length)) + 1)[:, None] * np.asarray(motion)
    offset = np.arange(-half, half + 1)
    near_x, near_y = (np.clip(1 - np.abs(along[:, i : i + 1] - offset), 0, None) for i in (0, 1))
    kernel = near_y.T @ near_x
    return (kernel / kernel.sum()).astype(np.float32)


def _falloff(shape: tuple[int, int], loss: float) -> np.ndarray:
    """Share of the light (H, W) left at each pixel; the loss grows with the square of the distance."""
    y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in shape)
    return 1 - loss * (x[None] ** 2 + y[:, None] ** 2) / 2
