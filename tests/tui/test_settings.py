"""Settings: what can be used is used, what cannot is one sentence, and nothing in a file stops the start."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from calls import Call

from headtorch.tui.explainer_settings import in_force
from headtorch.tui.keymap import COMMANDS, key_of
from headtorch.tui.remapping import read_keys
from headtorch.tui.remembered import KEPT, Choices, Remembered, remember, remembered
from headtorch.tui.settings import SETTINGS, TuiSettings, config_folder, load_settings

DOCS = Path(__file__).parents[2] / "docs"
TABLES = ("keys", "explainer")
CHOICES = Choices(model="gpt2", corpus="sotu", tokens=(" an", " as"), layers="last:5", preset="paper", device="cpu")


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADTORCH_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HEADTORCH_CONFIG", raising=False)


def load(folder: Path, text: str) -> TuiSettings:
    """The settings of a folder whose config.toml holds `text`."""
    (folder / "config.toml").write_text(text, encoding="utf-8")
    return load_settings(folder)


def test_no_file_is_needed(tmp_path: Path) -> None:
    assert load_settings(tmp_path) == TuiSettings(folder=tmp_path)
    assert load_settings(tmp_path / "no folder").problems == ()


def test_every_setting_can_be_set(tmp_path: Path) -> None:
    wanted = TuiSettings(
        theme="paper",
        model="gpt2",
        corpus="hf:NeelNanda/pile-10k",
        layers="0-3,5",
        preset="paper",
        device="cuda:1",
        mouse=False,
        keys={"workbench.zoom": "Z,f5"},
        explainer=in_force({"model": "gpt-4o-mini", "temperature": "default", "max_cost": 2.5, "hide_target": True}),
        folder=tmp_path,
    )
    assert load(tmp_path, wanted.as_toml()) == wanted
    assert set(tomllib.loads(wanted.as_toml())) == set(SETTINGS)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('thene = "paper"', "there is no setting thene; did you mean theme?"),
        ("zzz = 1", "there is no setting zzz; there are theme, keys, model"),
        ('mouse = "no"', "mouse is 'no', but should be true or false"),
        ("theme = 3", "theme is 3, but should be a text"),
        ('corpus = " "', "corpus is ' ', but should be a text"),
        ('layers = "last"', "layers is 'last', but should be"),
        ('preset = "quick"', "preset is 'quick', but should be"),
        ('device = "gpu"', "device is 'gpu', but should be"),
        ("explainer = 3", "explainer should be a table"),
        ('keys = "j"', "keys is 'j', but should be a table of keys"),
    ],
)
def test_what_cannot_be_used_is_one_sentence_and_the_rest_is_used(tmp_path: Path, line: str, said: str) -> None:
    settings = load(tmp_path, f'model = "gpt2"\n{line}\n')
    told = {"problems": settings.problems, "explainer_problems": settings.explainer_problems}
    assert settings == replace(TuiSettings(), model="gpt2", folder=tmp_path, **told)
    assert len(settings.problems) == 1
    assert said in settings.problems[0] and str(tmp_path / "config.toml") in settings.problems[0]
    assert settings.problems[0].endswith((".", "?."))


@pytest.mark.parametrize("content", [b"theme = ", b"\xff\xfe", b"theme = 'a'\ntheme = 'b'", b"\x1b[2J"])
def test_a_file_that_is_not_toml_leaves_the_defaults(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.toml").write_bytes(content)
    settings = load_settings(tmp_path)
    assert settings.theme == "cave"
    assert len(settings.problems) == 1 and settings.problems[0].isprintable()
    (tmp_path / "config.toml").unlink()
    (tmp_path / "config.toml").mkdir()
    assert "cannot be read" in load_settings(tmp_path).problems[0]


def test_hostile_text_in_the_file_is_made_inert(tmp_path: Path) -> None:
    settings = load(tmp_path, '"\\u001b[2J" = 1\nmouse = "\\u001b]0;x\\u0007"\n[keys]\n"\\u202e" = "a"\n')
    assert len(settings.problems) == 3
    assert all(problem.isprintable() for problem in settings.problems)
    shown = replace(settings, model='a"\\\x1b[2J\u202e\x7f').as_toml()
    assert shown.replace("\n", "").isprintable()
    assert tomllib.loads(shown)["model"] == 'a"\\\x1b[2J\u202e\x7f'


def test_where_the_file_is_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert config_folder() == tmp_path / "home" / "config"
    monkeypatch.setenv("HEADTORCH_CONFIG", str(tmp_path / "mine"))
    assert config_folder() == tmp_path / "mine"
    assert load_settings().themes_folder == tmp_path / "mine" / "themes"


# keys


def test_keys_are_taken_as_textual_names_them() -> None:
    keys, problems = read_keys({"workbench.zoom": "Z, f5", "neurons.filter": "/,ctrl+f", "app.quit": "%"})
    assert problems == []
    assert keys == {"workbench.zoom": "Z,f5", "neurons.filter": "slash,ctrl+f", "app.quit": "percent_sign"}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("workbench.zom", "Z", "there is no command workbench.zom; did you mean workbench.zoom?"),
        ("workbench.zoom", "", "needs a key"),
        ("workbench.zoom", "Z,", "needs a key"),
        ("workbench.zoom", 5, "needs a key"),
        ("workbench.zoom", "ctrl+", "ctrl+ is no key"),
        ("workbench.zoom", "pgdown", "pgdown is no key"),
        ("workbench.zoom", "e", "e cannot be the key of workbench.zoom: it is that of workbench.explain already"),
    ],
)
def test_an_entry_that_cannot_be_used_keeps_the_commands_own_keys(name: str, value: object, said: str) -> None:
    keys, problems = read_keys({name: value, "app.quit": "Q"})
    assert keys == {"app.quit": "Q"}
    assert len(problems) == 1 and said in problems[0]


def test_two_commands_may_change_their_keys_but_not_share_one() -> None:
    assert read_keys({"workbench.explain": "a", "workbench.ablate": "e"}) == (
        {"workbench.explain": "a", "workbench.ablate": "e"},
        [],
    )
    keys, problems = read_keys({"workbench.explain": "K", "workbench.ablate": "K"})
    assert len(keys) == 1 and len(problems) == 1


def test_the_same_key_may_do_one_thing_in_each_place() -> None:
    assert read_keys({"neurons.filter": "ctrl+f", "prompts.search": "ctrl+f"})[1] == []


@pytest.mark.parametrize(
    ("name", "key", "other"),
    [
        ("workbench.zoom", "s", "neurons.sort"),
        ("workbench.zoom", "j", "list.down"),
        ("heads.scope", "e", "workbench.explain"),
        ("app.theme", "k", "list.up"),
        ("document.search", "q", "app.quit"),
    ],
)
def test_a_key_may_not_mean_two_things_that_work_at_the_same_time(name: str, key: str, other: str) -> None:
    keys, problems = read_keys({name: key})
    assert keys == {} and problems == [f"{key} cannot be the key of {name}: it is that of {other} already."]


def test_a_key_is_free_once_its_command_has_another() -> None:
    mine = {"heads.scope": "e", "workbench.explain": "f12"}
    assert read_keys(mine) == (mine, [])


def test_a_key_of_another_screen_is_free() -> None:
    assert read_keys({"workbench.zoom": "0", "document.next-place": "e", "app.quit": "ctrl+q"})[1] == []


def test_the_key_in_force_is_the_users_first_one() -> None:
    assert key_of("workbench.go-to") == ":"
    assert key_of("workbench.go-to", {"workbench.go-to": "slash,g"}) == "/"
    assert key_of("workbench.explain", {"workbench.go-to": "slash"}) == "e"


def test_the_commands_own_keys_pass_the_same_checks() -> None:
    table = {command.id: command.keys for command in COMMANDS}
    assert read_keys(table) == (table, [])


# documentation


def test_every_setting_is_documented_with_its_default() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \|", (DOCS / "settings.md").read_text("utf-8"), re.MULTILINE)
    documented = {name: default.strip("`") for name, default in rows if name in SETTINGS}
    assert set(documented) == set(SETTINGS)
    said = {name: tomllib.loads(f"x = {value}")["x"] for name, value in documented.items() if name not in TABLES}
    assert said == {name: getattr(TuiSettings(), name) for name in said}


def test_the_example_of_the_documentation_is_usable(tmp_path: Path) -> None:
    example = re.search(r"```toml\n(.*?)```", (DOCS / "settings.md").read_text("utf-8"), re.DOTALL)
    assert example is not None
    settings = load(tmp_path, example[1])
    assert settings.problems == () and settings.theme == "paper" and len(settings.keys) == 3


# what is remembered


def test_choices_are_remembered_the_newest_first() -> None:
    assert remembered() == Remembered()
    remember(CHOICES)
    remember(Choices(model="demo", corpus="sotu", tokens=(), layers="all", preset="default", device="auto"))
    assert remembered().models == ("demo", "gpt2")
    assert remembered().corpora == ("sotu",)
    remember(CHOICES)
    assert remembered().last == CHOICES
    assert remembered().models == ("gpt2", "demo")


def test_only_a_few_are_kept() -> None:
    for number in range(KEPT + 3):
        remember(Choices(model=f"m{number}", corpus="c", tokens=(), layers="all", preset="default", device="cpu"))
    assert len(remembered().models) == KEPT


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"last": 3}', b"\xff"])
def test_a_damaged_memory_is_passed_over(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "state.json").write_bytes(content)
    assert remembered() == Remembered()
    remember(CHOICES)
    assert remembered().last == CHOICES


def test_where_nothing_can_be_written_nothing_is_remembered(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    remember(CHOICES)
    assert remembered() == Remembered()


# the command


def test_the_path_and_the_settings_are_printed(cli: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADTORCH_CONFIG", str(tmp_path))
    assert cli("config", "path").out == f"{tmp_path / 'config.toml'}\n"
    (tmp_path / "config.toml").write_text('theme = "paper"\nmuose = false\n')
    shown = cli("config", "show")
    assert shown.code == 0
    assert tomllib.loads(shown.out)["theme"] == "paper"
    assert "muose; did you mean mouse?" in shown.err
