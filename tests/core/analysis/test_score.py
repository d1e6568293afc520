"""Scores: by hand on small cases, kept halves, honest controls, and a planted head explained from end to end."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from headtorch.core.analysis.halves import assert_disjoint, near_copies, prompt_text
from headtorch.core.analysis.score import SHUFFLES, score_judgement, with_adjusted_p
from headtorch.core.explain.cases import can_be_judged, case_of, unjudged
from headtorch.core.explain.judge import RuleJudge
from headtorch.core.explain.protocol import Example, ExplainTask, explaining_examples
from headtorch.core.explain.rule import Rule, Term
from headtorch.core.explain.rules import RulesExplainer
from headtorch.core.records import Explanation, Half, HeadActivity, HeadId, Judgement, NeuronId, Prompt, Score, Verdict

NEURON, HEAD = NeuronId(3, 412), HeadId(2, 4)
VOCABULARY = [f" w{i}" for i in range(300)] + [" United", " States", "."]
IDS = {token: i + 1 for i, token in enumerate(VOCABULARY)}


def prompt(tokens: Sequence[str], half: Half, number: int, first_token: bool = True) -> Prompt:
    """A prompt from a document of its own, with the model's first token in front."""
    ids = [IDS.setdefault(token, len(IDS) + 1) for token in tokens]
    position = 100 + len(tokens) - 1
    return Prompt(
        neuron=NEURON,
        document=number,
        title=f"document {number}",
        position=position,
        start=100,
        window_start=0,
        token_ids=[0, *ids] if first_token else ids,
        tokens=["<s>", *tokens] if first_token else list(tokens),
        activation=1.0,
        full_activation=1.0,
        kept_ratio=1.0,
        cluster=number,
        half=half,
        long=False,
        next_token_id=IDS[" States"],
        next_token=" States",
    )


def activity(active: Sequence[bool]) -> HeadActivity:
    return HeadActivity(
        neuron=NEURON,
        head=HEAD,
        rule="baseline",
        suppressing=False,
        active=list(active),
        explain_share=0.5,
        mean_active=1.0,
        mean_inactive=0.0,
    )


def said(text: str = "", rule: str | None = None) -> Explanation:
    return Explanation(neuron=NEURON, head=HEAD, explainer="me", text=text, rule=rule)


Verdicts = Callable[[Explanation, Sequence[Sequence[str]]], list[Verdict]]


class OneWordJudge(RuleJudge):
    """Judges as a function of an explanation and texts says."""

    def __init__(self, verdicts: Verdicts) -> None:
        self.verdicts = verdicts  # type: ignore[method-assign]


def judged(
    prompts: Sequence[Prompt],
    labels: HeadActivity,
    explanation: Explanation,
    verdicts: Verdicts | None = None,
    **chosen: Any,
) -> Judgement:
    judge = RuleJudge() if verdicts is None else OneWordJudge(verdicts)
    case = case_of(prompts, labels, explanation, **chosen)
    return judge.judge(case) if can_be_judged(case, labels) else unjudged(case, judge.name)


def scored(
    prompts: Sequence[Prompt],
    labels: HeadActivity,
    explanation: Explanation,
    verdicts: Verdicts | None = None,
    shuffles: int = SHUFFLES,
    seed: int = 0,
    **chosen: Any,
) -> Score:
    judgement = judged(prompts, labels, explanation, verdicts, **chosen)
    return score_judgement(judgement, labels, shuffles=shuffles, seed=seed)


def by_rules(examples: Sequence[Example]) -> Explanation:
    task = ExplainTask(neuron=NEURON, head=HEAD, examples=examples, target=" States")
    [explanation] = RulesExplainer().explain_all([task])
    return explanation


