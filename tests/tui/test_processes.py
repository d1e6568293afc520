"""The command line as a process of its own: ctrl+c, closed pipes, what it imports, and where its output goes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from calls import Places, write_corpus

from headtorch.core.analysis.index import ActivationIndex
from headtorch.core.errors import Interrupted
from headtorch.tui.cli.progress import progress_bars

# Says on standard error when a block of the scan begins, and takes its time over it.
SLOW_SCAN = """
import sys, time
from headtorch.core.analysis.observation import Observer
observe = Observer.observe
def slow(*args):
    print("block", file=sys.stderr, flush=True)
    time.sleep(0.2)
    return observe(*args)
Observer.observe = slow
from headtorch.tui.cli import main
main()
"""


def environment(places: Places, cache: Path | None = None) -> dict[str, str]:
    own = {"HEADTORCH_HOME": str(places.home), "HEADTORCH_CACHE": str(cache or places.cache), "OMP_NUM_THREADS": "1"}
    return os.environ | own | {"PYTHONPATH": os.pathsep.join(sys.path), "HF_HUB_OFFLINE": "1"}


def headtorch(places: Places, *args: object, cache: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "headtorch", *map(str, args)]
    return subprocess.run(command, env=environment(places, cache), capture_output=True, text=True, timeout=300)


def test_ctrl_c_stops_a_scan_where_the_next_one_goes_on(places: Places, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "texts", documents=60, words=600)
    args = ["scan", "--model", str(places.model), "--corpus", str(corpus), "--layers", "2", "--context", "64"]
    command = [sys.executable, "-c", SLOW_SCAN, *args]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=environment(places, tmp_path), text=True, **pipes) as process:
        for line in process.stderr:
            if line == "block\n":
                break
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 130 and out == ""
    said = [line for line in err.splitlines() if line != "block"]
    assert len(said) == 1 and said[0].startswith("headtorch: Interrupted")
    [kept] = (tmp_path / "index").iterdir()
    assert ActivationIndex.load(kept).blocks_left > 0
    again = headtorch(places, *args, "--json", cache=tmp_path)
    assert again.returncode == 0 and again.stderr == ""
    assert ActivationIndex.load(kept).blocks_left == 0


def test_the_first_ctrl_c_waits_for_a_checkpoint_and_the_second_does_not() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted), progress_bars() as watch:
        watch.checkpoint()
        signal.raise_signal(signal.SIGINT)
        watch.checkpoint()
    with pytest.raises(KeyboardInterrupt), progress_bars():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    with pytest.raises(Interrupted), progress_bars():
        signal.raise_signal(signal.SIGINT)  # after the last checkpoint
    assert signal.getsignal(signal.SIGINT) is before


def test_a_closed_pipe_is_no_error(places: Places) -> None:
    command = [sys.executable, "-m", "headtorch", "neurons", "--model", str(places.model), "--top", "100", "--json"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=environment(places), text=True, **pipes) as process:
        process.stdout.close()
        err = process.stderr.read()
    assert (process.returncode, err) == (0, "")


@pytest.mark.parametrize(
    "args", [("--version",), ("--help",), ("run", "--help"), ("models",), ("corpora",), ("studies",)]
)
def test_what_needs_no_model_imports_no_torch(places: Places, args: tuple[str, ...]) -> None:
    code = (
        "import sys\nfrom headtorch.tui.cli import main\ntry:\n    main()\nexcept SystemExit as left:\n"
        "    assert not left.code\nassert not {'torch', 'transformers', 'datasets'} & set(sys.modules)\n"
        "print('clean', file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, *args]
    done = subprocess.run(command, env=environment(places), capture_output=True, text=True, timeout=120)
    assert done.stderr == "clean\n" and done.returncode == 0


def test_piped_json_is_all_there_is_on_standard_output(places: Places) -> None:
    args = ("--model", places.model, "--corpus", places.corpus, "--context", 32, "--top-k", 16)
    done = headtorch(places, "prompts", "--neuron", "L2.N7", "--top", 2, *args, "--json")
    assert done.returncode == 0 and done.stderr == ""
    assert json.loads(done.stdout)


def test_an_error_of_a_process_is_one_sentence(places: Places) -> None:
    done = headtorch(places, "prompts", "--neuron", "L2.N48", "--model", places.model, "--corpus", places.corpus)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("headtorch: ") and done.stderr.count("\n") == 1
