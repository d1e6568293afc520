"""headtorch engine: the process behind the workbench."""

from __future__ import annotations


def engine() -> None:
    """Serve a front end: requests on standard input, messages on standard output, one JSON object a line.

    The workbench starts this by itself. It ends when standard input does. docs/engine.md has the protocol.
    """
    from headtorch.core.engine.server import serve_standard_streams

    serve_standard_streams()
