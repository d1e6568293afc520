"""The options of `headtorch run` that decide the method: defaults, choices, and what they do beside the preset."""

from __future__ import annotations

from dataclasses import fields
from typing import get_args, get_type_hints

import pytest

from headtorch.core.engine.presets import paper_settings
from headtorch.core.settings import Settings
from headtorch.tui.cli.method_options import MethodOptions


def asked(monkeypatch: pytest.MonkeyPatch, *line: str) -> Settings:
    """The settings that a command line comes to."""
    from headtorch.core.engine import workspace
    from headtorch.tui.cli.app import app

    class Asked(Exception):
        pass

    def look(settings: Settings, **rest: object) -> None:
        raise Asked(settings)

    monkeypatch.setattr(workspace, "Workspace", look)
    with pytest.raises(Asked) as caught:
        app(["run", *line], standalone_mode=False)
    found: Settings = caught.value.args[0]
    return found


def test_without_options_the_settings_are_the_defaults() -> None:
    assert MethodOptions().applied(Settings()) == Settings()


def test_choices_are_those_of_the_settings() -> None:
    options, settings = get_type_hints(MethodOptions), get_type_hints(Settings)
    for field in fields(MethodOptions):
        if field.name != "own_layer":
            assert get_args(options[field.name]) == get_args(settings[field.name]), field.name


def test_every_option_reaches_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    line = (
        *("--explain-n", "30", "--score-n", "15", "--per-layer", "3", "--trim", "exact", "--prompt-limit", "64"),
        *("--attribution", "dot", "--attribute-on", "trimmed", "--activity", "top-k", "--own-layer", "no"),
    )
    found = asked(monkeypatch, *line)
    assert (found.explain_n, found.score_n, found.per_layer, found.trim, found.prompt_limit) == (30, 15, 3, "exact", 64)
    assert (found.attribution, found.attribute_on, found.activity) == ("dot", "trimmed", "top-k")
    assert found.own_layer is False and found.preset == "default"


@pytest.mark.parametrize("prompts", [10, 20, 30])
def test_the_papers_table_of_prompts_needs_one_option_beside_the_preset(
    monkeypatch: pytest.MonkeyPatch, prompts: int
) -> None:
    found = asked(monkeypatch, "--preset", "paper", "--explain-n", str(prompts))
    plain = asked(monkeypatch, "--preset", "paper")
    assert plain.explain_n == 20 and found.explain_n == prompts
    assert [name for name in found.__struct_fields__ if getattr(found, name) != getattr(plain, name)] == (
        [] if prompts == 20 else ["explain_n"]
    )


def test_explicit_options_override_the_preset_even_where_they_are_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    line = ("--own-layer", "yes", "--trim", "doubling", "--attribute-on", "full", "--per-layer", "2")
    found = asked(monkeypatch, "--preset", "paper", *line)
    assert (found.own_layer, found.trim, found.attribute_on, found.per_layer) == (True, "doubling", "full", 2)
    assert (found.activity, found.attribution, found.prompt_limit) == ("paper", "dot", 100)
    assert paper_settings(Settings()).own_layer is False
