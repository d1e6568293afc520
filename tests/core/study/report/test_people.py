"""What people made of explanations stands in every format, and nowhere where nobody was asked."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from sklearn.metrics import balanced_accuracy_score

from headtorch.core.records import HeadId, NeuronId
from headtorch.core.study import Study
from headtorch.core.study.ratings import ExplanationRated, PromptJudged, Ratings, digest
from headtorch.core.study.report import from_json, report_of, to_json, to_markdown, write_report
from headtorch.core.study.report.html import to_html
from headtorch.core.text import visible

NEURON, HEAD = NeuronId(3, 412), HeadId(2, 1)


@pytest.fixture
def rated(study: Study, hostile: str) -> Study:
    """Two people judged the two prompts of the head, of which the first is active; one of them is called hostile."""
    ratings, said = Ratings(study.folder), study.state.explanations[NEURON, HEAD, "rules"]
    for rater, verdicts, rating in (("ada", (True, True), 4), (hostile, (True, False), 2)):
        about = {"rater": rater, "neuron": NEURON, "head": HEAD, "explainer": "rules", "words": digest(said.text)}
        for prompt, verdict in enumerate(verdicts):
            ratings.add(PromptJudged(**about, prompt=prompt, verdict=verdict))  # type: ignore[arg-type]
        ratings.add(ExplanationRated(**about, rating=rating))  # type: ignore[arg-type]
    return study


def test_where_nobody_rated_no_format_speaks_of_people(study: Study, tmp_path: Path) -> None:
    paths = write_report(study, tmp_path, ["html", "md", "json", "csv", "parquet"])
    assert not [path for path in paths if path.stem == "ratings"]
    assert report_of(study).people is None
    assert "judgements" not in to_html(report_of(study)) + to_markdown(report_of(study))


def test_page_and_markdown_tell_rating_and_human_e_with_n(rated: Study, hostile: str) -> None:
    report = report_of(rated)
    e = balanced_accuracy_score([True, False], [True, True])
    page, text = to_html(report), to_markdown(report)
    assert "judgements" in page and "judgements" in text
    assert f"ada rates it 4 of 5 and has E <strong>{e:.2f}</strong>" in page and "on n = 1 + 1" in page
    assert f"ada rates it 4 of 5 and has E = {e:.2f}" in text and "on n = 1 + 1." in text
    assert "Spearman" in page and "Spearman" in text
    assert hostile not in page + text and "<script>a()" not in page
    assert visible(hostile).replace("<", "&lt;").replace(">", "&gt;")[:20] in page


def test_json_and_table_hold_what_each_person_made_of_it(rated: Study, tmp_path: Path) -> None:
    report = report_of(rated)
    assert report.people is not None and from_json(to_json(report)) == report
    assert {one.rater: one.mean for one in report.people.mean_rating}["ada"] == 4.0
    paths = {path.name: path for path in write_report(rated, tmp_path, ["csv", "parquet"])}
    rows = list(csv.DictReader(paths["ratings.csv"].open()))
    assert [rows[0][name] for name in ("rater", "rating", "e")] == ["ada", "4", "0.5"]
    assert len(rows) == 2 and "ratings.parquet" in paths
