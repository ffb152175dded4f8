import math
import time

import numpy as np
import pytest

from posewright.geometry import signals as s

FPS = 50.0
FILTERS = {
    "butterworth": lambda x: s.butterworth(x, FPS, 6.0),
    "savgol": lambda x: s.savgol(x, FPS, 0.2),
    "one_euro": lambda x: s.one_euro(x, FPS),
    "one_euro_zero_lag": lambda x: s.one_euro(x, FPS, zero_lag=True),
    "kalman": lambda x: s.kalman(x, FPS, 6.0),
    "median": lambda x: s.median(x, FPS, 0.1),
}


def wave(hz, frames=2000, fps=FPS):
    return np.sin(2 * np.pi * hz * np.arange(frames) / fps + 0.3)


def amplitude(x):
    """Of the middle half, by its energy."""
    return np.sqrt(2) * x[len(x) // 4 : -len(x) // 4].std()


@pytest.mark.parametrize("name", FILTERS)
def test_contract_constant_stays_and_shape_is_kept(name):
    for frames in (0, 1, 2, 3, 5, 40):
        x = np.full((frames, 2, 3), 7.25)
        out = FILTERS[name](x)
        assert out.dtype == np.float64
        np.testing.assert_allclose(out, x, atol=1e-6)


@pytest.mark.parametrize("name", FILTERS)
def test_contract_noise_shrinks_and_the_input_is_untouched(name):
    x = np.random.default_rng(0).normal(size=(500, 4))
    copy = x.copy()
    assert FILTERS[name](x).std() < 0.8
    np.testing.assert_array_equal(x, copy)


@pytest.mark.parametrize("name", FILTERS)
def test_contract_gaps_stay_and_separate_runs(name):
    x = np.random.default_rng(0).normal(size=(60, 3)).cumsum(0)
    x[20:30, 0] = np.nan
    x[:5, 1] = np.nan
    x[-1, 2] = np.nan
    out = FILTERS[name](x)
    np.testing.assert_array_equal(np.isnan(out), np.isnan(x))
    if name not in ("kalman",):  # the smoother carries what it knows across a gap
        np.testing.assert_allclose(out[:20, 0], FILTERS[name](x[:20, 0]), atol=1e-9)
        np.testing.assert_allclose(out[30:, 0], FILTERS[name](x[30:, 0]), atol=1e-9)


@pytest.mark.parametrize("name", FILTERS)
def test_contract_channels_are_independent(name):
    x = np.random.default_rng(0).normal(size=(60, 2, 3)).cumsum(0)
    x[10:13, 1, 2] = np.nan
    out = FILTERS[name](x)
    np.testing.assert_allclose(out[:, 1, 2], FILTERS[name](x[:, 1, 2]), atol=1e-9)


@pytest.mark.parametrize("name", ["butterworth", "savgol", "kalman", "median"])
def test_contract_no_delay(name):
    x = np.random.default_rng(0).normal(size=(80, 2)).cumsum(0)
    np.testing.assert_allclose(FILTERS[name](x[::-1])[::-1], FILTERS[name](x), atol=1e-4)


@pytest.mark.parametrize("name", ["savgol", "kalman"])
def test_law_polynomials_pass(name):
    t = np.arange(60) / FPS
    np.testing.assert_allclose(FILTERS[name](3 + 2 * t - 4 * t**2), 3 + 2 * t - 4 * t**2, atol=1e-5)


@pytest.mark.parametrize("order", [2, 4, 6, 8])
@pytest.mark.parametrize("cutoff", [2.0, 6.0, 20.0])
def test_convention_cutoff_of_butterworth(cutoff, order):
    assert amplitude(s.butterworth(wave(cutoff), FPS, cutoff, order)) == pytest.approx(
        math.sqrt(0.5), abs=0.003
    )


@pytest.mark.parametrize("cutoff", [0.5, 1.0, 2.0, 3.0])
def test_convention_cutoff_of_kalman(cutoff):
    assert amplitude(s.kalman(wave(cutoff), FPS, cutoff)) == pytest.approx(math.sqrt(0.5), abs=0.02)


def test_law_filter_above_half_the_frame_rate_does_nothing():
    x = np.random.default_rng(0).normal(size=(50, 3))
    np.testing.assert_array_equal(s.butterworth(x, 10.0, 6.0), x)
    np.testing.assert_array_equal(s.kalman(x, 10.0, 6.0), x)


def test_law_one_euro_follows_fast_motion_and_zero_lag_does_not_lag():
    def delay(out, hz):
        x = wave(hz)
        lags = range(-10, 11)
        return max(lags, key=lambda lag: np.dot(x[500:1500], out[500 + lag : 1500 + lag]))

    slow = s.one_euro(wave(1.0), FPS, beta=0.0)
    fast = s.one_euro(wave(1.0), FPS, beta=5.0)
    assert delay(slow, 1.0) > delay(fast, 1.0) >= 0
    assert delay(s.one_euro(wave(1.0), FPS, beta=0.0, zero_lag=True), 1.0) == 0


def test_convention_one_euro_equations():
    """Two frames by hand, from the paper's equations."""
    out = s.one_euro(np.array([0.0, 1.0]), 10.0, min_cutoff_hz=1.0, beta=0.5, derivative_cutoff_hz=2.0)

    def share(cutoff):
        return 1 / (1 + 10.0 / (2 * math.pi * cutoff))

    speed = share(2.0) * 10.0
    assert out[1] == pytest.approx(share(1.0 + 0.5 * speed))


def test_law_kalman_is_the_weighted_least_squares_solution():
    """The smoother equals the batch solution of its own model (Gauss-Markov), by brute force."""
    rng = np.random.default_rng(0)
    T, cutoff = 12, 6.0
    y, w = rng.normal(size=T).cumsum(), rng.uniform(0.2, 1, T)
    y[5:7] = np.nan
    q = (2 * math.pi * cutoff / FPS) ** 6 / (math.sqrt(2) - 1)
    A = np.array([[1, 1, 0.5], [0, 1, 1], [0, 0, 1]])
    Q = q * np.array([[1 / 20, 1 / 8, 1 / 6], [1 / 8, 1 / 3, 1 / 2], [1 / 6, 1 / 2, 1]])
    information = np.zeros((3 * T, 3 * T))
    information[:3, :3] = np.diag(1 / np.array(s.DIFFUSE))
    right = np.zeros(3 * T)
    right[0] = y[0] / s.DIFFUSE[0]
    for t in range(T - 1):
        J = np.zeros((3, 3 * T))
        J[:, 3 * t : 3 * t + 3], J[:, 3 * t + 3 : 3 * t + 6] = -A, np.eye(3)
        information += J.T @ np.linalg.solve(Q, J)
    for t in np.flatnonzero(np.isfinite(y)):
        information[3 * t, 3 * t] += w[t]
        right[3 * t] += w[t] * y[t]
    expected = np.linalg.solve(information, right)[::3]
    np.testing.assert_allclose(s.kalman(y, FPS, cutoff, w, max_gap=1.0), expected, rtol=1e-6)


def test_law_kalman_weights_and_gaps():
    x = wave(0.5, 200)
    x[50:60], x[100:140] = np.nan, np.nan
    x[170] += 100
    w = np.ones(200)
    w[170] = 0
    out = s.kalman(x, FPS, 5.0, w, max_gap=0.3)
    assert np.isfinite(out[50:60]).all()
    assert np.isnan(out[100:140]).all()
    np.testing.assert_allclose(out[50:60], wave(0.5, 200)[50:60], atol=0.01)
    assert abs(out[170] - wave(0.5, 200)[170]) < 0.01
    joints = np.repeat(x[:, None, None], 3, axis=2)
    np.testing.assert_allclose(s.kalman(joints, FPS, 5.0, w[:, None], max_gap=0.3)[:, 0, 1], out)


def test_law_hampel_finds_spikes_only():
    x = np.repeat(wave(0.5, 300)[:, None], 2, axis=1)
    spiked = x.copy()
    spiked[[40, 41, 200], 0] += [3, 3, -2]
    spiked[100:110, 1] = np.nan
    out, outlier = s.hampel(spiked, FPS, floor=0.1)
    assert set(zip(*np.nonzero(outlier), strict=True)) == {(40, 0), (41, 0), (200, 0)}
    np.testing.assert_array_equal(np.isnan(out), np.isnan(spiked) | outlier)


def test_law_median_is_numpys():
    x = np.random.default_rng(0).normal(size=(40, 3))
    x[10:14, 1] = np.nan
    out = s.median(x, FPS, 0.1)
    for t in (0, 1, 7, 11, 15, 39):
        for c in range(3):
            if np.isfinite(x[t, c]):
                assert out[t, c] == pytest.approx(np.nanmedian(x[max(0, t - 2) : t + 3, c]))


@pytest.mark.parametrize("method", ["linear", "pchip"])
def test_law_fill_gaps_up_to_the_limit(method):
    x = np.repeat(np.linspace(0, 5, 51)[:, None], 2, axis=1)
    holes = x.copy()
    holes[10:15, 0] = holes[20:26, 0] = np.nan
    holes[:3, 1] = holes[49:, 1] = np.nan
    out = s.fill_gaps(holes, FPS, 5 / FPS, method)
    np.testing.assert_allclose(out[10:15, 0], x[10:15, 0])
    assert np.isnan(out[20:26, 0]).all()
    assert np.isnan(out[:3, 1]).all()
    assert np.isnan(out[49:, 1]).all()
    seen = np.isfinite(holes)
    np.testing.assert_array_equal(out[seen], holes[seen])


@pytest.mark.parametrize("method", ["linear", "pchip"])
def test_law_fill_gaps_of_nothing(method):
    empty = np.full((10, 2), np.nan)
    empty[4, 1] = 1.0
    np.testing.assert_array_equal(s.fill_gaps(empty, FPS, 1.0, method), empty)
    assert s.fill_gaps(np.zeros((0, 2)), FPS, 1.0, method).shape == (0, 2)


@pytest.mark.parametrize("method", ["linear", "pchip"])
def test_law_resample(method):
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.01, 0.06, 200))
    x = np.stack([2 * times + 1, -times], -1)
    x[100:103, 1] = np.nan
    new = s.uniform_times(times, 30.0)
    out = s.resample(x, times, new, method)
    np.testing.assert_allclose(out[:, 0], 2 * new + 1)
    lost = (new > times[99]) & (new < times[103])
    np.testing.assert_array_equal(np.isnan(out[:, 1]), lost)
    np.testing.assert_allclose(s.resample(x, times, new, method, max_gap=1.0)[:, 1], -new)
    assert np.isnan(s.resample(x, times, np.array([times[0] - 1, times[-1] + 1]), method)).all()
    np.testing.assert_allclose(s.resample(x, times, times, method), x)


def test_law_bad_arguments_are_named():
    with pytest.raises(ValueError, match="fps"):
        s.butterworth(np.zeros(5), 0.0)
    with pytest.raises(ValueError, match="even"):
        s.butterworth(np.zeros(5), 30.0, order=3)
    with pytest.raises(ValueError, match="increasing"):
        s.resample(np.zeros(2), np.zeros(2), np.zeros(1))
    with pytest.raises(ValueError, match="linear"):
        s.fill_gaps(np.zeros(3), 30.0, 1.0, "cubic")


def test_law_long_recordings_are_quick():
    x = np.random.default_rng(0).normal(size=(3000, 26, 3)).cumsum(0)
    start = time.process_time()
    for smooth in FILTERS.values():
        smooth(x)
    assert time.process_time() - start < 10
