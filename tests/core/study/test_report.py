"""The report: says what the study found, each E with its n and interval, and shows hostile text as text."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from headtorch.core.errors import StorageError, StudyError
from headtorch.core.events import (
    AnyEvent,
    BaselineCompared,
    CallsMade,
    HeadExplained,
    HeadJudged,
    HeadScored,
    HeadUnanswered,
    ValidityMeasured,
)
from headtorch.core.records import GroupMean, HeadId, Interval, Judgement, NeuronId
from headtorch.core.settings import Settings
from headtorch.core.study import Study, StudyState, fold
from headtorch.core.study.notes import NoteBook
from headtorch.core.study.report import Report, build_report, from_json, to_csv, to_json, to_markdown, write_report
from headtorch.core.study.report.escape import escaped
from headtorch.core.study.report.html import to_html
from headtorch.core.study.report.selected import in_full, in_rows
from headtorch.core.study.rows import ScoreRow, score_rows
from headtorch.core.text import visible

READER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
PLAIN = {
    "text",
    "text_special",
    "code_inline",
    "softbreak",
    "hardbreak",
    "strong_open",
    "strong_close",
    "em_open",
    "em_close",
}


@pytest.fixture
def report(asked: Settings, events: list[AnyEvent]) -> Report:
    return build_report("trial", asked, fold(events))


def leaves(markdown: str) -> list[str]:
    """The types of the innermost pieces that a Markdown reader sees."""
    return [child.type for block in READER.parse(markdown) for child in block.children or []]


def shown(markdown: str) -> list[str]:
    """The text of each block or cell that a Markdown reader shows."""
    inline = [block for block in READER.parse(markdown) if block.type == "inline"]
    return ["".join(child.content for child in block.children or []).replace("\xa0", " ") for block in inline]


def section(markdown: str, heading: str) -> str:
    """From the heading to the next of the same depth."""
    depth = heading.split(" ")[0]
    return markdown.split(f"{heading}")[1].split(f"\n{depth} ")[0]


MARKUP = "\\`*_{}[]()#+-.!|~<>&=$@:^%\"' \n\t0a1)w."


@settings(max_examples=500, deadline=None)
@given(st.one_of(st.text(MARKUP, max_size=12), st.text(max_size=12)).map(lambda text: text.replace("\xa0", "")))
@example("1. a").via("list")
@example("- a").via("list")
@example("    code").via("indent")
@example("\\|").via("table")
@example("x #").via("heading")
@example("---").via("rule")
@example("&amp;&#35;&lt").via("entity")
@example("<b>x</b><!--").via("html")
@example("a  b ").via("spaces")
def test_escaped_text_is_shown_as_it_is_alone_and_in_a_cell(text: str) -> None:
    kept = visible(text).replace("\xa0", " ")
    assume(kept.strip() == kept.strip(" "))  # this reader strips other white space than Markdown does
    assert shown(f"| a | b |\n| --- | --- |\n| {escaped(text)} | end |")[2:] == [kept, "end"]
    if kept.strip():
        assert shown(escaped(text)) == shown(f"# {escaped(text)}") == [kept]
        assert set(leaves(escaped(text))) <= {"text", "text_special", "code_inline"}
        assert [block.type for block in READER.parse(escaped(text))] == ["paragraph_open", "inline", "paragraph_close"]


LINKIFIED = MarkdownIt("gfm-like")
GFM_ADDRESS = re.compile(r"https?://|ftp://|www\.|[\w.+-]@[\w-]", re.IGNORECASE)  # GitHub's Markdown, section 6.9


@pytest.mark.parametrize("before", ["", "see ", "`", "*", "a@"])
@pytest.mark.parametrize(
    "address",
    ["http://a.com/x", "HTTPS://a.com?b=c", "www.a.com", "ftp://a.com", "mailto:a@b.com", "a@b.com", "evil.com"],
)
def test_addresses_are_no_links(before: str, address: str) -> None:
    text = f"{before}{address}"
    assert shown(escaped(text)) == [text]
    [_, inline, _] = LINKIFIED.parse(escaped(text))
    assert "link_open" not in {child.type for child in inline.children or []}
    texts = "".join(child.content if child.type.startswith("text") else "\0" for child in inline.children or [])
    assert not GFM_ADDRESS.search(texts), "renderers that resolve escapes first make it a link"


def test_hostile_text_leaves_the_report_a_plain_document(report: Report, hostile: str) -> None:
    markdown = to_markdown(msgspec.structs.replace(report, study=hostile, notes={"study": hostile}))
    assert hostile not in markdown
    assert set(leaves(markdown)) <= PLAIN
    blocks = {block.type for block in READER.parse(markdown)}
    assert not blocks & {"html_block", "code_block", "blockquote_open", "hr"}
    drawn = [block.content for block in READER.parse(markdown) if block.type == "fence"]
    assert not [text for text in drawn if "[/INST]" in text], "a map of heads and the BibTeX entry, nothing else"
    assert all(visible(line) == line for line in markdown.split("\n"))
    whole = " ".join(shown(markdown))
    assert whole.count(visible(hostile)) >= 4, "study, prompt title, explanation, warning"


def test_every_row_of_a_table_has_as_many_cells_as_its_header(report: Report) -> None:
    tables, row = 0, 0
    for block in READER.parse(to_markdown(report)):
        tables += block.type == "table_open"
        row = 0 if block.type == "tr_open" else row + (block.type in {"th_open", "td_open"})
        if block.type == "thead_open":
            width = 0
        if block.type == "tr_close":
            width = width or row
            assert row == width
    assert tables == 7, "summary, explained heads, prompts and heads of one neuron, formulas, provenance"
    lines = [line for line in to_markdown(report).split("\n") if line.startswith("|")]
    assert all(line.endswith("|") for line in lines)


def test_explained_heads_hold_what_makes_an_e_mean_something(report: Report) -> None:
    markdown = to_markdown(report)
    headings = ("## Neurons at a glance", "## Explained heads", "## The neurons")
    assert [markdown.index(one) for one in headings] == sorted(markdown.index(one) for one in headings)
    finding = " ".join(shown(section(markdown, "## Explained heads")))
    for fact in [
        "L3.N412",
        "·States",
        "L2.H1",
        "0.70 [0.57, 0.82]",
        "30 + 40",
        "40 0.02 active",
        "active -0.75 (n = 30)",
    ]:
        assert fact in finding
    assert "inactive – (n = 0)" in finding, "an empty group has no mean"
    assert "leans upwards" in finding


def test_a_study_without_claims_says_so_first_and_has_no_findings(report: Report) -> None:
    markdown = to_markdown(report)
    assert markdown.split("\n\n")[1].startswith("**This study was made before claims were tested")
    assert report.findings == report.candidates == [] and "## Findings" not in markdown


def test_the_random_baseline_is_not_among_the_explained_heads(report: Report) -> None:
    assert [str(one.found.neuron) for one in report.explained] == ["L3.N412"]
    assert "L2.N7 (random)" in to_markdown(report)


def test_explained_heads_are_ordered_by_their_lower_bound(asked: Settings, events: list[AnyEvent]) -> None:
    state = fold(events)
    first = next(iter(state.scores.values()))
    said = next(iter(state.explanations.values()))
    for e, low, name in [(0.9, 0.4, "wide"), (0.8, 0.75, "narrow"), (0.85, 0.5, "middling")]:
        key = (first.neuron, first.head, name)
        state.scores[key] = msgspec.structs.replace(first, explainer=name, e=e, interval=Interval(low, 0.95))
        state.explanations[key] = said
    order = [one.score.explainer for one in build_report("t", asked, state).explained]
    assert order == ["narrow", "rules", "middling", "wide"]


def test_a_head_with_one_class_is_not_scorable_and_is_counted(report: Report) -> None:
    markdown = to_markdown(report)
    assert report.not_scorable == 1
    assert "fell into one class: 1." in markdown
    assert "Not scorable (n = 30 active + 0 inactive, 1 unusable answers)." in markdown


def test_a_scored_head_shows_its_confusion_and_its_controls(report: Report) -> None:
    text = " ".join(shown(section(to_markdown(report), "### L3.N412")))
    assert "E = 0.70 [0.57, 0.82], n = 30 active + 40 inactive, 1 unusable answers" in text
    assert "right on 27 of 30 active and 20 of 40 inactive" in text
    assert "q = 0.02 over 2 tests" in text
    assert "controls: shuffled 0.50 (n = 70)" in text


def test_a_neuron_shows_validity_prompts_with_the_firing_token_and_heads(report: Report) -> None:
    text = " ".join(shown(section(to_markdown(report), "### L3.N412")))
    assert "Congruence c = 3.25" in text and "z = 10.8" in text
    assert "P(next = t | fires) = 0.88 on its top 64 places against 0.001 in the corpus (lift 875.0)" in text
    assert "of the ⟦United⟧ ·States" in text
    assert text.index("4.00") < text.index("2.00"), "the strongest prompt first"
    assert "L2.H1 1.500 0.125 0.250 ± 0.500 50 %" in text
    assert "add up to the pre-activation to 3e-07 of Σ|parts|" in text
    assert "Heads never active: 1; always: 0; on 25-75 % of the explaining half: 2." in text


def test_validity_is_told_by_odds_where_they_were_measured(asked: Settings, events: list[AnyEvent]) -> None:
    """In both formats; a study of an earlier version, which has none, shows its lift."""
    seen = next(event.validity for event in events if isinstance(event, ValidityMeasured))
    odds = msgspec.structs.replace(seen, odds_ratio=1890.4, odds_low=116.0, odds_high=30_800.0)
    report = build_report("t", asked, fold([*events, ValidityMeasured(validity=odds)]))
    for text in (to_markdown(report), to_html(report)):
        assert "(odds ratio 1,890 [116, 30,800])" in text.replace("\\", "") and "(lift" not in text


def test_the_baseline_says_when_nothing_could_be_scored(report: Report) -> None:
    text = section(to_markdown(report), "## Against random neurons")
    assert "next-token neurons: mean E 0.70 [0.60, 0.80] (neurons: 1, heads: 1, their median 0.70)" in text
    assert "none could be scored (neurons: 1)" in text


def test_the_baseline_shows_both_groups_and_the_difference(asked: Settings, events: list[AnyEvent]) -> None:
    one = GroupMean(mean=0.65, median=0.66, interval=Interval(0.6, 0.7), heads=40, neurons=20, above_chance=9)
    two = GroupMean(mean=0.55, median=0.54, interval=Interval(0.5, 0.6), heads=30, neurons=19, above_chance=3)
    compared = BaselineCompared(
        explainer="rules", next_token=one, random=two, difference=0.1, interval=Interval(0.03, 0.17)
    )
    text = to_markdown(build_report("t", asked, fold([*events, compared])))
    assert "next-token neurons: 9 of 40 above chance; mean E 0.65 [0.60, 0.70] (neurons: 20" in text
    assert "3 of 30 above chance; mean E 0.55 [0.50, 0.60] (neurons: 19, heads: 30, their median 0.54)" in text
    assert "Difference of the means 0.10 [0.03, 0.17]." in text and "t over neurons" in text


def asked_of_a_model(events: list[AnyEvent], hostile: str) -> list[AnyEvent]:
    """What a language model with a hostile name said of one head, and did not say of another."""
    name = f"llm:{hostile}"
    said = next(event.explanation for event in events if isinstance(event, HeadExplained))
    scored = next(event.score for event in events if isinstance(event, HeadScored))
    neuron, head = said.neuron, said.head
    better = msgspec.structs.replace(scored, explainer=name, e=0.9, interval=Interval(0.8, 0.95))
    judgement = Judgement(neuron=neuron, head=head, explainer=name, judge=name, prompts=[], verdicts=[])
    paid = CallsMade(model=hostile, base_url=hostile, calls=1200, cached=3, unanswered=2, prompt_tokens=250_000,
                     completion_tokens=9000, cost=None)  # fmt: skip
    return [
        HeadExplained(explanation=msgspec.structs.replace(said, explainer=name, text="after owls")),
        HeadJudged(judgement=judgement),
        HeadScored(score=better),
        HeadUnanswered(neuron=neuron, head=HeadId(0, 3), explainer=name, step="explain", reason=f"503 {hostile}"),
        paid,
        msgspec.structs.replace(paid, calls=34, cost=None),
    ]


def test_calls_cost_and_heads_without_an_answer_are_told(asked: Settings, events: list[AnyEvent], hostile: str) -> None:
    markdown = to_markdown(build_report("t", asked, fold([*events, *asked_of_a_model(events, hostile)])))
    text = " ".join(shown(section(markdown, "## Language models")))
    assert "1,234 6 4 500,000 18,000 unknown" in text
    assert "1 head has no explanation or no score" in text and "L3.N412 L0.H3" in text
    assert f"503 {visible(hostile)}" in text.replace("\xa0", " ")
    assert "asks again" in text
    finding = " ".join(shown(section(markdown, "## Explained heads")))
    assert f"after owls (llm:{visible(hostile)})" in finding


def test_two_explainers_are_compared_on_the_heads_that_both_explain(
    asked: Settings, events: list[AnyEvent], hostile: str
) -> None:
    markdown = to_markdown(build_report("t", asked, fold([*events, *asked_of_a_model(events, hostile)])))
    text = section(markdown, "## Explainer against explainer")
    assert "E on 1 heads of 1 next-token neurons differs by +0.20 on average" in text
    assert "Cliff's delta over the pairs +1.00" in shown(text)[0].replace("’", "'")
    assert hostile not in markdown and set(leaves(markdown)) <= PLAIN
    fences = [block.content for block in READER.parse(markdown) if block.type == "fence"]
    assert [fence.count("█") for fence in fences if "chance" in fence] == [2]


def test_without_a_language_model_the_report_does_not_speak_of_one(report: Report) -> None:
    assert "Language models" not in to_markdown(report) and "against explainer" not in to_markdown(report)


def test_settings_other_than_the_default_are_named(report: Report) -> None:
    assert "context = 128" in " ".join(shown(section(to_markdown(report), "## The question")))
    assert "top_k" not in section(to_markdown(report), "## The question").replace("\\", "")


def test_an_unfinished_study_says_so(report: Report) -> None:
    assert report.unfinished == ["ablate L2.N7"]
    assert "This study is not finished: ablate L2.N7." in to_markdown(report)


def test_a_study_with_nothing_in_it_has_a_report(asked: Settings) -> None:
    empty = build_report("trial", asked, StudyState())
    assert "No explained head could be scored." in to_markdown(empty)
    assert "No neurons were found." in to_markdown(empty)
    assert from_json(to_json(empty)) == empty


def test_notes_stand_with_what_they_are_about(asked: Settings, events: list[AnyEvent]) -> None:
    book = NoteBook(notes={"study": "for the paper", "L3.N412 L2.H1": "see *Fig. 2*", "L3.N41": "another neuron"})
    markdown = to_markdown(build_report("trial", asked, fold(events), book))
    assert "Note: for the paper" in section(markdown, "## The question")
    assert "Note on L3.N412 L2.H1: see *Fig. 2*" in shown(section(markdown, "### L3.N412"))
    assert "L3.N41: another neuron" in shown(section(markdown, "## The question")), "told, but not as one of L3.N412"


def test_bookmarks_are_told_with_their_notes(asked: Settings, events: list[AnyEvent]) -> None:
    book = NoteBook(notes={"L3.N412": "the *best*"}, bookmarks=("L3.N412", "L2.H1"))
    markdown = to_markdown(build_report("trial", asked, fold(events), book))
    marked = shown(section(markdown, "## The question"))
    assert "★ L3.N412: the *best*" in marked and "★ L2.H1" in marked
    assert "★ Bookmarked." in section(markdown, "### L3.N412")


def test_the_json_reads_back_to_the_report_it_was_made_from(report: Report) -> None:
    assert from_json(to_json(report)) == report


@given(st.text())
@example("\x9b31m\u202e\u2066\x7f\U000e0001 é 漢 😀")
@settings(deadline=None)
def test_the_json_holds_any_text_and_prints_none_of_it_raw(text: str) -> None:
    written = to_json(build_report(text, Settings(), StudyState()))
    assert json.loads(written)["study"] == text
    assert all(visible(line) == line for line in written.split("\n"))


def test_a_report_with_nan_is_refused(report: Report) -> None:
    with pytest.raises(ValueError, match=r"seconds.*not a finite number"):
        to_json(msgspec.structs.replace(report, seconds={"scan": float("nan")}))


@pytest.mark.parametrize("text", ["", "{}", "[1]", "\xff"])
def test_something_else_is_not_a_report(text: str) -> None:
    with pytest.raises(StudyError, match="not a report"):
        from_json(text)


def test_no_cell_of_the_csv_is_a_formula_and_no_text_is_active(events: list[AnyEvent], hostile: str) -> None:
    rows = score_rows(fold(events))
    bad = [
        msgspec.structs.replace(rows[0], explanation=text, low=-0.5) for text in ("=1+1", " @x", "-2", "+3", hostile)
    ]
    read = list(csv.DictReader(io.StringIO(to_csv(ScoreRow, bad))))
    assert [row["explanation"] for row in read] == ["'=1+1", "' @x", "'-2", "'+3", visible(hostile)]
    assert read[0]["low"] == "-0.5", "numbers stay numbers"
    assert read[0]["e"] == "0.7" and list(csv.DictReader(io.StringIO(to_csv(ScoreRow, rows))))[1]["e"] == ""


def test_the_files_are_written_from_a_study_that_is_open_for_reading(asked: Settings, events: list[AnyEvent]) -> None:
    with Study.create("trial", asked) as study:
        for event in events:
            study.append(event)
    paths = write_report(Study.open("trial"))
    assert [path.name for path in paths] == [
        "report.html",
        "report.md",
        "report.json",
        *(f"{name}.csv" for name in ("neurons", "prompts", "heads", "scores", "ablations")),
    ]
    assert {path.parent for path in paths} == {study.folder / "report"}
    assert from_json(paths[2].read_bytes()).explained[0].found.neuron == NeuronId(3, 412)
    assert len(paths[5].read_text().splitlines()) == 1 + 3
    assert len(paths[6].read_text().splitlines()) == 1 + 3


def test_a_report_that_cannot_be_written_is_a_storage_error(tmp_path: Path, asked: Settings) -> None:
    (tmp_path / "file").write_text("")
    with Study.create("trial", asked) as study, pytest.raises(StorageError, match="cannot be written"):
        write_report(study, tmp_path / "file" / "report")


def test_of_hundreds_of_heads_the_strongest_the_found_and_the_marked_are_told_in_full(
    asked: Settings, events: list[AnyEvent]
) -> None:
    state = fold(events)
    neuron = NeuronId(3, 412)
    said, score = state.explanations[neuron, HeadId(2, 1), "rules"], state.scores[neuron, HeadId(2, 1), "rules"]
    heads = [HeadId(layer, index) for layer in range(3) for index in range(20, 100)]
    for head in heads:
        state.explanations[neuron, head, "rules"] = msgspec.structs.replace(said, head=head, text=f"of {head}")
        low = score.interval and msgspec.structs.replace(score.interval, low=0.1 + head.index / 1000)
        state.scores[neuron, head, "rules"] = msgspec.structs.replace(score, head=head, interval=low)
    report = build_report("t", asked, state, NoteBook(notes={f"{neuron} L1.H77": "look"}))
    part = report.neurons[0]
    full, (rows, count) = in_full(part, report), in_rows(part, report)
    told = {str(head.head) for head in full}
    assert "L1.H77" in told and {str(one.score.head) for one in report.explained} <= told
    assert len(part.heads) - len(full) >= count == len(rows) > 200
    assert not told & {str(head.head) for head, _ in rows}
    lows = [score.interval.low for _, score in rows if score and score.interval]
    assert lows == sorted(lows, reverse=True)
    text = to_markdown(report)
    assert f"{count} more explained heads" in text and all(f"of {head}" in text for head in heads)
