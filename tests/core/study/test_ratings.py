"""People's answers: kept at once, blind, resumable, and summed up by independent computations."""

from __future__ import annotations

import threading
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score

from headtorch.core.errors import StudyError
from headtorch.core.events import (
    AnyEvent,
    HeadActivityFound,
    HeadExplained,
    HeadJudged,
    HeadScored,
    NeuronsFound,
    PromptsFound,
)
from headtorch.core.records import Explanation, HeadActivity, HeadId, Judgement, NeuronId, Prompt, Score
from headtorch.core.study.rating_plan import PER_CLASS, Item, examples, judged_prompts, left, plan, prompt_of
from headtorch.core.study.rating_summary import summarize
from headtorch.core.study.ratings import ExplanationRated, PromptJudged, Ratings, digest
from headtorch.core.study.report.people import people
from headtorch.core.study.state import StudyState, fold

EXPLAINERS = ("rules", "llm:small")
COUNT = 40  # prompts of a neuron, the first half explains


@pytest.fixture
def state(events: list[AnyEvent]) -> StudyState:
    """Three neurons with two explained heads each, by two explainers; the judge answers at random."""
    rng = np.random.default_rng(0)
    (row, *_) = next(event for event in events if isinstance(event, NeuronsFound)).neurons
    first = next(event for event in events if isinstance(event, PromptsFound) and event.prompts).prompts[0]
    contrast = next(event for event in events if isinstance(event, HeadActivityFound))
    score = next(event for event in events if isinstance(event, HeadScored)).score
    made: list[AnyEvent] = []
    neurons = [NeuronId(3, index) for index in range(3)]
    made.append(NeuronsFound(neurons=[msgspec.structs.replace(row, neuron=neuron) for neuron in neurons]))
    for neuron in neurons:
        prompts = [prompt(first, neuron, i) for i in range(COUNT)]
        made.append(PromptsFound(neuron=neuron, prompts=prompts, dropped_near_duplicates=0))
        heads = [activity(contrast.heads[0], neuron, HeadId(1, head), rng) for head in range(2)]
        made.append(msgspec.structs.replace(contrast, neuron=neuron, heads=heads, lower=[]))
        for one in heads:
            for explainer in EXPLAINERS:
                said = Explanation(
                    neuron=neuron, head=one.head, explainer=explainer, text=f"text {neuron} {one.head} {explainer}"
                )
                made += [HeadExplained(explanation=said), HeadJudged(judgement=judged(said, rng))]
                made.append(HeadScored(score=scored(score, said, float(rng.random()))))
    return fold([*events[:4], *made])


def prompt(like: Prompt, neuron: NeuronId, i: int) -> Prompt:
    half = "explain" if i < COUNT // 2 else "score"
    tokens = [f" {neuron}{i}{letter}" for letter in "abc"]
    return msgspec.structs.replace(
        like, neuron=neuron, document=i, cluster=i, half=half, tokens=tokens, token_ids=[0, i, i + 1, i + 2]
    )


def activity(like: HeadActivity, neuron: NeuronId, head: HeadId, rng: np.random.Generator) -> HeadActivity:
    return msgspec.structs.replace(like, neuron=neuron, head=head, active=(rng.random(COUNT) < 0.5).tolist())


