"""The report of a study: report.md for readers, report.json for programs, CSV tables of neurons, heads and scores."""

from __future__ import annotations

from pathlib import Path

from headtorch.core.study.files import storage_errors, write_atomic
from headtorch.core.study.report.contents import Report, build_report
from headtorch.core.study.report.json import from_json, to_json
from headtorch.core.study.report.markdown import to_markdown
from headtorch.core.study.report.tables import to_csv
from headtorch.core.study.rows import HeadRow, NeuronRow, ScoreRow, head_rows, score_rows, summary_rows
from headtorch.core.study.study import Study

__all__ = ["Report", "build_report", "from_json", "to_csv", "to_json", "to_markdown", "write_report"]


def write_report(study: Study, folder: Path | None = None) -> list[Path]:
    """Write the report's files into `folder`, by default the study's own "report", and return their paths.

    The study may be open for reading only, and unfinished. Raises StorageError when the folder cannot be written.
    """
    place = folder or study.folder / "report"
    report = build_report(study.name, study.settings, study.state, study.notes.read())
    contents = {
        "report.md": to_markdown(report),
        "report.json": to_json(report),
        "neurons.csv": to_csv(NeuronRow, summary_rows(study.state)),
        "heads.csv": to_csv(HeadRow, head_rows(study.state)),
        "scores.csv": to_csv(ScoreRow, score_rows(study.state)),
    }
    with storage_errors(place):
        place.mkdir(parents=True, exist_ok=True)
    for name, text in contents.items():
        write_atomic(place / name, text.encode())
    return [place / name for name in contents]
