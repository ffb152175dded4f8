"""Diffusion: what holds for every schedule, conversion and sampler."""

import math

import pytest
import torch

from posewright.core.errors import InputError
from posewright.nn.diffusion import (
    Clamp,
    SinusoidalEmbedding,
    as_x0,
    cosine_schedule,
    ddim_step,
    ddpm_step,
    linear_schedule,
    noise_from_x0,
    q_sample,
    sample_ddim,
    sample_ddpm,
    sampling_times,
    velocity,
    x0_from_noise,
    x0_from_velocity,
)

SCHEDULES = [cosine_schedule(1000), cosine_schedule(50), linear_schedule(1000)]


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_law_levels_fall_from_clean_to_noise(schedule):
    levels = torch.cat([torch.ones(1).double(), schedule.levels])
    assert (levels.diff() < 0).all()
    assert schedule.level(-1) == 1
    assert schedule.level(0) > 0.99
    assert 0 < schedule.level(len(schedule) - 1) < 1e-3
    assert schedule.betas.dtype == torch.float64


def test_convention_cosine_levels_are_the_squared_cosine_of_the_paper():
    f = [math.cos((t / 100 + 0.008) / 1.008 * math.pi / 2) ** 2 for t in range(101)]
    expected = torch.tensor([x / f[0] for x in f[1:90]], dtype=torch.float64)
    torch.testing.assert_close(cosine_schedule(100).levels[:89], expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("step", [0, 10, 400, 999])
def test_law_q_sample_has_the_mean_and_spread_of_its_level(step):
    level = SCHEDULES[0].level(step)
    x = q_sample(torch.full((200_000,), 0.7, dtype=torch.float64), normal(200_000), level)
    assert float(x.mean()) == pytest.approx(0.7 * math.sqrt(level), abs=0.01 * math.sqrt(1 - level))
    assert float(x.std()) == pytest.approx(math.sqrt(1 - level), rel=0.01)


def test_law_one_level_per_item_equals_one_by_one():
    steps = torch.tensor([0, 500, 999])
    x0, noise = normal(3, 4, 5), normal(3, 4, 5, seed=1)
    together = q_sample(x0, noise, SCHEDULES[0].levels[steps])
    for i, step in enumerate(steps.tolist()):
        torch.testing.assert_close(together[i], q_sample(x0[i], noise[i], SCHEDULES[0].level(step)))


@pytest.mark.parametrize("step", [0, 250, 900])
def test_law_conversions_are_inverses(step):
    level, x0, noise = SCHEDULES[0].level(step), normal(6, 3), normal(6, 3, seed=1)
    x = q_sample(x0, noise, level)
    v = velocity(x0, noise, level)
    torch.testing.assert_close(noise_from_x0(x, x0, level), noise)
    torch.testing.assert_close(x0_from_noise(x, noise, level), x0)
    torch.testing.assert_close(x0_from_velocity(x, v, level), x0)
    torch.testing.assert_close(as_x0(x0, x, level, "x0"), x0)
    torch.testing.assert_close(as_x0(noise, x, level, "noise"), x0)
    torch.testing.assert_close(as_x0(v, x, level, "v"), x0)


def test_law_velocity_is_the_derivative_along_the_angle():
    """With sqrt(level) = cos a, v is dx/da (Salimans & Ho, appendix D)."""
    x0, noise, angle = normal(5), normal(5, seed=1), torch.tensor(0.4, dtype=torch.float64)
    after, before = (angle.add(d).cos() * x0 + angle.add(d).sin() * noise for d in (1e-6, -1e-6))
    torch.testing.assert_close(
        velocity(x0, noise, float(angle.cos() ** 2)), (after - before) / 2e-6, atol=1e-8, rtol=0
    )


@pytest.mark.parametrize("parametrisation", ["x0", "noise", "v"])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_law_a_perfect_denoiser_returns_the_truth(parametrisation, eta):
    truth, schedule, times = normal(4, 3), SCHEDULES[0], sampling_times(1000, 7)

    def perfect(x, step):
        level = schedule.level(step)
        noise = noise_from_x0(x, truth, level)
        return {"x0": truth, "noise": noise, "v": velocity(truth, noise, level)}[parametrisation]

    estimates = sample_ddim(
        perfect,
        normal(4, 3, seed=2),
        schedule,
        times,
        step_noise=normal(6, 4, 3, seed=3),
        eta=eta,
        parametrisation=parametrisation,
    )
    assert estimates.shape == (7, 4, 3)
    torch.testing.assert_close(estimates, truth.expand_as(estimates), atol=1e-6, rtol=0)


def test_law_eta_zero_is_deterministic_and_eta_one_is_not():
    def run(eta, seed):
        noise = normal(4, 10, seed=seed)
        times = sampling_times(1000, 5)
        return sample_ddim(lambda x, _: 0.5 * x, normal(10), SCHEDULES[0], times, step_noise=noise, eta=eta)[
            -1
        ]

    assert torch.equal(run(0.0, 1), run(0.0, 2))
    assert not torch.equal(run(1.0, 1), run(1.0, 2))
    with pytest.raises(InputError, match="without noise"):
        sample_ddim(lambda x, _: x, normal(10), SCHEDULES[0], sampling_times(1000, 2), eta=1.0)


@pytest.mark.parametrize(("step", "following"), [(999, 749), (249, 248), (10, -1)])
def test_law_ddpm_is_ddim_with_eta_one(step, following):
    level, next_level = SCHEDULES[0].level(step), SCHEDULES[0].level(following)
    x, x0, noise = normal(8), normal(8, seed=1), normal(8, seed=2)
    ancestral = ddpm_step(x, x0, level, next_level, noise)
    implicit = ddim_step(x0, noise_from_x0(x, x0, level), level, next_level, 1.0, noise)
    torch.testing.assert_close(ancestral, implicit, atol=1e-9, rtol=1e-9)
    if following < 0:
        torch.testing.assert_close(ancestral, x0)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_law_a_step_keeps_the_statistics_of_the_forward_process(eta):
    """From the state of one level, with the true x0, comes the state of the next."""
    level, next_level, N = SCHEDULES[0].level(700), SCHEDULES[0].level(300), 200_000
    x0 = torch.full((N,), 0.8, dtype=torch.float64)
    x = q_sample(x0, normal(N), level)
    out = ddim_step(x0, noise_from_x0(x, x0, level), level, next_level, eta, normal(N, seed=1))
    assert float(out.mean()) == pytest.approx(0.8 * math.sqrt(next_level), abs=0.01)
    assert float(out.std()) == pytest.approx(math.sqrt(1 - next_level), rel=0.01)


@pytest.mark.parametrize("parametrisation", ["x0", "noise"])
def test_law_ancestral_sampling_with_a_perfect_denoiser_returns_the_truth(parametrisation):
    truth, start, noise = normal(4, 5), normal(4, 5, seed=1), normal(8, 4, 5, seed=2)
    schedule = cosine_schedule(9)

    def perfect(x, step):
        return truth if parametrisation == "x0" else noise_from_x0(x, truth, schedule.level(step))

    out = sample_ddpm(perfect, start, schedule, step_noise=noise, parametrisation=parametrisation)
    torch.testing.assert_close(out, truth)


def test_law_ancestral_sampling_is_ddim_with_eta_one_through_all_steps():
    schedule, start, noise = cosine_schedule(7), normal(3, 4), normal(6, 3, 4, seed=1)

    def denoise(x, step):
        return torch.tanh(x + 0.1 * step)

    everywhere = sampling_times(7, 7)
    clamp = Clamp(noise_from_clamped=True)
    ddim = sample_ddim(denoise, start, schedule, everywhere, step_noise=noise, eta=1.0, clamp=clamp)[-1]
    ddpm = sample_ddpm(denoise, start, schedule, step_noise=noise, parametrisation="x0")
    torch.testing.assert_close(ddpm, ddim, atol=1e-5, rtol=1e-5)


def test_law_clamps_do_what_they_say():
    seen = []

    def denoise(x, _):
        seen.append(x)
        return 5 * torch.ones_like(x)

    start, times = 3 * normal(50), sampling_times(1000, 3)
    out = sample_ddim(denoise, start, SCHEDULES[0], times, clamp=Clamp(state=1.1, x0=0.6))
    assert float(seen[0].abs().max()) == pytest.approx(1.1)
    assert (out == 0.6).all()
    level, after = SCHEDULES[0].level(times[0]), SCHEDULES[0].level(times[1])
    state = ddim_step(
        torch.full_like(start, 0.6), noise_from_x0(start, seen[0] * 0 + 0.6, level), level, after
    )
    torch.testing.assert_close(seen[1], state.clamp(-1.1, 1.1))
    seen.clear()
    sample_ddim(denoise, start, SCHEDULES[0], times, clamp=Clamp(x0=0.6, noise_from_clamped=False))
    other = ddim_step(torch.full_like(start, 0.6), noise_from_x0(start, seen[0] * 0 + 5, level), level, after)
    assert torch.equal(seen[0], start)
    torch.testing.assert_close(seen[1], other)


def test_convention_sampling_times_end_at_clean():
    assert sampling_times(1000, 4) == (999, 749, 499, 249, -1)
    assert sampling_times(4, 4) == (3, 2, 1, 0, -1)
    assert sampling_times(1000, 1) == (999, -1)


def test_convention_time_embedding_is_sines_then_cosines():
    out = SinusoidalEmbedding(8)(torch.tensor([0, 3]))
    assert out[0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert float(out[1, 0]) == pytest.approx(math.sin(3))
    assert float(out[1, 7]) == pytest.approx(math.cos(3e-4))


@pytest.mark.parametrize("steps", [0, 1001, -3])
def test_steps_beyond_the_schedule_are_refused(steps):
    with pytest.raises(InputError, match="expected 1 to 1000"):
        sampling_times(1000, steps)


def test_wrong_arguments_say_what_was_expected():
    with pytest.raises(InputError, match="at least 1"):
        cosine_schedule(0)
    with pytest.raises(InputError, match="first <= last"):
        linear_schedule(10, 0.2, 0.1)
    with pytest.raises(InputError, match="-1 \\(clean\\) to 49"):
        SCHEDULES[1].level(50)
    with pytest.raises(InputError, match="x0, noise or v"):
        as_x0(normal(2), normal(2), 0.5, "epsilon")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="even"):
        SinusoidalEmbedding(7)
