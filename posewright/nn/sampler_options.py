"""What every sampler of poses is asked for, under the same names: how many, how random, how one pose is made of them.

The fields stay with each method, whose paper says their values:

    num_proposals   H, hypotheses of a window
    eta             randomness of the steps back, 0 deterministic (DDIM) to 1 (DDPM)
    seed            of the noise, drawn once, so that a clip has one answer
    aggregation     how one pose is made of the hypotheses where a camera and keypoints are at hand: one of
                    `metrics.hypotheses` (jpma, rpea), or their mean
"""

from typing import Any

from posewright.core.errors import InputError


def check_sampler(config: Any, aggregations: tuple[str, ...] = ("jpma", "mean")) -> None:
    """Refuse options that mean nothing, in the name of the method whose configuration it is.

    Args:
        config: with `num_proposals`, and `eta` and `aggregation` where the method has them.
        aggregations: those that the method knows.

    Raises:
        InputError: no hypotheses, `eta` outside [0, 1], or an unknown aggregation.
    """
    method = type(config).__module__.rpartition(".")[2]
    if config.num_proposals < 1:
        raise InputError(f"{method}: {config.num_proposals} hypotheses (num_proposals), expected at least 1")
    eta = getattr(config, "eta", 0.0)
    if not 0 <= eta <= 1:
        raise InputError(f"{method}: eta is {eta:g}, expected 0 to 1")
    aggregation = getattr(config, "aggregation", None)
    if aggregation is not None and aggregation not in aggregations:
        *others, last = aggregations
        raise InputError(f"{method}: aggregation is {aggregation!r}, expected {', '.join(others)} or {last}")
