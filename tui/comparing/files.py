"""A comparison as files: the Markdown and the JSON that `headtorch compare` prints."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headtorch.core.study.files import storage_errors, write_atomic
from headtorch.core.study.places import home
from headtorch.core.watch import SILENT, Watch
from headtorch.tui.exporting import Chosen, Export, Offer

if TYPE_CHECKING:
    from headtorch.core.study.side_by_side import SideBySide
    from headtorch.tui.screens.export import ExportScreen

OFFERS = (
    Offer("md", "Markdown: tables to read and to send"),
    Offer("json", "every number, for programs"),
)
NAME_CELLS = 120  # of the folder's name


def comparison_export(found: SideBySide, names: Sequence[str], app: Any) -> ExportScreen:
    """The dialog that writes a comparison of the studies of these names."""
    from headtorch.tui.screens.export import ExportScreen

    export = Export(
        what="comparison",
        title="Export the comparison",
        offers=OFFERS,
        usual=("md", "json"),
        about=(),
        folder=lambda about: home() / "comparisons" / "-and-".join(names)[:NAME_CELLS],
        write=partial(_write, found),
    )
    return ExportScreen(export, Chosen.of(app))


def _write(found: SideBySide, formats: Sequence[str], about: str, folder: Path, watch: Watch) -> list[Path]:
    return write_comparison(found, formats, folder, watch)


def write_comparison(found: SideBySide, formats: Sequence[str], folder: Path, watch: Watch = SILENT) -> list[Path]:
    """Write comparison.md and comparison.json and return their paths. Raises StorageError."""
    from headtorch.core.study.report.comparison import comparison_markdown
    from headtorch.tui.cli.output import json_text

    makers = {"md": lambda: comparison_markdown(found), "json": lambda: json_text(found) + "\n"}
    files = {}
    for at, name in enumerate(formats):
        watch.checkpoint()
        watch.progress(name, at, len(formats), "formats")
        files[f"comparison.{name}"] = makers[name]().encode()
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        write_atomic(folder / name, data)
    return [folder / name for name in files]
