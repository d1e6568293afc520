"""Writing the report of a study beside the screen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from headtorch.core.errors import HeadtorchError
from headtorch.core.text import visible

if TYPE_CHECKING:
    from headtorch.tui.screens.workbench import Workbench


def export(workbench: Workbench, folder: Path) -> None:
    """Write the report in a thread; where it lies, or what went wrong, is said when it is done."""
    workbench.notify("Writing the report …", markup=False, timeout=2)
    workbench.run_worker(lambda: _write(workbench, folder), thread=True, exclusive=True, group="export")


def _write(workbench: Workbench, folder: Path) -> None:
    from headtorch.core.study.report import write_report
    from headtorch.core.study.study import Study

    try:
        paths = write_report(Study.open(folder))
    except HeadtorchError as error:
        workbench.app.call_from_thread(workbench.refuses, str(error))
        return
    place = paths[0].parent
    said = f"The report is in {place}: {', '.join(path.name for path in paths)}."
    workbench.app.call_from_thread(workbench.notify, visible(said), markup=False, timeout=8)
