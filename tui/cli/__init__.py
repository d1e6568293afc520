"""The command line. Commands are thin: they read options, call headtorch.core and print records.

Exit codes: 0 done; 2 something asked for cannot be, said in one sentence; 130 interrupted.
"""

from __future__ import annotations

import os
import sys

from headtorch.core.errors import HeadtorchError
from headtorch.core.text import visible


def main() -> None:
    """Run the command line and leave with its exit code."""
    from headtorch.tui.cli.app import app

    try:
        app(standalone_mode=True)
    except HeadtorchError as error:
        fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        fail("Interrupted; the same command goes on from the last checkpoint.", 130)
    except BrokenPipeError:
        # The reader (head, less) has gone: what it wanted, it has.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def fail(message: str, exit_code: int) -> None:
    """Say what is wrong on standard error and leave."""
    sys.stderr.write(f"headtorch: {visible(message)}\n")
    sys.exit(exit_code)
