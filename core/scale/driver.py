"""The process that talks to Ray: a job on standard input, JSON lines on standard output.

Apart from headtorch's own process, because Ray ends the process of a driver whose head node is gone, prints, and takes
over signals. It ends when its standard input does: by itself, or, where Ray holds it up, with all its processes.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

from headtorch.core.corpus.storage import storage_errors
from headtorch.core.errors import HeadtorchError
from headtorch.core.scale.cluster import cluster
from headtorch.core.scale.corpus import opened
from headtorch.core.scale.job import AnyTold, Failed, Finished, Job, Refused, line_of, read_job
from headtorch.core.scale.run import Run
from headtorch.core.scale.shards import ShardFolder

END_SECONDS = 20.0  # to end by itself; whoever waits for it waits less


def main() -> None:
    """Serve one job. Libraries print: what is said goes to a private copy of standard output."""
    messages = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    job = read_job(sys.stdin.buffer.readline())
    stop = threading.Event()
    threading.Thread(target=_listen, args=(stop,), daemon=True).start()
    told = _end_of(job, stop, messages)
    messages.write(line_of(told))
    messages.flush()
    os._exit(0)  # the listening thread holds the lock of its stream


def _listen(stop: threading.Event) -> None:
    while sys.stdin.buffer.readline():
        pass
    stop.set()
    time.sleep(END_SECONDS)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _end_of(job: Job, stop: threading.Event, messages: BinaryIO) -> Finished | Refused | Failed:
    def say(said: AnyTold) -> None:
        messages.write(line_of(said))
        messages.flush()

    try:
        make_index(job, stop, say)
    except HeadtorchError as error:
        return Refused(kind=type(error).__name__, message=str(error))
    except BaseException:
        return Failed(text=traceback.format_exc())
    return Finished()


def make_index(job: Job, stop: threading.Event, say: Callable[[AnyTold], None]) -> None:
    """Make the index, write it into its folder, and remove its shards.

    Raises ClusterError, StorageError, what the workers raise, and Interrupted once `stop` is set.
    """
    folder = Path(job.index_folder)
    token = f"driver-{token_hex(8)}"
    shards = ShardFolder.of(folder, job.key, job.shards, token)
    with storage_errors(folder):
        shards.open()
    try:
        with cluster(job, say) as ray:
            whole = Run(ray, job, opened(job), token=token, say=say, stopped=stop.is_set).index()
            whole.save(folder)
    finally:
        shards.close()
    shards.remove_all()


if __name__ == "__main__":
    main()
