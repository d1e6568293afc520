"""Where studies live, and what a study is called when nobody names it."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from pathlib import Path

import msgspec
import platformdirs

from headtorch.core.errors import InputError, StudyError
from headtorch.core.settings import Settings


def home() -> Path:
    """The folder of headtorch's data: $HEADTORCH_HOME, else the user's data folder of this system."""
    chosen = os.environ.get("HEADTORCH_HOME")
    return Path(chosen).expanduser() if chosen else platformdirs.user_data_path("headtorch")


def studies_folder() -> Path:
    """Where studies without a path live."""
    return home() / "studies"


def resolve(name_or_path: str | Path) -> Path:
    """The folder of a study: a bare name lies in `studies_folder()`, anything with a slash is a path.

    Raises StudyError for a name that cannot be one.
    """
    text = os.fspath(name_or_path)
    if isinstance(name_or_path, Path) or "/" in text or text.startswith("~"):
        return expanded(text)
    if text in {"", ".", ".."} or text.startswith("-") or not text.isprintable() or len(text.encode()) > 200:
        raise StudyError(f"{text!r} cannot be the name of a study; use letters, digits and dashes, or a path.")
    return studies_folder() / text


def expanded(path: str | Path) -> Path:
    """A path with the ~ at its front made out. Raises InputError for a user that is not there."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise InputError(f"{str(path)!r} names no folder here: there is no such user.") from error


def default_name(settings: Settings) -> str:
    """A name made from the model, the token and a hash of all settings: equal settings, equal name."""
    asked = [*settings.token_texts, *settings.neurons] or [f"layers {settings.layers}"]
    words = [Path(settings.model).name, *asked[:2], *(["and more"] if len(asked) > 2 else [])]
    digest = hashlib.sha256(msgspec.json.encode(settings, order="deterministic")).hexdigest()[:8]
    return "-".join([*filter(None, map(_slug, words)), digest])


def _slug(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40].strip("-")
