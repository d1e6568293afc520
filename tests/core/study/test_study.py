"""A study on the disk: nothing shown is lost, one process writes, and damage is named and never guessed at."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from headtorch.core.errors import InputError, StorageError, StudyError
from headtorch.core.event_lines import encode
from headtorch.core.events import (
    AnyEvent,
    CorpusOpened,
    ModelOpened,
    Progress,
    StageFinished,
    StudyOpened,
    ValidityMeasured,
    Warned,
)
from headtorch.core.settings import Settings
from headtorch.core.study import Study, default_name, fold, list_studies, resolve
from headtorch.core.study.migrations import SCHEMA
from headtorch.core.version import version


@pytest.fixture
def study(asked: Settings, events: list[AnyEvent]) -> Study:
    with Study.create("trial", asked) as opened:
        for event in events:
            opened.append(event)
    return opened


def test_replaying_the_log_gives_the_state_that_was_folded_live(study: Study, events: list[AnyEvent]) -> None:
    assert list(study.replay())[1:] == events
    assert Study.open("trial").state == study.state == fold(study.replay())


def test_a_new_log_begins_with_the_settings_and_the_version(study: Study, asked: Settings) -> None:
    assert next(study.replay()) == StudyOpened(settings=asked, version=version(), schema=SCHEMA)


def test_each_event_is_on_the_disk_when_append_returns(asked: Settings) -> None:
    code = """
import os, sys
from headtorch.core.events import Warned
from headtorch.core.settings import Settings
from headtorch.core.study import Study
study = Study.create("killed", Settings(token_texts=(" States",), context=128))
study.append(Warned(text="last words"))
os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    with Study.create("killed", asked) as again:
        assert [event.text for event in again.replay() if isinstance(event, Warned)] == ["last words"]


def test_append_forces_the_line_to_the_disk(asked: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bytes] = []
    sync = os.fsync
    with Study.create("synced", asked) as study:
        log = study.folder / "events.jsonl"
        monkeypatch.setattr(os, "fsync", lambda descriptor: (synced.append(log.read_bytes()), sync(descriptor)))
        study.append(Warned(text="now"))
    assert len(synced) == 1 and synced[0].endswith(encode(Warned(text="now")))


def test_a_last_line_cut_at_any_byte_is_not_there(study: Study, asked: Settings) -> None:
    log = study.folder / "events.jsonl"
    whole = log.read_bytes()
    start = whole[:-1].rfind(b"\n") + 1
    before = fold(list(study.replay())[:-1])
    for end in range(start, len(whole)):
        log.write_bytes(whole[:end])
        assert Study.open("trial").state == before, f"reading a log cut at byte {end}"
        assert log.read_bytes() == whole[:end], "reading changes nothing"
        with Study.open("trial", write=True) as reopened:
            assert reopened.state == before
            assert log.read_bytes() == whole[:start]
            reopened.append(Warned(text="after the crash"))
        assert log.read_bytes() == whole[:start] + encode(Warned(text="after the crash"))


@pytest.mark.parametrize("damage", [b"{", b"", b"\x00\x00", b'{"type":"StageFinished"}', b"\xff", b"\r"])
def test_a_damaged_line_is_named(study: Study, damage: bytes) -> None:
    log = study.folder / "events.jsonl"
    lines = log.read_bytes().split(b"\n")
    lines[4] = damage
    log.write_bytes(b"\n".join(lines))
    for write in (False, True):
        with pytest.raises(StudyError, match=r"Line 5 of .*events\.jsonl is damaged"):
            Study.open("trial", write=write)
    assert log.read_bytes() == b"\n".join(lines), "a damaged log is left as it is"


def test_a_failed_open_lets_the_lock_go(study: Study, asked: Settings) -> None:
    log = study.folder / "events.jsonl"
    whole = log.read_bytes()
    log.write_bytes(b"{\n" + whole)
    with pytest.raises(StudyError, match="Line 1"):
        Study.open("trial", write=True)
    log.write_bytes(whole)
    Study.open("trial", write=True).close()


def test_a_log_of_a_newer_version_names_that_version(study: Study, asked: Settings) -> None:
    with (study.folder / "events.jsonl").open("ab") as log:
        log.write(encode(StudyOpened(settings=asked, version="7.1")) + b'{"type":"HeadsCooperated"}\n')
    with pytest.raises(StudyError, match=r"HeadsCooperated.*written by headtorch 7\.1"):
        Study.open("trial")


def test_going_on_with_another_version_leaves_its_name_in_the_log(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headtorch.core.study.study.version", lambda: "9.9")
    with Study.open("trial", write=True) as newer:
        newer.append(Warned(text="x"))
    assert [event.version for event in Study.open("trial").replay() if isinstance(event, StudyOpened)] == [
        version(),
        "9.9",
    ]


def test_a_study_of_a_newer_format_is_refused(study: Study) -> None:
    path = study.folder / "study.json"
    path.write_text('{"format": 2, "made_by": "3.0", "layout": {}}')
    with pytest.raises(StudyError, match=r"made by headtorch 3\.0"):
        Study.open("trial")


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"format": 1}', '{"format": 1, "made_by": "1", "settings": {"trim": 3}}']
)
def test_a_damaged_study_file_is_named(study: Study, content: str) -> None:
    (study.folder / "study.json").write_text(content)
    with pytest.raises(StudyError, match=r"study\.json is damaged"):
        Study.open("trial")


