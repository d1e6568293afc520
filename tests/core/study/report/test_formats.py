"""The other formats: JSON by its schema, tables typed, figures sized for a column and equal for equal studies."""

from __future__ import annotations

import builtins
import copy
import io
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pyarrow.parquet
import pytest

from headtorch.core.errors import InputError
from headtorch.core.format import signed
from headtorch.core.records import Interval
from headtorch.core.settings import Settings
from headtorch.core.study import Study, StudyState
from headtorch.core.study.report import (
    FORMATS,
    build_report,
    from_json,
    parse_formats,
    report_of,
    to_json,
    write_report,
)
from headtorch.core.study.report.figures import figures
from headtorch.core.study.report.formats import contents
from headtorch.core.study.report.phrases import number, with_interval
from headtorch.core.study.report.schema import SCHEMA_FILE, report_schema
from headtorch.core.text import visible
from headtorch.core.watch import Watch


def without_descriptions(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {key: without_descriptions(value) for key, value in schema.items() if key != "description"}
    return [without_descriptions(one) for one in schema] if isinstance(schema, list) else schema


def test_the_shipped_schema_is_that_of_the_records() -> None:
    shipped = json.loads(SCHEMA_FILE.read_text())
    now = json.loads(msgspec.json.encode(report_schema()))
    assert without_descriptions(shipped) == without_descriptions(now), (
        "core.study.report.schema.write_schema() mends it"
    )


def test_the_json_of_a_study_is_as_the_schema_says(study: Study) -> None:
    schema = json.loads(SCHEMA_FILE.read_text())
    checker = jsonschema.Draft202012Validator(schema)
    checker.check_schema(schema)
    for report in (report_of(study), build_report("empty", Settings(), StudyState())):
        written = json.loads(to_json(report))
        checker.validate(written)
        assert written["format"] == 2
    with pytest.raises(jsonschema.ValidationError):
        checker.validate({"format": 2, "study": 7})


def test_lists_of_numbers_take_one_line_and_read_back(study: Study) -> None:
    text = to_json(report_of(study))
    assert re.search(r'"L2.H1": \[0\.625, 0\.125, 0\.0\]', text)
    assert from_json(text) == report_of(study)


def test_all_files_tell_of_one_moment_though_the_study_grows_meanwhile(study: Study, tmp_path: Path) -> None:
    state = copy.deepcopy(study.state)

    class Growing(Watch):
        def checkpoint(self) -> None:
            state.neurons.clear()

    report = build_report(study.name, study.settings, state)
    files = contents(report, state, ["html", "csv", "parquet"], Growing())
    assert not state.neurons
    of_tables = pyarrow.parquet.read_table(io.BytesIO(files["neurons.parquet"]))
    assert of_tables.num_rows == files["neurons.csv"].count(b"\n") - 1 == len(report.neurons) > 0


def test_formats_are_named_with_commas() -> None:
    assert parse_formats("md, html,html") == ["html", "md"]
    assert parse_formats(",".join(FORMATS)) == list(FORMATS)


@pytest.mark.parametrize("text", ["", ",", "pdf", "html,PDF"])
def test_another_format_is_refused_with_those_there_are(text: str) -> None:
    with pytest.raises(InputError, match="choose from html, md, json, csv, parquet, figures"):
        parse_formats(text)


def test_parquet_tables_are_typed_and_hold_text_as_it_is(study: Study, hostile: str, tmp_path: Path) -> None:
    paths = {path.stem: path for path in write_report(study, tmp_path, ["parquet"])}
    scores = pyarrow.parquet.read_table(paths["scores"])
    assert [str(scores.schema.field(name).type) for name in ("neuron", "e", "n_active", "random")] == [
        "string",
        "double",
        "int64",
        "bool",
    ]
    assert scores["e"].to_pylist()[:2] == [0.7, None]
    assert f" {hostile}" in pyarrow.parquet.read_table(paths["prompts"])["next_token"].to_pylist()


def test_an_empty_table_has_its_columns(tmp_path: Path) -> None:
    with Study.create(tmp_path / "empty", Settings()):
        pass
    paths = write_report(Study.open(tmp_path / "empty"), tmp_path / "out", ["parquet", "csv", "figures"])
    assert all(pyarrow.parquet.read_table(path).num_rows == 0 for path in paths if path.suffix == ".parquet")
    assert "delta_log_p_active" in (tmp_path / "out" / "ablations.csv").read_text()
    assert not [path for path in paths if path.suffix == ".svg"], "nothing to draw"


def test_figures_are_a_column_wide_with_text_as_text_and_no_date(study: Study, hostile: str) -> None:
    drawn = figures(report_of(study))
    assert {"explained.svg", "explained.pdf", "scores.svg", "ablations.svg", "heads-L3.N412.svg"} <= drawn.keys()
    for name, data in drawn.items():
        if name.endswith(".svg"):
            text = data.decode()
            assert re.search(r'width="237\.6pt"', text), "3.3 inches"
            assert "<text" in text and "<dc:date>" not in text
            assert all(visible(line) == line for line in text.split("\n"))
        else:
            assert b"/CreationDate" not in data and b"/Type /Font" in data and b"/Type3" not in data
    assert "L2.H1 → L3.N412 ·States" in drawn["explained.svg"].decode()


def test_equal_studies_give_equal_figures(study: Study) -> None:
    assert figures(report_of(study)) == figures(report_of(Study.open(study.folder)))


def test_a_token_with_dollars_is_no_formula(study: Study) -> None:
    report = report_of(study)
    scored = report.explained[0]
    dollars = msgspec.structs.replace(scored, found=msgspec.structs.replace(scored.found, token=" $\\frac$"))
    drawn = figures(msgspec.structs.replace(report, explained=[dollars]))
    assert "·$\\frac$" in drawn["explained.svg"].decode()


def test_without_matplotlib_figures_are_refused_with_what_to_install(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.split(".")[0] == "matplotlib":
            raise ImportError(name)
        return imported(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(InputError, match=r"pip install 'headtorch\[figures\]'"):
        figures(report_of(study))


def test_all_formats_together_are_written(study: Study, tmp_path: Path) -> None:
    paths = write_report(study, tmp_path / "out", FORMATS)
    assert {path.suffix for path in paths} == {".html", ".md", ".json", ".csv", ".parquet", ".svg", ".pdf"}
    assert all(path.stat().st_size for path in paths)


def test_a_number_that_rounds_to_nothing_has_no_sign() -> None:
    assert (number(-0.001), number(-0.2), with_interval(-0.004, Interval(-0.001, 0.2))) == (
        "0.00",
        "-0.20",
        "0.00 [0.00, 0.20]",
    )
    assert (signed(-0.001), signed(-0.26), signed(0.26), signed(None)) == ("+0.00", "−0.26", "+0.26", "–")
