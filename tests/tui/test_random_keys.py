"""Random keys, resizes and answers of the engine: the workbench stands them all."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from claimed_study import claimed_folder
from fake_engine import FakeEngine
from sample_records import HOSTILE
from sample_study import sample_folder
from screens import screen_text
from stage import in_terminal
from textual.command import CommandPalette
from workbench_stage import running

from headtorch.core.engine.protocol import RequestDone, RequestFailed

pytestmark = pytest.mark.usefixtures("own_home")

KEYS = [
    *"jkhlgGnNmfzeabotyxsSArpTP/:1234?iwdLv",
    *("enter", "escape", "backspace", "tab", "shift+tab", "up", "down", "left", "right", "home", "end"),
    *("pageup", "pagedown", "ctrl+d", "ctrl+u", "ctrl+x", "ctrl+s", "ctrl+k", "space", "R", "[", "x"),
]


@pytest.mark.slow
@pytest.mark.parametrize("made_up", [sample_folder, claimed_folder])
@in_terminal
async def test_three_thousand_random_keys_and_resizes_do_no_harm(
    made_up: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, draw = made_up(tmp_path), random.Random(0)
    async with running(folder) as (app, engine, pilot):
        monkeypatch.setattr(app, "leave", lambda: None)  # the palette offers to quit
        for step in range(3000):
            if step % 100 == 99:
                await pilot.resize_terminal(draw.choice((20, 60, 80, 120, 200)), draw.choice((10, 12, 24, 36, 50)))
            elif step % 150 == 75:
                _answer_something(engine, draw)
            else:
                key = "ctrl+p" if step % 500 == 250 else draw.choice(KEYS)
                if CommandPalette.is_open(app):  # Textual's own palette minds haste
                    await pilot.pause()
                    key = draw.choice(("escape", "down", "up", "a", "enter"))
                app.post_message(_key(key))
                if step % 10 == 0:
                    await pilot.pause()
        await pilot.pause()
        assert app.is_running and app._exception is None
        assert screen_text(app).strip()


def _answer_something(engine: FakeEngine, draw: random.Random) -> None:
    request = draw.choice(engine.requests)
    if draw.random() < 0.1:
        engine.die()
    elif draw.random() < 0.5:
        engine.emit(RequestFailed(request=request.id, message=f"Not now {HOSTILE}"))
    else:
        engine.emit(RequestDone(request=request.id, seconds=0.1))


def _key(name: str) -> object:
    from textual import events
    from textual.keys import _character_to_key

    character = name if len(name) == 1 else None
    return events.Key(_character_to_key(name) if character else name, character)