def test_settings_that_a_later_version_added_take_their_default(study: Study) -> None:
    path = study.folder / "study.json"
    kept = msgspec.json.decode(path.read_bytes())
    del kept["settings"]["trim_ratio"]
    kept["settings"]["of_the_future"] = 1
    path.write_bytes(msgspec.json.encode(kept))
    assert Study.open("trial").settings.trim_ratio == Settings().trim_ratio


def test_a_live_event_is_never_logged(asked: Settings) -> None:
    with Study.create("trial", asked) as study, pytest.raises(ValueError, match="live"):
        study.append(Progress(stage="scan", done=1, total=2, unit="tokens"))
    assert len(list(study.replay())) == 1


def test_an_event_with_nan_changes_neither_log_nor_state(study: Study, events: list[AnyEvent]) -> None:
    seen = next(event.validity for event in events if isinstance(event, ValidityMeasured))
    with Study.open("trial", write=True) as opened:
        with pytest.raises(ValueError, match="not a finite number"):
            opened.append(ValidityMeasured(validity=msgspec.structs.replace(seen, lift=float("nan"))))
        assert opened.state == study.state
    assert Study.open("trial").state == study.state


def test_the_same_settings_go_on_where_the_study_was(study: Study, asked: Settings) -> None:
    with Study.create("trial", asked) as again:
        assert again.state == study.state
        again.append(StageFinished(stage="scan", seconds=1.0))
    assert Study.open("trial").state.is_done("scan")


def test_other_settings_under_the_same_name_are_refused_by_name(study: Study, asked: Settings) -> None:
    other = msgspec.structs.replace(asked, context=64, token_texts=(" war",))
    with pytest.raises(StudyError) as caught:
        Study.create("trial", other)
    assert "context is 128 there and 64 now" in str(caught.value)
    assert "token_texts is (' States',) there and (' war',) now" in str(caught.value)
    assert "top_k" not in str(caught.value)
    Study.create("trial", asked).close()  # the refused one holds no lock


def test_a_second_writer_is_refused_and_a_reader_is_not(asked: Settings) -> None:
    read = "from headtorch.core.study import Study; print(len(list(Study.open('trial').replay())))"
    write = """
from headtorch.core.study import Study
from headtorch.core.errors import StudyError
try:
    Study.open('trial', write=True)
except StudyError as error:
    print(error)
"""
    with Study.create("trial", asked) as study:
        study.append(Warned(text="x"))
        assert subprocess.check_output([sys.executable, "-c", read], text=True).strip() == "2"
        told = subprocess.check_output([sys.executable, "-c", write], text=True)
        assert f"being written by another headtorch (process {os.getpid()})" in told
        with pytest.raises(StudyError, match="being written"):
            Study.create("trial", asked)
    Study.open("trial", write=True).close()


def test_a_reader_cannot_write(study: Study) -> None:
    reader = Study.open("trial")
    with pytest.raises(StudyError, match="reading only"):
        reader.append(Warned(text="x"))
    with pytest.raises(StudyError, match="reading only"):
        reader.save_arrays({})


def test_reading_makes_and_changes_no_file(study: Study) -> None:
    (study.folder / "lock").unlink()
    before = {path.name: path.stat().st_mtime_ns for path in study.folder.iterdir()}
    reader = Study.open("trial")
    assert list(reader.replay()) and reader.notes.read().notes == {}
    assert {path.name: path.stat().st_mtime_ns for path in study.folder.iterdir()} == before


def test_a_full_disk_leaves_the_log_whole(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    log = study.folder / "events.jsonl"
    whole = log.read_bytes()
    write, calls = os.write, []

    def half(descriptor: int, data: bytes) -> int:
        calls.append(len(data))
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, bytes(data)[: len(data) // 2])

    with Study.open("trial", write=True) as full:
        monkeypatch.setattr(os, "write", half)
        with pytest.raises(StorageError, match=r"events\.jsonl cannot be written: No space left on device"):
            full.append(Warned(text="lost"))
        monkeypatch.setattr(os, "write", write)
        assert log.read_bytes() == whole
        assert full.state == study.state
        full.append(Warned(text="kept"))
    assert log.read_bytes() == whole + encode(Warned(text="kept"))


def test_a_real_file_size_limit_is_a_storage_error(asked: Settings) -> None:
    code = """
import resource
from headtorch.core.errors import StorageError
from headtorch.core.events import Warned
from headtorch.core.settings import Settings
from headtorch.core.study import Study
study = Study.create("small", Settings(token_texts=(" States",), context=128))
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
written = 0
try:
    for _ in range(100):
        study.append(Warned(text="x" * 100))
        written += 1
except StorageError as error:
    print(written)
"""
    written = int(subprocess.check_output([sys.executable, "-c", code], text=True))
    assert 0 < written < 100
    assert len(list(Study.open("small").replay())) == 1 + written


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_write_permission_is_a_storage_error(tmp_path: Path, asked: Settings) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(StorageError, match="Permission denied"):
        Study.create(tmp_path / "locked" / "study", asked)


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path, asked: Settings) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="Not a directory"):
        Study.create(tmp_path / "file" / "study", asked)


