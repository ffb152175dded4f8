"""Options that mean nothing are refused by every method that samples, in its own name."""

from dataclasses import fields, replace

import pytest

from posewright.core.errors import InputError
from posewright.models import find, list_models
from tests.models.lifting.small import SMALL


def configs() -> dict:
    """A configuration of every lifter that gives hypotheses."""
    found = {name: SMALL[name][0] for name in list_models("lifting") if name in SMALL}
    return {n: c for n, c in found.items() if "num_proposals" in {f.name for f in fields(c)}}


def test_contract_all_methods_with_hypotheses_are_tested():
    with_hypotheses = {n for n in list_models("lifting") if hasattr(find(n).Model, "hypotheses")}
    assert with_hypotheses == set(configs())
    assert len(with_hypotheses) == 8


@pytest.mark.parametrize("name", configs())
def test_contract_options_without_meaning_are_refused(name):
    config, method = configs()[name], name.removeprefix("lifting/")
    known = {f.name for f in fields(config)}
    with pytest.raises(InputError, match=rf"^{method}: 0 hypotheses \(num_proposals\), expected at least 1"):
        replace(config, num_proposals=0)
    if "eta" in known:
        for eta in (-0.1, 1.5):
            with pytest.raises(InputError, match=rf"^{method}: eta is {eta}, expected 0 to 1"):
                replace(config, eta=eta)
    if "aggregation" in known:
        with pytest.raises(InputError, match=rf"^{method}: aggregation is 'median', expected .*jpma or mean"):
            replace(config, aggregation="median")
        assert replace(config, aggregation="jpma").aggregation == "jpma"
