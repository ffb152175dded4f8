"""Where a method comes from, and where its weights are."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Paper:
    """The publication a method file implements."""

    title: str
    venue: str
    url: str
    code: str | None = None
    """Official repository, when there is one."""
    code_licence: str | None = None
    """SPDX id of the official code, or `none stated`."""


@dataclass(frozen=True)
class Weights:
    """The card of one checkpoint."""

    url: str
    """Where its publisher keeps it."""
    licence: str
    """SPDX id of the weights, or `none stated`."""
    trained_on: tuple[str, ...]
    reported: Mapping[str, float] = field(default_factory=dict)
    """Metric -> value its authors state, e.g. `{"h36m_p1_mpjpe_mm": 46.8}`."""
    sha256: str | None = None
    """Digest of the file, when we have seen it."""
    verified: str | None = None
    """How and when we checked it; None: not verified."""
