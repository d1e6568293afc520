"""How claims and their controls fare over several tokens of the demo model, or of another one.

    python -m benchmarks.claims [--study NAME] [--model MODEL] [--neurons N] [TOKENS...]

Studies 8 neurons of each of 8 tokens in one study, without random neurons, and prints: how many controls passed the
tests of a finding, with the upper end of a 95 % interval (Clopper-Pearson, one-sided); the mean held-out E and text
ceiling of heads labelled by attribution; in how many claims the effect contrast is surely above 0; how many claims on
valid neurons that heads drive are findings; how many rewritings fall more than their placebo. The study is kept, and
gone on with where it exists.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from scipy.stats import beta

from headtorch.core.claims import HeadClaim
from headtorch.core.engine.pipeline import run_study
from headtorch.core.engine.presets import DEFAULT_LAYERS
from headtorch.core.engine.workspace import Workspace
from headtorch.core.settings import Settings
from headtorch.core.study.conclusions import claim_rows, conclusions
from headtorch.core.study.state import StudyState
from headtorch.core.study.study import Study
from headtorch.core.study.verdict import ControlCount

TOKENS = (" year", " that", " session", " Congress", " last", " which", " to", " President")
NEURONS = 8  # of each token


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.claims", description="Count claims and controls.")
    parser.add_argument("tokens", nargs="*", default=TOKENS, metavar="TOKENS")
    parser.add_argument("--study", default="benchmark-claims")
    parser.add_argument("--model", default="demo")
    parser.add_argument("--neurons", type=int, default=NEURONS, help="of each token")
    options = parser.parse_args(arguments)
    tokens = tuple(options.tokens)
    settings = Settings(
        model=options.model,
        token_texts=tokens,
        layers=DEFAULT_LAYERS,
        neurons_limit=options.neurons * len(tokens),
        random_neurons=0,
    )
    with Study.create(options.study, settings) as study:
        for event in run_study(study, Workspace(settings)):
            sys.stderr.write(f"{type(event).__name__}\n")
        for line in summary(study.state):
            sys.stdout.write(f"{line}\n")


def summary(state: StudyState) -> list[str]:
    """What the study says of its claims and controls, a line each."""
    outcome = conclusions(state)
    verdict = outcome.verdict
    of_controls = [
        (what, control)
        for what, control in (
            ("rule of another neuron", verdict.controls.other_neuron),
            ("shuffled labels", verdict.controls.shuffled),
            ("shuffled pairs", verdict.controls.context_shuffled),
            ("rule of another head of the neuron", verdict.controls.same_neuron),
        )
    ]
    return [
        verdict.sentence,
        *(f"{what}: {_control(control)}" for what, control in of_controls),
        *_heads(state),
        *_findings(state),
    ]


def _control(control: ControlCount) -> str:
    contrast = "" if control.mean_contrast is None else f", mean contrast {control.mean_contrast:+.3f}"
    bound = upper_bound(control.passed, control.claims)
    return f"{control.passed} of {control.claims} passed, at most {bound:.1%}{contrast}"


def upper_bound(passed: int, claims: int) -> float:
    """Upper end of the one-sided 95 % interval of a share (Clopper-Pearson)."""
    return float(beta.ppf(0.95, passed + 1, claims - passed)) if passed < claims else 1.0


def _heads(state: StudyState) -> list[str]:
    claims = list(state.head_claims.values())
    by_attribution = [claim for claim in claims if claim.label == "attribution"]
    scores = [state.scores.get((claim.neuron, claim.head, claim.explainer)) for claim in by_attribution]
    lines = [
        f"heads labelled by attribution: {len(by_attribution)}, "
        f"mean E {_mean([score.e for score in scores if score is not None])}, "
        f"mean ceiling {_mean([claim.auroc_ceiling for claim in by_attribution])}"
    ]
    groups: list[tuple[str, Callable[[HeadClaim], bool]]] = [
        ("all head claims", lambda claim: True),
        ("head claims not about the last token", lambda claim: claim.tag is None),
    ]
    for what, belongs in groups:
        chosen = [claim for claim in claims if belongs(claim)]
        above = sum(claim.contrast is not None and claim.contrast.is_above_zero for claim in chosen)
        lines.append(f"{what}: contrast surely above 0 in {_share(above, len(chosen))}")
    return lines


def _findings(state: StudyState) -> list[str]:
    rows = [row for row in claim_rows(state) if row.valid and (row.context_share or 0) >= 0.2]
    found = [row for row in rows if row.is_finding]
    lines = [f"claims on valid neurons that heads drive: {_share(len(found), len(rows))} are findings"]
    claims = [*state.context_claims.values(), *state.head_claims.values()]
    rewritings = [claim.rewriting for claim in claims if claim.rewriting is not None]
    testable = [one for one in rewritings if one.not_testable is None and one.difference is not None]
    agreeing = sum(one.agrees for one in testable)
    return [*lines, f"rewriting: {_share(agreeing, len(testable))} of the testable fall more than under the placebo"]


def _mean(values: Sequence[float | None]) -> str:
    numbers = [value for value in values if value is not None]
    return f"{sum(numbers) / len(numbers):.3f} (n = {len(numbers)})" if numbers else "none"


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole} ({part / whole:.0%})" if whole else "0 of 0"


if __name__ == "__main__":
    main()
