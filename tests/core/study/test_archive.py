"""A study in one file: equal bytes for equal studies, the same study out of it, and nothing unsafe."""

from __future__ import annotations

import io
import os
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import zstandard

sys.path.insert(0, str(Path(__file__).parent))

from archives import Change, Files, described, packed, unpacked

from headtorch.core.errors import StudyError
from headtorch.core.events import AnyEvent, HeadsAttributed, Warned
from headtorch.core.settings import Settings
from headtorch.core.study import Study, resolve, studies_folder
from headtorch.core.study.archive import archive_study
from headtorch.core.study.artefacts import content_hash
from headtorch.core.study.manage import copy_study
from headtorch.core.study.report import build_report, to_json, to_markdown
from headtorch.core.study.unarchive import import_study

ARRAYS = {"headline": np.arange(24.0).reshape(2, 3, 4), "count": np.array(3)}


@pytest.fixture
def study(asked: Settings, events: list[AnyEvent]) -> Study:
    with Study.create("trial", asked) as opened:
        name = opened.save_arrays(ARRAYS)
        for event in events:
            whole = msgspec.structs.replace(event, artefact=name) if isinstance(event, HeadsAttributed) else event
            opened.append(whole)
        opened.notes.write("L3.N412", "look at the commas")
    return opened


@pytest.fixture
def archive(study: Study, tmp_path: Path) -> Path:
    return archive_study("trial", tmp_path / "trial.tar.zst")


def report_of(study: Study) -> tuple[str, str]:
    report = build_report(study.name, study.settings, study.state, study.notes.read())
    return to_markdown(report), to_json(report)


def test_a_study_comes_out_as_it_went_in(
    study: Study, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = report_of(Study.open("trial"))
    monkeypatch.setenv("HEADTORCH_HOME", str(tmp_path / "elsewhere"))
    folder = import_study(archive)
    again = Study.open("trial")
    assert folder == again.folder != study.folder
    assert report_of(again) == before and again.state == study.state
    (attributed,) = again.state.attributed.values()
    loaded = again.load_arrays(attributed.artefact)
    assert content_hash(loaded) == content_hash(ARRAYS)
    with Study.open("trial", write=True) as writer:
        writer.append(Warned(text="it goes on here"))


def test_equal_studies_give_equal_bytes(study: Study, archive: Path, tmp_path: Path) -> None:
    os.utime(study.folder / "events.jsonl", (1, 1))
    (study.folder / "notes.json").chmod(0o600)
    assert archive_study("trial", tmp_path / "again.tar.zst").read_bytes() == archive.read_bytes()
    other = import_study(archive, str(tmp_path / "moved" / "trial"))
    assert archive_study(other, tmp_path / "third.tar.zst").read_bytes() == archive.read_bytes()
    study.notes.write("L3.N412", "changed")
    assert archive_study("trial", tmp_path / "changed.tar.zst").read_bytes() != archive.read_bytes()


def test_an_archive_is_a_plain_tar_with_a_manifest_of_hashes(archive: Path, study: Study) -> None:
    manifest, files = unpacked(archive)
    assert manifest["files"] == described(files.items()) and (manifest["name"], manifest["format"]) == ("trial", 1)
    assert files["events.jsonl"] == (study.folder / "events.jsonl").read_bytes()
    assert {path.split("/")[0] for path in files} == {"study.json", "events.jsonl", "notes.json", "artefacts"}


def test_a_study_that_is_being_written_is_archived_up_to_its_last_whole_line(study: Study, tmp_path: Path) -> None:
    whole = (study.folder / "events.jsonl").read_bytes()
    with (study.folder / "events.jsonl").open("ab") as log:
        log.write(b'{"type":"Warn')
    _, files = unpacked(archive_study("trial", tmp_path / "torn.tar.zst"))
    assert files["events.jsonl"] == whole


def test_an_archive_is_never_overwritten_and_neither_is_a_study(archive: Path, study: Study, tmp_path: Path) -> None:
    data = archive.read_bytes()
    with pytest.raises(StudyError, match="never overwritten"):
        archive_study("trial", archive)
    assert archive.read_bytes() == data
    copy_study("trial", "trial-2")
    with pytest.raises(StudyError, match="trial-3 is free"):
        import_study(archive)
    assert import_study(archive, "trial-3").name == "trial-3"
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_study_without_one_of_its_arrays_is_not_archived(study: Study, tmp_path: Path) -> None:
    (gone,) = (study.folder / "artefacts").iterdir()
    gone.unlink()
    with pytest.raises(StudyError, match=f"{gone.name} is missing"):
        archive_study("trial", tmp_path / "x.tar.zst")
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def refused(path: Path, name: str | None = "fresh") -> str:
    """The one sentence of a refusal, which leaves nothing behind."""
    before = sorted(str(one) for one in studies_folder().rglob("*"))
    with pytest.raises(StudyError) as error:
        import_study(path, name)
    assert sorted(str(one) for one in studies_folder().rglob("*")) == before
    assert not (path.parent / "escaped").exists()
    text = str(error.value)
    assert text.startswith(path.name) and text.endswith(".") and "\n" not in text and "\x1b" not in text
    return text


def changed(archive: Path, files: list[tuple[str, bytes]], **packing: Any) -> Path:
    """An archive of these files whose manifest is right about them."""
    manifest, _ = unpacked(archive)
    return packed(archive.with_name("bad.tar.zst"), manifest | {"files": described(files)}, files, **packing)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("../escaped", "leads out of the study"),
        ("artefacts/../../../escaped", "leads out of the study"),
        ("/tmp/escaped", "absolute"),
        ("C:\\escaped", "absolute"),
        ("artefacts\\..\\escaped", "absolute"),
        ("escaped.txt", "no file of a study"),
        ("artefacts/x.npz", "no file of a study"),
        ("artefacts/" + "a" * 64 + ".npz/..", "leads out of the study"),
        ("notes.json/", "no file of a study"),
        ("./study.json", "no file of a study"),
        ("lock", "no file of a study"),
        ("\x1b[31m.json", r"'\x1b[31m.json'"),
        ("study.json", "'study.json' twice"),
        ("STUDY.json", "some systems take for the same"),
        ("events.jsonl\0", "no file of a study"),
    ],
)
def test_paths_that_no_study_has_are_refused(archive: Path, path: str, said: str) -> None:
    _, files = unpacked(archive)
    assert said in refused(changed(archive, [*files.items(), (path, b"x")]))


