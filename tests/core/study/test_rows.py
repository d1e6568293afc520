"""Tables and data frames say what the records say."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pandas as pd
import pytest

from headtorch.core.events import AnyEvent, HeadScored, StudyOpened
from headtorch.core.records import HeadId, Interval
from headtorch.core.settings import Settings
from headtorch.core.study import StudyState, fold, frames, rows


@pytest.fixture
def state(asked: Settings, events: list[AnyEvent]) -> StudyState:
    return fold([StudyOpened(settings=asked, version="0"), *events])


def test_a_neurons_row_counts_what_was_scored_and_not_only_what_was_explained(state: StudyState) -> None:
    states, random = rows.summary_rows(state)
    assert (states.neuron, states.token, states.congruence, states.valid) == ("L3.N412", " States", 3.25, True)
    assert (states.prompts, states.heads_explained, states.scored) == (2, 2, 1)
    assert (states.median_e, states.best_e) == (0.7, 0.7)
    assert (random.random, random.valid, random.median_e) == (True, None, 0.5625)


def test_median_and_best_are_those_of_the_scorable_heads(state: StudyState, events: list[AnyEvent]) -> None:
    """The best has the highest lower bound: E of 0.9 from two active prompts is not it."""
    scored = next(event.score for event in events if isinstance(event, HeadScored))
    for index, (e, low) in enumerate([(0.5, 0.4), (0.9, 0.45), (0.8, 0.7)]):
        score = msgspec.structs.replace(scored, head=HeadId(1, index), e=e, interval=Interval(low, 1.0), n_active=index)
        state.apply(HeadScored(score=score))
    row = rows.summary_rows(state)[0]
    assert row.scored == 4
    assert row.median_e == pytest.approx(0.75)
    assert (row.best_e, row.best_low, row.best_n_active) == (0.8, 0.7, 2)


def test_scores_of_another_explainer_are_not_mixed_in(state: StudyState) -> None:
    row = rows.summary_rows(state, explainer="me")[0]
    assert (row.heads_explained, row.scored, row.median_e, row.best_e) == (0, 0, None, None)


def test_the_frames_hold_one_row_a_record(state: StudyState) -> None:
    assert list(frames.neurons_frame(state)["neuron"]) == ["L3.N412", "L2.N7"]
    prompts = frames.prompts_frame(state)
    assert list(prompts["text"]) == ["of the United", "of the United"]
    assert list(prompts["half"]) == ["explain", "score"]
    heads = frames.heads_frame(state)
    assert list(zip(heads["head"], heads["rank"], heads["mean_direct"], strict=True)) == [
        ("L2.H1", 0, 1.5),
        ("L0.H3", 1, 0.5),
        ("L0.H0", 2, 0.001),
    ]
    assert heads["explain_share"].isna().tolist() == [False, False, True]
    scores = frames.scores_frame(state)
    assert scores["e"].isna().tolist() == [False, True, False]
    assert scores.loc[0, ["low", "high", "q"]].tolist() == pytest.approx([0.575, 0.825, 0.02])
    ablations = frames.ablations_frame(state)
    assert ablations.loc[0, "delta_log_p_active"] == -0.75
    assert ablations.loc[0, "n_inactive"] == 0 and ablations["delta_log_p_inactive"].isna().all()


@pytest.mark.parametrize(
    "frame",
    [
        frames.neurons_frame,
        frames.prompts_frame,
        frames.heads_frame,
        frames.scores_frame,
        frames.ablations_frame,
    ],
)
def test_an_empty_study_has_empty_frames_with_columns(frame: Callable[[StudyState], pd.DataFrame]) -> None:
    empty = frame(StudyState())
    assert len(empty) == 0
    assert "neuron" in empty.columns
