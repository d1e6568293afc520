"""The list of studies, and what can be done with one of them, from the command line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from calls import Call, Places, data, refusal
from sample_study import sample_folder

from headtorch.core.study.study import Study


@pytest.fixture
def home(tmp_path: Path, places: Places, monkeypatch: pytest.MonkeyPatch, cli: Call) -> Path:
    """A data folder with one study, "sample"."""
    monkeypatch.setenv("HEADTORCH_HOME", str(tmp_path / "own"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own" / "studies").mkdir(parents=True)
    shutil.move(sample_folder(tmp_path), tmp_path / "own" / "studies" / "sample")
    return tmp_path


def names(cli: Call) -> list[str]:
    return sorted(one["name"] for one in data(cli("studies", "--json")))


def test_studies_without_a_command_are_listed(home: Path, cli: Call) -> None:
    (one,) = data(cli("studies", "--json"))
    assert (one["name"], one["writer"], one["cut"], one["problem"]) == ("sample", None, None, None)
    assert cli("studies").out.splitlines()[1].split()[0] == "sample"


def test_a_study_being_written_and_one_cut_short_are_listed_as_such(home: Path, cli: Call) -> None:
    log = home / "own" / "studies" / "sample" / "events.jsonl"
    with Study.open("sample", write=True):
        assert "being written (process" in cli("studies").out
        assert "being written" in refusal(cli("studies", "delete", "sample", "--yes"))
    with log.open("ab") as file:
        file.write(b"{")
    assert "its last line was cut short" in cli("studies").out


def test_rename_copy_and_delete(home: Path, cli: Call) -> None:
    assert cli("studies", "rename", "sample", "first").code == 0
    assert cli("studies", "copy", "first", "second").code == 0
    assert names(cli) == ["first", "second"]
    assert "second-2 is free" in refusal(cli("studies", "copy", "first", "second"))
    assert "give --yes" in refusal(cli("studies", "delete", "second"))
    assert names(cli) == ["first", "second"]
    assert cli("studies", "delete", "second", "--yes").code == 0
    assert names(cli) == ["first"]
    assert "There is no study" in refusal(cli("studies", "delete", "second", "--yes"))


def test_archive_and_import(home: Path, cli: Call) -> None:
    left = cli("studies", "archive", "sample")
    assert left.code == 0 and left.out.startswith("sample.tar.zst (")
    assert "sample-2 is free" in refusal(cli("studies", "import", "sample.tar.zst"))
    assert cli("studies", "import", "sample.tar.zst", "--name", "again").code == 0
    assert Study.open("again").state == Study.open("sample").state
    assert cli("studies", "archive", "again", "--out", home / "own").code == 0
    assert (home / "own" / "again.tar.zst").exists()
    (home / "x.tar.zst").write_bytes(b"hello")
    assert "no archive of a study" in refusal(cli("studies", "import", "x.tar.zst"))
