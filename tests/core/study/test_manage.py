"""Studies renamed, copied and deleted: never while another process writes them, never over another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from headtorch.core.errors import StudyError
from headtorch.core.events import AnyEvent, Warned
from headtorch.core.settings import Settings
from headtorch.core.study import Study, list_studies, resolve
from headtorch.core.study.manage import copy_study, delete_study, rename_study
from headtorch.core.study.report import write_report


@pytest.fixture
def study(asked: Settings, events: list[AnyEvent]) -> Study:
    with Study.create("trial", asked) as opened:
        opened.save_arrays({})
        for event in events:
            opened.append(event)
    opened.notes.write("study", "mine")
    write_report(opened)
    return opened


def names() -> list[str]:
    return sorted(one.name for one in list_studies())


def test_a_renamed_study_is_the_same_under_another_name(study: Study) -> None:
    assert rename_study("trial", "states") == resolve("states")
    again = Study.open("states")
    assert again.state == study.state and again.notes.read().notes == {"study": "mine"}
    assert names() == ["states"] and (again.folder / "report" / "report.md").exists()


def test_a_study_moves_to_another_folder_by_a_path(study: Study, tmp_path: Path) -> None:
    rename_study("trial", str(tmp_path / "there" / "states"))
    assert Study.open(tmp_path / "there" / "states").state == study.state and names() == []
    rename_study(tmp_path / "there" / "states", "beside")
    assert Study.open(tmp_path / "there" / "beside").state == study.state


def test_a_copy_is_a_study_of_its_own(study: Study) -> None:
    copy_study("trial", "second")
    with Study.open("second", write=True) as copy:
        assert copy.state == study.state and copy.notes.read() == study.notes.read()
        copy.append(Warned(text="only here"))
        copy.notes.write("study", "other")
    assert Study.open("trial").state == study.state and study.notes.read().notes == {"study": "mine"}
    assert {path.name for path in copy.folder.iterdir()} >= {"artefacts", "events.jsonl", "study.json"}


def test_a_copy_of_a_study_that_is_written_ends_with_a_whole_line(study: Study) -> None:
    with Study.open("trial", write=True):
        with (study.folder / "events.jsonl").open("ab") as log:
            log.write(b'{"type":"Warn')
        copy_study("trial", "second")
    assert Study.open("second").state == study.state and Study.open("second").cut is None


@pytest.mark.parametrize("act", [rename_study, copy_study])
def test_no_study_takes_the_place_of_another(study: Study, asked: Settings, act: object) -> None:
    Study.create("second", asked).close()
    with pytest.raises(StudyError, match="never overwritten; second-2 is free"):
        act("trial", "second")  # type: ignore[operator]
    assert names() == ["second", "trial"] and Study.open("second").state.neurons == {}


def test_a_deleted_study_is_gone_with_all_that_was_its_own(study: Study) -> None:
    assert delete_study("trial") == []
    assert not study.folder.exists() and names() == []


def test_other_files_in_the_folder_of_a_deleted_study_stay(study: Study) -> None:
    (study.folder / "thesis.tex").write_text("x")
    assert delete_study("trial") == ["thesis.tex"]
    assert [path.name for path in study.folder.iterdir()] == ["thesis.tex"]


def test_a_damaged_study_can_be_deleted(study: Study) -> None:
    (study.folder / "study.json").write_text("{")
    assert delete_study("trial") == [] and not study.folder.exists()


def test_what_a_link_leads_to_is_never_deleted(study: Study) -> None:
    resolve("link").symlink_to(study.folder)
    with pytest.raises(StudyError, match="is a link"):
        delete_study("link")
    assert Study.open("trial").state == study.state
    (study.folder / "report").rename(study.folder.parent / "elsewhere")
    (study.folder / "report").symlink_to(study.folder.parent / "elsewhere")
    delete_study("trial")
    assert (resolve("elsewhere") / "report.md").exists()


def test_a_study_that_is_being_written_is_neither_renamed_nor_deleted(study: Study) -> None:
    with Study.open("trial", write=True) as writer:
        for act in (lambda: rename_study("trial", "x"), lambda: delete_study("trial")):
            with pytest.raises(StudyError, match=r"being written by another headtorch \(process \d+\); end it to"):
                act()
        writer.append(Warned(text="still here"))
    assert names() == ["trial"]


def test_what_is_no_study_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    for act in (lambda: rename_study(tmp_path / "thesis", "x"), lambda: delete_study(tmp_path / "thesis")):
        with pytest.raises(StudyError, match="There is no study"):
            act()
    assert (tmp_path / "thesis").exists()