def random_prompts(seed: int, n: int = 80) -> list[Prompt]:
    rng = random.Random(seed)
    found = []
    for number in range(n):
        tokens = [rng.choice(VOCABULARY[:300]) for _ in range(rng.randint(5, 30))]
        if rng.random() < 0.6:
            tokens[-rng.randint(1, 5)] = " United"
        found.append(prompt(tokens, "explain" if number < n // 2 else "score", number))
    return found


@pytest.mark.parametrize("seed", range(3))
def test_a_planted_head_is_explained_perfectly_on_unseen_prompts(seed: int) -> None:
    prompts = random_prompts(seed)
    labels = activity([" United" in one.tokens[-3:] for one in prompts])
    explanation = by_rules(explaining_examples(prompts, labels))
    places = [(" a", " United"), (" United", " b"), (" c",)]
    score = scored(prompts, labels, explanation, random_texts=places, random_active=[True, False, True])
    assert score.e == 1.0 and score.f1 == 1.0 and score.mcc == 1.0
    assert score.n_active + score.n_inactive == 40 and score.p is not None and score.p < 1e-6
    assert score.interval is not None and score.interval.low > 0.85 and score.interval.high == 1.0
    assert score.wrong_active == score.wrong_inactive == []
    assert score.random_text_precision == 0.5


def test_the_numbers_of_a_small_case_by_hand() -> None:
    """Scored: active 4, 5, 6 and inactive 7, 8; the judge says yes to 4, 5, 7, no to 8, and shrugs at 6."""
    prompts = [prompt([f" w{i}", f" w{i + 50}"], "explain" if i < 4 else "score", i) for i in range(9)]
    labels = activity([True, False, True, False, True, True, True, False, False])
    answers = {" w4": True, " w5": True, " w6": None, " w7": True, " w8": False}
    asked: list[Sequence[str]] = []

    def judge(explanation: Explanation, texts: Sequence[Sequence[str]]) -> list[bool | None]:
        asked.extend(texts)
        return [answers[text[0]] for text in texts]

    score = scored(prompts, labels, said("something"), judge)
    assert (score.n_active, score.n_inactive, score.true_active, score.true_inactive) == (3, 2, 2, 1)
    assert score.unusable == 1 and score.dropped == 0
    assert score.e == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert score.wrong_active == [6] and score.wrong_inactive == [7]
    assert score.f1 == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert score.p == pytest.approx((3 * 2 * 1 / 2 * 2 + 1 * 1) / 10)  # ≥ 2 of the 3 calls on the 3 active of 5
    assert all("<s>" not in text and " States" not in text for text in asked)


def test_a_judge_that_shrugs_at_everything_scores_nothing() -> None:
    prompts = random_prompts(1)
    labels = activity([i % 2 == 0 for i in range(80)])
    score = scored(prompts, labels, said("x"), lambda _, texts: [None] * len(texts))
    assert score.e == 0.0 and score.unusable == 40


@pytest.mark.parametrize("label", [True, False])
def test_with_one_class_only_a_head_is_not_scorable(label: bool) -> None:
    prompts = random_prompts(2)

    def judge(explanation: Explanation, texts: Sequence[Sequence[str]]) -> list[bool | None]:
        raise AssertionError("nothing to ask")

    score = scored(prompts, activity([True] * 40 + [label] * 40), said("x"), judge)
    assert score.e is None and score.interval is None and score.p is None and score.f1 is None and score.mcc is None
    assert (score.n_active, score.n_inactive) == ((40, 0) if label else (0, 40))
    assert score.controls == [] and score.wrong_active == [] and score.wrong_inactive == []


def test_controls_do_no_better_than_chance() -> None:
    prompts = random_prompts(3)
    labels = activity([" United" in one.tokens[-3:] for one in prompts])
    other = msgspec.structs.replace(said("re:w1", "re:w1"), head=HeadId(0, 1))
    explanation = said("mine", "re: United( w[0-9]+){0,2}$")
    score = scored(prompts, labels, explanation, others=[other], shuffles=200, seed=1)
    again = scored(prompts, labels, explanation, others=[other], shuffles=200, seed=1)
    assert score.e == 1.0 and score == again
    controls = {control.name: control for control in score.controls}
    assert set(controls) == {"other head", "empty", "shuffled"}
    assert controls["empty"].e == 0.5
    assert controls["shuffled"].e == pytest.approx(0.5, abs=0.03)
    assert controls["other head"].e is not None and abs(controls["other head"].e - 0.5) < 0.25
    assert all(control.n == 40 for control in score.controls)


def test_at_most_so_many_of_each_class_are_scored_the_first_in_order() -> None:
    prompts = random_prompts(4)
    labels = activity([i % 4 == 0 for i in range(80)])
    asked: list[Sequence[str]] = []

    def judge(explanation: Explanation, texts: Sequence[Sequence[str]]) -> list[bool | None]:
        asked.append(texts)
        return [True] * len(texts)

    score = scored(prompts, labels, said("x"), judge, per_class=5)
    assert (score.n_active, score.n_inactive) == (5, 5)
    active, inactive = [40, 44, 48, 52, 56], [41, 42, 43, 45, 46]
    assert list(asked[0]) == [prompt_text(prompts[i]) for i in sorted(active + inactive)]


def test_of_a_firing_set_the_scored_ones_are_spread_over_each_class() -> None:
    prompts = random_prompts(4)
    labels = msgspec.structs.replace(activity([i % 4 == 0 for i in range(80)]), places="firing")
    found = case_of(prompts, labels, said("x"), per_class=4, control_n=2, copies=())
    active, inactive = [40, 52, 64, 76], [41, 53, 66, 79]
    assert found.prompts == sorted(active + inactive)
    assert [found.prompts[place] for place in found.controls] == [40, 41, 76, 79]


def test_the_auroc_is_that_of_the_share_of_a_rules_terms_that_hold() -> None:
    prompts = random_prompts(8)
    labels = activity([" United" in one.tokens[-3:] for one in prompts])
    terms = tuple(Term(kind="token", value=" United", nearest=1, farthest=far) for far in (1, 2, 12))
    rule = Rule(terms=terms, join="and")
    judgement = judged(prompts, labels, said("rule", rule.dumps()))
    held = [sum(" United" in prompt_text(prompts[i])[-far:] for far in (1, 2, 12)) / 3 for i in judgement.prompts]
    assert judgement.probabilities == pytest.approx(held)
    truth = [labels.active[i] for i in judgement.prompts]
    assert score_judgement(judgement, labels).auroc == pytest.approx(roc_auc_score(truth, held))
    by_pattern = scored(prompts, labels, said("re: United", "re: United"))
    without_terms = scored(prompts, labels, said("none", Rule().dumps()))
    assert by_pattern.e is not None and by_pattern.auroc is None and without_terms.auroc is None


def test_prompts_without_a_probability_do_not_count_in_the_auroc() -> None:
    prompts = random_prompts(9)
    labels = activity([i % 2 == 0 for i in range(80)])
    judgement = judged(prompts, labels, said("x"), lambda _, texts: [True] * len(texts))
    known = [None if i % 5 == 0 else i / 80 for i in judgement.prompts]
    pairs = [(p, labels.active[i]) for p, i in zip(known, judgement.prompts, strict=True) if p is not None]
    found = score_judgement(msgspec.structs.replace(judgement, probabilities=known), labels)
    assert found.auroc == pytest.approx(roc_auc_score([label for _, label in pairs], [p for p, _ in pairs]))
    only_active = [0.5 if labels.active[i] else None for i in judgement.prompts]
    assert score_judgement(msgspec.structs.replace(judgement, probabilities=only_active), labels).auroc is None
    with pytest.raises(ValueError, match="verdicts"):
        score_judgement(msgspec.structs.replace(judgement, probabilities=known[1:]), labels)


def test_copies_of_explaining_prompts_are_dropped_and_counted() -> None:
    long = [f" w{i}" for i in range(60)]
    changed = [*long[:30], " States", *long[31:]]
    prompts = [
        prompt(long, "explain", 0),
        prompt([" w1", " w2"], "explain", 1),
        prompt(long, "score", 2),  # the same
        prompt(changed, "score", 3),  # one token differs
        prompt([" w1", " w2"], "score", 4),  # a short one, the same
        prompt([f" w{i}" for i in range(100, 160)], "score", 5),
        prompt([" w2", " w1"], "score", 6),
    ]
    assert near_copies(prompts) == {2, 3, 4}
    labels = activity([True, False, True, True, False, True, False])
    score = scored(prompts, labels, said("x"), lambda _, texts: [True] * len(texts))
    assert score.dropped == 3 and (score.n_active, score.n_inactive) == (1, 1)


def test_near_copies_are_judged_by_the_surroundings_not_by_the_kept_tokens() -> None:
    """Jaccard of the 3-token sequences, by hand: 98 in each, 96 or 60 shared."""
    base = list(range(1000, 1100))
    near, far = [*base[:98], 1, 2], [*base[:62], *range(38)]
    prompts = [prompt([f" w{i}"], "explain" if i == 0 else "score", i) for i in range(3)]
    assert len(set(zip(base, base[1:], base[2:], strict=False))) == 98
    assert near_copies(prompts, [base, near, far]) == {1}  # 96 / 100 and 60 / 136
    assert near_copies(prompts, [base, near, far], near=60 / 136) == {1, 2}


@pytest.mark.parametrize("field", ["document", "cluster"])
def test_halves_that_share_a_document_or_cluster_are_refused(field: str) -> None:
    first, second = prompt([" w1"], "explain", 0), prompt([" w2"], "score", 1)
    assert_disjoint([first, second])
    shared = msgspec.structs.replace(second, **{field: 0})
    with pytest.raises(AssertionError, match=field):
        scored([first, shared], activity([True, False]), said("x"))


def test_labels_of_another_head_or_other_prompts_are_refused() -> None:
    prompts = random_prompts(5)
    with pytest.raises(ValueError, match="labels"):
        scored(prompts, activity([True]), said("x"))
    other = msgspec.structs.replace(said("x"), head=HeadId(0, 0))
    with pytest.raises(ValueError, match=r"L0\.H0"):
        scored(prompts, activity([True] * 80), other)
    with pytest.raises(ValueError, match="verdicts"):
        scored(prompts, activity([True, False] * 40), said("x"), lambda _, texts: [])


def test_explaining_examples_hold_no_scoring_prompt() -> None:
    prompts = random_prompts(6)
    labels = activity([i % 5 == 0 for i in range(80)])
    examples = explaining_examples(prompts, labels, looked_up=[(0, 0.5)] * 80)
    assert [example.tokens for example in examples] == [prompt_text(one) for one in prompts[:40]]
    assert all(example.looked_up == 0 and example.weight == 0.5 for example in examples)
    few = explaining_examples(prompts, labels, limit=20)
    assert len(few) == 20 and sum(example.active for example in few) == 8  # all that there are
    assert sum(example.active for example in explaining_examples(prompts, labels, limit=10)) == 5


def test_explainer_and_judge_can_read_more_than_the_kept_tokens() -> None:
    """What decides stands before the kept tokens: only a text that reaches further back can tell."""
    prompts = random_prompts(7)
    labels = activity([i % 2 == 0 for i in range(80)])
    texts = [(" States" if i % 2 == 0 else ".", *prompt_text(one)) for i, one in enumerate(prompts)]
    examples = explaining_examples(prompts, labels, texts=texts)
    explanation = by_rules(examples)
    assert scored(prompts, labels, explanation, texts=texts).e == 1.0
    blind = scored(prompts, labels, explanation)
    assert blind.e == 0.5


def test_the_models_first_token_is_no_evidence() -> None:
    assert prompt_text(prompt([" a", " b"], "score", 0)) == (" a", " b")
    assert prompt_text(prompt([" a", " b"], "score", 0, first_token=False)) == (" a", " b")


def test_rules_learnt_from_shuffled_labels_score_at_chance() -> None:
    """Mean E about ½ on unseen prompts, and at most one p in twenty below 0.05 (three standard errors allowed)."""
    scores = []
    for seed in range(100):
        prompts = random_prompts(100 + seed)
        labels = activity(np.random.default_rng(seed).permutation([True, False] * 40).tolist())
        explanation = by_rules(explaining_examples(prompts, labels))
        scores.append(scored(prompts, labels, explanation, shuffles=1))
    assert np.mean([score.e for score in scores if score.e is not None]) == pytest.approx(0.5, abs=0.025)
    assert np.mean([score.p is not None and score.p < 0.05 for score in scores]) <= 0.05 + 3 * 0.022
    assert [score.q for score in with_adjusted_p(scores) if score.q is not None and score.q < 0.05] == []


def fake(e: float | None, neuron: int, head: int = 0, p: float | None = 0.5) -> Score:
    return Score(
        neuron=NeuronId(3, neuron),
        head=HeadId(0, head),
        explainer="rules",
        n_active=10,
        n_inactive=10,
        true_active=5,
        true_inactive=5,
        unusable=0,
        e=e,
        interval=None,
        f1=None,
        mcc=None,
        p=p,
        q=None,
        random_text_precision=None,
        controls=[],
        dropped=0,
        wrong_active=[],
        wrong_inactive=[],
    )


def test_q_is_taken_over_all_heads_given() -> None:
    scores = with_adjusted_p([fake(0.9, 0, p=0.01), fake(None, 0, 1, p=None), fake(0.5, 1, p=0.6)])
    assert [score.q for score in scores] == [pytest.approx(0.01 * 2 * 1.5), None, pytest.approx(0.6 * 1.5)]


def test_heads_without_an_answer_count_among_the_tests() -> None:
    scores = [fake(0.9, 0, p=0.01), fake(0.5, 1, p=0.6)]
    harmonic = 1 + 1 / 2 + 1 / 3 + 1 / 4
    assert [score.q for score in with_adjusted_p(scores, untested=2)] == [pytest.approx(0.01 * 4 * harmonic), 1.0]
