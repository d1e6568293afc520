"""A report about some neurons says all of them and nothing of the others; comparisons stay the whole study's."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from headtorch.core.errors import AddressError, InputError
from headtorch.core.events import AnyEvent, NeuronVisited
from headtorch.core.records import NeuronId
from headtorch.core.settings import Settings
from headtorch.core.study import Study
from headtorch.core.study.notes import NoteBook
from headtorch.core.study.report import report_of, to_markdown, write_report
from headtorch.core.study.report.html import to_html
from headtorch.core.study.subset import chosen_neurons, folder_name, only
from headtorch.core.watch import Watch

STATES, RANDOM = NeuronId(3, 412), NeuronId(2, 7)


@pytest.fixture
def study(asked: Settings, events: list[AnyEvent]) -> Study:
    with Study.create("trial", asked) as made:
        for event in events:
            made.append(event)
    return Study.open("trial")


def neurons_in(value: object) -> Iterator[NeuronId]:
    """Every neuron that keys of dictionaries name."""
    if isinstance(value, dict):
        for key in value:
            yield from (part for part in (key if isinstance(key, tuple) else (key,)) if isinstance(part, NeuronId))


def test_nothing_is_kept_of_the_neurons_that_were_not_chosen(study: Study) -> None:
    kept = only(study.state, [STATES])
    for field in dataclasses.fields(kept):
        before, after = getattr(study.state, field.name), getattr(kept, field.name)
        if field.name != "done":  # the time that the whole study took
            assert set(neurons_in(after)) == set(neurons_in(before)) & {STATES}, field.name
        if not set(neurons_in(before)):
            assert after == before, field.name
    assert only(study.state, None) is study.state


def test_a_report_about_one_neuron_compares_scores_over_the_whole_study(study: Study) -> None:
    whole, part = report_of(study), report_of(study, [STATES])
    assert [one.found.neuron for one in part.neurons] == [STATES]
    assert {one.score.neuron for one in part.explained} == {STATES}
    assert (part.groups, part.baseline, part.tests) == (whole.groups, whole.baseline, whole.tests)
    assert (part.chosen, whole.chosen) == (1, None)
    for text in (to_markdown(part), to_html(part)):
        assert "about some of the study" in text and "L2.N7" not in text
    assert "about some of the study" not in to_markdown(whole) + to_html(whole)


def test_notes_and_bookmarks_are_those_of_the_chosen(study: Study) -> None:
    for subject in ("study", "L3.N412", "L3.N412 L2.H1", "L2.N7"):
        study.notes.write(subject, f"on {subject}")
    study.notes.bookmark("L2.N7")
    part = report_of(study, [STATES])
    assert set(part.notes) == {"study", "L3.N412", "L3.N412 L2.H1"} and part.bookmarks == []


def test_tables_have_the_rows_of_the_chosen(study: Study, tmp_path: Path) -> None:
    write_report(study, tmp_path, ["csv"], [RANDOM])
    rows = {path.stem: path.read_text().splitlines()[1:] for path in tmp_path.glob("*.csv")}
    assert [len(rows[name]) for name in ("neurons", "prompts", "heads", "scores")] == [1, 0, 0, 1]
    assert rows["scores"][0].startswith("L2.N7,")


def test_a_neuron_that_was_only_visited_can_be_chosen(study: Study) -> None:
    row = study.state.neurons[STATES]
    visited = dataclasses.replace(study.state).apply(
        NeuronVisited(neuron=type(row)(**{name: getattr(row, name) for name in row.__struct_fields__}))
    )
    visited.neurons = {}
    assert list(only(visited, [STATES]).neurons) == [STATES]


def test_choices_are_read(study: Study) -> None:
    book = NoteBook(bookmarks=("L2.N7", "L3.N412", "L9.N9"))
    assert chosen_neurons("all", study.state, book) is None
    assert chosen_neurons("Bookmarked", study.state, book) == [STATES, RANDOM]
    assert chosen_neurons("L2.N7, L3.N412,L2.N7", study.state, NoteBook()) == [RANDOM, STATES]


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("bookmarked", InputError, "No neuron of the study has a bookmark"),
        ("", InputError, "No neuron is named"),
        ("L1.N1", InputError, "does not have L1.N1"),
        ("L2.H1", AddressError, "L2.H1"),
    ],
)
def test_choices_that_are_none_are_refused(study: Study, text: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        chosen_neurons(text, study.state, NoteBook())


def test_reports_about_some_neurons_do_not_replace_that_of_all() -> None:
    names = [folder_name(text) for text in ("all", "bookmarked", "L3.N412", "L3.N412, L2.N7")]
    assert names[:3] == ["", "bookmarked", "L3.N412"] and names[3].startswith("L3.N412-and-1-more-")
    assert folder_name("L3.N412,L3.N412") == "L3.N412", "each counts once"
    assert folder_name("L3.N412,L2.N9") != names[3] == folder_name("L3.N412,L2.N7")


def test_who_waits_is_told_of_every_format(study: Study, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []

    class Seeing(Watch):
        def progress(self, stage: str, done: int, total: int, unit: str = "") -> None:
            seen.append((stage, done, total))

    write_report(study, tmp_path, ["md", "json"], None, Seeing())
    assert seen == [("md", 0, 2), ("json", 1, 2)]
