"""What a command says before it spends anything."""

from __future__ import annotations

import pytest
import typer

from headtorch.core.errors import InputError
from headtorch.core.records import PlannedCalls
from headtorch.core.settings import LlmAccess
from headtorch.core.watch import SILENT
from headtorch.tui.cli.asking import language_models, price

PLANNED = [
    PlannedCalls(
        model="owl", base_url="http://h/v1", calls=7, cached=0, prompt_tokens=10, completion_tokens=20, cost=None
    )
]


@pytest.mark.parametrize("json", [False, True])
def test_nobody_is_asked_for_leave_without_being_told_what_for(
    json: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(typer, "confirm", lambda *args, **options: False)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    leave = language_models(LlmAccess(), SILENT, yes=False, silent=json).leave
    assert leave is not None
    with pytest.raises(InputError, match="Nothing was asked"):
        leave(PLANNED)
    assert "7 calls" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("cost", "said"), [(None, "unknown"), (0.0, "$0.00"), (0.00002, "$2e-05"), (0.0123, "$0.0123"), (2.5, "$2.50")]
)
def test_a_price_that_is_not_0_does_not_read_as_0(cost: float | None, said: str) -> None:
    assert price(cost) == said
