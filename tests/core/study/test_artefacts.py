"""Artefacts: arrays come back bit for bit, are stored once, and a damaged file is noticed."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from headtorch.core.errors import StudyError
from headtorch.core.settings import Settings
from headtorch.core.study import Study
from headtorch.core.study.artefacts import Artefacts, content_hash


@pytest.fixture
def artefacts(tmp_path: Path) -> Artefacts:
    return Artefacts(tmp_path / "artefacts")


def test_arrays_of_every_kind_come_back_bit_for_bit(artefacts: Artefacts) -> None:
    kinds = hnp.scalar_dtypes().filter(lambda kind: kind.kind in "biufSU")

    @settings(max_examples=60, deadline=None)
    @given(hnp.arrays(kinds, hnp.array_shapes(min_dims=0, min_side=0)))
    def check(array: np.ndarray) -> None:
        loaded = artefacts.load(artefacts.save({"file": array}))["file"]
        assert (loaded.dtype, loaded.shape) == (array.dtype, array.shape)
        assert loaded.tobytes() == array.tobytes()

    check()


def test_the_same_arrays_have_one_name_and_one_file(artefacts: Artefacts) -> None:
    a, b = np.arange(6, dtype=np.float32).reshape(2, 3), np.array([True, False])
    name = artefacts.save({"a": a, "b": b})
    assert artefacts.save({"b": b, "a": np.asfortranarray(a)}) == name
    assert [path.name for path in artefacts.folder.iterdir()] == [name]


def test_a_file_has_the_same_bytes_whenever_and_in_whatever_order_it_is_written(
    artefacts: Artefacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = np.zeros(5000), np.arange(3)
    path = artefacts.folder / artefacts.save({"a": a, "b": b})
    before = path.read_bytes()
    assert len(before) > a.nbytes + b.nbytes, "nothing is deflated: other zlibs would give other bytes"
    path.unlink()
    monkeypatch.setattr(time, "time", lambda: 2e9)
    assert artefacts.folder / artefacts.save({"b": b, "a": a}) == path
    assert path.read_bytes() == before


def test_another_name_type_shape_or_value_is_another_artefact() -> None:
    a = np.zeros((2, 3), np.float32)
    changed = a.copy()
    changed[1, 2] = 1e-30
    variants = [{"a": a}, {"b": a}, {"a": a.T}, {"a": a.view(np.int32)}, {"a": changed}, {"a": a, "b": a}, {}]
    assert len({content_hash(arrays) for arrays in variants}) == len(variants)


def test_nan_marks_what_is_not_there_and_survives(artefacts: Artefacts) -> None:
    loaded = artefacts.load(artefacts.save({"heads": np.array([1.0, np.nan])}))
    assert np.isnan(loaded["heads"][1])


def test_python_objects_are_never_pickled(artefacts: Artefacts) -> None:
    with pytest.raises(ValueError, match="Python objects"):
        artefacts.save({"a": np.array([{}], dtype=object)})


def test_a_file_damaged_in_any_way_is_noticed(artefacts: Artefacts) -> None:
    name = artefacts.save({"a": np.arange(100.0)})
    path = artefacts.folder / name
    whole = path.read_bytes()
    for damaged in [b"", whole[:40], whole[:-1], whole[:60] + b"\xff" + whole[61:], b"not a zip"]:
        path.write_bytes(damaged)
        with pytest.raises(StudyError, match="is damaged"):
            artefacts.load(name)
    other = artefacts.save({"a": np.arange(99.0)})
    path.write_bytes((artefacts.folder / other).read_bytes())
    with pytest.raises(StudyError, match="is damaged"):
        artefacts.load(name)


def test_a_missing_file_is_said_to_be_missing(artefacts: Artefacts) -> None:
    with pytest.raises(StudyError, match="is missing"):
        artefacts.load("0" * 64 + ".npz")


@pytest.mark.parametrize("name", ["../../secret.npz", "/etc/passwd", "a.npz", ""])
def test_a_name_from_a_foreign_log_reaches_no_other_file(artefacts: Artefacts, name: str) -> None:
    with pytest.raises(StudyError, match="not the name of an artefact"):
        artefacts.load(name)


def test_a_study_keeps_its_arrays_for_whoever_reopens_it() -> None:
    with Study.create("trial", Settings()) as study:
        name = study.save_arrays({"direct": np.arange(4.0)})
    assert Study.open("trial").load_arrays(name)["direct"].tolist() == [0, 1, 2, 3]
