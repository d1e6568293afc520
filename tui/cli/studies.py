"""headtorch studies: the list of studies, and studies renamed, copied, deleted, archived and imported."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headtorch.core.errors import InputError
from headtorch.tui.cli import options

if TYPE_CHECKING:
    from headtorch.core.study.study import StudySummary

studies = typer.Typer(
    help="List, rename, copy, delete, archive and import studies. Without a command: list them.",
    invoke_without_command=True,
    rich_markup_mode=None,
    add_completion=False,
)

StudyName = Annotated[str, typer.Argument(help="Name or folder of the study.")]
NewName = Annotated[str, typer.Argument(help="The new name, or a path.")]


@studies.callback()
def list_(context: typer.Context, json: options.Json = False) -> None:
    """List the studies, last written first; or rename, copy, delete, archive and import them.

    \b
    Examples:
      headtorch studies
      headtorch studies archive comparisons --out /media/stick
    """
    from headtorch.core.study.study import list_studies
    from headtorch.tui.cli.output import print_json, print_note, print_table

    if context.invoked_subcommand is not None:
        return
    found = list_studies()
    if json:
        print_json(
            [
                {name: getattr(s, name) for name in s.__struct_fields__ if name != "folder"} | {"folder": str(s.folder)}
                for s in found
            ]
        )
        return
    if not found:
        print_note("No study yet; headtorch run makes one.")
        return
    print_table(
        [("study", "text"), ("neurons", "right"), ("scores", "right"), ("state", "text"), ("written", "left")],
        [(s.name, s.neurons, s.scores, _state(s), _when(s.modified)) for s in found],
    )


@studies.command()
def rename(study: StudyName, name: NewName) -> None:
    """Give a study another name. Refused while another headtorch writes it.

    \b
    Example:
      headtorch studies rename demo-states-1a2b3c4d states
    """
    from headtorch.core.study.manage import rename_study

    _say(f"{study} is now {rename_study(study, name)}")


@studies.command()
def copy(study: StudyName, name: NewName) -> None:
    """Copy a study as it stands, with notes and ratings; its reports are made again when asked for.

    \b
    Example:
      headtorch studies copy states states-2
    """
    from headtorch.core.study.manage import copy_study

    _say(f"copied to {copy_study(study, name)}")


@studies.command()
def delete(
    study: StudyName,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing; for scripts.")] = False,
) -> None:
    """Delete a study: settings, log, arrays, notes, ratings and report. Refused while another headtorch writes it.

    \b
    Example:
      headtorch studies delete states-2
    """
    from headtorch.core.study.contents import SETTINGS
    from headtorch.core.study.manage import delete_study
    from headtorch.core.study.places import resolve
    from headtorch.core.text import visible

    folder = resolve(study)
    if not yes and (folder / SETTINGS).is_file():
        if not sys.stdin.isatty():
            raise InputError("There is no terminal to confirm it on; give --yes to delete the study.")
        if not typer.confirm(f"Delete {visible(str(folder))} and all that is in it?", default=False, err=True):
            raise InputError("Nothing was deleted.")
    left = delete_study(study)
    _say(f"{study} is deleted")
    if left:
        _say(f"{folder} stays, for it holds files that are no part of a study: {', '.join(left[:5])}")


@studies.command()
def archive(
    study: StudyName,
    out: Annotated[Path | None, typer.Option(help="The file, or a folder to put NAME.tar.zst into.")] = None,
) -> None:
    """Write a study into one file to move between machines. Equal studies give equal files.

    \b
    Example:
      headtorch studies archive states --out states.tar.zst
    """
    from headtorch.core.study.archive import SUFFIX, archive_study
    from headtorch.core.study.places import resolve

    if out is not None and out.is_dir():
        out = out / f"{resolve(study).resolve().name}{SUFFIX}"
    written = archive_study(study, out)
    _say(f"{written} ({written.stat().st_size / 1e6:.1f} MB)")


@studies.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="An archive that headtorch studies archive wrote.")],
    name: Annotated[str | None, typer.Option(help="What to call the study; by default as it was called.")] = None,
) -> None:
    """Check an archive and unpack the study in it. No study is ever overwritten.

    \b
    Example:
      headtorch studies import states.tar.zst --name states-of-lab
    """
    from headtorch.core.study.unarchive import import_study

    _say(f"imported as {import_study(file, name)}")


def _state(study: StudySummary) -> str:
    if study.problem is not None:
        return study.problem
    words = ["finished" if study.finished else "unfinished"]
    if study.writer is not None:
        words.append(f"being written ({study.writer})")
    if study.cut is not None:
        words.append("its last line was cut short")
    return ", ".join(words)


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def _say(text: str) -> None:
    from headtorch.tui.cli.output import print_text

    print_text(text)
