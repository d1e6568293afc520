"""Ablation against one row, one edit and one forward pass at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from naive_effects import head_outputs_at_end
from scipy import stats
from tiny_models import FAMILIES, PADDED_ROWS, ragged_rows, tiny_hf, tiny_model, tiny_tokenizer
from torch import Tensor, nn

from headtorch.core.analysis.ablation import (
    Change,
    ablate_head,
    ablate_heads,
    ablate_neuron,
    ablation_record,
    group_means,
)
from headtorch.core.analysis.interventions import Readout, mean_head_outputs
from headtorch.core.analysis.replacements import replacements
from headtorch.core.causes import AblationPoints, Where
from headtorch.core.errors import AddressError, Interrupted
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.model.layouts import LAYOUTS
from headtorch.core.records import HeadId, NeuronId
from headtorch.core.watch import Watch

SUPPORTED = [family for family in FAMILIES if family not in ("falcon_new", "falcon_sequential")]
TOKEN, NEURON = 17, NeuronId(2, 4)
WHERE: tuple[Where, ...] = ("last", "all")
HEADS: list[HeadId | Sequence[HeadId]] = [HeadId(0, 1), (HeadId(0, 0), HeadId(1, 3))]


@cache
def model_of(family: str) -> LanguageModel:
    return tiny_model(family)


def rows_of(model: LanguageModel) -> list[list[int]]:
    return [*ragged_rows(model, 4), *ragged_rows(model, 2, seed=2), [3]]  # two pairs of equal length, a single token


def module_of(model: LanguageModel, layer: int, which: str) -> nn.Module:
    layout = LAYOUTS[model.hf.config.model_type]
    return model.hf.get_submodule(layout.blocks)[layer].get_submodule(getattr(layout, which))


def naive(model: LanguageModel, row: list[int], changes: dict[nn.Module, Callable[[Tensor], None]]) -> list[float]:
    """log p, logit, rank of TOKEN and NEURON's activation at the end of one row, inputs of modules changed in place."""
    seen: dict[str, Tensor] = {}

    def change(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        x = inputs[0].clone()
        changes[module](x.view(len(row), -1))
        return (x, *inputs[1:])

    def keep(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
        seen["activation"] = inputs[0].reshape(len(row), -1)[-1, NEURON.index]

    with ExitStack() as hooks, torch.no_grad():
        for module in changes:
            hooks.callback(module.register_forward_pre_hook(change).remove)
        hooks.callback(module_of(model, NEURON.layer, "mlp_output").register_forward_pre_hook(keep).remove)
        logits = model.hf(torch.tensor([row]), use_cache=False).logits[0, -1, :-PADDED_ROWS].double()
    rank = int((logits > logits[TOKEN]).sum())
    return [float(logits.log_softmax(0)[TOKEN]), float(logits[TOKEN]), rank, float(seen["activation"])]


def replaced(
    model: LanguageModel, heads: Sequence[HeadId], means: Tensor | None, everywhere: bool
) -> dict[nn.Module, Callable[[Tensor], None]]:
    def change(layer: int) -> Callable[[Tensor], None]:
        def write(z: Tensor) -> None:  # position head·d_head
            for head in heads:
                if head.layer == layer:
                    mine = slice(head.index * model.facts.d_head, (head.index + 1) * model.facts.d_head)
                    z[slice(None) if everywhere else -1, mine] = 0 if means is None else means[layer, head.index]

        return write

    return {module_of(model, head.layer, "attention_output"): change(head.layer) for head in heads}


def assert_readout(found: Readout, expected: list[list[float]]) -> None:
    log_p, logit, rank, activation = np.array(expected).T
    np.testing.assert_allclose(found.log_p, log_p, atol=5e-5)
    np.testing.assert_allclose(found.logit, logit, atol=5e-5)
    np.testing.assert_array_equal(found.rank, rank)
    np.testing.assert_allclose(found.activation, activation, atol=5e-5)


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("family", SUPPORTED)
def test_ablation_equals_one_row_at_a_time(family: str, where: Where) -> None:
    model = model_of(family)
    rows, everywhere = rows_of(model), where == "all"
    means = mean_head_outputs(model, rows) if SUPPORTED.index(family) % 3 else None
    changes = ablate_heads(
        model,
        rows,
        NEURON,
        TOKEN,
        HEADS,
        replacement="zero" if means is None else "mean",
        where=where,
        means=means,
    )
    for heads, change in zip(HEADS, changes, strict=True):
        group = [heads] if isinstance(heads, HeadId) else heads
        assert_readout(change.before, [naive(model, row, {}) for row in rows])
        assert_readout(change.after, [naive(model, row, replaced(model, group, means, everywhere)) for row in rows])


def test_blocks_before_the_first_replaced_head_are_not_run_again() -> None:
    model, runs = model_of("gpt2"), [0, 0, 0]
    handles = [
        block.attention_output.register_forward_hook(lambda *_, layer=layer: runs.__setitem__(layer, runs[layer] + 1))
        for layer, block in enumerate(model._anatomy.blocks)
    ]
    try:
        ablate_heads(model, [[1, 2, 3], [4, 5, 6]], NEURON, TOKEN, [HeadId(1, 0), HeadId(1, 2)], where="all")
    finally:
        for handle in handles:
            handle.remove()
    assert runs == [1, 2, 2]  # without an edit; and both heads on both rows together


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("replacement", ["zero", "mean"])
def test_every_replacement_at_every_place_equals_one_row_at_a_time(replacement: Any, where: Any) -> None:
    model = model_of("gpt2")
    rows = rows_of(model)
    means = mean_head_outputs(model, ragged_rows(model, 9, seed=7)) if replacement == "mean" else None
    [change] = ablate_heads(model, rows, NEURON, TOKEN, HEADS[:1], replacement=replacement, where=where, means=means)
    expected = [naive(model, row, replaced(model, [HeadId(0, 1)], means, where == "all")) for row in rows]
    assert_readout(change.after, expected)
    assert np.abs(change.delta_log_p).max() > 1e-2


@pytest.mark.parametrize("family", ["gpt2", "llama", "gpt_neox"])
def test_resampling_jointly_is_the_mean_over_one_run_for_each_donor(family: str) -> None:
    model = model_of(family)
    rows, others = rows_of(model), ragged_rows(model, 5, seed=9)
    by = replacements(model, "resample", others, donors=3)
    [change] = ablate_heads(model, rows, NEURON, TOKEN, HEADS[1:], by=by)
    donor_z = [
        torch.stack([z.view(model.facts.n_heads, -1) for z in head_outputs_at_end(model.hf, row)]) for row in others
    ]
    for i, row in enumerate(rows):
        donors = [others.index(list(by.pool_rows[d])) for d in by.drawn(row)]
        runs = [naive(model, row, replaced(model, HEADS[1], donor_z[d], everywhere=False)) for d in donors]  # type: ignore[arg-type]
        before = naive(model, row, {})
        log_p, logit, rank, activation = np.mean(runs, axis=0) - before
        assert change.delta_log_p[i] == pytest.approx(log_p, abs=5e-5)
        assert change.delta_logit[i] == pytest.approx(logit, abs=5e-5)
        assert change.delta_rank[i] == pytest.approx(rank)
        assert change.delta_activation[i] == pytest.approx(activation, abs=5e-5)
        p = np.mean([np.exp(run[0]) for run in runs]) - np.exp(before[0])  # of the mean p, not of the mean log p
        assert change.delta_p[i] == pytest.approx(p, abs=5e-5)


@pytest.mark.parametrize("family", ["gpt2", "llama", "opt", "bloom"])
def test_silencing_a_neuron_equals_one_row_at_a_time(family: str) -> None:
    model = model_of(family)
    rows = rows_of(model)
    change = ablate_neuron(model, rows, NEURON, TOKEN)

    def silence(activations: Tensor) -> None:
        activations[-1, NEURON.index] = 0

    output = module_of(model, NEURON.layer, "mlp_output")
    before = [naive(model, row, {}) for row in rows]
    after = [[*naive(model, row, {output: silence})[:3], 0.0] for row in rows]
    assert_readout(change.before, before)
    assert_readout(change.after, after)
    np.testing.assert_allclose(change.delta_activation, [-one[3] for one in before], atol=5e-5)


def test_small_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of("llama")
    rows = rows_of(model)
    whole = {where: ablate_heads(model, rows, NEURON, TOKEN, HEADS, where=where) for where in WHERE}
    monkeypatch.setattr("headtorch.core.analysis.ends.CACHE_BYTES", 1)  # one edit at a time
    monkeypatch.setattr("headtorch.core.analysis.interventions.pass_tokens", lambda device: 1)
    for where in WHERE:
        for one, other in zip(ablate_heads(model, rows, NEURON, TOKEN, HEADS, where=where), whole[where], strict=True):
            np.testing.assert_allclose(one.delta_log_p, other.delta_log_p, atol=5e-5)


def test_rows_of_the_unembedding_that_belong_to_no_token_do_not_count() -> None:
    hf = tiny_hf("llama")
    rows = ragged_rows(model_of("llama"), 3)
    with torch.no_grad():
        hf.lm_head.weight[-PADDED_ROWS:] *= 1000
    found = ablate_neuron(LanguageModel.from_hf(hf, tiny_tokenizer()), rows, NEURON, TOKEN)
    expected = ablate_neuron(model_of("llama"), rows, NEURON, TOKEN)
    np.testing.assert_allclose(found.before.log_p, expected.before.log_p, atol=1e-5)
    np.testing.assert_array_equal(found.after.rank, expected.after.rank)


@pytest.mark.parametrize("family", ["gpt2", "mistral", "falcon"])
def test_mean_outputs_are_the_means_of_what_the_output_projection_reads_at_the_rows_ends(family: str) -> None:
    model = model_of(family)
    rows = ragged_rows(model, 5)
    found = mean_head_outputs(model, rows)
    for layer in range(model.facts.n_layers):
        ends: list[Tensor] = []
        module = module_of(model, layer, "attention_output")
        handle = module.register_forward_pre_hook(
            lambda _m, x, ends=ends: ends.append(x[0].reshape(-1, x[0].shape[-1])[-1])
        )
        with torch.no_grad():
            for row in rows:
                model.hf(torch.tensor([row]), use_cache=False)
        handle.remove()
        expected = torch.stack(ends).mean(0).reshape(model.facts.n_heads, -1)
        np.testing.assert_allclose(found[layer], expected, atol=1e-6)
    with pytest.raises(ValueError, match="mean over no rows"):
        mean_head_outputs(model, [])


def change_of(delta_log_p: Sequence[float]) -> Change:
    """A change of log p from −1 by the given amounts; logit, rank and activation move by 2, 3 and −1 times as much."""
    delta = np.array(delta_log_p, dtype=float)
    nothing, one = np.zeros(delta.shape), np.ones(delta.shape)
    before = Readout(-one, nothing, nothing, nothing, nothing, np.exp(-one))
    return Change(before, Readout(-1 + delta, 2 * delta, 3 * delta, -delta, -delta, np.exp(-1 + delta)))


def test_a_record_has_the_means_of_both_groups_and_the_two_sample_test() -> None:
    delta = [-3.0, -1.0, 0.0, -2.0, 1.0]
    active = [True, True, False, True, False]
    record = ablation_record(NEURON, HeadId(0, 1), TOKEN, change_of(delta), active, replacement="mean", where="all")
    assert (record.replacement, record.position, record.token_id) == ("mean", "all", TOKEN)
    assert (record.active.n, record.inactive.n) == (3, 2)
    assert (record.active.delta_log_p, record.inactive.delta_log_p) == (-2, 0.5)
    assert (record.active.delta_logit, record.active.delta_rank, record.active.delta_activation) == (-4, -6, 2)
    expected = np.mean([np.exp(-1 + d) - np.exp(-1) for d in (-3, -1, -2)])
    assert record.active.delta_p == pytest.approx(expected)
    test = stats.ks_2samp([-3, -1, -2], [0, 1])
    assert (record.ks, record.ks_p) == (test.statistic, test.pvalue)
    assert record.points == AblationPoints(active, delta, [-one for one in delta])
    assert record.p is not None and 0.05 < record.p < 0.4  # two of the ten relabellings go as far


def test_prompts_of_one_cluster_of_documents_count_as_one_in_the_test_of_the_label() -> None:
    delta, active = [-3.0, -3.1, -3.0, -2.9, 0.0, 0.1, 0.0], [True] * 4 + [False] * 3
    alone = ablation_record(NEURON, HeadId(0, 1), TOKEN, change_of(delta), active)
    together = ablation_record(NEURON, HeadId(0, 1), TOKEN, change_of(delta), active, clusters=[0] * 4 + [1] * 3)
    assert alone.p is not None and together.p is not None and alone.p < 0.1 < together.p


@pytest.mark.parametrize("label", [True, False])
def test_an_empty_group_has_no_mean_and_no_test(label: bool) -> None:
    record = ablation_record(NEURON, HeadId(0, 1), TOKEN, change_of([-1.0, -2.0]), [label, label])
    empty, full = (record.inactive, record.active) if label else (record.active, record.inactive)
    assert (empty.n, empty.delta_log_p, empty.delta_p, empty.delta_logit) == (0, None, None, None)
    assert (empty.delta_activation, empty.delta_rank) == (None, None)
    assert (full.n, full.delta_log_p) == (2, -1.5)
    assert record.ks is None and record.ks_p is None


def test_no_prompts_at_all_give_two_empty_groups() -> None:
    model = model_of("gpt2")
    record = ablate_head(model, [], NEURON, HeadId(0, 1), TOKEN, [])
    assert record.active == record.inactive == group_means(change_of([]), np.zeros(0, dtype=bool))


def test_one_head_into_a_record_makes_the_means_where_only_rows_are_given() -> None:
    model = model_of("gpt2")
    rows, random_rows = ragged_rows(model, 4), ragged_rows(model, 6, seed=5)
    active = [True, False, True, False]
    means = mean_head_outputs(model, random_rows)
    [change] = ablate_heads(model, rows, NEURON, TOKEN, [HeadId(0, 1)], replacement="mean", means=means)
    expected = ablation_record(NEURON, HeadId(0, 1), TOKEN, change, active, replacement="mean")
    ask = (model, rows, NEURON, HeadId(0, 1), TOKEN, active)
    assert ablate_head(*ask, replacement="mean", mean_rows=random_rows) == expected
    assert ablate_head(*ask, replacement="mean", means=means) == expected
    with pytest.raises(ValueError, match="needs the means"):
        ablate_head(*ask, replacement="mean")
    with pytest.raises(ValueError, match="needs what stands in"):
        ablate_head(*ask, replacement="resample")


def test_what_cannot_be_asked_is_refused() -> None:
    model = model_of("gpt_neox")
    with pytest.raises(AddressError, match=r"L2\.H0 cannot feed L2\.N4, .* in parallel"):
        ablate_heads(model, [[1, 2]], NEURON, TOKEN, [HeadId(2, 0)])
    with pytest.raises(AddressError, match=r"no head L0\.H9"):
        ablate_heads(model, [[1, 2]], NEURON, TOKEN, [[HeadId(0, 0), HeadId(0, 9)]])
    with pytest.raises(AddressError, match="no neuron"):
        ablate_neuron(model, [[1, 2]], NeuronId(0, 99999), TOKEN)
    with pytest.raises(ValueError, match="1 labels for 2 prompts"):
        ablation_record(NEURON, HeadId(0, 1), TOKEN, change_of([0.0, 0.0]), [True])


def test_no_hook_stays_behind_even_when_stopped() -> None:
    class Stopping(Watch):
        def progress(self, stage: str, done: int, total: int, unit: str = "") -> None:
            raise Interrupted(f"{stage} {done}/{total} {unit}")

    model = model_of("gpt2")
    hooks = [len(module._forward_pre_hooks) + len(module._forward_hooks) for module in model.hf.modules()]
    with pytest.raises(Interrupted, match="ablate 1/7 prompts"):
        ablate_heads(model, rows_of(model), NEURON, TOKEN, HEADS, watch=Stopping())
    with pytest.raises(IndexError):
        ablate_heads(model, [[1, 2]], NEURON, 10**6, HEADS)
    assert hooks == [len(module._forward_pre_hooks) + len(module._forward_hooks) for module in model.hf.modules()]
