"""headtorch cache: the answers of language models kept on this machine, and what else the cache holds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headtorch.core.errors import InputError, StorageError
from headtorch.tui.cli import options

if TYPE_CHECKING:
    from headtorch.core.explain.llm.cache import AnswerCache

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}

cache = typer.Typer(
    help="Show and empty the cache of language models' answers.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)


@cache.command()
def stats(json: options.Json = False) -> None:
    """Print how many answers are kept and how much room they take, and the room of corpora and indices.

    \b
    Example:
      headtorch cache stats
    """
    from headtorch.core.corpus.storage import corpora_folder
    from headtorch.core.explain.llm.cache import SIZE_LIMIT, CacheStats, answers_folder
    from headtorch.tui.cli.output import print_json, print_note, print_table

    answers = _opened()
    kept = CacheStats(folder=str(answers_folder()), answers=0, size=0, size_limit=SIZE_LIMIT)
    if answers is not None:
        kept = answers.stats()
    places = {"corpora": corpora_folder(), "indices": corpora_folder().with_name("index")}
    others = {name: (_entries(place), _size(place), str(place)) for name, place in places.items()}
    if json:
        named = {name: dict(zip(("entries", "size", "folder"), of, strict=True)) for name, of in others.items()}
        print_json({"answers": kept, **named})
        return
    rows = [("answers", kept.answers, readable(kept.size), kept.folder)]
    rows += [(name, entries, readable(size), folder) for name, (entries, size, folder) in others.items()]
    print_table([("what", "left"), ("entries", "right"), ("size", "right"), ("folder", "text")], rows)
    print_note(
        f"Answers of language models take at most {readable(kept.size_limit)}; the oldest go first. Corpora and "
        "indices are made again when they are missing; remove their folders by hand."
    )


@cache.command()
def prune(
    days: Annotated[float | None, typer.Option(min=0, help="Remove answers stored longer ago than this.")] = None,
    size: Annotated[str | None, typer.Option(help="Then remove the oldest beyond this size, as 200MB.")] = None,
) -> None:
    """Remove old answers of language models. Corpora and indices stay.

    \b
    Examples:
      headtorch cache prune --days 90
      headtorch cache prune --size 200MB
    """
    from headtorch.tui.cli.output import print_text

    if days is None and size is None:
        raise InputError("Say what is to go: --days 90, --size 200MB, or both.")
    limit = None if size is None else parse_size(size)
    answers = _opened()
    removed = 0 if answers is None else answers.prune(days=days, size=limit)
    left = 0 if answers is None else _checked(answers).stats().answers
    print_text(f"{_counted(removed)} removed, {left} left.")


@cache.command()
def clear(yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing; for scripts.")] = False) -> None:
    """Remove every kept answer of a language model. Asking for them again costs again; studies keep what they hold.

    Corpora, indices and studies stay.

    \b
    Example:
      headtorch cache clear --yes
    """
    import sys

    from headtorch.core.explain.llm.cache import answers_folder
    from headtorch.core.text import visible
    from headtorch.tui.cli.output import print_text

    answers = _opened(repair=True)
    if answers is None:
        print_text("No answers are kept.")
        return
    kept = answers.stats().answers
    damaged = answers.problem is not None
    what = "the damaged database of answers" if damaged else _counted(kept)
    if not yes:
        if not sys.stdin.isatty():
            raise InputError("Nothing was removed: say --yes where nobody can be asked.")
        where = visible(str(answers_folder()))
        if not typer.confirm(f"Remove {what} of language models in {where}? Asking again costs again.", err=True):
            print_text("Nothing was removed.")
            return
    removed = answers.clear()
    _checked(answers)
    print_text("The damaged database of answers was removed." if damaged else f"{_counted(removed)} removed.")


def parse_size(text: str) -> int:
    """Bytes of 200MB, 1.5 GB or 1000; raises InputError."""
    found = re.fullmatch(r"(\d{1,12}(?:\.\d{1,6})?)\s*([KMGT]?B?)", text.strip().upper())
    unit = "" if found is None else found[2] + ("B" if found[2] and not found[2].endswith("B") else "")
    if found is None:
        raise InputError(f"--size is {text[:40]!r}, but should be a size such as 200MB or 1.5GB.")
    return int(float(found[1]) * _UNITS[unit])


def readable(size: int) -> str:
    """A number of bytes in the largest unit that it fills."""
    for unit in ("TB", "GB", "MB", "KB"):
        if size >= _UNITS[unit]:
            return f"{size / _UNITS[unit]:.1f} {unit}"
    return f"{size} B"


def _opened(repair: bool = False) -> AnswerCache | None:
    """The cache of answers if there is one; nothing is made. Raises StorageError where it cannot be used."""
    from headtorch.core.explain.llm.cache import AnswerCache, answers_folder

    if not (answers_folder() / "cache.db").is_file() and not answers_folder().is_symlink():
        return None
    answers = AnswerCache()
    return answers if repair and answers.repairable else _checked(answers)


def _checked(answers: AnswerCache) -> AnswerCache:
    if answers.problem is not None:
        raise StorageError(answers.problem)
    return answers


def _counted(answers: int) -> str:
    return "1 answer" if answers == 1 else f"{answers} answers"


def _entries(folder: Path) -> int:
    try:
        return sum(1 for entry in folder.iterdir() if ".partial-" not in entry.name)
    except OSError:
        return 0


def _size(folder: Path) -> int:
    """Bytes of the files below; links are not followed."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += 0 if path.is_symlink() or not path.is_file() else path.stat().st_size
        except OSError:
            continue
    return total
