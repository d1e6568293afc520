"""The line above the keys: what the engine is doing, how far it is, what went wrong, and what the study found."""

from __future__ import annotations

import time

from rich.text import Text
from textual import events
from textual.strip import Strip
from textual.timer import Timer
from textual.widget import Widget

from headtorch.core.engine.protocol import (
    AblateHead,
    ExplainHead,
    FindHeadRoles,
    ListNeurons,
    MeasureCooperation,
    MeasureEffects,
    MeasureSpectrum,
    OpenStudy,
    PlanCalls,
    ProbeText,
    ReadDocument,
    VisitNeuron,
)
from headtorch.core.events import Progress
from headtorch.core.study.stages import has_claim_stages, stages_of
from headtorch.core.text import visible
from headtorch.tui.claims import study_claims
from headtorch.tui.explaining import heads_unanswered
from headtorch.tui.palette import CAVE, Palette
from headtorch.tui.panes.flow import paragraph
from headtorch.tui.session import Session
from headtorch.tui.spending import count, spent

TALL, FEW, MOST = 30, 2, 3  # rows of the screen, and lines below and from them on
PAUSE = 0.5  # seconds between two drawings of one stage's progress: a line has some 400 bytes


class ProgressLine(Widget):
    """Stage, bar, share, rate and time left; or what is waited for; or how the study stands."""

    DEFAULT_CSS = "ProgressLine { height: 1; }"

    def __init__(self) -> None:
        super().__init__()
        self._shown: tuple[object, ...] = ()
        self._progress: Progress | None = None
        self._spent = ""
        self._words = ""
        self._lines: list[Text] = []
        self._alarm: str | None = None
        self._concluded = False  # the words are the verdict
        self._drawn_at = 0.0
        self._timer: Timer | None = None

    def show(self, session: Session, alarm: str | None = None) -> None:
        """Draw what the session holds now, where it differs; `alarm` is said before everything else."""
        progress = session.progress if alarm is None and session.requests.is_waiting(OpenStudy) else None
        words = "" if progress is not None else words_for(session) if alarm is None else concluded(session)
        spending = session.heard.spending
        spent_now = "" if progress is None or spending is None else spent(spending)
        shown = (words, alarm, progress, spent_now)
        if shown != self._shown:
            goes_on = progress is not None and self._progress is not None and progress.stage == self._progress.stage
            self._shown, self._progress, self._words, self._alarm = shown, progress, words, alarm
            self._spent, self._concluded = spent_now, bool(words) and words == concluded(session)
            self._fill()
            self._draw_after(self._drawn_at + PAUSE - time.monotonic() if goes_on else 0.0)

    def on_resize(self, event: events.Resize) -> None:
        """The words are wrapped again."""
        self._fill()

    def _fill(self) -> None:
        """Wrap the words; a line that goes on where there is no more room ends with …"""
        width, most = max(8, self.app.size.width - 1), MOST if self.app.size.height >= TALL else FEW
        palette: Palette = getattr(self.app, "palette", CAVE)
        alarm = paragraph(self._alarm, width, palette.style("warning"))[:1] if self._alarm else []
        said = paragraph(self._words, width, palette.style("text" if self._concluded else "quiet"))
        lines = [*alarm, *said]
        if len(lines) > most:
            lines = lines[:most]
            lines[-1].truncate(width - 2)
            lines[-1].append(" …")
        if max(1, len(lines)) != max(1, len(self._lines)):
            self.styles.height = max(1, len(lines))
        self._lines = lines

    def _draw_after(self, wait: float) -> None:
        if self._timer is not None:
            if wait > 0:
                return  # it is on its way
            self._timer.stop()
        self._timer = self.set_timer(wait, self._draw_late) if wait > 0 else None
        if wait <= 0:
            self.refresh()

    def _draw_late(self) -> None:
        self._timer = None
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """A line of it."""
        self._drawn_at = time.monotonic()
        width = self.size.width
        palette: Palette = getattr(self.app, "palette", CAVE)
        if self._progress is not None:
            line = bar(self._progress, width, palette, self._spent)
        else:
            line = Text(" ").append_text(self._lines[y]) if y < len(self._lines) else Text()
        line.truncate(width, overflow="ellipsis")
        strip = Strip(line.render(self.app.console), line.cell_len)
        return strip.extend_cell_length(width).crop(0, width).apply_style(self.rich_style)


def bar(progress: Progress, width: int, palette: Palette, spent_now: str = "") -> Text:
    """`scan ━━━━───── 61 %  1.2 M tokens/s  0:14 left`; without a total only what is done. Then what was spent."""
    stage = f" {progress.stage}  "
    numbers = ""
    if progress.total:
        numbers = f"  {progress.done / progress.total:4.0%}"
    else:
        numbers = f"  {short_count(progress.done)} {progress.unit}"
    if progress.rate is not None:
        numbers += f"   {short_count(progress.rate)} {progress.unit}/s"
    if progress.seconds_left is not None:
        numbers += f"   {clock(progress.seconds_left)} left"
    numbers += f"   {spent_now}" if spent_now else ""
    room = max(0, min(width - len(stage) - len(numbers) - 2, 76))
    full = int(room * progress.done / progress.total) if progress.total else 0
    return Text.assemble(
        (stage, palette.style("quiet")),
        ("━" * full, palette.style("bright")),
        ("─" * (room - full), palette.style("line")),
        (numbers, palette.style("text")),
    )


def words_for(session: Session) -> str:
    """What is waited for, or how the study stands."""
    for kind, words in _WAITING.items():
        if session.requests.is_waiting(kind):
            spending = session.heard.spending if kind is ExplainHead else None
            stops = f"   {session.key('workbench.stop')} stops"
            return words if spending is None else f"{words}   {spent(spending)}{stops}"
    state, again = session.state, session.key("workbench.restart-engine")
    stopped = [said for request, said in session.requests.failed if isinstance(request, OpenStudy)]
    if stopped and not session.ready:
        return f"The study is not open in the engine; {again} tries again."
    if stopped:
        return f"{again} goes on. {visible(stopped[-1])}"
    if state.settings is None:
        return ""
    if missing := heads_unanswered(state):
        return f"{count(missing, 'head')} without an answer of the language model; {again} asks again."
    if state.finished is not None:
        return concluded(session)
    stages = stages_of(state)
    return f"{sum(map(state.is_done, stages))} of {len(stages)} stages are done."


def concluded(session: Session) -> str:
    """What a finished study found, or that it has no claims; empty before its end."""
    if session.state.finished is None:
        return ""
    said = study_claims(session).conclusions.verdict.sentence
    return said if has_claim_stages(session.state) else f"The study is finished. {said}"


_WAITING: dict[type, str] = {
    OpenStudy: "Loading the model …",
    VisitNeuron: "Looking the neuron up …",
    PlanCalls: "Counting the calls …",
    ExplainHead: "Explaining the head …",
    AblateHead: "Taking the head away …",
    MeasureEffects: "Measuring what heads do …",
    MeasureCooperation: "Taking heads away together …",
    MeasureSpectrum: "Measuring at every strength …",
    ReadDocument: "Reading the document …",
    ProbeText: "Trying the text …",
    ListNeurons: "Listing the neurons …",
    FindHeadRoles: "Finding what the heads are known as …",
}


def short_count(number: float) -> str:
    """1,234,567 as 1.23 M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g} {letter}"
    return f"{number:.3g}"


def clock(seconds: float) -> str:
    """Minutes and seconds; hours where there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
