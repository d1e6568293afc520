"""--profile says where the time went, on standard error and in a folder, and changes nothing else."""

from __future__ import annotations

import csv
import errno
import json
import time
from pathlib import Path

import pytest
from calls import Call, Left, Places

from headtorch.core.engine.profiling import Profile

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, empty."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def stages(here: Path) -> dict[str, dict[str, str]]:
    [folder] = here.iterdir()
    with (folder / "stages.csv").open(newline="") as stream:
        return {row["stage"]: row for row in csv.DictReader(stream)}


def scan(cli: Call, places: Places, *more: object) -> Left:
    return cli("scan", "--model", places.model, "--corpus", places.corpus, "--context", 48, "--json", *more)


def test_a_scan_tells_of_model_corpus_and_tokens(cli: Call, places: Places, here: Path) -> None:
    left = scan(cli, places, "--seed", 77, "--profile")
    assert left.code == 0
    found = stages(here)
    assert {"model", "corpus", "scan"} <= found.keys()
    assert found["scan"]["unit"] == "tokens"
    assert int(found["scan"]["done"]) >= json.loads(left.out)["tokens"]
    assert float(found["scan"]["peak_bytes"]) > 2**20
    [folder] = here.iterdir()
    assert f"{folder.name}/stages.csv" in left.err
    assert f"{folder.name}/trace-scan.json.gz" in left.err
    assert "per second" in left.err


def test_the_index_is_the_same_with_and_without(cli: Call, places: Places, here: Path) -> None:
    measured = scan(cli, places, "--seed", 78, "--profile")
    assert scan(cli, places, "--seed", 78).out == measured.out
    assert len([*here.iterdir()]) == 1


def test_a_study_tells_of_its_stages(cli: Call, places: Places, here: Path) -> None:
    left = cli("run", "--model", places.model, "--corpus", places.corpus, "--token", " States", "--layers", "last:2",
               "--neurons", 1, "--random-neurons", 1, "--context", 48, "--study", "profiled", "--profile")  # fmt: skip
    assert left.code == 0, left.err
    found = stages(here)
    assert {"model", "corpus", "discover", "trim", "attribute", "score", "other"} <= found.keys()
    assert sum(float(row["share"]) for row in found.values()) == pytest.approx(1.0)


def test_what_was_measured_is_told_of_work_that_failed(cli: Call, places: Places, here: Path) -> None:
    left = cli("scan", "--model", places.model, "--corpus", "nowhere.txt", "--profile")
    assert left.code == 2
    assert "model" in stages(here)


def test_profiles_of_the_same_second_have_folders_of_their_own(
    cli: Call, places: Places, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "strftime", lambda form: "headtorch-profile-now")
    for _ in range(3):
        cli("scan", "--model", places.model, "--corpus", "nowhere.txt", "--profile")
    names = sorted(folder.name for folder in here.iterdir())
    assert names == ["headtorch-profile-now", "headtorch-profile-now-2", "headtorch-profile-now-3"]


@pytest.mark.parametrize(("corpus", "code"), [(None, 0), ("nowhere.txt", 2)])
def test_a_profile_that_cannot_be_written_is_said_and_changes_nothing(
    cli: Call, places: Places, here: Path, monkeypatch: pytest.MonkeyPatch, corpus: str | None, code: int
) -> None:
    def full(*_args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Profile, "write", full)
    left = cli("scan", "--model", places.model, "--corpus", corpus or places.corpus, "--context", 48, "--profile")
    assert left.code == code
    [said] = [line for line in left.err.splitlines() if "profile could be written" in line]
    assert "No space left on device" in said
    assert "stages.csv" not in left.err and "Traceback" not in left.err
    assert "per second" in left.err  # the table


def test_a_folder_that_cannot_be_written_is_said_in_a_sentence(
    cli: Call, places: Places, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object, **_more: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    left = scan(cli, places, "--profile")
    assert left.code == 2
    assert "cannot be written: Permission denied" in left.err
    assert "Traceback" not in left.err
