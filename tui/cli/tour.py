"""headtorch tour: a recorded study, to look around in."""

from __future__ import annotations

from typing import Annotated

import typer

from headtorch.tui.opening import open_workbench, require_terminal


def tour(
    theme: Annotated[str | None, typer.Option(help="The theme for this time, such as paper.")] = None,
) -> None:
    """Look around in a recorded study of a real model; no model, GPU or network is needed.

    SmolLM2-135M-Instruct on US annual messages. Its notes lead through the panes: begin with the tab Notes of pane 4.
    Nothing is measured anew; headtorch without a command studies a model of your own.

    \b
    Examples:
      headtorch tour
      headtorch tour --theme paper
    """
    from headtorch.core.study.tour import tour_folder

    require_terminal()
    open_workbench(str(tour_folder()), theme=theme)