def test_the_manifest_cannot_hide_a_path(archive: Path) -> None:
    """What is unpacked is what the manifest names: a header that says otherwise is refused."""
    manifest, files = unpacked(archive)
    bad = archive.with_name("bad.tar.zst")
    renamed = [("../escaped" if path == "notes.json" else path, data) for path, data in files.items()]
    assert "'../escaped' where its manifest names notes.json" in refused(packed(bad, manifest, renamed))
    assert "which its manifest does not name" in refused(packed(bad, manifest, [*files.items(), ("../escaped", b"x")]))
    backwards = list(files.items())[::-1]
    assert "where its manifest names" in refused(packed(bad, manifest, backwards))
    assert "is missing from it" in refused(packed(bad, manifest, list(files.items())[:-1]))
    longer = manifest | {"files": [one | {"size": one["size"] + 1} for one in manifest["files"]]}
    assert "another size" in refused(packed(bad, longer, files.items()))


def as_kind(kind: bytes, target: str = "/etc/passwd") -> Change:
    def change(member: tarfile.TarInfo) -> None:
        if member.name == "notes.json":
            member.type, member.linkname, member.size = kind, target, 0

    return change


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (tarfile.SYMTYPE, "a link"),
        (tarfile.LNKTYPE, "a link"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.BLKTYPE, "a device"),
        (tarfile.FIFOTYPE, "a pipe"),
        (tarfile.DIRTYPE, "a folder"),
        (tarfile.GNUTYPE_SPARSE, "an unknown kind"),
        (tarfile.CONTTYPE, "an unknown kind"),
    ],
)
def test_all_but_plain_files_are_refused(archive: Path, kind: bytes, said: str) -> None:
    _, files = unpacked(archive)
    assert said in refused(changed(archive, list(files.items()), change=as_kind(kind)))


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_extended_headers_are_refused_unread(archive: Path, format: int) -> None:
    manifest, files = unpacked(archive)
    long = [*files.items(), ("x" * 300, b"")]
    assert "unknown kind" in refused(packed(archive.with_name("bad.tar.zst"), manifest, long, format=format))


