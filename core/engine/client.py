"""The engine process as a front end sees it: start it, send requests, hear messages and its end. No torch here.

The engine lives in a session of its own, so that ctrl+c and a closed terminal reach only the front end; it ends by
itself when its standard input does. asyncio's own subprocesses are avoided: closing their event loop kills the child,
and an engine that is told to stop still has work to save.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import platformdirs

from headtorch.core.engine.protocol import AnyMessage, Refused, Request, RequestFailed, decode_message, encode_line
from headtorch.core.errors import InputError
from headtorch.core.files import make_folder, open_regular
from headtorch.core.study.files import storage_errors

LINE_LIMIT = 256 * 2**20  # bytes; a list of 200,000 neurons is some 20 MB
KEPT_LOGS = 10
DRAIN_SECONDS = 1.0  # for lines that a dead engine had written


@dataclass(frozen=True)
class EngineExit:
    """How the engine ended although nobody told it to."""

    returncode: int
    signal: str | None  # "SIGKILL"; None: it left by itself
    last_line: str | None  # of its log
    log: Path

    def __str__(self) -> str:
        how = f"was ended by {self.signal}" if self.signal else f"ended with code {self.returncode}"
        said = f": {self.last_line}" if self.last_line else ""
        return f"The engine {how}{said} (log: {self.log})"


class EngineClient:
    """One engine process at a time. All methods belong to the event loop's thread, and so do the two callbacks.

    `on_message` hears every message in order; a line that is none arrives as Refused. `on_exit` hears of the end of
    an engine that was not told to stop, after its last message; then `start` may be called again.
    """

    def __init__(
        self,
        on_message: Callable[[AnyMessage], object],
        on_exit: Callable[[EngineExit], object],
        command: Sequence[str] | None = None,
        log: Path | None = None,
    ) -> None:
        self._on_message, self._on_exit = on_message, on_exit
        # -P: a file called torch.py in the folder where headtorch was started is not PyTorch.
        self._command = list(command or (sys.executable, "-P", "-m", "headtorch", "engine"))
        self.log = log or default_log()
        self._ids = count(1)
        self._process: subprocess.Popen[bytes] | None = None
        self._stdin: asyncio.WriteTransport | None = None
        self._log_start = 0
        self._follower: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """Whether there is an engine to talk to."""
        return self._process is not None

    @property
    def pid(self) -> int | None:
        """The engine's process id; None without one."""
        return self._process.pid if self._process is not None else None

    def next_id(self) -> int:
        """A new id for a request."""
        return next(self._ids)

    async def start(self) -> None:
        """Start the engine; EngineReady follows as a message. Raises StorageError where the log cannot be written."""
        self.stop()
        loop = asyncio.get_running_loop()
        process = self._spawn()
        self._process = process
        reader = asyncio.StreamReader(limit=LINE_LIMIT)
        assert process.stdin is not None and process.stdout is not None
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), process.stdout)
        self._stdin, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, process.stdin)
        ended: asyncio.Future[int] = loop.create_future()
        threading.Thread(target=_wait, args=(process, loop, ended), daemon=True).start()
        self._follower = loop.create_task(self._follow(process, reader, ended))

    def send(self, request: Request) -> None:
        """Send a request. Without an engine it is answered with RequestFailed, soon and as a message.

        Raises ValueError for a request that holds NaN.
        """
        line = encode_line(request)
        if self._stdin is None or self._stdin.is_closing():
            failed = RequestFailed(request=request.id, message="The engine is not running; start it again.")
            asyncio.get_running_loop().call_soon(self._on_message, failed)
            return
        self._stdin.write(line)

    def stop(self) -> None:
        """Let the engine end, and return at once: it saves its work and leaves within seconds. No more callbacks."""
        if self._stdin is not None:
            self._stdin.close()
        if self._follower is not None:
            self._follower.cancel()
        self._process = self._stdin = self._follower = None

    def kill(self) -> None:
        """End an engine that does not answer, at once; `on_exit` follows."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _spawn(self) -> subprocess.Popen[bytes]:
        with storage_errors(self.log):
            make_folder(self.log.parent)
            with open(open_regular(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "ab") as log:
                self._log_start = log.tell()
                return subprocess.Popen(
                    self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True
                )

    async def _follow(
        self, process: subprocess.Popen[bytes], reader: asyncio.StreamReader, ended: asyncio.Future[int]
    ) -> None:
        """Pass messages on until the process ends. A child of the engine may hold the pipe open for longer."""
        reading = asyncio.create_task(self._read(reader))
        try:
            code = await ended
            await asyncio.wait([reading], timeout=DRAIN_SECONDS)
        finally:
            reading.cancel()
        if process is not self._process:
            return
        if self._stdin is not None and not self._stdin.is_closing():
            self._stdin.abort()
        self._process = self._stdin = self._follower = None
        self._on_exit(EngineExit(code, _signal_name(code), _last_line(self.log, self._log_start), self.log))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while True:
            try:
                line = await reader.readline()
            except ValueError:
                self._on_message(Refused(reason=f"a line of the engine was longer than {LINE_LIMIT} bytes"))
                continue
            if not line:
                return
            try:
                message: AnyMessage = decode_message(line)
            except InputError as error:
                message = Refused(reason=str(error))
            self._on_message(message)


def default_log() -> Path:
    """This front end's log of its engine: in $HEADTORCH_HOME/logs, else in the user's log folder of this system."""
    home = os.environ.get("HEADTORCH_HOME")
    folder = Path(home).expanduser() / "logs" if home else platformdirs.user_log_path("headtorch")
    with suppress(OSError):
        for old in sorted(folder.glob("engine-*.log"), key=lambda path: -path.stat().st_mtime)[KEPT_LOGS - 1 :]:
            old.unlink()
    return folder / f"engine-{os.getpid()}.log"


def _wait(process: subprocess.Popen[bytes], loop: asyncio.AbstractEventLoop, ended: asyncio.Future[int]) -> None:
    """Reap the process and say so; in a thread, which ends with the front end."""
    code = process.wait()

    def tell() -> None:
        if not ended.done():
            ended.set_result(code)

    with suppress(RuntimeError):  # the loop is closed: nobody asks any more
        loop.call_soon_threadsafe(tell)


def _signal_name(code: int) -> str | None:
    if code >= 0:
        return None
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _last_line(log: Path, start: int) -> str | None:
    """The last line that says something, of what was written after `start`."""
    try:
        with log.open("rb") as file:
            file.seek(max(start, log.stat().st_size - 65_536))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return None
    return next((line.strip() for line in reversed(lines) if line.strip()), None)
