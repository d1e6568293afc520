"""The user's settings: one TOML file. What cannot be used is said in a sentence, and everything else in it is used."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import platformdirs

from headtorch.core.text import visible
from headtorch.tui.explainer_settings import in_force, read_explainer
from headtorch.tui.remapping import read_keys
from headtorch.tui.toml import toml_value

FILE = "config.toml"


@dataclass(frozen=True, kw_only=True)
class TuiSettings:
    """What config.toml may set; every field of it is described in docs/settings.md."""

    theme: str = "cave"
    keys: dict[str, str] = field(default_factory=dict)  # command's id -> keys, separated by commas
    model: str = "demo"
    corpus: str = "sotu"
    layers: str = "last:2"
    preset: Literal["default", "paper"] = "default"
    device: str = "auto"
    mouse: bool = True
    explainer: dict[str, Any] = field(default_factory=dict)  # what the table sets; see explainer_settings

    # not in the file
    folder: Path = field(default_factory=lambda: config_folder(), metadata={"file": False})
    problems: tuple[str, ...] = field(default=(), metadata={"file": False})  # a sentence for all that was not used
    explainer_problems: tuple[str, ...] = field(default=(), metadata={"file": False})  # those of its table

    @property
    def themes_folder(self) -> Path:
        """Where the user's own themes are."""
        return self.folder / "themes"

    @property
    def keymap(self) -> dict[str, str]:
        """The remapped keys, as Textual takes them."""
        return self.keys

    def as_toml(self) -> str:
        """The settings in force, as a file that would set them all."""
        plain = [f"{name} = {toml_value(getattr(self, name))}" for name in SETTINGS if name not in _TABLES]
        tables = {"keys": self.keys, "explainer": in_force(self.explainer)}
        for title, table in tables.items():
            lines = [f"{_toml_key(name)} = {toml_value(value)}" for name, value in table.items()]
            plain += ["", f"[{title}]", *lines] if lines else []
        return "\n".join(plain) + "\n"


_TABLES = ("keys", "explainer")
SETTINGS = tuple(entry.name for entry in fields(TuiSettings) if entry.metadata.get("file", True))


def config_folder() -> Path:
    """$HEADTORCH_CONFIG, else $HEADTORCH_HOME/config, else the user's configuration folder of this system."""
    if chosen := os.environ.get("HEADTORCH_CONFIG"):
        return Path(chosen).expanduser()
    if home := os.environ.get("HEADTORCH_HOME"):
        return Path(home).expanduser() / "config"
    return platformdirs.user_config_path("headtorch")


def load_settings(folder: Path | None = None) -> TuiSettings:
    """The settings of `folder`, or of the user. Never raises: see `problems`."""
    folder = folder or config_folder()
    path = folder / FILE
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return TuiSettings(folder=folder)
    except OSError as error:
        return _unusable(folder, f"{_shown(path)} cannot be read: {error.strerror}; the defaults are used.")
    except ValueError as error:  # not UTF-8, or not TOML
        return _unusable(folder, f"{_shown(path)} is not TOML ({visible(str(error))}); the defaults are used.")
    explainer, of_explainer = read_explainer(table.pop("explainer", {}))
    used, problems = read_table(table)
    said = [f"{_shown(path)}: {problem}" for problem in (*problems, *of_explainer)]
    return TuiSettings(
        **used,
        explainer=explainer,
        folder=folder,
        problems=tuple(said),
        explainer_problems=tuple(said[len(problems) :]),
    )


def read_table(table: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The usable settings of a table, and a sentence for each that is not."""
    used: dict[str, Any] = {}
    problems = []
    for name, value in table.items():
        if name not in SETTINGS:
            problems.append(f"there is no setting {visible(name)}{_nearest(name)}.")
        elif (wrong := _wrong(name, value)) is not None:
            problems.append(f"{name} is {_said(value)}, but should be {wrong}; it is not used.")
        else:
            used[name] = value
    if "keys" in used:
        used["keys"], of_keys = read_keys(used["keys"])
        problems += of_keys
    return used, problems


def _wrong(name: str, value: object) -> str | None:
    """What the value should be; None where it is that."""
    match name:
        case "mouse":
            return None if isinstance(value, bool) else "true or false"
        case "keys":
            return None if isinstance(value, dict) else "a table of keys"
        case _ if not isinstance(value, str) or not value.strip():
            return "a text"
        case "preset":
            return None if value in ("default", "paper") else '"default" or "paper"'
        case "device":
            return None if re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,3})?", value) else '"auto", "cpu", "mps" or "cuda:0"'
        case "layers":
            return None if _is_layers(value) else '"all", "last:5", "0-3" or "2,5"'
    return None


def _is_layers(spec: str) -> bool:
    return re.fullmatch(r"all|last:[1-9]\d{0,5}|\d{1,6}(-\d{1,6})?(,\d{1,6}(-\d{1,6})?)*", spec.strip()) is not None


def _toml_key(name: str) -> str:
    return name if re.fullmatch(r"[a-z_]+", name) else toml_value(name)


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name, SETTINGS, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(SETTINGS)}"


def _said(value: object) -> str:
    text = visible(repr(value))
    return text if len(text) <= 40 else f"{text[:39]}…"


def _shown(path: Path) -> str:
    return visible(str(path))


def _unusable(folder: Path, problem: str) -> TuiSettings:
    return TuiSettings(folder=folder, problems=(problem,), explainer_problems=(problem,))
