"""The tour: a real recorded study, small, whole, unpacked once, readable without a model."""

from __future__ import annotations

import json
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jsonschema
import pytest

from headtorch.core.errors import StorageError, StudyError
from headtorch.core.events import HeadActivityFound, NeuronsFound
from headtorch.core.records import HeadActivity, HeadId, NeuronId, NextTokenNeuron
from headtorch.core.study import Study, tour
from headtorch.core.study.conclusions import conclusions
from headtorch.core.study.report import write_report
from headtorch.core.study.report.schema import SCHEMA_FILE
from headtorch.core.study.state import fold


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEADTORCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_archive_is_small() -> None:
    assert tour.ARCHIVE.stat().st_size <= 4_000_000


def test_it_is_unpacked_once_and_again_after_an_update(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tour.tour_folder()
    assert folder.is_relative_to(cache) and tour.is_tour(folder) and Study.open(folder).name == "tour"
    before = (folder / "events.jsonl").stat()
    assert tour.tour_folder() == folder and (folder / "events.jsonl").stat().st_ino == before.st_ino
    updated = cache.with_name("updated.tar.zst")
    # A skippable frame of zstandard changes the file and not what it unpacks to.
    updated.write_bytes(tour.ARCHIVE.read_bytes() + b"\x50\x2a\x4d\x18\x01\x00\x00\x00x")
    monkeypatch.setattr(tour, "ARCHIVE", updated)
    again = tour.tour_folder()
    assert again != folder and Study.open(again).state.finished == Study.open(folder).state.finished


def test_what_is_left_of_it_by_a_cleaner_of_caches_is_unpacked_again(cache: Path) -> None:
    for name in ("events.jsonl", "study.json"):
        (tour.tour_folder() / name).unlink()
        assert (tour.tour_folder() / name).is_file()


def test_two_at_once_get_the_same_whole_study(cache: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: tour.tour_folder(), range(2))
    assert first == second and Study.open(first).state.finished is not None
    assert [child.name for child in first.parent.iterdir()] == ["tour"], "nothing half done is left"


def test_a_cache_that_cannot_be_written_is_one_sentence(cache: Path) -> None:
    cache.parent.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        if _writable(cache.parent):
            cache.write_text("a file where the folder would be")
        with pytest.raises(StorageError, match="cannot be written"):
            tour.tour_folder()
    finally:
        cache.parent.chmod(stat.S_IRWXU)


def _writable(folder: Path) -> bool:
    """The superuser writes anywhere."""
    try:
        (folder / "probe").touch()
    except OSError:
        return False
    return True


def test_an_installation_without_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tour, "ARCHIVE", tmp_path / "nothing")
    with pytest.raises(StudyError, match="missing from this installation"):
        tour.tour_folder()


def test_it_opens_within_a_second(tour_study: Path) -> None:
    began = time.process_time()
    study = Study.open(tour_study)
    assert time.process_time() - began < 1.0
    assert study.state.finished is not None and study.cut is None


def test_its_notes_are_about_what_is_in_it(tour_study: Path) -> None:
    study = Study.open(tour_study)
    book = study.notes.read()
    neurons = {str(neuron): neuron for neuron in study.state.neurons}
    assert 5 <= len(book.notes) <= 8 and set(book.bookmarks) <= neurons.keys()
    for subject in book.notes.keys() - {"study"}:
        neuron, _, head = subject.partition(" ")
        assert not head or HeadId.parse(head) in study.state.heads(neurons[neuron])


def test_a_head_that_supports_and_suppresses_is_told_as_it_was_explained() -> None:
    neuron, head = NeuronId(1, 2), HeadId(0, 3)
    supports, suppresses = (
        HeadActivity(
            neuron=neuron,
            head=head,
            rule="paper",
            suppressing=suppressing,
            active=[True, False],
            explain_share=0.5,
            mean_active=1.0,
            mean_inactive=0.0,
        )
        for suppressing in (False, True)
    )
    found = HeadActivityFound(
        neuron=neuron, heads=[supports, suppresses], eligible=4, never_active=0, always_active=0, explainable=2
    )
    state = fold([NeuronsFound(neurons=[sample_neuron(neuron)]), found])
    assert state.explainable() == [suppresses] and state.activity_of(neuron, head) == suppresses


def sample_neuron(neuron: NeuronId) -> NextTokenNeuron:
    return NextTokenNeuron(
        neuron=neuron,
        token_id=1,
        token=" a",
        congruence=1.0,
        cosine=0.1,
        z=5.0,
        rank=0,
        kind="prediction",
    )


def test_it_begins_with_claims_that_hold(tour_study: Path) -> None:
    told = conclusions(Study.open(tour_study).state)
    contexts = [row for row in told.findings if row.kind == "context"]
    assert len(contexts) >= 3 and all(row.is_finding and row.context_share >= 0.5 for row in contexts)
    for row in contexts:
        together = {one.heads: one.taken for one in row.joint}
        assert together[max(together)] == pytest.approx(1.0, abs=1e-3), "all heads of a rotary model"
        assert together[5] >= 0.15 and sum(one.taken_low > 0 for one in row.heads) >= 3
    assert told.verdict.sentence.startswith("4 of 5 neurons predict their token")


def test_its_model_and_licence_are_told(tour_study: Path) -> None:
    study = Study.open(tour_study)
    assert study.state.model is not None
    assert study.state.model.name == study.settings.model == "SmolLM2-135M-Instruct", "without a folder"
    assert "Apache-2.0" in study.notes.read().notes["study"]


def test_its_report_is_written_in_all_formats_and_is_as_the_schema_says(tour_study: Path, tmp_path: Path) -> None:
    paths = {path.name: path for path in write_report(Study.open(tour_study), tmp_path)}
    jsonschema.Draft202012Validator(json.loads(SCHEMA_FILE.read_text())).validate(
        json.loads(paths["report.json"].read_text())
    )
    page, text = paths["report.html"].read_text(), paths["report.md"].read_text()
    for told in (page, text):
        assert "SmolLM2-135M-Instruct" in told and "Apache-2.0" in told and "What heads really do" in told
    assert len(page) < 1_000_000, "heads by the hundred are rows"
