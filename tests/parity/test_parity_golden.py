"""Our methods against recorded numbers of the official code.

Every `.npz` under the folder named by `POSEWRIGHT_GOLDEN` (default: `golden/` beside this file) is a test; a
file that no case covers fails. All sizes come from the files.
"""

import os
from pathlib import Path

import pytest
import torch

from posewright.core.errors import InputError
from tests.parity.lifters import CASES, Case
from tests.parity.recordings import Recording as File

GOLDEN = Path(os.environ.get("POSEWRIGHT_GOLDEN", Path(__file__).parent / "golden"))
FILES = sorted(GOLDEN.rglob("*.npz"))


class Recording(File):
    """One file and the case that runs it."""

    def case(self) -> Case:
        assert self.official in CASES, f"no case covers {self.official[0]} {self.official[1]}"
        return CASES[self.official]

    def load(self, state_dict=None):
        weights = self.state_dict if state_dict is None else state_dict
        return self.case().load(weights, self.kwargs, self.network.arrays | self.arrays)


def _has_weights(path: Path) -> bool:
    """Whether a file is a recording of a network, not of functions; one that no case covers counts, and fails."""
    case = CASES.get(Recording(path).official)
    return case is None or case.weights


def _files(wanted) -> list:
    return [pytest.param(path, id=str(path.relative_to(GOLDEN))) for path in FILES if wanted(path)]


@pytest.fixture(params=_files(lambda path: True))
def recording(request) -> Recording:
    return Recording(request.param)


@pytest.fixture(params=_files(_has_weights))
def with_weights(request) -> Recording:
    """A recording of a network."""
    return Recording(request.param)


@pytest.fixture(params=_files(lambda path: not _has_weights(path)))
def without_weights(request) -> Recording:
    """A recording of functions."""
    return Recording(request.param)


@pytest.fixture(params=_files(lambda path: "n_params" in Recording(path).meta))
def counted(request) -> Recording:
    """A recording that states its number of parameters."""
    return Recording(request.param)


def test_parity_folder_is_not_empty():
    assert FILES, f"no recordings under {GOLDEN}"


def test_parity_output_equals_the_official_one(recording):
    model = recording.load()
    assert not model.training
    with torch.no_grad():
        ours = recording.case().run(model, recording.arrays)
    expected = {k for k in recording.arrays if k.startswith("output")} - set(recording.case().not_matched)
    assert expected <= ours.keys()
    tolerance = recording.tolerance
    for name, value in ours.items():
        if recording.arrays[name].is_floating_point():
            torch.testing.assert_close(
                value,
                recording.arrays[name],
                atol=tolerance,
                rtol=tolerance,
                msg=lambda m, n=name: f"{n}: {m}",
            )
        else:
            assert torch.equal(value, recording.arrays[name]), name


def test_parity_has_the_official_number_of_parameters(counted):
    assert sum(p.numel() for p in counted.load().parameters()) == counted.meta["n_params"]


def test_parity_recordings_of_functions_hold_no_weights(without_weights):
    assert not without_weights.state_dict


@pytest.mark.parametrize("wrapper", ["model_pos", "model", "state_dict", None])
def test_parity_wrapped_and_prefixed_checkpoints_load(with_weights, wrapper):
    wrapped = {f"module.{key}": value for key, value in with_weights.state_dict.items()}
    wrapped = wrapped if wrapper is None else {wrapper: wrapped, "epoch": 3, "optimizer": {}}
    ours, theirs = with_weights.load(wrapped).state_dict(), with_weights.load().state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_parity_a_missing_key_is_an_error(with_weights):
    key = next(k for k in with_weights.state_dict if k.endswith("weight"))
    rest = {k: v for k, v in with_weights.state_dict.items() if k != key}
    with pytest.raises(InputError, match=key):
        with_weights.load(rest)


def test_parity_an_unknown_key_is_an_error(with_weights):
    with pytest.raises(InputError, match="head.extra"):
        with_weights.load(with_weights.state_dict | {"head.extra": torch.zeros(2)})


def test_parity_a_key_of_another_size_is_an_error(with_weights):
    key = next(k for k in with_weights.state_dict if k.endswith("weight"))
    value = with_weights.state_dict[key]
    with pytest.raises(InputError, match=key):
        with_weights.load(with_weights.state_dict | {key: torch.cat([value, value])})
