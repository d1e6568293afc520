"""Fast products are the same products: compared with fp64 arithmetic, and with the plain module."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch
from tiny_models import tiny_model
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from headtorch.core.model import products
from headtorch.core.model.products import fast_products, product

MODULES = {"Linear": nn.Linear(24, 40), "no bias": nn.Linear(24, 40, bias=False), "Conv1D": Conv1D(40, 24)}

here = pytest.mark.skipif(not products._at_hand(), reason="PyTorch has one library for products here")


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The inputs of the products that go the fast way."""
    seen: list[Tensor] = []

    def seeing(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        seen.append(x)
        return product(x, weight, bias)

    monkeypatch.setattr(products, "product", seeing)
    return seen


@pytest.fixture
def fresh() -> Iterator[None]:
    """Whether the operator is at hand is asked anew, now and after the test."""
    products._at_hand.cache_clear()
    yield
    products._at_hand.cache_clear()


@here
@pytest.mark.parametrize("shape", [(16, 32, 24), (3, 100, 24), (300, 24), (1, 1, 24)])
@pytest.mark.parametrize("name", MODULES)
def test_a_projection_is_that_of_fp64_arithmetic(shape: tuple[int, ...], name: str, taken: list[Tensor]) -> None:
    module = MODULES[name]
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), fast_products(tiny_model("gpt2").hf):
        found = module(x)
        expected = module.double()(x.double())
        module.float()
    assert len(taken) == 1
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", MODULES)
def test_gradients_asked_for_in_between_are_those_of_the_plain_module(name: str) -> None:
    x = torch.randn(3, 24, generator=torch.Generator().manual_seed(0), requires_grad=True)
    [expected] = torch.autograd.grad(MODULES[name](x).square().sum(), x)
    with torch.no_grad(), fast_products(tiny_model("gpt2").hf), torch.enable_grad():
        [found] = torch.autograd.grad(MODULES[name](x).square().sum(), x)
    torch.testing.assert_close(found, expected)


@here
@pytest.mark.parametrize("family", ["gpt2", "llama", "opt", "phi3"])
def test_the_scan_sees_what_the_plain_module_computes(family: str, taken: list[Tensor]) -> None:
    model = tiny_model(family)
    rows = torch.randint(0, model.facts.d_vocab, (8, 48), generator=torch.Generator().manual_seed(1))
    plain: dict[int, Tensor] = {}
    hooks = [
        model.mlp_output_modules[layer].register_forward_pre_hook(
            lambda _m, args, layer=layer: plain.update({layer: args[0].reshape(8, 48, -1)})
        )
        for layer in (0, 2)
    ]
    with torch.no_grad():
        model.hf(input_ids=rows, use_cache=False)
    for hook in hooks:
        hook.remove()
    assert not taken
    found = model.mlp_activations(rows, [0, 2])
    assert len(taken) >= 3 * 2
    for layer in (0, 2):
        assert (found[layer] - plain[layer]).abs().max() <= 1e-5 * plain[layer].abs().max()


MANY_SHAPES = """
import psutil, torch
from headtorch.core.model.products import _at_hand, product

torch.set_num_threads(1)
weights = [torch.randn(256, 64), torch.randn(64, 256)]
with torch.no_grad():
    for places in range(1, 601) if _at_hand() else ():
        for weight in weights:
            product(torch.randn(places, weight.shape[1]), weight, None)
        if places in (200, 600):
            print(psutil.Process().memory_full_info().uss)
    if not _at_hand():
        print(0, 0)
"""


def test_a_slice_of_a_weight_goes_the_plain_way(taken: list[Tensor]) -> None:
    x, joined = torch.randn(8, 24), torch.randn(24, 3 * 40)
    with torch.no_grad(), fast_products(tiny_model("gpt2").hf):
        for part in joined.chunk(3, dim=1):
            torch.nn.functional.linear(x, part.T)
            torch.addmm(torch.zeros(40), x, part)
    assert not taken


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_precisions_go_the_plain_way(dtype: torch.dtype, taken: list[Tensor]) -> None:
    model = tiny_model("llama")
    model.hf.to(dtype)
    model.mlp_activations(torch.zeros((8, 48), dtype=torch.long), [0])
    assert not taken


def test_an_operator_that_is_gone_or_has_changed_is_not_used(fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> Tensor:
        raise AttributeError("'_OpNamespace' 'mkldnn' object has no attribute '_linear_pointwise'")

    for changed in (gone, lambda x, weight, bias: torch.zeros(*x.shape[:-1], len(weight))):
        products._at_hand.cache_clear()
        monkeypatch.setattr(products, "product", changed)
        x = torch.randn(4, 24)
        with torch.no_grad(), fast_products(tiny_model("gpt2").hf):
            assert torch.equal(MODULES["Linear"](x), torch.nn.functional.linear(x, *MODULES["Linear"].parameters()))


def test_memory_does_not_grow_with_the_number_of_shapes_multiplied() -> None:
    """Measured in a process of its own: one that has multiplied before has read the limits already."""
    done = subprocess.run([sys.executable, "-c", MANY_SHAPES], capture_output=True, text=True, check=True)
    after_200, after_600 = map(int, done.stdout.split())
    assert after_600 - after_200 < 60 * 2**20  # 200 MB more without a limit
