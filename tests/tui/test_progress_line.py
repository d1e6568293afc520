"""The progress of a stage is drawn now and then, a new stage at once."""

from __future__ import annotations

from fake_engine import FakeEngine
from pane_stage import on_stage
from stage import in_terminal
from textual.strip import Strip

from headtorch.core.engine.protocol import OpenStudy
from headtorch.core.events import Progress
from headtorch.tui.requests import UNNUMBERED
from headtorch.tui.session import Session
from headtorch.tui.widgets.progress_line import PAUSE, ProgressLine


class CountedLine(ProgressLine):
    DEFAULT_CSS = "CountedLine { height: 3; }"  # with its border
    drawn, last = 0, ""

    def render_line(self, y: int) -> Strip:
        strip = super().render_line(y)
        self.drawn, self.last = self.drawn + 1, strip.text
        return strip


@in_terminal
async def test_a_stage_is_drawn_now_and_then_and_ends_up_right_and_the_next_at_once() -> None:
    session = Session(FakeEngine(print, print), on_notice=print)
    session.requests.ask(OpenStudy(id=UNNUMBERED, settings=None, where="x", device="auto", run=True, access=None))
    line = CountedLine()
    async with on_stage(line, session) as (_, pilot):
        for done in range(101):
            session.progress = Progress(stage="scan", done=done, total=100, unit="tokens")
            line.show(session)
            await pilot.pause()
        assert line.drawn < 101 / 2, "a line for each of a hundred steps would be some 40 kB"
        await pilot.pause(PAUSE * 1.5)
        assert "scan" in line.last and "100%" in line.last
        session.progress = Progress(stage="trim", done=0, total=8, unit="prompts")
        line.show(session)
        await pilot.pause(PAUSE / 10)
        assert "trim" in line.last
