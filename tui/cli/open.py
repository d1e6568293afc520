"""headtorch open: the workbench in the terminal."""

from __future__ import annotations

from typing import Annotated

import typer

from headtorch.core.errors import InputError
from headtorch.tui.cli import options
from headtorch.tui.opening import open_workbench


def open_study(
    study: Annotated[
        str | None, typer.Argument(help="Name or folder of a study to reopen; without it, pick one or begin anew.")
    ] = None,
    device: options.Device = "auto",
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Only look at the study: no model, no GPU, nothing written.")
    ] = False,
    theme: Annotated[str | None, typer.Option(help="The theme for this time, such as paper.")] = None,
) -> None:
    """Open the workbench: pick a model and a token, or reopen a study.

    \b
    Examples:
      headtorch
      headtorch open comparisons
      headtorch open comparisons --read-only
      headtorch open --theme paper
    """
    if read_only and study is None:
        raise InputError("Name the study to look at: headtorch open STUDY --read-only.")
    open_workbench(study, device, theme, read_only)
