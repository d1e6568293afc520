"""The command line. Commands are thin: they read options, call headtorch.core and print records.

Exit codes: 0 done; 2 something asked for cannot be, or no language model answered, said in one sentence;
130 interrupted.
"""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from io import TextIOWrapper

from headtorch.core.errors import HeadtorchError
from headtorch.core.text import visible

INTERRUPTED = "Interrupted; the same command goes on from what is kept."


def main() -> None:
    """Run the command line and leave with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that is not UTF-8 shows \u00b7, not a traceback
    try:
        if len(sys.argv) == 1:
            from headtorch.tui.opening import open_workbench  # the first frame need not wait for the commands

            open_workbench()
        else:
            from headtorch.tui.cli.app import app

            app(_with_values(sys.argv[1:]), prog_name="headtorch")
    except HeadtorchError as error:
        fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        fail(INTERRUPTED, 130)
    except SystemExit as left:
        if left.code == 130:  # what typer makes of ctrl+c
            fail(INTERRUPTED, 130)
        send()
        raise
    except OSError as error:
        fail(_system_sentence(error), 2)


def _system_sentence(error: OSError) -> str:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return f"The disk is full: {error.filename or 'a file'} was not written. Free some space and run it again."
    where = f" at {error.filename}" if error.filename else ""
    return f"The system refused a file operation{where}: {error.strerror or error}. Mend that and run it again."


def _with_values(arguments: list[str]) -> list[str]:
    """`--ray` alone is `--ray auto`: an option whose value may be left out, which Typer has not."""
    following = [*arguments[1:], "-"]
    return [
        "--ray=auto" if one == "--ray" and after.startswith("-") else one
        for one, after in zip(arguments, following, strict=True)
    ]


def fail(message: str, exit_code: int) -> None:
    """Say what is wrong on standard error and leave."""
    with suppress(OSError):  # a full disk is said once
        send()
    sys.stderr.write(f"headtorch: {visible(message)}\n")
    sys.exit(exit_code)


def send(text: str = "") -> None:
    """Write to standard output at once; where its reader (head, less) has gone, it has what it wanted."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the rest fails again at exit
        if not isinstance(error, BrokenPipeError):
            raise
