"""Opening the workbench: on the pick screen or on a study. Loads no more than the first frame needs."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence

from headtorch.core.errors import InputError


def open_workbench(
    study: str | None = None,
    device: str = "auto",
    theme: str | None = None,
    read_only: bool = False,
    compare: Sequence[str] = (),
) -> None:
    """Run the workbench until it is left, and end the process with it.

    read_only: without an engine, so without the model and its device
    compare: studies that are put side by side first

    Raises InputError without a terminal and for a theme that is not there, StudyError for a study that is not.
    """
    require_terminal()
    gc.disable()  # there is nothing to collect while modules are loaded, and looking costs a tenth of the time
    from headtorch.tui.app import HeadtorchApp

    for name in [study] if study is not None else compare:
        from headtorch.core.study.places import resolve
        from headtorch.core.study.study import read_study_file

        read_study_file(resolve(name))
    app = HeadtorchApp(study=study, device=device, theme=theme, read_only=read_only, compare=compare)
    gc.enable()
    if theme is not None and theme not in app.themes.names:
        raise InputError(f"There is no theme {theme!r}; there are {', '.join(app.themes.names)}.")
    app.run(mouse=app.settings.mouse)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(app.return_code or 0)  # nothing is left to do, and Python takes 0.3 s to take itself apart


def require_terminal() -> None:
    """Raise InputError where the workbench could not be drawn."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM") == "dumb":
        raise InputError("The workbench needs a terminal; in scripts use headtorch run, and headtorch --help for more.")
