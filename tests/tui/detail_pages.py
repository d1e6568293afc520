"""The text of a tab of the detail pane, for tests."""

from __future__ import annotations

from headtorch.tui.palette import CAVE
from headtorch.tui.panes.detail.pane import PAGES, Tab
from headtorch.tui.session import Session


def page_lines(session: Session, tab: Tab, width: int = 100) -> list[str]:
    """The tab's lines, blanks at their ends included; every line fits."""
    lines = PAGES[tab](session, width, CAVE)
    assert all(line.cell_len <= width for line in lines)
    return [line.plain for line in lines]


def page(session: Session, tab: Tab, width: int = 100) -> str:
    """The tab's text."""
    return "\n".join(line.rstrip() for line in page_lines(session, tab, width))


def words(text: str) -> str:
    """The text on one line, each gap a blank."""
    return " ".join(text.split())
