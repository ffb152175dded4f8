import pytest
import torch

from posewright.core.errors import InputError
from posewright.models import create, find, list_models, load_official


def test_names_are_paths():
    names = list_models()
    assert names == sorted(names)
    assert {"lifting/raylift", "lifting/videopose3d", "detection/blazepose"} <= set(names)
    assert all(find(n).__name__ == f"posewright.models.{n.replace('/', '.')}" for n in list_models("lifting"))


@pytest.mark.parametrize("name", list_models())
def test_contract_a_method_file_has_its_card(name):
    method = find(name)
    assert method.PAPER.title
    assert isinstance(method.WEIGHTS, dict)
    assert "Convention:" in method.__doc__


def test_create_takes_variants_and_changes():
    assert create("lifting/raylift", variant="base", depth=2).config.depth == 2


def test_unknown_names_list_the_known():
    with pytest.raises(LookupError, match="lifting/raylift"):
        find("lifting/nothing")
    with pytest.raises(LookupError, match="lifting"):
        list_models("nothing")
    with pytest.raises(LookupError, match="base"):
        create("lifting/raylift", variant="huge")
    with pytest.raises(TypeError, match="depth"):
        create("lifting/raylift", layers=3)


def test_official_weights_are_loaded_strictly():
    state = create("lifting/raylift", depth=2).state_dict()
    model = load_official(
        "lifting/raylift", {"state_dict": {f"module.{k}": v for k, v in state.items()}}, depth=2
    )
    assert not model.training
    assert torch.equal(model.state_dict()["head.bias"], state["head.bias"])
    state.pop("head.bias")
    with pytest.raises(InputError, match="head.bias"):
        load_official("lifting/raylift", state, depth=2)
