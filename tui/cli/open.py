"""headtorch and headtorch open: the workbench in the terminal."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from headtorch.core.errors import InputError
from headtorch.tui.cli import options


def open_study(
    study: Annotated[
        str | None, typer.Argument(help="Name or folder of a study to reopen; without it, pick one or begin anew.")
    ] = None,
    device: options.Device = "auto",
    theme: Annotated[str | None, typer.Option(help="The theme for this time, such as paper.")] = None,
) -> None:
    """Open the workbench: pick a model and a token, or reopen a study.

    \b
    Examples:
      headtorch
      headtorch open comparisons
      headtorch open --theme paper
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM") == "dumb":
        raise InputError("The workbench needs a terminal; in scripts use headtorch run, and headtorch --help for more.")
    from headtorch.tui.app import HeadtorchApp

    if study is not None:
        from headtorch.core.study.places import resolve
        from headtorch.core.study.study import read_study_file

        read_study_file(resolve(study))
    app = HeadtorchApp(study=study, device=device, theme=theme)
    if theme is not None and theme not in app.themes.names:
        raise InputError(f"There is no theme {theme!r}; there are {', '.join(app.themes.names)}.")
    app.run(mouse=app.settings.mouse)