def judged(said: Explanation, rng: np.random.Generator) -> Judgement:
    unseen = list(range(COUNT // 2, COUNT))
    verdicts = (rng.random(len(unseen)) < 0.5).tolist()
    return Judgement(
        neuron=said.neuron,
        head=said.head,
        explainer=said.explainer,
        judge="rule" if said.explainer == "rules" else "llm:judge",
        prompts=unseen,
        verdicts=verdicts,
    )


def scored(like: Score, said: Explanation, e: float) -> Score:
    return msgspec.structs.replace(like, neuron=said.neuron, head=said.head, explainer=said.explainer, e=e)


def answered(state: StudyState, rater: str, seed: int) -> list[PromptJudged | ExplanationRated]:
    rng = np.random.default_rng(seed)
    choices = [True, False, None]
    return [
        item.rated(int(rng.integers(1, 6)))
        if item.prompt is None
        else item.judged(choices[int(rng.choice(3, p=[0.45, 0.45, 0.1]))])
        for item in plan(state, rater)
    ]


# what is asked


def test_each_head_is_judged_on_scoring_prompts_of_both_classes_and_rated_afterwards(state: StudyState) -> None:
    items = plan(state, "ada")
    by_head: dict[object, list[Item]] = {}
    for item in items:
        by_head.setdefault((item.explanation.neuron, item.explanation.head), []).append(item)
    assert len(by_head) == 6
    for block in by_head.values():
        asked = [item.prompt for item in block]
        assert asked[-2:] == [None, None] and None not in asked[:-2]
        activity = state.activity_of(block[0].explanation.neuron, block[0].explanation.head)
        assert activity is not None
        for explainer in EXPLAINERS:
            mine = [one.prompt for one in block if one.explanation.explainer == explainer and one.prompt is not None]
            assert sorted(mine) == sorted(judged_prompts(state, activity, 0)) and len(set(mine)) == len(mine)
            assert sum(activity.active[i] for i in mine) <= PER_CLASS
            assert min(mine) >= COUNT // 2, "nothing is judged that an explainer has seen"
    together = [(item.explanation.neuron, item.explanation.head) for item in items]
    assert sum(a != b for a, b in pairwise(together)) == 5, "head after head"


def test_everybody_judges_the_same_prompts_in_an_order_of_their_own(state: StudyState) -> None:
    ada, again, bob = plan(state, "ada"), plan(state, "ada"), plan(state, "bob")
    assert ada == again
    assert [item.question[1:] for item in ada] != [item.question[1:] for item in bob]
    assert {item.question[1:] for item in ada} == {item.question[1:] for item in bob}


def test_examples_are_of_the_explaining_half_and_truly_labelled(state: StudyState) -> None:
    item = next(item for item in plan(state, "ada") if item.prompt is None)
    activity = state.activity_of(item.explanation.neuron, item.explanation.head)
    assert activity is not None
    for prompts, label in zip(examples(state, item.explanation), (True, False), strict=True):
        assert prompts and all(one.half == "explain" and activity.active[one.document] is label for one in prompts)
    judging = next(item for item in plan(state, "ada") if item.prompt is not None)
    assert prompt_of(state, judging).document == judging.prompt


def test_a_head_of_one_class_is_not_asked_about(state: StudyState) -> None:
    found = state.activity[NeuronId(3, 0)]
    never = [msgspec.structs.replace(one, active=[i < COUNT // 2 for i in range(COUNT)]) for one in found.heads]
    state.apply(msgspec.structs.replace(found, heads=never))
    assert {item.explanation.neuron for item in plan(state, "ada")} == {NeuronId(3, 1), NeuronId(3, 2)}


def test_without_a_judge_the_scoring_half_is_asked_about(state: StudyState) -> None:
    state.judgements.clear()
    prompts = {item.prompt for item in plan(state, "ada")} - {None}
    assert prompts and all(i >= COUNT // 2 for i in prompts if i is not None)


def test_rating_goes_on_where_it_was_left(state: StudyState, tmp_path: Path) -> None:
    ratings = Ratings(tmp_path)
    items = plan(state, "ada")
    for item, answer in zip(items[:7], answered(state, "ada", 1), strict=False):
        assert item.question == (answer.rater, answer.key, answer.words, getattr(answer, "prompt", None))
        ratings.add(answer)
    assert left(items, ratings.read()) == items[7:]
    assert left(plan(state, "bob"), ratings.read()) == plan(state, "bob")


def test_a_head_that_is_explained_anew_is_asked_about_again(state: StudyState, tmp_path: Path) -> None:
    answers = answered(state, "ada", 1)
    key = (NeuronId(3, 0), HeadId(1, 0), "rules")
    state.apply(HeadExplained(explanation=msgspec.structs.replace(state.explanations[key], text="other words")))
    open_questions = left(plan(state, "ada"), answers)
    assert {item.question[1] for item in open_questions} == {key}
    assert summarize(state, answers).void == len(open_questions)


# how answers are kept


def test_answers_are_on_the_disk_one_a_line_and_the_newest_counts(state: StudyState, tmp_path: Path) -> None:
    ratings = Ratings(tmp_path)
    item = next(item for item in plan(state, "ada") if item.prompt is not None)
    ratings.add(item.judged(True))
    assert (tmp_path / "ratings.jsonl").read_bytes().count(b"\n") == 1
    ratings.add(item.judged(None))
    assert ratings.read() == [item.judged(None)]
    assert (tmp_path / "ratings.jsonl").read_bytes().count(b"\n") == 2


def test_an_answer_that_a_crash_cut_short_is_passed_over_and_cut_off(state: StudyState, tmp_path: Path) -> None:
    ratings, path = Ratings(tmp_path), tmp_path / "ratings.jsonl"
    one, two, *_ = answered(state, "ada", 1)
    ratings.add(one)
    ratings.add(two)
    whole = path.read_bytes()
    start = whole[:-1].rfind(b"\n") + 1
    for end in range(start, len(whole)):
        path.write_bytes(whole[:end])
        assert ratings.read() == [one]
    ratings.add(two)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("line", [b"{}", b"x", b'{"type":"Sung"}', b"[" * 9999, b"\xff"])
def test_a_damaged_answer_is_named(state: StudyState, tmp_path: Path, line: bytes) -> None:
    ratings = Ratings(tmp_path)
    ratings.add(answered(state, "ada", 1)[0])
    with (tmp_path / "ratings.jsonl").open("ab") as file:
        file.write(line + b"\n")
    with pytest.raises(StudyError, match="Line 2 of"):
        ratings.read()


def test_several_people_can_answer_at_once(state: StudyState, tmp_path: Path) -> None:
    people = {name: answered(state, name, 1)[:15] for name in ("ada", "bob", "eve")}

    def answer(name: str) -> None:
        for one in people[name]:
            Ratings(tmp_path).add(one)

    threads = [threading.Thread(target=answer, args=(name,)) for name in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    read = Ratings(tmp_path).read()
    for name, answers in people.items():
        assert [one for one in read if one.rater == name] == answers


@pytest.mark.parametrize("rating", [0, 6])
def test_a_rating_is_one_to_five(state: StudyState, rating: int) -> None:
    item = next(item for item in plan(state, "ada") if item.prompt is None)
    with pytest.raises(ValueError, match="1 to 5"):
        item.rated(rating)


# what they come to


def test_human_e_is_the_balanced_accuracy_of_scikit_learn(state: StudyState) -> None:
    answers = answered(state, "ada", 3)
    found = summarize(state, answers)
    assert len(found.scores) == 12 and found.answers == len(answers)
    for one in found.scores:
        mine = [
            answer
            for answer in answers
            if isinstance(answer, PromptJudged) and answer.key == (one.neuron, one.head, one.explainer)
        ]
        activity = state.activity_of(one.neuron, one.head)
        assert activity is not None
        labels = [activity.active[answer.prompt] for answer in mine]
        said = [(not label) if a.verdict is None else a.verdict for a, label in zip(mine, labels, strict=True)]
        assert one.e == pytest.approx(balanced_accuracy_score(labels, said))
        assert one.interval is not None and one.interval.low <= one.e <= one.interval.high
        assert one.cannot_say == sum(answer.verdict is None for answer in mine)
        assert one.judge_e == state.scores[one.neuron, one.head, one.explainer].e
    (mean, _) = found.mean_e
    values = [one.e for one in found.scores if one.explainer == mean.explainer and one.e is not None]
    assert mean.mean == pytest.approx(np.mean(values)) and (mean.heads, mean.neurons) == (6, 3)


def test_agreement_with_the_judges_and_one_another_is_scikit_learns_kappa(state: StudyState) -> None:
    answers = [*answered(state, "ada", 3), *answered(state, "bob", 4)]
    found = {(one.first, one.second): one.agreement for one in summarize(state, answers).agreements}
    assert found.keys() == {
        ("ada", "rule"),
        ("ada", "llm:judge"),
        ("bob", "rule"),
        ("bob", "llm:judge"),
        ("ada", "bob"),
    }
    human, judge = [], []
    for answer in answers:
        if isinstance(answer, PromptJudged) and answer.rater == "ada" and answer.explainer == "rules":
            judgement = state.judgements[answer.key]
            if answer.verdict is not None:
                human.append(answer.verdict)
                judge.append(judgement.verdicts[judgement.prompts.index(answer.prompt)])
    seen = found["ada", "rule"]
    assert seen.kappa == pytest.approx(cohen_kappa_score(human, judge)) and seen.n == len(human)
    by = {
        name: {(a.key, a.prompt): a.verdict for a in answers if isinstance(a, PromptJudged) and a.rater == name}
        for name in ("ada", "bob")
    }
    both = [key for key in by["ada"] if None not in (by["ada"][key], by["bob"][key])]
    expected = cohen_kappa_score([by["ada"][key] for key in both], [by["bob"][key] for key in both])
    assert found["ada", "bob"].kappa == pytest.approx(expected)
    assert all(one.interval is not None and one.interval.low <= (one.kappa or 0) for one in found.values())


def test_ratings_stand_beside_e_by_their_ranks(state: StudyState) -> None:
    answers = answered(state, "ada", 5)
    found = summarize(state, answers)
    ratings = {answer.key: answer.rating for answer in answers if isinstance(answer, ExplanationRated)}
    expected = stats.spearmanr(list(ratings.values()), [state.scores[key].e for key in ratings]).statistic
    by_name = {(one.of, one.against): one.agreement for one in found.ranks}
    assert (by_name["rating", "E"].n, by_name["rating", "E"].spearman) == (12, pytest.approx(expected))
    assert by_name["rating", "human E"].n == 12


def test_ranks_are_told_by_judge_where_several_judged(state: StudyState) -> None:
    answers = answered(state, "ada", 5)
    found = summarize(state, answers)
    own = {(one.neuron, one.head, one.explainer): one.e for one in found.scores}
    for judge in ("rule", "llm:judge"):
        keys = [key for key, judgement in state.judgements.items() if judgement.judge == judge]
        both = [(own[key], state.scores[key].e) for key in keys if own.get(key) is not None]
        [rank] = [one.agreement for one in found.ranks if (one.of, one.against) == ("human E", f"E by {judge}")]
        assert (rank.n, rank.spearman) == (len(both), pytest.approx(stats.spearmanr(both).statistic))


def test_the_report_has_a_section_where_somebody_answered(state: StudyState) -> None:
    assert people(None) == people(summarize(state, [])) == []
    answers = [msgspec.structs.replace(one, rater="<b>eve") for one in answered(state, "eve", 1)]
    text = "\n\n".join(people(summarize(state, answers)))
    assert "## People's judgements" in text and "llm:judge" in text and "<b>" not in text


def test_a_summary_is_json_and_the_digest_tells_texts_apart(state: StudyState) -> None:
    assert msgspec.json.decode(msgspec.json.encode(summarize(state, answered(state, "ada", 1))))["format"] == 1
    assert len({digest("a"), digest("b"), digest("a ")}) == 3
