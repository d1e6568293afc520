"""Claims of other explainers on firing places: what they are shown, which places are judged, and Δ on just these."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import groupby

import msgspec
import numpy as np
import pytest
from chat_server import Json, Said
from numpy.typing import NDArray
from oracle import asked, is_explaining, number_of, oracle
from owls import NAME, Owls
from sklearn.metrics import roc_auc_score

from headtorch.core.analysis.cluster_statistics import ratio_contrast
from headtorch.core.engine.claim_evidence import Evidence
from headtorch.core.engine.claim_rows import ClaimRows
from headtorch.core.engine.head_claims import NO_TERMS, head_claim
from headtorch.core.engine.workspace import Workspace
from headtorch.core.events import HeadClaimTested, HeadExplained, HeadJudged
from headtorch.core.records import HeadActivity
from headtorch.core.settings import Settings
from headtorch.core.study.claim_families import families
from headtorch.core.study.claim_places import ClaimPlaces
from headtorch.core.study.claim_tables import claim_place_rows
from headtorch.core.study.rescoring import rescore
from headtorch.core.study.study import Study

PATTERN = "re:(States|people|tree)"


def sure_oracle(request: Json) -> Said:
    """The oracle, which tells how sure it is of a verdict."""
    said = oracle(request)
    if is_explaining(request) or said.text is None or "verdict" not in said.text:
        return said
    p = (number_of(asked(request)) // 2 % 500 + 500.5) / 1001  # of what it says
    tokens = [{token: 1.0} for token in ('{"', "verdict", '": "')]
    if '"active"' in said.text:
        return Said(said.text, alternatives=[*tokens, {"active": p, "in": 1 - p}, {'"}': 1.0}])
    return Said(said.text, alternatives=[*tokens, {"in": p, "active": 1 - p}, {"active": 1.0}, {'"}': 1.0}])


@pytest.fixture(scope="module")
def study(owls: Owls) -> Study:
    name = owls.study("sure")
    owls.server.answer = sure_oracle
    owls.run(name)
    return Study.open(name)


@pytest.fixture(scope="module")
def explaining(owls: Owls, study: Study) -> list[str]:
    """What the explainer was asked."""
    return [asked(request) for request in owls.server.requests if is_explaining(request)]


def arrays_of(study: Study, activity: HeadActivity) -> tuple[ClaimPlaces, NDArray[np.float64]]:
    """The places of the head's neuron, and the head's effects on the firing ones."""
    places = ClaimPlaces.of(study.load_arrays(study.state.firing[activity.neuron].artefact))
    chosen = study.state.claim_heads[activity.neuron]
    column = [one.head for one in chosen.heads].index(activity.head)
    return places, np.asarray(study.load_arrays(chosen.artefact)["effect"][:, column], np.float64)


def examples_in(text: str) -> dict[str, list[tuple[str, int]]]:
    """By class the texts that the explainer was shown, each with its effect in percent."""
    shown = {}
    for name in ("Active", "Inactive"):
        block = text.split(f"{name} texts:\n")[1].split("\n\n")[0]
        lines = [
            re.fullmatch(r"\d+\. …?(\".*\") \((?:source \d+%, )?effect (-?\d+)%\)", line) for line in block.split("\n")
        ]
        shown[name] = [(json.loads(re.sub("[⟦⟧]", "", line[1])), int(line[2])) for line in lines if line]
        assert len(shown[name]) == len(lines)
    return shown


def test_the_explainer_is_shown_few_places_of_both_classes_with_the_effect_there(
    study: Study, explaining: list[str]
) -> None:
    by_head = {}
    for activity in study.state.explainable():
        places, effect = arrays_of(study, activity)
        firing = np.flatnonzero(places.firing)
        share = dict(zip(firing.tolist(), effect / places.activation[firing], strict=True))
        train = [(i, activity.active[n]) for n, i in enumerate(firing.tolist()) if not places.held_out[i]]
        by_head[activity.neuron, activity.head] = {
            "".join(places.text(i, 64)): (active, round(100 * share[i])) for i, active in train
        }
    heads_left = dict(by_head)
    for text in explaining:
        shown = examples_in(text)
        assert [len(shown[name]) for name in ("Active", "Inactive")] == [6, 6]  # explain_n is 12
        told = {said: (name == "Active", effect) for name, of_class in shown.items() for said, effect in of_class}
        fitting = [head for head, known in heads_left.items() if told.items() <= known.items()]
        assert len(fitting) >= 1
        heads_left.pop(fitting[0])
    assert heads_left == {}
    assert all("⟦" in text and "average output" in text for text in explaining)


def test_few_held_out_places_are_judged_and_they_reach_over_each_class(study: Study) -> None:
    for activity in study.state.explainable():
        judged = study.state.judgements[activity.neuron, activity.head, NAME].prompts
        places, _ = arrays_of(study, activity)
        held_out = [n for n, i in enumerate(np.flatnonzero(places.firing)) if places.held_out[i]]
        for label in (True, False):
            of_class = [n for n in held_out if activity.active[n] == label]
            chosen = [n for n in judged if activity.active[n] == label]
            assert len(chosen) == min(4, len(of_class)) and set(chosen) <= set(of_class)  # score_n is 4
            assert (chosen[0], chosen[-1]) == (of_class[0], of_class[-1])


def test_the_probabilities_of_the_judge_come_to_an_auroc(study: Study) -> None:
    state, unread = study.state, 0
    for key, judgement in state.judgements.items():
        labels = [
            next(one for one in state.explainable() if (one.neuron, one.head) == key[:2]).active[i]
            for i in judgement.prompts
        ]
        pairs = [(p, label) for p, label in zip(judgement.probabilities, labels, strict=True) if p is not None]
        unread += len(labels) - len(pairs)
        probabilities, truth = zip(*pairs, strict=True)
        expected = roc_auc_score(truth, probabilities) if len(set(truth)) == 2 else None
        assert state.scores[key].auroc == (None if expected is None else pytest.approx(expected))
        assert [p > 0.5 for p in probabilities] == [one for one in judgement.verdicts if one is not None]
    assert unread == sum(one.verdicts.count(None) for one in state.judgements.values()) > 0
    assert rescore(state)[1].differing == []


def expected_contrast(
    study: Study, activity: HeadActivity, places: Sequence[int], holds: Sequence[bool]
) -> tuple[float | None, float | None, float | None]:
    """Δ, its lower end and p on these firing places, each counted so often as places of its class stand behind it."""
    at, effect = arrays_of(study, activity)
    firing = np.flatnonzero(at.firing)
    held_out = [n for n, i in enumerate(firing.tolist()) if at.held_out[i]]
    total = {label: sum(activity.active[n] == label for n in held_out) for label in (True, False)}
    used = {label: sum(activity.active[n] == label for n in places) for label in (True, False)}
    weight = np.array([total[activity.active[n]] / used[activity.active[n]] for n in places])
    sign = (-1 if activity.suppressing else 1) * weight
    contrast, p = ratio_contrast(
        sign * effect[list(places)],
        weight * at.activation[firing[list(places)]],
        holds,
        at.cluster[firing[list(places)]],
        seed=study.settings.seed,
    )
    return (None, None, None) if contrast is None else (contrast.value, contrast.low, p)


def test_the_contrast_of_a_judged_claim_is_that_of_the_judged_places(study: Study) -> None:
    some_with_p = 0
    for activity in study.state.explainable():
        key = (activity.neuron, activity.head, NAME)
        claim, judgement = study.state.head_claims[key], study.state.judgements[key]
        usable = [
            (n, verdict)
            for n, verdict in zip(judgement.prompts, judgement.verdicts, strict=True)
            if verdict is not None
        ]
        places, holds = zip(*usable, strict=True)
        value, low, p = expected_contrast(study, activity, places, holds)
        assert (claim.contrast.value if claim.contrast else None, claim.p) == (pytest.approx(value), pytest.approx(p))
        assert (claim.contrast.low if claim.contrast else None) == pytest.approx(low)
        assert (claim.n_holds, claim.n_elsewhere) == (sum(holds), len(holds) - sum(holds))
        some_with_p += p is not None
    assert some_with_p > 0


def test_the_table_of_places_says_what_was_judged(study: Study) -> None:
    tested = {(str(one.neuron), str(one.head)): one for one in study.state.head_claims.values()}
    rows = [row for row in claim_place_rows(study.state) if row.kind == "head"]
    for key, group in groupby(rows, key=lambda row: (row.neuron, row.head)):
        known = [row for row in group if row.holds is not None]
        assert all(row.scored for row in known)
        claim = tested[str(key[0]), str(key[1])]
        assert (sum(row.holds is True for row in known), len(known)) == (
            claim.n_holds,
            claim.n_holds + claim.n_elsewhere,
        )


def with_pattern(owls: Owls) -> Settings:
    return msgspec.structs.replace(owls.settings, explainer="me", explanation=PATTERN, llm=None)


def test_a_pattern_of_ones_own_is_a_claim_tested_on_all_held_out_places(owls: Owls, study: Study) -> None:
    calls = owls.server.calls
    events = list(owls.events("sure", settings=with_pattern(owls)))
    again = Study.open("sure")
    claims = [event.claim for event in events if isinstance(event, HeadClaimTested)]
    heads = again.state.explainable()
    assert len(claims) == len(heads) > 8 and owls.server.calls == calls
    for activity, claim in zip(heads, claims, strict=True):
        places, _ = arrays_of(again, activity)
        firing = np.flatnonzero(places.firing).tolist()
        held_out = [n for n, i in enumerate(firing) if places.held_out[i]]
        holds = [re.search(PATTERN[3:], "".join(places.text(firing[n], 64))) is not None for n in held_out]
        value, _, p = expected_contrast(again, activity, held_out, holds)
        assert (claim.contrast.value if claim.contrast else None, claim.p) == (pytest.approx(value), pytest.approx(p))
        assert (claim.explainer, claim.n_holds + claim.n_elsewhere) == ("me", len(held_out))
        judgement = again.state.judgements[activity.neuron, activity.head, "me"]
        if judgement.verdicts:
            assert dict(zip(judgement.prompts, judgement.verdicts, strict=True)) == dict(
                zip(held_out, holds, strict=True)
            )
            assert again.state.scores[activity.neuron, activity.head, "me"].auroc is None
    tests = families(again.state, "me", random=False).contrast.p
    own = {neuron for neuron, row in again.state.neurons.items() if not row.random}
    assert set(tests) == {(one.neuron, one.head) for one in claims if one.neuron in own and one.p is not None}
    assert [type(one) for one in owls.events("sure", settings=with_pattern(owls))].count(HeadClaimTested) == 0
    other = msgspec.structs.replace(with_pattern(owls), explanation="re:Congress")
    assert [type(one) for one in owls.events("sure", settings=other)].count(HeadClaimTested) == len(heads)


def test_a_claim_without_terms_is_said_to_be_not_testable_by_rewriting(owls: Owls, study: Study) -> None:
    activity = study.state.explainable()[0]
    workspace = Workspace(owls.settings, model=owls.model)
    evidence = Evidence(study, workspace, ClaimRows(study, [activity.neuron]), activity.neuron)
    head = next(one for one in study.state.claim_heads[activity.neuron].heads if one.head == activity.head)
    holds = np.arange(len(evidence.held_out)) % 2 == 0
    claim = head_claim(evidence, head, "me", holds, None, full=True)
    assert claim.rewriting is not None and claim.rewriting.not_testable == NO_TERMS
    assert head_claim(evidence, head, "me", holds, None, full=False).rewriting is None


def test_another_judge_makes_the_claims_be_tested_again(owls: Owls, study: Study) -> None:
    name = owls.study("two judges")
    owls.server.answer = sure_oracle
    sentence = msgspec.structs.replace(owls.settings, explainer="me", explanation="Active when there are 3 owls.")
    first = {
        one.claim.head: one.claim for one in owls.events(name, settings=sentence) if isinstance(one, HeadClaimTested)
    }

    def contrary(request: Json) -> Said:
        return Said(
            '{"verdict": "active"}' if "inactive" in (oracle(request).text or "") else '{"verdict": "inactive"}'
        )

    owls.server.answer = contrary
    by_hawk = msgspec.structs.replace(owls.settings.llm, judge_model="hawk")
    events = list(owls.events(name, settings=msgspec.structs.replace(sentence, llm=by_hawk)))
    kinds = [type(event) for event in events]
    assert kinds.count(HeadExplained) == 0 and kinds.count(HeadJudged) == kinds.count(HeadClaimTested) > 8
    second = {one.claim.head: one.claim for one in events if isinstance(one, HeadClaimTested)}
    assert first.keys() == second.keys() and all(first[head] != second[head] for head in first)
