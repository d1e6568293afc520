"""Validity against plain counting and plain Hugging Face hooks, one row at a time."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from planted import NEURON, TARGET, TRIGGER, planted_corpus, planted_hf, planted_tokenizer
from sklearn.metrics import roc_auc_score
from statsmodels.stats.contingency_tables import Table2x2
from tiny_models import TEXT, tiny_model
from torch import Tensor, nn

from headtorch.core.analysis import validity
from headtorch.core.analysis.congruence import best_token_neurons, token_neurons
from headtorch.core.analysis.index import ActivationIndex
from headtorch.core.analysis.scan import scan
from headtorch.core.analysis.statistics import odds_ratio
from headtorch.core.analysis.validity import Validator, context_row, is_valid
from headtorch.core.corpus.corpus import open_corpus
from headtorch.core.corpus.encoding import batch_encoder
from headtorch.core.corpus.tokens import TokenizedCorpus, tokenize
from headtorch.core.errors import Interrupted
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.records import NextTokenNeuron, Validity
from headtorch.core.watch import Watch

CONTEXT, TOP, PROBED = 9, 9, 4
KINDS = ("gpt2", "llama", "gemma2", "llama without first token")
Place = tuple[int, int]  # document, position


@dataclass
class Case:
    """A model, a corpus and the naive answers."""

    model: LanguageModel
    corpus: TokenizedCorpus
    index: ActivationIndex

    @cached_property
    def documents(self) -> list[list[int]]:
        corpus = self.corpus.corpus
        return [self.model.encode(corpus.document(i).text) for i in range(len(corpus))]

    @cached_property
    def counted(self) -> list[Place]:
        first = 0 if self.model.facts.first_token is not None else 1
        return [(d, p) for d, ids in enumerate(self.documents) for p in range(first, len(ids))]

    def window_start(self, place: Place) -> int:
        skipped = self.counted[0][1]
        return skipped + (place[1] - skipped) // (CONTEXT - 1) * (CONTEXT - 1)

    def row(self, place: Place) -> list[int]:
        start, first = self.window_start(place), self.model.facts.first_token
        ids = self.documents[place[0]]
        return [ids[start - 1] if first is None else first, *ids[start : place[1] + 1]]

    def next(self, place: Place) -> int | None:
        ids = self.documents[place[0]]
        return ids[place[1] + 1] if place[1] + 1 < len(ids) else None

    @cached_property
    def activations(self) -> dict[Place, list[Tensor]]:
        """Of every neuron at every counted place, from a pass over the place's own row."""
        return {place: self.run(self.row(place))[1] for place in self.counted}

    def value(self, place: Place, row: NextTokenNeuron) -> float:
        return float(self.activations[place][row.neuron.layer][row.neuron.index])

    def strongest(self, row: NextTokenNeuron) -> list[Place]:
        """The strongest place of each window, the TOP strongest of them that fire."""
        windows: dict[Place, Place] = {}
        for place in self.counted:
            window = (place[0], self.window_start(place))
            if window not in windows or row.sign * (self.value(place, row) - self.value(windows[window], row)) > 0:
                windows[window] = place
        firing = [place for place in windows.values() if row.sign * self.value(place, row) > 0]
        return sorted(firing, key=lambda place: -row.sign * self.value(place, row))[:TOP]

    def mlp_outputs(self) -> list[nn.Module]:
        if self.model.facts.family == "gpt2":
            return [block.mlp.c_proj for block in self.model.hf.transformer.h]
        return [layer.mlp.down_proj for layer in self.model.hf.model.layers]

    def run(self, ids: list[int], silenced: NextTokenNeuron | None = None) -> tuple[Tensor, list[Tensor], Tensor]:
        """(log p of every token, activations of every layer, input of the final norm), all at the last position."""
        inputs: dict[int, Tensor] = {}

        def keep(number: int) -> Any:
            def hook(_: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
                x = args[0].clone()
                if silenced is not None and silenced.neuron.layer == number:
                    x[0, -1, silenced.neuron.index] = 0
                inputs[number] = x[0, -1]
                return (x,)

            return hook

        with hooked([*self.mlp_outputs(), self.final_norm], keep), torch.no_grad():
            logits = self.model.hf(torch.tensor([ids]), use_cache=False).logits[0, -1, : self.model.facts.d_vocab]
        *activations, residual = (inputs[number] for number in sorted(inputs))
        return logits.log_softmax(-1), activations, residual

    @property
    def final_norm(self) -> nn.Module:
        hf = self.model.hf
        return hf.transformer.ln_f if self.model.facts.family == "gpt2" else hf.model.norm

    def logit_attribution(self, place: Place, row: NextTokenNeuron) -> float:
        """What the neuron's own output adds to the logit of its token over the mean logit, the final scale frozen."""
        _, activations, residual = self.run(self.row(place))
        output, norm = self.mlp_outputs()[row.neuron.layer], self.final_norm
        with torch.no_grad():
            alone = torch.zeros_like(activations[row.neuron.layer])
            alone[row.neuron.index] = activations[row.neuron.layer][row.neuron.index]
            written = output(alone) - output(torch.zeros_like(alone))  # without the bias
            if isinstance(norm, nn.LayerNorm):
                scale = (residual.var(unbiased=False) + norm.eps).sqrt()
                written = written - written.mean()
            else:
                scale = (residual.pow(2).mean() + norm.variance_epsilon).sqrt()
            logits = self.model.hf.get_output_embeddings()(written * norm.weight / scale)[: self.model.facts.d_vocab]
        return float(logits[row.token_id] - logits.mean())


@contextmanager
def hooked(modules: list[nn.Module], make: Any) -> Iterator[None]:
    handles = [module.register_forward_pre_hook(make(number)) for number, module in enumerate(modules)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@pytest.fixture(autouse=True)
def few_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validity, "TOP", TOP)
    monkeypatch.setattr(validity, "PROBED", PROBED)


def case_of(model: LanguageModel, texts: list[str], folder: Path, context: int = CONTEXT) -> Case:
    (folder / "texts").mkdir(parents=True)
    for number, text in enumerate(texts):
        (folder / "texts" / f"{number:03d}.txt").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADTORCH_CACHE", str(folder / "cache"))
        corpus = tokenize(
            open_corpus(str(folder / "texts")),
            batch_encoder(model.tokenizer),
            tokenizer_fingerprint=model.tokenizer_fingerprint,
            first_token=model.facts.first_token,
            context=context,
            folder=folder / "tokens",
        )
    layers = list(range(model.facts.n_layers))
    return Case(model, corpus, scan(model, corpus, layers, folder=None))


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    rng, words = random.Random(0), sorted(set(TEXT.split()))
    texts = [" ".join(rng.choice(words) for _ in range(rng.randint(1, 12))) for _ in range(16)]
    made = {}
    for kind in KINDS:
        model = tiny_model(kind.split()[0], bos="without" not in kind)
        made[kind] = case_of(model, texts, tmp_path_factory.mktemp("case"))
    return made


@pytest.fixture(params=KINDS)
def case(request: pytest.FixtureRequest, cases: dict[str, Case]) -> Case:
    return cases[request.param]


def studied(case: Case) -> list[NextTokenNeuron]:
    """A neuron of either sign where there are both, with the token that follows it most often."""
    found = best_token_neurons(case.model, [1, 2])
    chosen = [next(row for row in found if row.sign == sign) for sign in ({1, -1} if case.model.facts.gated else {1})]
    rows = []
    for row in chosen:
        following = Counter(case.next(place) for place in case.strongest(row))
        del following[None]
        rows.append(msgspec.structs.replace(row, token_id=following.most_common(1)[0][0]))
    return rows


def measured(case: Case, row: NextTokenNeuron) -> Validity:
    found = Validator(case.model, case.corpus, case.index).measure(row)
    assert found is not None
    return found


def test_what_follows_the_strongest_places_and_how_often_that_is_by_chance(case: Case) -> None:
    every = [token for ids in case.documents for token in ids]
    for row in studied(case):
        assert len(case.strongest(row)) == TOP
        following = [token for place in case.strongest(row) if (token := case.next(place)) is not None]
        found = measured(case, row)
        share = following.count(row.token_id) / len(following)
        assert (found.neuron, found.token_id, found.n) == (row.neuron, row.token_id, len(following))
        assert found.next_share == pytest.approx(share) and share > 0
        assert found.base_rate == pytest.approx(every.count(row.token_id) / len(every))
        assert found.lift == pytest.approx(share / (every.count(row.token_id) / len(every)))
        hits, others = following.count(row.token_id), every.count(row.token_id)
        cells = np.array([[hits, len(following) - hits], [others, len(every) - others]], np.float64)
        table = Table2x2(cells + 0.5 * (cells.min() == 0))
        low, high = table.oddsratio_confint()
        odds = found.odds_ratio, found.odds_low, found.odds_high
        assert odds == pytest.approx((table.oddsratio, low, high))
        assert found.valid == (share >= 0.5 and table.oddsratio >= 20 and low >= 5)


def test_auroc_of_the_activation_for_the_token_that_follows(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validity, "OCCURRENCES", 10_000)  # all places
    sample = case.index.random_positions()
    random_places = list(zip(sample.document.tolist(), sample.position.tolist(), strict=True))
    for row in studied(case):
        before = [place for place in case.counted if place[1] >= 1 and case.next(place) == row.token_id]
        others = [place for place in random_places if case.next(place) not in (None, row.token_id)]
        scores = [row.sign * case.value(place, row) for place in before + others]
        assert len(before) > 0 and len(others) > 0
        expected = roc_auc_score([True] * len(before) + [False] * len(others), scores)
        assert measured(case, row).auroc == pytest.approx(expected, abs=0.01)  # equal values may part in rounding


def test_logit_attribution_is_what_the_neuron_itself_adds(case: Case) -> None:
    for row in studied(case):
        found = measured(case, row).logit_attribution
        if case.model.facts.post_norm:
            assert found is None
        else:
            places = case.strongest(row)[:PROBED]
            expected = np.mean([case.logit_attribution(place, row) for place in places])
            assert found == pytest.approx(expected, rel=1e-3, abs=1e-5)


def test_log_p_with_the_neuron_silenced(case: Case) -> None:
    for row in studied(case):
        rows = [case.row(place) for place in case.strongest(row)[:PROBED]]
        changes = [case.run(ids, silenced=row)[0] - case.run(ids)[0] for ids in rows]
        expected = np.mean([float(change[row.token_id]) for change in changes])
        assert abs(expected) > 1e-4
        assert measured(case, row).ablation_log_p == pytest.approx(expected, rel=1e-3, abs=1e-5)


def test_the_context_of_a_place_is_its_window_up_to_it(case: Case) -> None:
    assert any(case.window_start(place) > 1 for place in case.counted)
    for place in case.counted:
        assert context_row(case.corpus, *place) == case.row(place)


def test_the_same_places_are_drawn_again_and_others_with_another_seed(
    cases: dict[str, Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validity, "OCCURRENCES", 3)
    case = cases["gpt2"]
    [row] = studied(case)
    found = [Validator(case.model, case.corpus, case.index, seed=seed).measure(row) for seed in (0, 0, 1, 2, 3)]
    assert found[0] == found[1]
    assert len({one.auroc for one in found if one is not None}) > 1
    assert len({(one.next_share, one.ablation_log_p) for one in found if one is not None}) == 1


def test_a_token_that_never_occurs_has_no_auroc_and_no_lift(cases: dict[str, Case]) -> None:
    case = cases["gpt2"]
    every = {token for ids in case.documents for token in ids}
    absent = next(token for token in range(case.model.facts.d_vocab) if token not in every)
    found = measured(case, msgspec.structs.replace(studied(case)[0], token_id=absent))
    assert (found.next_share, found.base_rate, found.lift, found.auroc, found.valid) == (0, 0, 0, None, False)
    assert (found.odds_ratio, found.odds_low, found.odds_high) == (None, None, None)


def test_a_frequent_token_can_be_valid_and_a_few_hits_by_chance_cannot() -> None:
    """Base rate 6 %: 48 of 60 are odds of 4 against 0.064. 3 of 5 of a rare token have a lower end that is too low."""
    frequent = odds_ratio(48, 60, 60_000, 1_000_000)
    assert frequent is not None and frequent[0] == pytest.approx(4 / (6 / 94)) and is_valid(0.8, frequent)
    assert is_valid(1.0, odds_ratio(60, 60, 60_000, 1_000_000))
    assert not is_valid(0.48, odds_ratio(29, 60, 100, 1_000_000))  # rare, but mostly something else follows
    assert not is_valid(0.6, odds_ratio(3, 5, 60_000, 1_000_000))
    assert not is_valid(0.5, odds_ratio(30, 60, 60_000, 1_000_000))  # an odds ratio of 15.7


def planted_case(kind: str, folder: Path) -> tuple[Case, NextTokenNeuron]:
    """The planted model on the first words of planted documents of a kind, up to what follows the trigger."""
    model = LanguageModel.from_hf(planted_hf(), planted_tokenizer(), name="planted")
    texts = [document.text for document in planted_corpus(120) if document.kind == kind]
    cut = [text[: text.index(TRIGGER) + len(TRIGGER + TARGET)].rpartition(" ")[0] for text in texts]
    chosen = texts if kind != "neither" else cut
    [row] = token_neurons(model, [NEURON.layer], model.single_token(TARGET), limit=1)
    return case_of(model, chosen, folder, context=64), row


def test_a_neuron_that_never_fires_has_no_validity(tmp_path: Path) -> None:
    case, row = planted_case("neither", tmp_path)
    assert row.neuron == NEURON
    assert Validator(case.model, case.corpus, case.index).measure(row) is None


def test_the_planted_neuron_predicts_its_token(tmp_path: Path) -> None:
    case, row = planted_case("treaty", tmp_path)
    found = measured(case, row)
    assert found.valid and found.next_share == 1 and found.auroc == 1
    assert found.logit_attribution is not None and found.logit_attribution > 5
    assert found.ablation_log_p is not None and found.ablation_log_p < -5


def test_measuring_can_be_stopped(cases: dict[str, Case]) -> None:
    class Stop(Watch):
        def checkpoint(self) -> None:
            raise Interrupted("stopped")

    case = cases["gpt2"]
    with pytest.raises(Interrupted):
        Validator(case.model, case.corpus, case.index).measure(studied(case)[0], watch=Stop())
