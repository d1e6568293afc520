"""Logs of older schemas: one that an older headtorch recorded reads as if it were written today."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from headtorch.core.errors import StudyError
from headtorch.core.event_lines import decode, encode
from headtorch.core.events import ScoresAdjusted, StudyOpened, Warned
from headtorch.core.study import Study
from headtorch.core.study.migrations import SCHEMA, migrated
from headtorch.core.study.report import build_report, to_markdown

RECORDED = Path(__file__).parent / "recorded" / "schema-1"


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """A study that was asked for an attribution which no longer exists, by a headtorch that knew no schemas."""
    return Path(shutil.copytree(RECORDED, tmp_path / "recorded"))


def test_the_recorded_log_does_not_read_without_migration() -> None:
    lines = (RECORDED / "events.jsonl").read_bytes().splitlines()
    refused = {msgspec.json.decode(line)["type"] for line in lines if not _reads(line)}
    assert refused == {"StudyOpened", "ScoresAdjusted"}


def _reads(line: bytes) -> bool:
    try:
        decode(line)
    except StudyError:
        return False
    return True


def test_an_older_study_opens_with_everything_in_it(recorded: Path) -> None:
    study = Study.open(recorded)
    state = study.state
    assert study.settings == state.settings and study.settings.attribution == "direct"
    assert (len(state.neurons), len(state.explanations), len(state.scores), len(state.ablations)) == (3, 7, 7, 2)
    assert state.finished is not None and state.schema == 1
    assert "L2.N24" in to_markdown(build_report(study.name, study.settings, state))


def test_the_adjusted_p_values_of_an_older_study_are_its_own_explainers(recorded: Path) -> None:
    state = Study.open(recorded).state
    (written,) = [
        one
        for line in (recorded / "events.jsonl").read_bytes().splitlines()
        if (one := msgspec.json.decode(line))["type"] == "ScoresAdjusted"
    ]
    assert list(state.adjustments) == ["rules"] and state.adjustments["rules"].tests == written["tests"]
    known = {(str(key[0]), str(key[1])): score.q for key, score in state.scores.items() if score.q is not None}
    assert len(known) == len(written["adjusted"]) > 0
    assert sorted(known.values()) == sorted(entry["q"] for entry in written["adjusted"])


def test_reading_an_older_study_changes_no_file_and_writing_goes_on_in_the_present_schema(recorded: Path) -> None:
    log = recorded / "events.jsonl"
    before = log.read_bytes()
    state = Study.open(recorded).state
    assert log.read_bytes() == before
    with Study.open(recorded, write=True) as study:
        study.append(Warned(text="later"))
        assert study.state.neurons == state.neurons
    written = log.read_bytes()
    assert written.startswith(before)
    added = [decode(line) for line in written[len(before) :].splitlines()]
    assert isinstance(added[0], StudyOpened) and added[0].schema == SCHEMA and len(added) == 2
    again = Study.open(recorded)
    assert again.state.scores == state.scores and again.state.schema == SCHEMA


def test_events_of_the_present_schema_are_left_as_they_are() -> None:
    event = ScoresAdjusted(method="m", tests=1, adjusted=[], explainer="me")
    line = msgspec.json.decode(encode(event))
    assert migrated(line, SCHEMA, None) == line == migrated(line, 1, None)


def test_a_log_of_a_newer_schema_is_refused_by_the_name_of_its_writer(recorded: Path) -> None:
    settings = Study.open(recorded).settings
    with (recorded / "events.jsonl").open("ab") as log:
        log.write(encode(StudyOpened(settings=settings, version="7.1", schema=SCHEMA + 1)))
    with pytest.raises(StudyError, match=r"written by headtorch 7\.1.*upgrade"):
        Study.open(recorded)


def test_settings_of_a_newer_schema_are_refused(recorded: Path) -> None:
    path = recorded / "study.json"
    kept = msgspec.json.decode(path.read_bytes()) | {"schema": SCHEMA + 1, "made_by": "7.1"}
    path.write_bytes(msgspec.json.encode(kept))
    with pytest.raises(StudyError, match=r"made by headtorch 7\.1"):
        Study.open(recorded)
