"""What the report says of ablations pooled over a study, and of prompts that were dropped for their length."""

from __future__ import annotations

import msgspec

from headtorch.core.causes import PooledAblation
from headtorch.core.events import AblationsPooled, AnyEvent, HeadAblated, PromptsFound
from headtorch.core.records import NeuronId
from headtorch.core.settings import Settings
from headtorch.core.study import fold
from headtorch.core.study.report import build_report, from_json, to_json, to_markdown
from headtorch.core.study.report.html import to_html

NEURON = NeuronId(3, 412)
POOLED = PooledAblation(
    replacement="zero-values",
    position="all",
    pairs=3,
    active=[-0.4, -0.2, -0.3],
    inactive=[0.1, 0.0],
    ks=1.0,
    ks_p=0.2,
)


def test_the_pooled_ablation_stands_in_every_format(asked: Settings, events: list[AnyEvent]) -> None:
    report = build_report("study", asked, fold([*events, AblationsPooled(pooled=POOLED)]))
    text = to_markdown(report)
    assert "## Ablation, pooled over pairs" in text
    assert "3 pairs" in text and "zero value vectors, value biases kept at all positions" in text
    assert "mean -0.3000, median -0.3000 over 3 pairs where the head is active" in text
    assert "mean 0.0500, median 0.0500 over 2 pairs where it is not" in text
    assert "Kolmogorov-Smirnov over pairs: 1.000, p = 0.2." in text
    assert "Ablation, pooled over pairs" in to_html(report)
    assert from_json(to_json(report)).pooled_ablation == POOLED


def test_a_class_without_pairs_leaves_no_test(asked: Settings, events: list[AnyEvent]) -> None:
    one_class = msgspec.structs.replace(POOLED, inactive=[], ks=None, ks_p=None)
    text = to_markdown(build_report("study", asked, fold([*events, AblationsPooled(pooled=one_class)])))
    assert "no pair where it is not. One class has no pairs, so there is no test." in text


def test_a_study_without_pooled_ablations_has_no_such_section(asked: Settings, events: list[AnyEvent]) -> None:
    report = build_report("study", asked, fold(events))
    assert "pooled over pairs" not in to_markdown(report) and "pooled over pairs" not in to_html(report)


def test_the_result_is_the_permutation_test_and_kolmogorov_smirnov_stands_in_the_appendix(
    asked: Settings, events: list[AnyEvent]
) -> None:
    pooled = msgspec.structs.replace(POOLED, neurons=2, tested_pairs=3, difference=-0.25, p=0.0021)
    ablated = next(event.ablation for event in events if isinstance(event, HeadAblated))
    tested = msgspec.structs.replace(ablated, p=0.004, ks=0.5, ks_p=0.03)
    report = build_report("study", asked, fold([*events, HeadAblated(ablation=tested), AblationsPooled(pooled=pooled)]))
    for text in (to_markdown(report), to_html(report)):
        body, appendix = text.split("Appendix: Kolmogorov-Smirnov tests", 1)
        assert "changes by -0.250 more than elsewhere: p = 0.0021 over 3 pairs of 2 neurons" in body
        assert "Kolmogorov" not in body and "Kolmogorov-Smirnov over pairs: 1.000, p = 0.2." in appendix
        assert "0.03" in appendix
    assert "Kolmogorov" not in to_markdown(build_report("study", asked, fold([*events, HeadAblated(ablation=ablated)])))


def test_long_prompts_that_were_dropped_are_counted(asked: Settings, events: list[AnyEvent]) -> None:
    long = [
        msgspec.structs.replace(event, dropped_long=7)
        if isinstance(event, PromptsFound) and event.neuron == NEURON
        else event
        for event in events
    ]
    report = build_report("study", asked, fold(long))
    assert "near-copies and 7 long ones dropped" in to_markdown(report)
    assert "and 7 long ones" in to_html(report)
