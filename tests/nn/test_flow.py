"""Flow matching: straight paths, what is learned from them, and how fast the solvers converge."""

import math

import pytest
import torch

from posewright.core.errors import InputError
from posewright.nn.flow import (
    EVALUATIONS,
    RandomFourierEmbedding,
    on_path,
    path_velocity,
    sample_ode,
    training_pair,
)

ORDERS = {"euler": 1, "midpoint": 2, "heun": 2}


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_convention_time_runs_from_noise_to_data():
    noise, data = normal(3, 4, 5), normal(3, 4, 5, seed=1)
    state = on_path(noise, data, torch.tensor([0.0, 1.0, 0.5], dtype=torch.float64))
    assert torch.equal(state[0], noise[0])
    assert torch.equal(state[1], data[1])
    torch.testing.assert_close(state[2], (noise[2] + data[2]) / 2)


def test_law_the_velocity_is_the_derivative_of_the_path():
    noise, data, times = normal(6, 3), normal(6, 3, seed=1), torch.rand(6, dtype=torch.float64)
    step = 1e-5
    slope = (on_path(noise, data, times + step) - on_path(noise, data, times - step)) / (2 * step)
    torch.testing.assert_close(slope, path_velocity(noise, data), atol=1e-8, rtol=1e-8)


def test_law_a_training_pair_lies_on_its_path():
    data, noise = normal(7, 2, 3), normal(7, 2, 3, seed=1)
    torch.manual_seed(0)
    pair = training_pair(data, noise)
    assert pair.times.shape == (7,)
    torch.testing.assert_close(pair.state, on_path(noise, data, pair.times))
    rest = (1 - pair.times)[:, None, None] * pair.velocity
    torch.testing.assert_close(pair.state + rest, data)
    torch.manual_seed(0)
    drawn = training_pair(data)
    torch.manual_seed(0)
    assert torch.equal(training_pair(data).state, drawn.state)
    assert float(training_pair(torch.zeros(20_000)).times.mean()) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("solver", ORDERS)
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_law_a_straight_path_is_exact_in_one_step(solver, steps):
    noise, data = normal(5, 17, 3), normal(5, 17, 3, seed=1)
    end = sample_ode(lambda x, t: path_velocity(noise, data), noise, steps, solver)
    torch.testing.assert_close(end, data, atol=1e-13, rtol=0)


@pytest.mark.parametrize("steps", [1, 3, 8])
def test_law_euler_follows_the_flow_to_one_point_exactly(steps):
    """All its paths are straight, whatever their start: its velocity is (point - x) / (1 - t)."""
    start, point = normal(5, 3), normal(3, seed=1)
    end = sample_ode(lambda x, t: (point - x) / (1 - t), start, steps)
    torch.testing.assert_close(end, point.expand(5, 3), atol=1e-12, rtol=0)


@pytest.mark.parametrize(("solver", "order"), ORDERS.items())
def test_law_solvers_converge_with_their_order(solver, order):
    """dx/dt = -2 x + t, whose solution is known: halving the step divides the error by 2 to the order."""
    start = normal(8)

    def exact(t):
        return (start + 0.25) * math.exp(-2 * t) + t / 2 - 0.25

    errors = [
        float((sample_ode(lambda x, t: -2 * x + t, start, steps, solver) - exact(1.0)).abs().max())
        for steps in (64, 128, 256)
    ]
    measured = [math.log2(a / b) for a, b in zip(errors[:-1], errors[1:], strict=True)]
    assert measured == pytest.approx([order, order], abs=0.1)


@pytest.mark.parametrize("solver", ORDERS)
def test_law_time_is_followed_too(solver):
    """dx/dt = 2 t: the midpoint and trapezoidal rules are exact, Euler's is behind by the step's length."""
    end = sample_ode(lambda x, t: torch.full_like(x, 2 * t), torch.zeros(1).double(), 4, solver)
    assert float(end) == pytest.approx(1 - 0.25 if solver == "euler" else 1)


@pytest.mark.parametrize("solver", ORDERS)
def test_convention_calls_are_counted(solver):
    times = []
    sample_ode(lambda x, t: times.append(t) or x, torch.zeros(2), 4, solver)
    assert len(times) == 4 * EVALUATIONS[solver]
    assert times[0] == 0
    assert max(times) <= 1


def test_law_a_gaussian_flows_to_a_gaussian():
    """The true velocity of the flow from N(0, 1) to N(m, s^2) carries samples of the one to samples of the other."""
    m, s = 3.0, 0.5

    def velocity(x, t):
        variance = (1 - t) ** 2 + (t * s) ** 2
        return m + (t * s * s - (1 - t)) / variance * (x - t * m)

    end = sample_ode(velocity, normal(50_000), 100, "heun")
    assert float(end.mean()) == pytest.approx(m, abs=0.02)
    assert float(end.std()) == pytest.approx(s, abs=0.02)


def test_law_fourier_features_of_time_zero_and_saved_frequencies():
    torch.manual_seed(0)
    embed = RandomFourierEmbedding(6)
    assert embed(torch.zeros(1))[0].tolist() == [0, 0, 0, 1, 1, 1]
    assert list(embed.state_dict()) == ["frequencies"]
    assert not list(embed.parameters())
    torch.manual_seed(1)
    assert not torch.equal(RandomFourierEmbedding(6).frequencies, embed.frequencies)
    one = embed(torch.tensor([0.3]))[0]
    torch.testing.assert_close(one[:3] ** 2 + one[3:] ** 2, torch.ones(3))


def test_wrong_settings_say_what_was_expected():
    with pytest.raises(InputError, match="0 steps.*at least 1"):
        sample_ode(lambda x, t: x, torch.zeros(1), 0)
    with pytest.raises(InputError, match="euler, midpoint, heun"):
        sample_ode(lambda x, t: x, torch.zeros(1), 1, "rk4")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="even number"):
        RandomFourierEmbedding(5)
