"""Studies that are begun, stopped and looked at over and over leave nothing behind in the engine."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
from census import Census, census
from restless import Restless
from tiny_question import tiny_question
from wire import Wire

from headtorch.core.engine.memory import set_aside
from headtorch.core.settings import Settings

WARM, MORE = 3, 4  # cycles


@pytest.fixture(scope="module")
def counted(
    own_home: Path, tiny_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Census, Census, list[Path]]:
    """The engine after some cycles and after more of them, and the files that are left half written."""
    folder = tmp_path_factory.mktemp("soak")
    set_aside()  # as an engine does when it has started: else each collection takes a third of a second
    with Wire() as wire:
        researcher = Restless(wire, [tiny_settings, tiny_question(folder, "llama")], folder / "kept")
        researcher.prepare()
        found = []
        for cycles in (WARM, MORE):
            for _ in range(cycles):
                researcher.cycle()
            researcher.settle()
            found.append(census(wire.engine))
    gc.unfreeze()
    return *found, list(own_home.rglob("*.partial-*"))


def test_no_hook_stays_on_the_model(counted: tuple[Census, Census, list[Path]]) -> None:
    assert counted[1].hooks == 0


def test_no_thread_and_no_open_file_stays(counted: tuple[Census, Census, list[Path]]) -> None:
    before, after, partial = counted
    assert after.threads == before.threads
    assert after.files == before.files
    assert partial == []


def test_neither_tensors_nor_objects_pile_up(counted: tuple[Census, Census, list[Path]]) -> None:
    before, after, _ = counted
    assert after.tensors == before.tensors
    assert after.tensor_bytes == before.tensor_bytes
    assert after.objects - before.objects < 500  # what the researcher remembers; a study has thousands
    assert after.allocated <= 1.02 * before.allocated
