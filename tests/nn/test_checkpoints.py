"""Loading official state dicts: wrappers, prefixes, tables, and what is refused."""

import pytest
import torch
from torch import nn

from posewright.core.errors import InputError
from posewright.nn.checkpoints import holds, load_strictly, official_arguments, unwrap

TABLE = ((r"^0\.", "linear."), (r"^1\.", "bn."))


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def official() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {
        "linear.weight": torch.randn(3, 2),
        "linear.bias": torch.randn(3),
        "bn.weight": torch.randn(3),
        "bn.bias": torch.randn(3),
        "bn.running_mean": torch.randn(3),
        "bn.running_var": torch.rand(3),
        "bn.num_batches_tracked": torch.tensor(7),
    }


def test_law_loads_by_the_table_into_evaluation_mode():
    model = load_strictly(network(), official(), TABLE)
    assert torch.equal(model[0].weight, official()["linear.weight"])
    assert not model.training


@pytest.mark.parametrize("wrapper", ["model", "model_pos", "state_dict"])
def test_contract_wrapped_and_prefixed(wrapper):
    wrapped = {wrapper: {f"module.{k}": v for k, v in official().items()}, "epoch": 1, "model_traj": None}
    assert unwrap(wrapped).keys() == official().keys()
    load_strictly(network(), wrapped, TABLE)


def test_contract_error_lists_the_first_differing_keys():
    changed = official() | {"extra": torch.zeros(1), "bn.bias": torch.zeros(4)}
    del changed["linear.bias"]
    keys = r"1 missing \(linear.bias\).*1 unknown \(extra\).*bn.bias: checkpoint \(4,\), model \(3,\)"
    with pytest.raises(InputError, match=keys):
        load_strictly(network(), changed, TABLE)


def test_convention_old_checkpoints_have_no_batch_counters():
    old = {k: v for k, v in official().items() if not k.endswith("num_batches_tracked")}
    assert load_strictly(network(), old, TABLE)[1].num_batches_tracked == 0


@pytest.mark.parametrize(
    "broken", [[1, 2], {}, {"epoch": 3}, {"model": {}}, {"a": torch.zeros(1), "b": "text"}]
)
def test_contract_what_is_no_state_dict_is_refused(broken):
    with pytest.raises(InputError, match="expected"):
        load_strictly(network(), broken, TABLE)


def test_law_convolutions_of_width_one_lose_that_dimension_only_where_asked():
    wide = official() | {"linear.weight": torch.randn(3, 2, 1, 1)}
    assert load_strictly(network(), wide, TABLE, squeeze=(r"^linear\.",))[0].weight.shape == (3, 2)
    with pytest.raises(InputError, match="another size"):
        load_strictly(network(), wide, TABLE)


def test_law_holds_and_arguments():
    assert holds({"model": official()}, "linear.", "bn.")
    assert not holds(official(), "linear.", "conv.")
    assert official_arguments(type("Args", (), {"a": 1})(), ("a",)) == {}
    args = type("Args", (), {})()
    args.a = 1
    assert official_arguments(args, ("a", "b")) == {"a": 1}
    assert official_arguments({"b": 2, "c": 3}, ("a", "b")) == {"b": 2}


def test_contract_the_list_of_ddim_code_is_opened():
    wrapped = {f"module.{k}": v for k, v in official().items()}
    assert (
        unwrap([wrapped, {"state": {}}, 80, 1000, {"linear.weight": torch.zeros(3, 2)}]).keys()
        == official().keys()
    )
    with pytest.raises(InputError, match="expected a dict of tensors"):
        unwrap([3, official()])
