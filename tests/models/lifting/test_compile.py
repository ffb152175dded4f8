"""`torch.compile` works for every lifter, as one graph, and gives what the plain network gives.

The backend is `aot_eager`: it traces, functionalises and runs the graph as `inductor`, torch's default, would get it,
but generates no machine code, so that the test needs no C++ compiler and takes seconds instead of minutes. One
configuration of each method, at the smallest size; HoT, whose graph has frames chosen by the data, in two.
"""

import pytest
import torch
from torch import nn

from posewright.models import create, find, list_models
from tests.models.lifting.small import SMALL

METHODS = {name.partition(":")[0] for name in SMALL}
FIRST = {method: next(name for name in SMALL if name.partition(":")[0] == method) for method in METHODS}
COMPILED = sorted([*FIRST.values(), "lifting/hot:mixste_tpc", "lifting/semgcn:hopwise"])


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def test_contract_every_lifter_is_compiled_here():
    assert METHODS | {"lifting/raylift"} == set(list_models("lifting"))


def check(network: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
    compiled = torch.compile(network.eval(), backend="aot_eager", fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(*inputs), network(*inputs), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", COMPILED)
def test_contract_compiles_as_one_graph_and_gives_the_same(name):
    config, shape = SMALL[name]
    torch.manual_seed(0)
    check(find(name.partition(":")[0]).Model(config), (torch.randn(shape),))


def test_contract_the_default_lifter_compiles():
    torch.manual_seed(0)
    network = create("lifting/raylift", dim=32, depth=2, heads=2, hidden=64)
    check(network, (torch.randn(2, 8, 26, 3), torch.tensor([True, False])))
