"""Notes: saved at once, never lost to another window, never overwritten when damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from headtorch.core.errors import StorageError, StudyError
from headtorch.core.records import HeadId, NeuronId
from headtorch.core.settings import Settings
from headtorch.core.study import Study
from headtorch.core.study.notes import Notes, subject_of


def test_a_note_is_there_for_the_next_reader(tmp_path: Path, hostile: str) -> None:
    Notes(tmp_path).write("study", hostile)
    assert Notes(tmp_path).read().notes == {"study": hostile}


def test_an_empty_note_is_no_note(tmp_path: Path) -> None:
    notes = Notes(tmp_path)
    notes.write("L3.N412", "look again")
    notes.write("L3.N412", "")
    assert notes.read().notes == {}


def test_two_windows_lose_nothing_of_each_other(tmp_path: Path) -> None:
    one, other = Notes(tmp_path), Notes(tmp_path)
    one.write("L3.N412", "a")
    other.write("L3.N413", "b")
    one.bookmark("L2.H4")
    assert other.read().notes == {"L3.N412": "a", "L3.N413": "b"}
    assert other.read().bookmarks == ("L2.H4",)


def test_bookmarks_keep_the_order_in_which_they_were_set(tmp_path: Path) -> None:
    notes = Notes(tmp_path)
    for subject in ("b", "a", "b", "c"):
        notes.bookmark(subject)
    notes.bookmark("a", on=False)
    notes.bookmark("never set", on=False)
    assert notes.read().bookmarks == ("b", "c")


@pytest.mark.parametrize("content", ["{", '{"notes": 3}', '{"format": 2, "notes": {}}'])
def test_a_file_that_cannot_be_read_is_not_overwritten(tmp_path: Path, content: str) -> None:
    (tmp_path / "notes.json").write_text(content)
    with pytest.raises(StudyError, match=r"notes\.json"):
        Notes(tmp_path).write("study", "x")
    assert (tmp_path / "notes.json").read_text() == content


def test_a_folder_that_is_gone_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be written"):
        Notes(tmp_path / "gone").write("study", "x")


def test_notes_are_written_while_the_engine_holds_the_study() -> None:
    with Study.create("trial", Settings()):
        Study.open("trial").notes.write("study", "seen while it ran")
    assert Study.open("trial").notes.read().notes == {"study": "seen while it ran"}


def test_a_subject_is_a_neuron_a_head_both_or_the_study() -> None:
    neuron, head = NeuronId(3, 412), HeadId(2, 4)
    assert [subject_of(), subject_of(neuron), subject_of(head=head), subject_of(neuron, head)] == [
        "study",
        "L3.N412",
        "L2.H4",
        "L3.N412 L2.H4",
    ]