@pytest.mark.parametrize("path", ["study.json", "events.jsonl", "notes.json"])
def test_a_file_that_is_not_what_the_manifest_says_is_refused(archive: Path, path: str) -> None:
    manifest, files = unpacked(archive)
    data = bytearray(files[path])
    data[len(data) // 2] ^= 1
    bad = packed(archive.with_name("bad.tar.zst"), manifest, (files | {path: bytes(data)}).items())
    assert f"{path} in it is not what its manifest says" in refused(bad)


def test_every_flipped_bit_of_the_file_is_noticed(archive: Path) -> None:
    whole = archive.read_bytes()
    bad = archive.with_name("bad.tar.zst")
    for place in range(0, len(whole), max(1, len(whole) // 60)):
        bad.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        refused(bad)


def test_an_archive_cut_short_anywhere_is_refused(archive: Path) -> None:
    whole = archive.read_bytes()
    bad = archive.with_name("bad.tar.zst")
    last = len(whole) - 4 - len(zstandard.ZstdCompressor().compress(bytes(10240)))  # checksum, padding
    for end in [0, 1, *range(2, last, max(1, last // 40)), last]:
        bad.write_bytes(whole[:end])
        refused(bad)


def test_what_follows_the_end_is_refused(archive: Path) -> None:
    _, files = unpacked(archive)
    assert "goes on after its end" in refused(changed(archive, list(files.items()), after=b"x" * 512))
    bad = archive.with_name("bad.tar.zst")
    bad.write_bytes(archive.read_bytes() + zstandard.ZstdCompressor().compress(b"more"))
    assert "goes on after its end" in refused(bad)
    bad.write_bytes(archive.read_bytes() + b"garbage")
    assert "damaged" in refused(bad)


def test_other_files_are_no_archives(tmp_path: Path) -> None:
    bad = tmp_path / "bad.tar.zst"
    for data in (b"", b"hello", zstandard.ZstdCompressor().compress(b"hello" * 999), os.urandom(4096)):
        bad.write_bytes(data)
        refused(bad)
    assert "does not begin with a manifest" in refused(packed_without_manifest(bad))
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(StudyError, match="cannot be read"):
            import_study(path)


def packed_without_manifest(path: Path) -> Path:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w|", format=tarfile.USTAR_FORMAT) as tar:
        tar.addfile(tarfile.TarInfo("study.json"))
    path.write_bytes(zstandard.ZstdCompressor().compress(buffer.getvalue()))
    return path


def test_manifests_of_other_formats_and_damaged_ones_are_refused(archive: Path) -> None:
    manifest, files = unpacked(archive)
    bad = archive.with_name("bad.tar.zst")
    newer = {"format": 7, "made_by": "9.9", "content": []}
    assert "of format 7, made by headtorch 9.9" in refused(packed(bad, newer, files.items()))
    for damaged in (b"", b"{", b"[]", b"\xff", b'{"format": "x"}', b'{"format": 1, "made_by": "1"}', b"[" * 99999):
        assert "manifest is damaged" in refused(packed(bad, damaged, files.items()))
    assert "manifest is damaged" in refused(packed(bad, manifest | {"kind": "recipe"}, files.items()))
    assert "holds no events.jsonl" in refused(packed(bad, manifest | {"files": manifest["files"][:1]}, files.items()))


@pytest.mark.parametrize("name", ["../escaped", "/tmp/escaped", "~/escaped", ".hidden", "", "..", "a\x1b[31m", "-rf"])
def test_a_name_that_is_none_is_refused(archive: Path, name: str) -> None:
    manifest, files = unpacked(archive)
    bad = packed(archive.with_name("bad.tar.zst"), manifest | {"name": name}, files.items())
    with pytest.raises(StudyError, match="name"):
        import_study(bad)
    assert sorted(path.name for path in studies_folder().iterdir()) == ["trial"]
    assert import_study(bad, "fresh").name == "fresh"


def test_bombs_are_refused_before_they_fill_anything(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest, files = unpacked(archive)
    claims = [one | {"size": 2**40} if one["path"] == "events.jsonl" else one for one in manifest["files"]]
    bad = packed(archive.with_name("bad.tar.zst"), manifest | {"files": claims}, files.items())
    assert "would have 1,099,511,627,776 bytes" in refused(bad)
    monkeypatch.setattr("headtorch.core.study.unarchive.SLACK", 2**20)
    zeros = list((files | {"events.jsonl": bytes(2**25)}).items())
    assert "unpacks to far more" in refused(changed(archive, zeros))
    bad.write_bytes(zstandard.ZstdCompressor().compress(bytes(2**26)))
    assert "unpacks to far more" in refused(bad)


def test_a_window_that_takes_too_much_memory_is_refused(archive: Path) -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=30, compression_level=1)
    bad = archive.with_name("bad.tar.zst")
    writer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    bad.write_bytes(writer.compress(b"x" * 5000) + writer.flush())
    assert "damaged" in refused(bad)


def npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def zipped(compression: int = zipfile.ZIP_DEFLATED, **members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("_npy", ".npy"), data)
    return buffer.getvalue()


def npy(header: str) -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch escaped",)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (npz(a=np.array([Evil()], dtype=object)), "holds a pickle"),
        (zipped(a_npy=npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}") + b"cos\nsystem\n"), "a pickle"),
        (zipped(a_npy=npy("{'descr': '<f8', 'fortran_order': False, 'shape': (999999999999,)}")), "not that of its"),
        (zipped(a_npy=npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}")), "not that of its"),
        (zipped(a_npy=npy("__import__('os').system('touch escaped')")), "no array"),
        (zipped(a_npy=npy("(" * 9000)), "no array"),
        (zipped(a_txt=b"hello"), "no array"),
        (zipped(a_npy=b"hello"), "no array"),
        (zipped(zipfile.ZIP_LZMA, a_npy=b"hello"), "no array"),
        (b"hello", "not a file of arrays"),
        (b"", "not a file of arrays"),
        (npz(a=np.arange(3)), "does not hold the arrays"),
        (npz(a=np.arange(3))[:-30], "not a file of arrays"),
    ],
)
def test_arrays_that_are_none_are_refused(archive: Path, data: bytes, said: str) -> None:
    _, files = unpacked(archive)
    (name,) = [path for path in files if path.startswith("artefacts/")]
    assert said in refused(changed(archive, list((files | {name: data}).items())))


def test_arrays_that_unpack_to_too_much_are_refused(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headtorch.core.study.unarchive.ARTEFACT_LIMIT", 2**20)
    _, files = unpacked(archive)
    (name,) = [path for path in files if path.startswith("artefacts/")]
    bomb = npz(a=np.zeros(2**18))
    assert len(bomb) < 2**13
    assert "unpacks to more than" in refused(changed(archive, list((files | {name: bomb}).items())))


@pytest.mark.parametrize(
    ("path", "data", "said"),
    [
        ("events.jsonl", b"{}\n", "Line 1 of events.jsonl is damaged"),
        ("events.jsonl", b'{"type":"' + b"x" * 9 + b'"}\n', "unknown type"),
        ("events.jsonl", b'{"type":"Warned","text":' + b"[" * 50_000 + b"\n", "Line 1 of events.jsonl"),
        ("study.json", b"{}", "study.json is damaged"),
        ("study.json", b'{"format": 1, "made_by": "1", "settings": 3}', "study.json is damaged"),
        ("study.json", b'{"format": 9, "made_by": "9.9"}', "made by headtorch 9.9"),
        ("notes.json", b"[]", "notes.json is damaged"),
        ("ratings.jsonl", b'{"type":"Sung"}\n', "Line 1 of ratings.jsonl is damaged"),
    ],
)
def test_content_that_is_none_is_refused(archive: Path, path: str, data: bytes, said: str) -> None:
    _, files = unpacked(archive)
    text = refused(changed(archive, list((files | {path: data}).items())))
    assert said in text and str(studies_folder()) not in text


def test_a_log_that_names_arrays_which_are_not_there_is_refused(archive: Path) -> None:
    _, files = unpacked(archive)
    fewer: Files = {path: data for path, data in files.items() if not path.startswith("artefacts/")}
    assert "which is missing from it" in refused(changed(archive, list(fewer.items())))


def test_what_a_killed_import_left_behind_is_cleared_and_never_listed(archive: Path, study: Study) -> None:
    left = resolve(".fresh.staged-0000")
    left.mkdir()
    os.utime(left, (1, 1))
    import_study(archive, "fresh")
    assert not left.exists() and sorted(one.name for one in studies_folder().iterdir()) == ["fresh", "trial"]
