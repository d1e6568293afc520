"""Mediation and self-repair against circuits set by hand, and against one row and one edit at a time."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
import torch
from naive_effects import modules_of
from planted import TARGET
from planted_mechanism import (
    BACKUP,
    FIRST,
    NEURON,
    SECOND,
    Circuit,
    circuit_model,
    donors,
    frozen,
    predicted,
    rows,
    shares,
)
from tiny_models import PADDED_ROWS, ragged_rows
from torch import Tensor, nn

from headtorch.core.analysis.interventions import CLEAN, Edit, measure, readouts
from headtorch.core.analysis.mediation import Mediated, mediate, mediation_record
from headtorch.core.analysis.replacements import last_head_outputs, replacements
from headtorch.core.analysis.self_repair import Repaired, repair_record, self_repair
from headtorch.core.causes import Replacement
from headtorch.core.errors import AddressError
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.records import HeadId, NeuronId

CIRCUITS: tuple[Circuit, ...] = ("and", "or", "mediated", "unmediated", "both", "repaired")
TINY = NeuronId(1, 4)
TOKEN = 17


def target(circuit: Circuit) -> int:
    return circuit_model(circuit).single_token(TARGET)


@pytest.mark.parametrize("circuit", CIRCUITS)
def test_the_closed_form_is_what_the_model_computes(circuit: Circuit) -> None:
    by = replacements(circuit_model(circuit), "zero")
    edits = [CLEAN, Edit(heads=(FIRST,)), Edit(heads=(FIRST, SECOND))]
    found = readouts(circuit_model(circuit), rows(), NEURON, target(circuit), edits, by=by)
    for read, shares_after in zip(found, ((None, None), (0.0, None), (0.0, 0.0)), strict=True):
        expected = [predicted(circuit, row, *shares_after) for row in rows()]
        for name in ("pre_activation", "activation", "log_p", "logit"):
            np.testing.assert_allclose(getattr(read, name), [getattr(one, name) for one in expected], atol=1e-4)


@pytest.mark.parametrize("circuit", ["mediated", "unmediated", "both"])
@pytest.mark.parametrize("kind", ["zero", "double", "resample"])
def test_total_through_and_around_are_those_of_the_closed_form(circuit: Circuit, kind: Replacement) -> None:
    model = circuit_model(circuit)
    by = replacements(model, kind, donors(), donors=2)
    found = mediate(model, rows(), NEURON, target(circuit), [FIRST], by)
    for i, row in enumerate(rows()):
        clean, s = predicted(circuit, row), shares(row)[0]
        others = {"zero": [0.0], "double": [2 * s]}.get(kind) or [
            shares(list(by.pool_rows[d]))[0] for d in by.drawn(row)
        ]
        under = [predicted(circuit, row, other) for other in others]
        around = [predicted(circuit, row, other, held=clean.activation).log_p for other in others]
        through = [predicted(circuit, row, held=one.activation).log_p for one in under]
        assert found.total[i] == pytest.approx(np.mean([one.log_p for one in under]) - clean.log_p, abs=1e-4)
        assert found.around[i] == pytest.approx(np.mean(around) - clean.log_p, abs=1e-4)
        assert found.through[i] == pytest.approx(np.mean(through) - clean.log_p, abs=1e-4)


def test_a_mediated_path_goes_through_the_neuron_and_an_unmediated_one_around_it() -> None:
    records = {}
    for circuit in ("mediated", "unmediated", "both"):
        model = circuit_model(circuit)
        found = mediate(model, rows(), NEURON, target(circuit), [FIRST], replacements(model, "zero"))
        np.testing.assert_allclose(found.through + found.around + found.interaction, found.total, atol=1e-9)
        records[circuit] = mediation_record(found, np.ones(len(rows()), dtype=bool))
    mediated, unmediated, both = (records[one] for one in ("mediated", "unmediated", "both"))
    assert mediated is not None and unmediated is not None and both is not None
    assert mediated.share is not None and mediated.share > 0.9 and mediated.total < -1
    assert unmediated.through == pytest.approx(0, abs=1e-6) and unmediated.share == pytest.approx(0, abs=1e-6)
    assert both.total < both.through < -1 and both.around < 0
    assert both.interaction < -1  # with one path left the token is nearly as certain: log p has little to lose


def test_a_record_has_means_intervals_over_clusters_and_a_share() -> None:
    draw = np.random.default_rng(0)
    through, around = draw.normal(-2, 0.1, 12), draw.normal(-1, 0.1, 12)
    found = Mediated(total=through + around + 0.5, through=through, around=around)
    chosen = np.arange(12) < 10
    record = mediation_record(found, chosen, [i // 2 for i in range(12)])
    assert record is not None and record.n == 10 and record.interaction == pytest.approx(0.5)
    assert record.share == pytest.approx(through[:10].mean() / found.total[:10].mean())
    assert record.total_interval is not None and record.share_interval is not None
    assert record.total_interval.low < found.total[:10].mean() < record.total_interval.high
    assert record.share is not None and record.share_interval.low < record.share < record.share_interval.high
    assert mediation_record(found, chosen, [0] * 12).total_interval is None  # type: ignore[union-attr]
    assert mediation_record(found, np.zeros(12, dtype=bool)) is None
    nothing = Mediated(total=draw.normal(0, 1, 12), through=through, around=around)
    assert mediation_record(nothing, chosen).share is None  # type: ignore[union-attr]


@pytest.mark.parametrize("circuit", ["repaired", "unmediated", "both", "and"])
def test_total_and_frozen_changes_are_those_of_the_closed_form(circuit: Circuit) -> None:
    model = circuit_model(circuit)
    found = self_repair(model, rows(), NEURON, target(circuit), [FIRST], replacements(model, "zero"))
    for i, row in enumerate(rows()):
        clean, total, direct = predicted(circuit, row), predicted(circuit, row, 0.0), frozen(circuit, row, 0.0)
        assert found.total_log_p[i] == pytest.approx(total.log_p - clean.log_p, abs=1e-4)
        assert found.direct_log_p[i] == pytest.approx(direct.log_p - clean.log_p, abs=1e-4)
        assert found.total_logit[i] == pytest.approx(total.logit - clean.logit, abs=1e-4)
        assert found.direct_logit[i] == pytest.approx(direct.logit - clean.logit, abs=1e-4)


def test_the_backup_repairs_what_the_first_head_did_and_nothing_repairs_the_backup() -> None:
    model = circuit_model("repaired")
    by = replacements(model, "zero")
    everywhere = np.ones(len(rows()), dtype=bool)
    of_first = repair_record(self_repair(model, rows(), NEURON, target("repaired"), [FIRST], by), everywhere)
    jointly = repair_record(self_repair(model, rows(), NEURON, target("repaired"), [FIRST, BACKUP], by), everywhere)
    assert of_first is not None and jointly is not None
    assert of_first.direct_logit < -1 and of_first.repaired_logit == 1 and of_first.gap_logit > 1
    assert jointly.gap_logit < 0.5 * of_first.gap_logit
    assert repair_record(self_repair(model, rows(), NEURON, 5, [FIRST], by), ~everywhere) is None


def test_the_gap_is_that_of_sizes() -> None:
    found = Repaired(*(np.array(one) for one in ([-1.0, 1.0], [-3.0, -0.5], [-1.0, 2.0], [-2.0, -2.0])))
    record = repair_record(found, np.ones(2, dtype=bool))
    assert record is not None
    assert (record.gap_log_p, record.repaired_log_p) == (pytest.approx((2 - 0.5) / 2), 0.5)
    assert (record.gap_logit, record.repaired_logit) == (pytest.approx(0.5), 0.5)


Hooked = Callable[..., Any]


def frozen_by_hand(model: LanguageModel, row: list[int], head: HeadId, z: Tensor) -> float:
    """The logit of TOKEN when z stands in for the head's at the end of the row and each later module is frozen."""
    hf = model.hf
    attention, mlp = modules_of(hf, "attention_output"), modules_of(hf, "mlp_output")
    post = [norm for norm in model.attention_post_norms if norm is not None]
    keep = {f"a{i}": m for i, m in enumerate(attention)} | {f"m{i}": m for i, m in enumerate(mlp)}
    keep |= {f"p{i}": norm.module for i, norm in enumerate(post)} | {"final": model.final_norm}
    clean: dict[str, tuple[Tensor, Tensor]] = {}
    with ExitStack() as hooks:
        for name, module in keep.items():
            hook = module.register_forward_hook(lambda _m, x, y, name=name: clean.update({name: (x[0], y.clone())}))
            hooks.callback(hook.remove)
        hf(torch.tensor([row]), use_cache=False)

    def put(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        x = inputs[0].clone()
        x.view(len(row), -1)[-1, head.index * model.facts.d_head : (head.index + 1) * model.facts.d_head] = z
        return (x, *inputs[1:])

    def as_before(name: str) -> Hooked:
        return lambda _m, _x, _y: clean[name][1]

    def frozen_norm(name: str, scale: Callable[[Tensor], Tensor], gain: Tensor, centred: bool) -> Hooked:
        def hook(_module: nn.Module, inputs: tuple[Any, ...], _output: Tensor) -> Tensor:
            before, after = clean[name]
            change = inputs[0] - before
            change = change - change.mean(-1, keepdim=True) if centred else change
            return after + change / scale(before)[..., None] * gain

        return hook

    with ExitStack() as hooks:
        hooks.callback(attention[head.layer].register_forward_pre_hook(put).remove)
        for k in range(model.facts.n_layers):
            if k > head.layer:
                hooks.callback(attention[k].register_forward_hook(as_before(f"a{k}")).remove)
            if k >= head.layer:
                hooks.callback(mlp[k].register_forward_hook(as_before(f"m{k}")).remove)
        if post:
            norm = post[head.layer]
            hook = frozen_norm(f"p{head.layer}", norm.scale, norm.gain, norm.kind == "layer")
            hooks.callback(norm.module.register_forward_hook(hook).remove)
        final = model._anatomy.final_norm
        hook = frozen_norm("final", final.scale, final.gain, final.kind == "layer")
        hooks.callback(final.module.register_forward_hook(hook).remove)
        logits = hf(torch.tensor([row]), use_cache=False).logits[0, -1, :-PADDED_ROWS]
    return float(logits[TOKEN])


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "llama", "gemma2", "opt", "falcon"])
def test_a_frozen_edit_equals_freezing_every_later_module(
    family: str, tiny_model: Callable[..., LanguageModel]
) -> None:
    model, head = tiny_model(family), HeadId(0, 2)
    some = ragged_rows(model, 4)
    by = replacements(model, "double")
    [found] = readouts(model, some, TINY, TOKEN, [Edit(heads=(head,), frozen=True)], by=by)
    z = last_head_outputs(model, some)[:, head.layer, head.index]
    with torch.no_grad():
        expected = [frozen_by_hand(model, row, head, 2 * z[i]) for i, row in enumerate(some)]
    np.testing.assert_allclose(found.logit, expected, atol=1e-4)
    [clean] = readouts(model, some, TINY, TOKEN, [CLEAN])
    assert np.abs(found.logit - clean.logit).max() > 1e-2


