"""The report of a study as something to export: its formats, its neurons, its folder."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from headtorch.core.study.subset import ALL, BOOKMARKED, folder_name
from headtorch.core.text import visible_token
from headtorch.core.watch import Watch
from headtorch.tui.exporting import About, Export, Offer
from headtorch.tui.session import Session

ABOUT = {
    "html": "one page to read, send and print",
    "md": "Markdown, for where HTML is not at home",
    "json": "everything that the report says, for programs",
    "csv": "five tables, for spreadsheets",
    "parquet": "five tables with types, for data frames",
    "figures": "SVG and PDF, sized for papers",
}
NO_MATPLOTLIB = "needs matplotlib: pip install 'headtorch[figures]'"


def report_export(session: Session) -> Export:
    """What the dialog offers for the study of the session, which is on the disk."""
    from headtorch.core.study.report.formats import FORMATS, USUAL  # the writers: not before they are wanted

    assert session.study is not None
    study = session.study.folder
    return Export(
        what="report",
        title=f"Export the report of {session.study.name}",
        offers=[Offer(name, ABOUT[name], _problem(name)) for name in FORMATS],
        usual=USUAL,
        about=neurons_offered(session),
        folder=lambda about: study / "report" / folder_name(about),
        write=partial(_write, study),
    )


def neurons_offered(session: Session) -> list[About]:
    """All, those with a bookmark where there are any, and the selected one."""
    state, marked = session.state, set(session.notes.bookmarks)
    known = {**state.neurons, **state.visited}
    offered = [About(ALL, f"all {len(state.neurons)}")]
    count = sum(str(neuron) in marked for neuron in known)
    if count:
        offered.append(About(BOOKMARKED, f"the {count} with a bookmark" if count > 1 else "the one with a bookmark"))
    chosen = session.selection.neuron
    if chosen in known:
        offered.append(About(str(chosen), f"this one, {chosen} {visible_token(known[chosen].token)}"))
    return offered


def _problem(name: str) -> str:
    return NO_MATPLOTLIB if name == "figures" and find_spec("matplotlib") is None else ""


def _write(study: Path, formats: Sequence[str], about: str, folder: Path, watch: Watch) -> list[Path]:
    from headtorch.core.study.report import parse_formats, write_report
    from headtorch.core.study.study import Study
    from headtorch.core.study.subset import chosen_neurons

    opened = Study.open(study)
    neurons = chosen_neurons(about, opened.state, opened.notes.read())
    return write_report(opened, folder, parse_formats(",".join(formats)), neurons, watch)
