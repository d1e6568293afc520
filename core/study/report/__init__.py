"""The report of a study: HTML and Markdown for readers, JSON, CSV and Parquet for programs, figures for papers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from headtorch.core.errors import InputError
from headtorch.core.records import NeuronId
from headtorch.core.study.files import storage_errors, write_atomic
from headtorch.core.study.ratings import Ratings
from headtorch.core.study.report.contents import Report, build_report
from headtorch.core.study.report.formats import FORMATS, USUAL, Format, contents, parse_formats
from headtorch.core.study.report.json import from_json, to_json
from headtorch.core.study.report.markdown import to_markdown
from headtorch.core.study.report.tables import to_csv
from headtorch.core.study.study import Study
from headtorch.core.study.subset import only
from headtorch.core.watch import SILENT, Watch

__all__ = [
    "FORMATS",
    "USUAL",
    "Format",
    "Report",
    "build_report",
    "from_json",
    "parse_formats",
    "report_of",
    "to_csv",
    "to_json",
    "to_markdown",
    "write_report",
]


def report_of(study: Study, neurons: Collection[NeuronId] | None = None) -> Report:
    """The report of a study, or of some of its neurons, with its notes and people's ratings, and its prompts shaded."""
    answers = Ratings(study.folder).read()
    book, load = study.notes.read(), study.load_arrays
    return build_report(study.name, study.settings, study.state, book, load, answers, neurons)


def check_folder(folder: Path) -> None:
    """Make a report's folder and try to write there, before the work whose report it is for; raises StorageError."""
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    probe = folder / ".headtorch-probe"
    write_atomic(probe, b"")
    probe.unlink(missing_ok=True)


def write_report(
    study: Study,
    folder: Path | None = None,
    formats: Sequence[Format] = USUAL,
    neurons: Collection[NeuronId] | None = None,
    watch: Watch = SILENT,
    *,
    with_places: bool = True,
) -> list[Path]:
    """Write the report's files into `folder`, by default the study's own "report", and return their paths.

    The study may be open for reading only, and unfinished; no model, corpus or network is needed. Raises StorageError
    when the folder cannot be written, InputError for figures without matplotlib or without anything to draw,
    Interrupted where the watch does.

    neurons: the report is about these alone; see `headtorch.core.study.subset`
    with_places: the table of claim places too, which is tens of megabytes
    """
    place = folder or study.folder / "report"
    files = contents(report_of(study, neurons), only(study.state, neurons), formats, watch, with_places=with_places)
    if not files:
        raise InputError("There is nothing to write yet: the study has no findings, scores or heads to draw.")
    for name, data in files.items():
        path = place / name
        with storage_errors(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, data)
    return [place / name for name in files]