@pytest.mark.parametrize("family", ["gpt2", "llama", "opt"])
def test_a_held_neuron_equals_setting_it_by_hand(family: str, tiny_model: Callable[..., LanguageModel]) -> None:
    model = tiny_model(family)
    some = ragged_rows(model, 4)
    held = np.full((2, len(some), 1), np.nan)
    held[1, :, 0] = [0.5, -1.0, 2.0, 0.0]
    found = measure(model, some, TINY, TOKEN, [CLEAN, CLEAN], held=held)[1, :, :, 0]  # logit [edit row]
    free = measure(model, some, TINY, TOKEN, [CLEAN])[1, 0, :, 0]
    np.testing.assert_allclose(found[0], free, atol=1e-5)
    output = modules_of(model.hf, "mlp_output")[TINY.layer]
    for i, row in enumerate(some):

        def put(_module: nn.Module, inputs: tuple[Any, ...], i: int = i, row: list[int] = row) -> tuple[Any, ...]:
            x = inputs[0].clone()
            x.view(len(row), -1)[-1, TINY.index] = held[1, i, 0]
            return (x, *inputs[1:])

        handle = output.register_forward_pre_hook(put)
        with torch.no_grad():
            logits = model.hf(torch.tensor([row]), use_cache=False).logits[0, -1]
        handle.remove()
        assert found[1, i] == pytest.approx(float(logits[TOKEN]), abs=1e-4)


def test_what_cannot_be_asked_is_refused(tiny_model: Callable[..., LanguageModel]) -> None:
    model = tiny_model("gpt2")
    by = replacements(model, "zero")
    for ask in (mediate, self_repair):
        with pytest.raises(AddressError, match="cannot feed"):
            ask(model, [[1, 2]], TINY, TOKEN, [HeadId(2, 0)], by)
    with pytest.raises(ValueError, match="last position alone"):
        measure(model, [[1, 2]], TINY, TOKEN, [Edit(heads=(HeadId(0, 0),), frozen=True)], by, where="all")
