"""Signals over time: smoothing, outliers, gaps, resampling.

Convention: numpy arrays with time first and any trailing dimensions, each channel by itself; NaN is missing. Filters
work on each unbroken run of frames and leave NaN where it was: nothing is bridged unless `fill_gaps` (or a `max_gap`)
says so. `fps` is frames per second, frequencies are in hertz, windows and gaps in seconds, results float64.

`cutoff_hz` means the same in `butterworth` and `kalman`: the frequency whose amplitude is reduced to 1 / sqrt(2) by the
whole filter, both passes taken together. Frequencies from fps / 2 on do not exist in the data: with a cutoff there or
above, nothing is filtered.
"""

import math
from collections.abc import Callable

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.signal import butter, savgol_filter, sosfiltfilt

DIFFUSE = (1e9, 1e8, 1e7)
"""Variance of the Kalman smoother's first position, speed and acceleration (per frame) in variances of a measurement:
nothing is assumed of them."""


def butterworth(values: np.ndarray, fps: float, cutoff_hz: float = 6.0, order: int = 4) -> np.ndarray:
    """Low-pass filter without delay: a Butterworth filter of half the order, forwards and backwards.

    Winter, "Biomechanics and motor control of human movement", section 2.2.4.4, there called fourth-order zero-lag.
    Runs shorter than the filter's memory are padded by point reflection; a run of one frame stays as it is.

    Args:
        values: (T, ...).
        fps: frames per second.
        cutoff_hz: see the module.
        order: of the whole filter, even.
    """
    _check_rate(fps, cutoff_hz)
    if order < 2 or order % 2:
        raise ValueError(
            f"butterworth: order is {order}, expected an even number: half of it is run each way"
        )
    if cutoff_hz >= fps / 2:
        return np.array(values, dtype=np.float64)
    # each pass reduces less than the whole does: its own cutoff lies higher (bilinear frequencies are tangents)
    once = math.tan(math.pi * cutoff_hz / fps) / (math.sqrt(2) - 1) ** (1 / order)
    sections = butter(order // 2, 2 * math.atan(once) / math.pi, output="sos")
    memory = math.ceil(max(2 * fps / cutoff_hz, 3 * order))

    def smooth(run: np.ndarray) -> np.ndarray:
        if len(run) == 1:
            return run
        out = np.empty_like(run)
        out[...] = sosfiltfilt(sections, run, axis=0, padlen=min(memory, len(run) - 1))
        return out

    return _by_runs(values, smooth)


def savgol(values: np.ndarray, fps: float, window: float = 0.25, degree: int = 2) -> np.ndarray:
    """Savitzky-Golay: a polynomial fitted to each frame's neighbourhood.

    Args:
        values: (T, ...).
        fps: frames per second.
        window: seconds; made an odd number of frames, fewer in shorter runs. With no more than `degree` + 1 of them
            the polynomial would pass through all and the values stay.
        degree: of the polynomial.
    """
    _check_rate(fps, 1 / window)
    frames = 2 * round((window * fps - 1) / 2) + 1

    def smooth(run: np.ndarray) -> np.ndarray:
        width = min(frames, len(run) - (len(run) + 1) % 2)
        out = run.copy()
        if width > degree + 1:
            out[...] = savgol_filter(run, width, degree, axis=0, mode="interp")
        return out

    return _by_runs(values, smooth)


def one_euro(
    values: np.ndarray,
    fps: float,
    min_cutoff_hz: float = 1.0,
    beta: float = 1.0,
    derivative_cutoff_hz: float = 1.0,
    *,
    zero_lag: bool = False,
) -> np.ndarray:
    """Filter as it can be done live: strongly when slow, weakly when fast (Casiez, Roussel, Vogel, CHI 2012).

    Args:
        values: (T, ...).
        fps: frames per second.
        min_cutoff_hz: cutoff at rest; lower is smoother and slower.
        beta: hertz of cutoff gained per unit / second of speed; for metres, 1 to 10.
        derivative_cutoff_hz: cutoff of the speed itself.
        zero_lag: run it over its own result backwards, which cancels the delay; not possible live.
    """
    _check_rate(fps, min_cutoff_hz)
    out = _one_euro_pass(np.asarray(values, dtype=np.float64), fps, min_cutoff_hz, beta, derivative_cutoff_hz)
    if not zero_lag:
        return out
    return _one_euro_pass(out[::-1], fps, min_cutoff_hz, beta, derivative_cutoff_hz)[::-1].copy()


def kalman(
    values: np.ndarray,
    fps: float,
    cutoff_hz: float = 6.0,
    weights: np.ndarray | None = None,
    max_gap: float = 0.0,
) -> np.ndarray:
    """Smooth with a constant-acceleration Kalman filter and Rauch-Tung-Striebel smoother.

    Acceleration drifts by white jerk; its strength follows from `cutoff_hz`: over a long recording the smoother's
    amplitude is 1 / (1 + (f / f0)^6), f0 = cutoff / (sqrt(2) - 1)^(1/6). Ends and gaps are where it beats a fixed
    filter, and single frames can count less.

    Args:
        values: (T, ...).
        fps: frames per second.
        cutoff_hz: see the module.
        weights: (T, ...) or broadcastable from the left, such as confidences: a frame of weight w counts as w frames; 0
            is missing.
        max_gap: gaps up to this many seconds are filled with the smoother's own estimate; longer ones stay NaN.
    """
    _check_rate(fps, cutoff_hz)
    values = np.asarray(values, dtype=np.float64)
    flat = _channels(values)
    trust = np.isfinite(flat).astype(np.float64)
    if weights is not None:
        trailing = np.reshape(weights, (*np.shape(weights), *[1] * (values.ndim - np.ndim(weights))))
        trust = trust * np.nan_to_num(np.broadcast_to(trailing, values.shape).reshape(flat.shape))
    if cutoff_hz >= fps / 2 or not flat.size:
        return np.where(trust > 0, flat, np.nan).reshape(values.shape)
    speed = 2 * math.pi * cutoff_hz / fps / (math.sqrt(2) - 1) ** (1 / 6)
    smooth = _rts_smooth(np.nan_to_num(flat), trust, speed**6)
    seen = trust > 0
    return np.where(seen | _short_gaps(seen, max_gap * fps), smooth, np.nan).reshape(values.shape)


def median(values: np.ndarray, fps: float, window: float = 0.25) -> np.ndarray:
    """Running median over `window` seconds (an odd number of frames); NaN stays, and is left out of its neighbours'."""
    return np.where(np.isnan(values), np.nan, _running_median(np.asarray(values, np.float64), fps, window))


def hampel(
    values: np.ndarray, fps: float, window: float = 0.35, sigmas: float = 3.0, floor: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Remove outliers: frames further from the running median than `sigmas` robust standard deviations.

    Args:
        values: (T, ...).
        fps: frames per second.
        window: seconds.
        sigmas: robust standard deviations (1.4826 times the running median of the absolute deviations).
        floor: deviations up to this size, in the unit of the values, are never outliers.

    Returns:
        The values with outliers made NaN, and where they were (T, ...) bool.
    """
    values = np.asarray(values, np.float64)
    deviation = np.abs(values - _running_median(values, fps, window))
    limit = np.maximum(sigmas * 1.4826 * _running_median(deviation, fps, window), floor)
    outlier = deviation > limit * (1 + 1e-9) + 1e-300
    return np.where(outlier, np.nan, values), outlier


def fill_gaps(values: np.ndarray, fps: float, max_gap: float, method: str = "linear") -> np.ndarray:
    """Interpolate over missing frames inside a recording; never before its first or after its last frame.

    Args:
        values: (T, ...).
        fps: frames per second.
        max_gap: seconds; gaps of more than `max_gap * fps` frames stay.
        method: `linear`, or `pchip`: a cubic that does not overshoot (Fritsch, Carlson 1980).
    """
    _check_rate(fps, 1.0)
    values = np.asarray(values, np.float64)
    flat = _channels(values)
    seen = np.isfinite(flat)
    filled = resample(flat, np.arange(len(flat)), np.arange(len(flat)), method, max_gap=math.inf)
    return np.where(~seen & _short_gaps(seen, max_gap * fps), filled, flat).reshape(values.shape)


def resample(
    values: np.ndarray,
    times: np.ndarray,
    new_times: np.ndarray,
    method: str = "linear",
    max_gap: float = 0.0,
) -> np.ndarray:
    """Evaluate a recording at other times, such as uniform ones for a clip of variable frame rate.

    Args:
        values: (T, ...).
        times: (T,) seconds, increasing.
        new_times: (N,) seconds.
        method: `linear` or `pchip`.
        max_gap: a new time between two measured frames is filled only where no frame between them is missing, or they
            are no more than `max_gap` seconds apart; else it is NaN, as it is outside the recording.
    """
    values, times, new_times = (np.asarray(a, np.float64) for a in (values, times, new_times))
    if times.shape != (len(values),) or (np.diff(times) <= 0).any():
        raise ValueError(f"resample: times has shape {times.shape}, expected ({len(values)},), increasing")
    if method not in ("linear", "pchip"):
        raise ValueError(f"resample: method is {method!r}, expected 'linear' or 'pchip'")
    flat = _channels(values)
    out = np.full((len(new_times), flat.shape[1]), np.nan)
    for channels, seen in _by_pattern(np.isfinite(flat)):
        frames = np.flatnonzero(seen)
        if len(frames):
            out[:, channels] = _interpolate(
                flat[np.ix_(frames, channels)], frames, times, new_times, method, max_gap
            )
    return out.reshape(len(new_times), *values.shape[1:])


def uniform_times(times: np.ndarray, fps: float) -> np.ndarray:
    """Times at `fps` from the first of `times` to the last."""
    return times[0] + np.arange(math.floor((times[-1] - times[0]) * fps + 1e-6) + 1) / fps


def _interpolate(
    known: np.ndarray,
    frames: np.ndarray,
    times: np.ndarray,
    new_times: np.ndarray,
    method: str,
    max_gap: float,
) -> np.ndarray:
    """Interpolate channels that are known at the same frames."""
    at = times[frames]
    after = np.clip(np.searchsorted(at, new_times), 1, max(len(at) - 1, 1))
    before, after = after - 1, np.minimum(after, len(at) - 1)
    span = np.where(after > before, at[after] - at[before], 1.0)
    share = (new_times - at[before]) / span
    if method == "pchip" and len(at) > 1:
        out = PchipInterpolator(at, known, axis=0, extrapolate=True)(new_times)
    else:
        out = known[before] + (known[after] - known[before]) * share[:, None]
    near = 1e-9 * (1 + np.abs(new_times))
    inside = (new_times >= at[0] - near) & (new_times <= at[-1] + near)
    bridged = (frames[after] - frames[before] <= 1) | (span <= max_gap)
    exact = (np.abs(new_times - at[before]) <= near) | (np.abs(new_times - at[after]) <= near)
    return np.where((inside & (bridged | exact))[:, None], out, np.nan)


def _channels(values: np.ndarray) -> np.ndarray:
    """View (T, ...) as (T, channels)."""
    return values.reshape(len(values), math.prod(values.shape[1:]))


def _by_runs(values: np.ndarray, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Apply `function` to every unbroken run of frames, all channels with the same gaps at once."""
    values = np.array(values, dtype=np.float64)
    flat = _channels(values)
    for channels, seen in _by_pattern(np.isfinite(flat)):
        edges = np.flatnonzero(np.diff(np.concatenate([[False], seen, [False]]).astype(np.int8)))
        for start, stop in edges.reshape(-1, 2):
            flat[start:stop, channels] = function(flat[start:stop, channels])
    return flat.reshape(values.shape)


def _by_pattern(seen: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Group the channels of (T, C) bool that are missing at the same frames: (channels, (T,) bool) each."""
    if not seen.size:
        return []
    packed = np.ascontiguousarray(np.packbits(seen, axis=0).T)
    _, first, group = np.unique(packed, axis=0, return_index=True, return_inverse=True)
    group = group.reshape(-1)
    return [(np.flatnonzero(group == g), seen[:, first[g]]) for g in range(len(first))]


def _short_gaps(seen: np.ndarray, max_frames: float) -> np.ndarray:
    """(T, C) bool: missing frames of gaps no longer than `max_frames`, with measured frames on both sides."""
    T = len(seen)
    frame = np.arange(T)[:, None]
    before = np.maximum.accumulate(np.where(seen, frame, -1), axis=0)
    after = np.minimum.accumulate(np.where(seen, frame, T)[::-1], axis=0)[::-1]
    return ~seen & (before >= 0) & (after < T) & (after - before - 1 <= max_frames + 1e-6)


def _one_euro_pass(
    values: np.ndarray, fps: float, min_cutoff: float, beta: float, derivative_cutoff: float
) -> np.ndarray:
    """One pass in the direction of time; starts afresh after every gap."""
    out = np.empty_like(values)
    smooth, speed = np.full(values.shape[1:], np.nan), np.zeros(values.shape[1:])
    fixed = _exponential_share(derivative_cutoff, fps)
    for t, value in enumerate(values):
        fresh = np.isnan(smooth)
        change = np.where(fresh, 0.0, (value - smooth) * fps)
        speed = np.where(fresh, 0.0, speed + fixed * (change - speed))
        share = _exponential_share(min_cutoff + beta * np.abs(speed), fps)
        smooth = np.where(fresh, value, smooth + share * (value - smooth))
        out[t] = smooth
    return out


def _exponential_share(cutoff: float | np.ndarray, fps: float) -> float | np.ndarray:
    """Weight of the new value in an exponential filter of this cutoff (eq. 6 of the 1 euro paper)."""
    turn = 2 * math.pi * np.asarray(cutoff) / fps
    return turn / (1 + turn)


def _rts_smooth(flat: np.ndarray, trust: np.ndarray, jerk: float) -> np.ndarray:
    """Kalman filter forwards, RTS smoother backwards, in units of one frame and measurement variance 1 / trust.

    Gains depend on when a channel is seen and how far it is trusted only: they are computed once per such pattern.
    """
    T = len(flat)
    patterns, group = np.unique(trust, axis=1, return_inverse=True)
    group = group.reshape(-1)
    A = np.array([[1, 1, 0.5], [0, 1, 1], [0, 0, 1]])
    Q = jerk * np.array([[1 / 20, 1 / 8, 1 / 6], [1 / 8, 1 / 3, 1 / 2], [1 / 6, 1 / 2, 1]])
    first = np.argmax(trust > 0, axis=0)
    x = np.zeros((flat.shape[1], 3))
    x[:, 0] = flat[first, np.arange(flat.shape[1])]
    P = np.broadcast_to(np.diag(DIFFUSE), (patterns.shape[1], 3, 3))
    states, back = np.empty((T, *x.shape)), np.empty((T, *P.shape))
    for t in range(T):
        if t:
            predicted = A @ P @ A.T + Q
            back[t - 1] = np.linalg.solve(predicted, A @ P).swapaxes(-1, -2)
            P, x = predicted, x @ A.T
        gain = P[:, :, 0] * (patterns[t] / (1 + patterns[t] * P[:, 0, 0]))[:, None]
        x = x + gain[group] * (flat[t] - x[:, 0])[:, None]
        P = P - gain[:, :, None] * P[:, None, 0, :]
        states[t] = x
    for t in range(T - 2, -1, -1):
        x = states[t] + np.einsum("cij,cj->ci", back[t][group], x - states[t] @ A.T)
        states[t, :, 0] = x[:, 0]
    return states[..., 0]


def _running_median(values: np.ndarray, fps: float, window: float) -> np.ndarray:
    """Median of the measured frames in a window about each frame, NaN where there is none; in blocks, for memory."""
    _check_rate(fps, 1 / window)
    half = round((window * fps - 1) / 2)
    flat = _channels(values)
    padded = np.pad(flat, ((half, half), (0, 0)), constant_values=np.nan)
    out = np.empty_like(flat)
    block = max(1, 2_000_000 // max(1, flat.shape[1] * (2 * half + 1)))
    for start in range(0, len(flat), block):
        piece = padded[start : start + block + 2 * half]
        ordered = np.sort(np.lib.stride_tricks.sliding_window_view(piece, 2 * half + 1, axis=0), axis=-1)
        count = np.isfinite(ordered).sum(-1, keepdims=True)  # NaN is sorted last
        middle = [np.maximum(count - 1, 0) // 2, np.maximum(count // 2, 0)]
        low, high = (np.take_along_axis(ordered, np.minimum(m, 2 * half), axis=-1)[..., 0] for m in middle)
        out[start : start + block] = (low + high) / 2
    return out.reshape(values.shape)


def _check_rate(fps: float, cutoff_hz: float) -> None:
    if not (np.isfinite(fps) and fps > 0):
        raise ValueError(f"fps is {fps}, expected a positive number of frames per second")
    if not cutoff_hz > 0:
        raise ValueError(f"cutoff (or 1 / window) is {cutoff_hz} Hz, expected a positive number")