def test_a_read_only_file_system_is_a_storage_error(
    tmp_path: Path, asked: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StorageError, match="Read-only file system"):
        Study.create(tmp_path / "study", asked)


def test_a_folder_of_other_files_is_not_taken_over(tmp_path: Path, asked: Settings) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("x")
    with pytest.raises(StudyError, match=r"chapter\.tex"):
        Study.create(tmp_path / "thesis", asked)
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["chapter.tex"]


def test_a_study_whose_making_was_cut_short_is_made_on_the_next_run(tmp_path: Path, asked: Settings) -> None:
    folder = tmp_path / "begun"
    folder.mkdir()
    (folder / "lock").write_text("")
    (folder / ".study.json.1.ab").write_text("{")
    Study.create(folder, asked).close()
    (folder / "events.jsonl").unlink()
    with Study.create(folder, asked) as study:
        assert len(list(study.replay())) == 1


def test_a_study_that_is_not_there_is_said_so() -> None:
    with pytest.raises(StudyError, match="There is no study"):
        Study.open("nowhere")


def test_a_study_is_about_one_model_and_one_corpus(study: Study, events: list[AnyEvent]) -> None:
    facts = next(event.facts for event in events if isinstance(event, ModelOpened))
    corpus = next(event for event in events if isinstance(event, CorpusOpened))
    with Study.open("trial", write=True) as again:
        again.append(ModelOpened(facts=msgspec.structs.replace(facts, device="cuda:0")))
        with pytest.raises(StudyError, match="model is not the one"):
            again.append(ModelOpened(facts=msgspec.structs.replace(facts, fingerprint="other")))
        with pytest.raises(StudyError, match="corpus is not the one"):
            again.append(msgspec.structs.replace(corpus, fingerprint="other"))
    assert Study.open("trial").state.model == msgspec.structs.replace(facts, device="cuda:0")


def test_a_bare_name_lies_in_the_data_folder_and_a_path_is_a_path(own_home: Path, tmp_path: Path) -> None:
    assert resolve("trial") == own_home / "studies" / "trial"
    assert resolve("./trial") == Path("trial")
    assert resolve(str(tmp_path)) == tmp_path
    assert resolve("~/trial") == Path.home() / "trial"


@pytest.mark.parametrize("name", ["", ".", "..", "-x", "a\nb", "a\x1b", "x" * 201])
def test_a_name_that_cannot_be_a_folder_is_refused(name: str) -> None:
    with pytest.raises(StudyError, match="cannot be the name of a study"):
        resolve(name)


def test_the_default_name_is_the_same_for_the_same_settings_only(asked: Settings) -> None:
    name = default_name(asked)
    assert name.startswith("demo-states-")
    assert default_name(Settings(token_texts=(" States",), context=128)) == name
    others = [
        msgspec.structs.replace(asked, seed=1),
        msgspec.structs.replace(asked, token_texts=("States",)),
        msgspec.structs.replace(asked, model="other/demo"),
    ]
    assert len({name, *map(default_name, others)}) == 4


@pytest.mark.parametrize("token", ["../../etc/passwd", "\x1b]0;x\x07", "é" * 300, "  ", "/", "..", "-rf"])
def test_the_default_name_is_a_name_whatever_the_token(token: str, own_home: Path) -> None:
    settings = Settings(model="./models/../x y", token_texts=(token,))
    assert resolve(default_name(settings)).parent == own_home / "studies"


def test_studies_are_listed_last_written_first_with_the_damaged_ones(study: Study, asked: Settings) -> None:
    Study.create("later", asked).close()
    Study.create("broken", asked).close()
    os.utime(study.folder / "events.jsonl", (1000, 1000))
    os.utime(resolve("later") / "events.jsonl", (2000, 2000))
    (resolve("broken") / "events.jsonl").write_text("{\n")
    os.utime(resolve("broken") / "events.jsonl", (500, 500))
    listed = list_studies()
    assert [entry.name for entry in listed] == ["later", "trial", "broken"]
    assert (listed[1].neurons, listed[1].scores, listed[1].finished) == (1, 3, True)
    assert listed[2].problem is not None and "Line 1" in listed[2].problem


def test_without_a_data_folder_there_are_no_studies() -> None:
    assert list_studies() == []


def test_a_path_of_a_user_who_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match="no such user"):
        resolve("~nobody-of-this-name/study")
