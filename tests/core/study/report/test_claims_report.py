"""The report of a study with claims: the verdict first, then findings with what makes them sure, then the rest."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import jsonschema
import msgspec
import pytest
from claims_study import BEST, BY_TOKEN, HEADS_OF, HOSTILE, RAISED, RANDOM

from headtorch.core.study import Study
from headtorch.core.study.report import Report, from_json, report_of, to_json, to_markdown
from headtorch.core.study.report.figures import figures
from headtorch.core.study.report.html import to_html
from headtorch.core.study.report.schema import SCHEMA_FILE
from headtorch.core.text import visible

FIELDS = {
    "context": "neuron token text explainer context_share valid pairs documents e e_low e_high auroc auroc_ceiling q "
    "rewrite heads joint heads_for_80",
    "head": "neuron head token text explainer suppressing tag label label_effect_spearman context_share valid "
    "replacement effect_holds effect_elsewhere contrast contrast_low contrast_high contrast_resample documents q e "
    "e_low e_high n_active n_inactive auroc_ceiling rewrite",
}
PARTS = {
    "heads": "head taken taken_low taken_high restored restored_low restored_high q attends",
    "joint": "heads taken low high restored",
    "rewrite": "change low high placebo pairs",
}


@pytest.fixture
def report(claims: Study) -> Report:
    return report_of(claims)


def test_the_json_has_every_field_of_a_claim_and_is_as_the_schema_says(report: Report) -> None:
    written = json.loads(to_json(report))
    jsonschema.Draft202012Validator(json.loads(SCHEMA_FILE.read_text())).validate(written)
    assert written["format"] == 2 and from_json(to_json(report)) == report
    assert {"verdict", "findings", "candidates", "controls"} <= written.keys()
    for row in [*written["findings"], *written["candidates"]]:
        assert set(FIELDS[row["kind"]].split()) <= row.keys()
        for name in PARTS.keys() & row.keys():
            parts = row[name] if isinstance(row[name], list) else [row[name]]
            assert all(set(PARTS[name].split()) <= part.keys() for part in parts if part is not None)
    assert {"claims", "passed", "mean_contrast"} <= written["controls"]["other_neuron"].keys()


def test_the_markdown_begins_with_the_verdict_and_the_findings(report: Report) -> None:
    markdown = to_markdown(report)
    headings = [line for line in markdown.splitlines() if line.startswith("## ")]
    assert headings[:2] == ["## Findings", "## The question"]
    assert markdown.split("\n\n")[1] == f"**{report.verdict.sentence}**"
    order = [
        "### L18.N98 →",
        "### Controls",
        "### Candidates",
        "### Not shown to go beyond",
        "### Driven by their last",
    ]
    assert [markdown.index(one) for one in order] == sorted(markdown.index(one) for one in order)


def test_a_finding_shows_its_heads_the_check_of_all_heads_and_rewritten_texts(report: Report) -> None:
    finding = to_markdown(report).split("### L18.N98 →")[1].split("\n### ")[0]
    assert "five heads take 44 % [39, 49] and restore 18 % [14, 22]" in finding
    assert "Check: all 171 heads take 100.0 % and restore 100.0 % (" in finding
    assert "| L1.H2 | 17 % [13, 21] |" in finding
    assert "people and in ‹the → any› end: 2.50 → 0.50" in finding and "placebo: " in finding
    assert "on 16 held-out pairs from 16 documents; context share 61 %" in finding


def test_a_neuron_driven_by_its_last_token_names_the_tokens(report: Report) -> None:
    [row] = [line for line in to_markdown(report).splitlines() if line.startswith(f"| {BY_TOKEN} |") and "more" in line]
    assert "−21 % [−29, −14]" in row and "“·more” 2.50, “·\\\\x1b\\[31mless” 1.75" in row
    assert "its last token drives it, so its heads are not explained" in to_markdown(report)


def test_head_examples_are_firing_places(claims: Study, report: Report) -> None:
    part = next(one for one in report.neurons if one.found.neuron == BEST)
    head = next(one for one in part.heads if one.head == HEADS_OF[BEST][0])
    labels, cited = claims.state.activity_of(BEST, head.head), part.cited_of(head)
    assert labels is not None and head.active_examples and set(head.active_examples) <= cited.keys()
    places = claims.state.firing_prompts(BEST)
    for index in head.active_examples:
        assert labels.active[index] and cited[index].tokens == places[index].document_tokens
    random = next(one for one in report.neurons if one.found.neuron == RANDOM)
    assert random.cited_places == []


def test_without_its_places_a_neuron_has_no_examples_and_still_a_report(claims: Study, tmp_path: Path) -> None:
    lacking = Study.open(shutil.copytree(claims.folder, tmp_path / "lacking"))
    (lacking.folder / "artefacts" / lacking.state.firing[BEST].artefact).unlink()
    report = report_of(lacking)
    part = next(one for one in report.neurons if one.found.neuron == BEST)
    assert not part.cited_places and "### L18.N98 →" in to_markdown(report)


def test_the_page_has_the_verdict_the_edits_and_a_row_a_finding(report: Report) -> None:
    html = to_html(report)
    assert visible(report.verdict.sentence) in html and html.index(report.verdict.sentence) < html.index("<h2")
    assert "<del> the</del><ins> any</ins>" in html and "<ins> \\x1b[31mred</ins>" in html
    assert html.count("<div class=who>") >= len(report.findings) and HOSTILE not in html
    assert html.index("id=findings") < html.index("id=controls") < html.index("id=glance")


def test_no_finding_is_said_in_every_format(report: Report) -> None:
    empty = msgspec.structs.replace(report, findings=[], rewritten=[])
    assert "No claim passed every test." in to_markdown(empty) and "No claim passed every test." in to_html(empty)


def test_many_candidates_are_counted_where_they_are_not_shown(report: Report) -> None:
    many = msgspec.structs.replace(report, candidates=report.candidates * 10)
    assert "20 more stand in the tables and the JSON" in to_markdown(many)
    assert "20 more stand in the tables and the JSON" in to_html(many)


def test_the_figure_of_findings_names_each(report: Report) -> None:
    drawn = figures(report)["findings.svg"].decode()
    assert "L18.N98 →" in drawn and f"{HEADS_OF[RAISED][0]} → {RAISED}" in drawn
