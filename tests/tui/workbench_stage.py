"""The whole application over an engine without a process, for a test to press its keys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fake_engine import FakeEngine, begun
from sample_answers import sample_shading
from textual.pilot import Pilot
from waiting import until

from headtorch.core.engine.protocol import OpenStudy, RequestDone, StudyReady
from headtorch.tui.app import HeadtorchApp
from headtorch.tui.settings import TuiSettings


@asynccontextmanager
async def running(
    folder: Path | None,
    settings: TuiSettings | None = None,
    size: tuple[int, int] = (120, 36),
    *,
    ready: bool = True,
) -> AsyncIterator[tuple[HeadtorchApp, FakeEngine, Pilot[None]]]:
    """The application on a study; `ready`: the engine has opened it, if it was asked to."""
    app = HeadtorchApp(
        study=None if folder is None else str(folder), engine=FakeEngine, settings=settings or TuiSettings()
    )
    async with app.run_test(size=size, notifications=True) as pilot:
        await begun(app, pilot)
        engine = app.engine
        assert isinstance(engine, FakeEngine)
        if ready and engine.sent(OpenStudy):
            number = engine.sent(OpenStudy)[-1].id
            engine.emit(StudyReady(request=number, folder=str(folder)))
            engine.emit(RequestDone(request=number, seconds=0.1))
            engine.emit(sample_shading())
            await until(pilot, lambda: app.session.shadings and is_drawn(app))
        yield app, engine, pilot


def is_drawn(app: HeadtorchApp) -> bool:
    """Whether everything that was heard is on the screen of the workbench."""
    return app.workbench is not None and not app.workbench._dirty


def notices(app: HeadtorchApp) -> str:
    """What it notified the user of."""
    return "\n".join(note.message for note in app._notifications)
