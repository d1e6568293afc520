"""A whole study of circuits set by hand: every number of a claim against the closed form of `planted_claims`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import planted_claims as planted
import pytest
import torch
from planted_claims import AND, CANCEL, EITHER, LAST_TOKEN, LOOK_BACK, NEURONS, OR, SPARSE, Head, Neuron

from headtorch.core.claims import ClaimHead, ContextClaim, MatchedHead
from headtorch.core.engine.heads_stage import choose_heads
from headtorch.core.engine.pipeline import run_study
from headtorch.core.engine.workspace import Workspace
from headtorch.core.errors import StorageError
from headtorch.core.events import HeadActivityFound
from headtorch.core.explain.rule import Rule
from headtorch.core.study.claim_places import ClaimPlaces
from headtorch.core.study.conclusions import conclusions
from headtorch.core.study.matched_pairs import matched_pairs
from headtorch.core.study.state import StudyState
from headtorch.core.study.study import Study

pytestmark = pytest.mark.slow
DRIVEN = [neuron for neuron in NEURONS if neuron is not LAST_TOKEN]
by_name = pytest.mark.parametrize("neuron", DRIVEN, ids=lambda neuron: neuron.name)


@dataclass(frozen=True)
class PlantedStudy:
    """The finished study, and what its numbers are checked against."""

    study: Study
    workspace: Workspace

    @property
    def state(self) -> StudyState:
        return self.study.state

    def places(self, neuron: Neuron) -> ClaimPlaces:
        return ClaimPlaces.of(self.study.load_arrays(self.state.firing[neuron.id].artefact))

    def claim(self, neuron: Neuron) -> ContextClaim:
        return self.state.context_claims[neuron.id, "rules"]

    def matched(self, neuron: Neuron) -> dict[str, MatchedHead]:
        return {str(one.head): one for one in self.claim(neuron).heads}

    def heads(self, neuron: Neuron) -> dict[str, ClaimHead]:
        return {str(one.head): one for one in self.state.claim_heads[neuron.id].heads}

    def firing_texts(self, neuron: Neuron) -> list[tuple[str, ...]]:
        places = self.places(neuron)
        return [places.text(i) for i in np.flatnonzero(places.firing).tolist()]

    def held_out_pairs(self, neuron: Neuron) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
        """Texts where it fires, with those of the same last token where it does not."""
        places = self.places(neuron)
        ends = {(int(places.pair[i]), bool(places.firing[i])): i for i in np.flatnonzero(places.held_out).tolist()}
        numbers = sorted({number for number, _ in ends} - {-1})
        return [(places.text(ends[n, True]), places.text(ends[n, False])) for n in numbers]

    def mean_shares(self) -> dict[Head, float]:
        """Of every head over the random positions that means are taken over."""
        model = self.workspace.model
        texts = [model.token_texts(row)[1:] for row in self.workspace.random_rows]
        return {head: float(np.mean([planted.share(head, text) for text in texts])) for head in planted.PLANTED_HEADS}


@pytest.fixture(scope="module")
def planted_study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlantedStudy]:
    home = tmp_path_factory.mktemp("planted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADTORCH_HOME", str(home))
        patch.setenv("HEADTORCH_CACHE", str(home / "cache"))
        settings = planted.claims_settings(home / "texts")
        workspace = Workspace(settings, model=planted.claims_model())
        with Study.create("planted", settings) as study:
            for _ in run_study(study, workspace):
                pass
            yield PlantedStudy(study, workspace)


def without(shares: Mapping[Head, float], heads: Mapping[Head, float]) -> dict[Head, float]:
    return {**shares, **heads}


def taken_and_restored(planted_study: PlantedStudy, neuron: Neuron, *heads: Head) -> tuple[float, float]:
    """T and R over the held-out pairs in the closed form, `heads` exchanged together."""
    taken = restored = difference = 0.0
    for on_text, off_text in planted_study.held_out_pairs(neuron):
        on, off = planted.shares(on_text), planted.shares(off_text)
        a_on, a_off = (planted.activation(neuron, text[-1], s) for text, s in ((on_text, on), (off_text, off)))
        swapped_on, swapped_off = without(on, {h: off[h] for h in heads}), without(off, {h: on[h] for h in heads})
        taken += a_on - planted.activation(neuron, on_text[-1], swapped_on)
        restored += planted.activation(neuron, off_text[-1], swapped_off) - a_off
        difference += a_on - a_off
    return taken / difference, restored / difference


def test_the_closed_form_is_what_the_model_computes() -> None:
    model = planted.claims_model()
    for document in planted.claims_corpus()[::40]:
        row = model.row(document)
        text = model.token_texts(row)[1:]
        activations = model.mlp_activations(torch.tensor([row]), [1])[1][0]
        for end in range(1, len(row)):
            shares = planted.shares(text[:end])
            expected = [planted.activation(neuron, text[end - 1], shares) for neuron in NEURONS]
            got = [float(activations[end, neuron.id.index]) for neuron in NEURONS]
            assert got == pytest.approx(expected, abs=1e-5)


def test_neurons_fire_at_their_triggers_once_in_each_of_their_texts(planted_study: PlantedStudy) -> None:
    for neuron in NEURONS:
        firing, places = planted_study.state.firing[neuron.id].firing, planted_study.places(neuron)
        documents = [text for text in planted.claims_corpus() if any(t in text for t in neuron.triggers)]
        assert (firing.train + firing.held_out, firing.threshold, firing.near_copies) == (len(documents), 0, 0)
        expected = [
            planted.activation(neuron, text[-1], planted.shares(text)) for text in planted_study.firing_texts(neuron)
        ]
        np.testing.assert_allclose(places.activation[places.firing], expected, atol=1e-5)
        assert min(expected) > 0.1


@by_name
def test_a_matched_place_ends_with_the_same_token_and_the_neuron_is_off(
    planted_study: PlantedStudy, neuron: Neuron
) -> None:
    firing, pairs = planted_study.state.firing[neuron.id].firing, planted_study.held_out_pairs(neuron)
    assert len(pairs) == firing.held_out_pairs == firing.held_out
    for on, off in pairs:
        assert on[-1] == off[-1] == neuron.trigger
        assert planted.activation(neuron, off[-1], planted.shares(off)) == 0


@by_name
def test_heads_bring_all_of_the_activation(planted_study: PlantedStudy, neuron: Neuron) -> None:
    share, means = planted_study.state.context_share[neuron.id], planted_study.mean_shares()
    assert max(means.values()) < 0.05
    assert planted.activation(neuron, neuron.trigger, means) == 0
    assert share.share.value == pytest.approx(1, abs=1e-6) and share.is_driven


def test_of_the_last_token_neuron_heads_bring_nothing_and_its_tokens_are_named(planted_study: PlantedStudy) -> None:
    share, means = planted_study.state.context_share[LAST_TOKEN.id], planted_study.mean_shares()
    assert share.share.value == pytest.approx(0, abs=1e-4) and not share.is_driven
    assert share.r2 == pytest.approx(1, abs=1e-6)
    assert [one.token for one in share.last_tokens] == [" river", " harbour"]
    expected = [planted.activation(LAST_TOKEN, one.token, means) for one in share.last_tokens]
    assert [one.activation for one in share.last_tokens] == pytest.approx(expected, abs=1e-5)


def test_nothing_is_claimed_of_the_last_token_neuron(planted_study: PlantedStudy) -> None:
    state = planted_study.state
    firing = state.firing[LAST_TOKEN.id].firing
    assert firing.token_suffices == firing.train + firing.held_out
    assert LAST_TOKEN.id not in state.claim_heads and not state.activity[LAST_TOKEN.id].heads
    assert LAST_TOKEN.id not in {neuron for neuron, *_ in [*state.context_claims, *state.head_claims]}


@by_name
def test_effects_and_attributions_are_those_of_the_closed_form(planted_study: PlantedStudy, neuron: Neuron) -> None:
    chosen, means = planted_study.state.claim_heads[neuron.id], planted_study.mean_shares()
    arrays = planted_study.study.load_arrays(chosen.artefact)
    for column, one in enumerate(chosen.heads):
        head = planted.PLANTED_HEADS[one.head.index]
        for place, text in enumerate(planted_study.firing_texts(neuron)):
            shares = planted.shares(text)
            after = planted.activation(neuron, text[-1], without(shares, {head: means[head]}))
            effect = planted.activation(neuron, text[-1], shares) - after
            assert arrays["effect"][place, column] == pytest.approx(effect, abs=2e-5)
            expected = planted.attribution(neuron, head, text[-1], shares)
            assert arrays["attribution"][place, column] == pytest.approx(expected, abs=2e-5)


@by_name
def test_heads_take_and_restore_what_the_closed_form_says(planted_study: PlantedStudy, neuron: Neuron) -> None:
    claim = planted_study.claim(neuron)
    for one in claim.heads:
        heads = [planted.PLANTED_HEADS[one.head.index]] if one.head.layer == 0 else []  # layer 1 has no planted heads
        assert (one.taken.value, one.restored.value) == pytest.approx(
            taken_and_restored(planted_study, neuron, *heads), abs=1e-4
        )
    for joint in claim.joint:
        assert (joint.taken.value, joint.restored.value) == pytest.approx((1, 1), abs=1e-4)
    assert claim.joint[-1].heads == claim.eligible_heads == 2 * planted.HEADS


@by_name
def test_pairs_show_of_each_head_what_the_claim_sums_up(planted_study: PlantedStudy, neuron: Neuron) -> None:
    claim, texts = planted_study.claim(neuron), planted_study.held_out_pairs(neuron)
    pairs = matched_pairs(planted_study.study.state, claim, tokens=planted.CONTEXT)
    assert [(tuple(pair.firing.tokens), tuple(pair.off.tokens)) for pair in pairs] == texts
    difference = sum(pair.firing.activation - pair.off.activation for pair in pairs)
    for number, one in enumerate(claim.heads):
        shown = [pair.heads[number] for pair in pairs]
        assert {head.head for head in shown} == {one.head}
        assert sum(head.taken for head in shown) / difference == pytest.approx(one.taken.value, abs=1e-5)
        assert sum(head.restored for head in shown) / difference == pytest.approx(one.restored.value, abs=1e-5)


def test_one_head_that_looks_back_does_it_alone(planted_study: PlantedStudy) -> None:
    claim, [strongest, *others] = planted_study.claim(LOOK_BACK), planted_study.claim(LOOK_BACK).heads
    assert strongest.head == planted.TREATY.id and claim.heads_for_80 == 1
    assert (strongest.taken.value, strongest.restored.value) == pytest.approx((1, 1), abs=1e-5)
    assert strongest.p is not None and strongest.p < 0.001
    assert strongest.attends == pytest.approx(1, abs=1e-3) and strongest.attributes == pytest.approx(1, abs=1e-3)
    assert max(abs(one.taken.value) for one in others) < 1e-5


def test_its_context_claim_names_the_token_and_how_far_back_it_may_stand(planted_study: PlantedStudy) -> None:
    claim = planted_study.claim(LOOK_BACK)
    assert claim.text == 'Fires where " treaty" is among the last 6 tokens.'
    assert claim.rule is not None
    rule = Rule.loads(claim.rule)
    for on, off in planted_study.held_out_pairs(LOOK_BACK):
        assert rule.judges(on) and not rule.judges(off)
    assert (claim.e, claim.true_firing, claim.true_off) == (1.0, claim.pairs, claim.pairs)
    assert claim.interval is not None and claim.interval.low > 0.85


def test_without_the_token_it_does_not_fire_and_other_tokens_do_not_matter(planted_study: PlantedStudy) -> None:
    rewriting = planted_study.claim(LOOK_BACK).rewriting
    assert rewriting is not None and rewriting.agrees
    assert rewriting.change is not None and rewriting.change.value == pytest.approx(-1, abs=1e-5)
    assert rewriting.placebo is not None and rewriting.placebo.value == pytest.approx(0, abs=1e-4)


def test_a_head_that_always_acts_is_no_answer_to_which_head_in_which_context(planted_study: PlantedStudy) -> None:
    assert planted_study.heads(LOOK_BACK)["L0.H0"].not_explained == "always active"
    assert planted_study.heads(LOOK_BACK)["L0.H0"].effect == pytest.approx(1, abs=1e-5)
    assert not [key for key in planted_study.state.head_claims if key[0] == LOOK_BACK.id]


def test_of_heads_that_are_both_needed_each_takes_all_and_restores_nothing(planted_study: PlantedStudy) -> None:
    matched = planted_study.matched(AND)
    for head in (planted.SILVER, planted.COPPER):
        one = matched[str(head.id)]
        assert (one.taken.value, one.restored.value) == pytest.approx((1, 0), abs=1e-5)
    assert taken_and_restored(planted_study, AND, planted.SILVER, planted.COPPER) == pytest.approx((1, 1))


def test_of_heads_that_stand_in_for_each_other_each_takes_little_and_restores_nearly_all(
    planted_study: PlantedStudy,
) -> None:
    matched, claim = planted_study.matched(OR), planted_study.claim(OR)
    for head in (planted.ANCHOR, planted.LANTERN):
        one = matched[str(head.id)]
        assert one.taken.value < 0.15 and one.restored.value > 0.85
    assert claim.heads_for_80 == 2
    rewriting = claim.rewriting  # the rule names one of the two tokens, and the other is still there
    assert rewriting is not None and rewriting.change is not None and rewriting.change.value > -0.15


def test_of_heads_for_different_contexts_each_is_told_by_its_token(planted_study: PlantedStudy) -> None:
    for head, other in ((planted.VIOLIN, planted.TRUMPET), (planted.TRUMPET, planted.VIOLIN)):
        chosen = planted_study.heads(EITHER)[str(head.id)]
        assert (chosen.label, chosen.not_explained, chosen.suppressing) == ("attribution", None, False)
        key = (EITHER.id, head.id, "rules")
        rule = Rule.loads(str(planted_study.state.explanations[key].rule))
        score, claim = planted_study.state.scores[key], planted_study.state.head_claims[key]
        for text in planted_study.firing_texts(EITHER):
            near = text[-1 - planted.REACH :]
            assert rule.judges(text) == (head.token in near) != (other.token in near)
        assert score.e == 1.0
        assert claim.tag is None and claim.contrast is not None and claim.p is not None and claim.p < 0.01
        assert (claim.effect_holds, claim.effect_elsewhere) == pytest.approx((1, 0), abs=0.01)
        assert claim.contrast.value == pytest.approx(1, abs=0.01) and claim.contrast.is_above_zero
        assert claim.contrast_resample is not None and claim.contrast_resample.value == pytest.approx(1, abs=0.05)
        rewriting = claim.rewriting
        assert (
            rewriting is not None and rewriting.effect_change is not None and rewriting.attribution_change is not None
        )
        assert (rewriting.effect_change.value, rewriting.attribution_change.value) == pytest.approx((-1, -1), abs=1e-3)


def test_a_head_whose_effect_is_cancelled_behind_it_is_labelled_by_effect_and_claims_nothing(
    planted_study: PlantedStudy,
) -> None:
    one = planted_study.heads(CANCEL)[str(planted.VELVET.id)]
    texts = [text for text in planted_study.firing_texts(CANCEL) if planted.VELVET.token in text[-1 - planted.REACH :]]
    for text in texts:
        shares = planted.shares(text)
        direct = planted.attribution(CANCEL, planted.VELVET, text[-1], shares)
        assert direct > 1.5 * planted.activation(CANCEL, text[-1], shares)
    assert len(texts) > 15 and -0.2 < one.effect < 0
    assert one.label == "carries" and one.label_effect_spearman is not None and one.label_effect_spearman < 0.7
    assert one.not_explained == "too rare" and one.active_share == 0
    assert (CANCEL.id, planted.VELVET.id, "rules") not in planted_study.state.head_claims
    assert planted_study.matched(CANCEL)[str(planted.MARBLE.id)].taken.value == pytest.approx(1, abs=1e-3)


def test_a_head_that_carries_few_places_is_chosen_as_sparse(planted_study: PlantedStudy) -> None:
    train = ~planted_study.places(SPARSE).held_out[planted_study.places(SPARSE).firing]
    carried = [planted.SAFFRON.token in text[-1 - planted.REACH :] for text in planted_study.firing_texts(SPARSE)]
    share = float(np.mean(np.array(carried)[train]))
    one = planted_study.heads(SPARSE)[str(planted.SAFFRON.id)]
    assert 0.03 < share < 0.1
    assert (one.sparse, one.not_explained, one.active_share) == (True, "too rare", share)
    assert [head.sparse for head in planted_study.heads(SPARSE).values()] == [False, False, True]


def test_a_run_that_stopped_between_the_heads_of_a_neuron_and_their_labels_makes_up_for_it(
    planted_study: PlantedStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = planted_study.state
    before = state.activity[EITHER.id]
    assert len(before.heads) == 2
    monkeypatch.delitem(state.activity, EITHER.id)
    events = []
    for event in choose_heads(planted_study.study, planted_study.workspace):
        events.append(event)
        state.apply(event)
    assert [event for event in events if isinstance(event, HeadActivityFound)] == [before]


def test_the_report_says_how_long_the_study_took(planted_study: PlantedStudy) -> None:
    report = json.loads((planted_study.study.folder / "report" / "report.json").read_text())
    assert report["finished"] == planted_study.state.finished.seconds > 0


def test_a_report_that_cannot_be_written_is_refused_before_the_work(
    planted_study: PlantedStudy, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with Study.create("refused", planted_study.study.settings) as study:
        with pytest.raises(StorageError, match="file"):
            next(run_study(study, planted_study.workspace, out=tmp_path / "file" / "out"))
        assert not study.state.done and study.state.finished is None


def test_the_verdict_counts_what_was_planted(planted_study: PlantedStudy) -> None:
    result = conclusions(planted_study.state)
    verdict = result.verdict
    assert (verdict.neurons, verdict.valid, verdict.driven_by_heads, verdict.driven_by_last_token) == (7, 7, 6, 1)
    contexts = {row.neuron for row in result.findings if row.kind == "context"}
    assert {str(neuron.id) for neuron in (LOOK_BACK, AND, EITHER, CANCEL, SPARSE)} <= contexts
    heads = [(row.neuron, row.head) for row in result.findings if row.kind == "head"]
    assert sorted(heads) == [(str(EITHER.id), str(head.id)) for head in (planted.VIOLIN, planted.TRUMPET)]


def test_controls_of_shuffled_labels_and_of_other_heads_do_not_pass(planted_study: PlantedStudy) -> None:
    controls = conclusions(planted_study.state).verdict.controls
    counts = (controls.same_neuron, controls.shuffled, controls.context_shuffled)
    assert [(one.claims, one.passed) for one in counts] == [(2, 0), (2, 0), (6, 0)]
    same = [one.e for one in planted_study.state.controls[EITHER.id] if one.kind == "same_neuron"]
    assert same == [0.0, 0.0]  # each head is active where the other is not
