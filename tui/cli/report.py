"""headtorch report: the report of a study in the formats asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headtorch.tui.cli import options


def report(
    study: Annotated[str, typer.Argument(help="Name or folder of a study.")],
    format: Annotated[
        str, typer.Option("--format", "-f", help="html, md, json, csv, parquet, figures; several with commas.")
    ] = "html,md,json,csv",
    out: Annotated[
        Path | None, typer.Option(help="Where the files go; by default report/ in the study's folder.")
    ] = None,
    neurons: Annotated[
        str, typer.Option(help="all, bookmarked, or addresses such as L3.N412,L2.N7: what the report is about.")
    ] = "all",
    json: options.Json = False,
) -> None:
    """Write the report of a study: HTML or Markdown to read, JSON, CSV or Parquet for programs, figures for papers.

    No model, corpus or GPU is needed, and the study may still be running.

    \b
    Examples:
      headtorch report comparisons
      headtorch report comparisons --format html,figures --out paper/
      headtorch report comparisons --neurons bookmarked
    """
    from headtorch.core.study.places import expanded
    from headtorch.core.study.report import parse_formats, write_report
    from headtorch.core.study.study import Study
    from headtorch.core.study.subset import chosen_neurons, folder_name
    from headtorch.tui.cli.output import print_json, print_text

    formats = parse_formats(format)
    opened = Study.open(study)
    chosen = chosen_neurons(neurons, opened.state, opened.notes.read())
    folder = expanded(out) if out else opened.folder / "report" / folder_name(neurons)
    paths = write_report(opened, folder, formats, chosen)
    if json:
        print_json([str(path) for path in paths])
        return
    for path in paths:
        print_text(str(path))
