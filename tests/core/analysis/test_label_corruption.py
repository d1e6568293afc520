"""What becomes of E, F1 and MCC when the labels are wrong: shuffled, or flipped in part, against the theory.

With labels Y of which a share π is active, and verdicts V, E − ½ = cov(Y, V) / (2π(1 − π)) and MCC is the correlation
of Y and V. Shuffled labels leave π and the number of active verdicts, so that all three scores are linear in the number
of true active ones, which is hypergeometric. Flipping a share r of either class multiplies the covariance by 1 − 2r and
makes the share π' = π(1 − r) + (1 − π)r.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from headtorch.core.analysis.score import score_judgement
from headtorch.core.records import HeadActivity, HeadId, Judgement, NeuronId, Score

NEURON, HEAD = NeuronId(3, 412), HeadId(2, 4)
SHUFFLES = 2000


@dataclass(frozen=True)
class Cells:
    """Prompts by label and verdict: active or not, and whether the verdict says so."""

    active_right: int
    active_wrong: int
    inactive_right: int
    inactive_wrong: int

    @property
    def labels(self) -> list[bool]:
        return [True] * (self.active_right + self.active_wrong) + [False] * (self.inactive_right + self.inactive_wrong)

    @property
    def verdicts(self) -> list[bool]:
        active = [True] * self.active_right + [False] * self.active_wrong
        return active + [False] * self.inactive_right + [True] * self.inactive_wrong

    def flipped(self, share: float) -> list[bool]:
        """The labels with exactly this share of every cell turned round."""
        found: list[bool] = []
        for label, size in (
            (True, self.active_right),
            (True, self.active_wrong),
            (False, self.inactive_right),
            (False, self.inactive_wrong),
        ):
            turned = share * size
            assert turned == pytest.approx(round(turned))
            found += [not label] * round(turned) + [label] * (size - round(turned))
        return found


GOOD = Cells(active_right=180, active_wrong=20, inactive_right=240, inactive_wrong=60)
SKEWED = Cells(active_right=40, active_wrong=10, inactive_right=420, inactive_wrong=30)
PERFECT = Cells(active_right=200, active_wrong=0, inactive_right=300, inactive_wrong=0)


def score(labels: Sequence[bool], verdicts: Sequence[bool]) -> Score:
    labelled = HeadActivity(neuron=NEURON, head=HEAD, rule="baseline", suppressing=False, active=list(labels),
                            explain_share=0.5, mean_active=1.0, mean_inactive=0.0)  # fmt: skip
    judged = Judgement(neuron=NEURON, head=HEAD, explainer="me", judge="rule", prompts=list(range(len(labels))),
                       verdicts=list(verdicts))  # fmt: skip
    return score_judgement(judged, labelled, shuffles=1)


def three(found: Score) -> tuple[float, float, float]:
    assert found.e is not None and found.f1 is not None and found.mcc is not None
    return found.e, found.f1, found.mcc


@pytest.fixture(scope="module", params=[GOOD, SKEWED, PERFECT], ids=["good", "skewed", "perfect"])
def cells(request: pytest.FixtureRequest) -> Cells:
    found: Cells = request.param
    return found


@pytest.fixture(scope="module")
def shuffled(cells: Cells) -> list[Score]:
    rng, labels = random.Random(0), cells.labels
    return [score(rng.sample(labels, len(labels)), cells.verdicts) for _ in range(SHUFFLES)]


def mean_and_sd(values: Sequence[float]) -> tuple[float, float]:
    mean = math.fsum(values) / len(values)
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def test_shuffled_labels_give_chance_and_the_spread_of_a_hypergeometric_count(
    cells: Cells, shuffled: list[Score]
) -> None:
    total, active, said = len(cells.labels), sum(cells.labels), sum(cells.verdicts)
    spread = math.sqrt(said * active * (total - active) * (total - said) / (total**2 * (total - 1)))
    expected = (
        (0.5, spread * (1 / active + 1 / (total - active)) / 2),  # E
        (2 * active * said / total / (active + said), 2 * spread / (active + said)),  # F1: not a half
        (0.0, 1 / math.sqrt(total - 1)),  # MCC
    )
    for values, (mean, sd) in zip(zip(*map(three, shuffled), strict=True), expected, strict=True):
        found, found_sd = mean_and_sd(values)
        assert found == pytest.approx(mean, abs=4 * sd / math.sqrt(SHUFFLES))
        assert found_sd == pytest.approx(sd, rel=0.1)


def test_shuffled_labels_are_called_significant_no_more_often_than_promised(shuffled: list[Score]) -> None:
    for level in (0.05, 0.01):
        found = sum(one.p is not None and one.p <= level for one in shuffled) / SHUFFLES
        assert found <= level + 4 * math.sqrt(level * (1 - level) / SHUFFLES)
    inside = sum(one.interval is not None and one.interval.low <= 0.5 <= one.interval.high for one in shuffled)
    assert inside / SHUFFLES >= 0.93  # of 0.95, which a count can only come near


@pytest.mark.parametrize("share", [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0])
def test_flipped_labels_shrink_e_and_mcc_by_what_is_left_of_the_covariance(cells: Cells, share: float) -> None:
    total, said = len(cells.labels), sum(cells.verdicts)
    before, labels = three(score(cells.labels, cells.verdicts)), cells.flipped(share)
    part = sum(cells.labels) / total
    new_part = part * (1 - share) + (1 - part) * share
    ratio = part * (1 - part) / (new_part * (1 - new_part))
    true_active = (1 - share) * cells.active_right + share * cells.inactive_wrong
    e, f1, mcc = three(score(labels, cells.verdicts))
    assert e == pytest.approx(0.5 + (before[0] - 0.5) * (1 - 2 * share) * ratio)
    assert mcc == pytest.approx(before[2] * (1 - 2 * share) * math.sqrt(ratio), abs=1e-12)
    assert f1 == pytest.approx(2 * true_active / (new_part * total + said))


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5])
def test_an_explanation_that_calls_all_active_stays_at_chance_whatever_is_flipped(share: float) -> None:
    always = Cells(active_right=200, active_wrong=0, inactive_right=0, inactive_wrong=300)
    e, f1, mcc = three(score(always.flipped(share), always.verdicts))
    assert (e, mcc) == (0.5, 0.0)
    assert f1 > 0.5  # rewards the guess, which is why E is the score
