"""Flow matching: straight paths from noise to data, the velocity to learn, and solvers that follow a velocity.

Lipman, Chen, Ben-Hamu, Nickel, Le, "Flow Matching for Generative Modeling", ICLR 2023, https://arxiv.org/abs/2210.02747
(equations 20 to 23, with sigma_min 0); Liu, Gong, Liu, "Flow Straight and Fast" (rectified flow), ICLR 2023,
https://arxiv.org/abs/2209.03003 (equation 1). Solvers: Hairer, Norsett, Wanner, Solving Ordinary Differential Equations
I, section II.1.

    training    t ~ U(0, 1),  state = (1 - t) noise + t data,  the network learns data - noise
    sampling    from noise at t = 0, solve d state / dt = velocity(state, t) up to t = 1

Convention: time 0 is noise and 1 is data, the other way round than the steps of `nn.diffusion`. One time serves a whole
item of the batch: (B,), which broadcasts against states (B, ...).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from posewright.core.errors import InputError

Solver = Literal["euler", "midpoint", "heun"]
"""Orders of convergence: 1, 2, 2."""
Velocity = Callable[[Tensor, float], Tensor]
"""(state, time) -> d state / dt."""
EVALUATIONS: dict[str, int] = {"euler": 1, "midpoint": 2, "heun": 2}
"""Calls of the velocity in each step."""


# ------------------------------------------------------------------------------------------------ straight paths


@dataclass(frozen=True)
class TrainingPair:
    """What a network is shown in a training step, and what it should answer."""

    state: Float[Tensor, "B ..."]
    """Where the path is."""
    times: Float[Tensor, " B"]
    """When."""
    velocity: Float[Tensor, "B ..."]
    """How the path goes on."""


def on_path(
    noise: Float[Tensor, "B ..."], data: Float[Tensor, "B ..."], times: Float[Tensor, " B"]
) -> Float[Tensor, "B ..."]:
    """State of the straight path at the time of each item: (1 - t) noise + t data."""
    t = times.reshape(-1, *(1,) * (data.ndim - 1)).to(data)
    return (1 - t) * noise + t * data


def path_velocity(noise: Float[Tensor, "B ..."], data: Float[Tensor, "B ..."]) -> Float[Tensor, "B ..."]:
    """Velocity of the straight path, the same at all times: data - noise."""
    return data - noise


def training_pair(
    data: Float[Tensor, "B ..."],
    noise: Float[Tensor, "B ..."] | None = None,
    times: Float[Tensor, " B"] | None = None,
) -> TrainingPair:
    """Draw what a network is trained on; the loss is the squared error of its velocity.

    Args:
        data: clean samples.
        noise: standard normal; None: drawn from torch's generator.
        times: in [0, 1]; None: drawn evenly.
    """
    noise = torch.randn_like(data) if noise is None else noise
    times = torch.rand(len(data), dtype=data.dtype, device=data.device) if times is None else times
    return TrainingPair(on_path(noise, data, times), times, path_velocity(noise, data))


# ------------------------------------------------------------------------------------------------------- solvers


def sample_ode(
    velocity: Velocity, start: Float[Tensor, "*B"], steps: int, solver: Solver = "euler"
) -> Float[Tensor, "*B"]:
    """Follow a velocity from time 0 to time 1 in equal steps.

    A straight path to one point is followed exactly by a single step of Euler's method. Curved ones are not: its error
    falls with the step's length, that of the others with its square, at twice the calls (`EVALUATIONS`).

    Args:
        velocity: the network, called with the state and the time, a number.
        start: state at time 0, standard normal noise for a flow that was trained on it.
        steps: equal steps, at least 1.
        solver: euler; midpoint (Runge); heun (the mean of the velocities at both ends of an Euler step).

    Returns:
        State at time 1.

    Raises:
        InputError: no steps, or no such solver.
    """
    check_solver(steps, solver)
    step = {"euler": _euler, "midpoint": _midpoint, "heun": _heun}[solver]
    x, length = start, 1 / steps
    for i in range(steps):
        x = step(velocity, x, i * length, length)
    return x


def check_solver(steps: int, solver: str) -> None:
    """Raise `InputError` unless there is such a solver and at least one step."""
    if steps < 1:
        raise InputError(f"flow: {steps} steps of the solver, expected at least 1")
    if solver not in EVALUATIONS:
        raise InputError(f"flow: solver {solver!r}, expected one of {', '.join(get_args(Solver))}")


def _euler(velocity: Velocity, x: Tensor, time: float, length: float) -> Tensor:
    return x + length * velocity(x, time)


def _midpoint(velocity: Velocity, x: Tensor, time: float, length: float) -> Tensor:
    middle = x + length / 2 * velocity(x, time)
    return x + length * velocity(middle, time + length / 2)


def _heun(velocity: Velocity, x: Tensor, time: float, length: float) -> Tensor:
    first = velocity(x, time)
    second = velocity(x + length * first, time + length)
    return x + length / 2 * (first + second)


class RandomFourierEmbedding(nn.Module):
    """Sines, then cosines, of the time at fixed random frequencies (Tancik et al., NeurIPS 2020, section 5).

    The frequencies, standard normal, are no parameters but part of the weights: a network without those it was trained
    with is another one.
    """

    frequencies: Tensor

    def __init__(self, dim: int):
        super().__init__()
        if dim < 2 or dim % 2:
            raise InputError(f"flow: time embedding of width {dim}, expected an even number from 2")
        self.register_buffer("frequencies", torch.randn(dim // 2))

    def forward(self, times: Float[Tensor, " B"]) -> Float[Tensor, "B C"]:
        angle = 2 * math.pi * times.float()[:, None] * self.frequencies
        return torch.cat([angle.sin(), angle.cos()], -1).to(times.dtype)
