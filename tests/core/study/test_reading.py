"""Reading a study that a crash cut short, that another process writes, or that is large."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from headtorch.core.errors import StudyError
from headtorch.core.event_lines import encode
from headtorch.core.events import (
    AnyEvent,
    HeadActivityFound,
    HeadsAttributed,
    NeuronsFound,
    PromptsFound,
    Warned,
)
from headtorch.core.records import HeadId, NeuronId
from headtorch.core.settings import Settings
from headtorch.core.study import Study, list_studies, resolve
from headtorch.core.study.files import writer_of


@pytest.fixture
def study(asked: Settings, events: list[AnyEvent]) -> Study:
    with Study.create("trial", asked) as opened:
        for event in events:
            opened.append(event)
    return opened


def test_a_study_cut_at_any_byte_of_its_last_line_says_what_was_cut(study: Study) -> None:
    log = study.folder / "events.jsonl"
    whole = log.read_bytes()
    start = whole[:-1].rfind(b"\n") + 1
    assert whole[start:].startswith(b'{"type":"StudyFinished"')
    for end in range(start + 1, len(whole)):
        log.write_bytes(whole[:end])
        cut = Study.open("trial").cut
        assert cut is not None and f"the first {end - start} bytes" in cut
        named = end - start > len('{"type":"StudyFinished')
        assert ("a StudyFinished event" in cut) is named
    log.write_bytes(whole[:start])
    assert Study.open("trial").cut is None
    log.write_bytes(whole)
    assert Study.open("trial").cut is None


def test_whoever_goes_on_with_a_cut_study_is_told_too_and_later_ones_are_not(study: Study) -> None:
    log = study.folder / "events.jsonl"
    log.write_bytes(log.read_bytes()[:-4])
    assert list_studies()[0].cut is not None
    with Study.open("trial", write=True) as again:
        assert again.cut is not None and "StudyFinished" in again.cut
    assert Study.open("trial").cut is None and list_studies()[0].cut is None


WRITE = """
import sys
from headtorch.core.events import Warned
from headtorch.core.study import Study
with Study.open("trial", write=True) as study:
    print("open", flush=True)
    for line in sys.stdin:
        if line == "torn\\n":
            import os
            os.write(study._writer.log._descriptor, b'{"type":"Warn')
        else:
            study.append(Warned(text=line.strip()))
        print("done", flush=True)
"""


def test_a_reader_follows_the_process_that_writes_and_knows_it(study: Study) -> None:
    assert writer_of(study.folder) is None
    reader = Study.open("trial")
    writing = subprocess.Popen([sys.executable, "-c", WRITE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert writing.stdin is not None and writing.stdout is not None

    def say(line: str) -> None:
        assert writing.stdin is not None and writing.stdout is not None
        writing.stdin.write(line + "\n")
        writing.stdin.flush()
        assert writing.stdout.readline() == "done\n"

    assert writing.stdout.readline() == "open\n"
    assert reader.writer == f"process {writing.pid}" == list_studies()[0].writer
    with pytest.raises(StudyError, match=f"process {writing.pid}"):
        Study.open("trial", write=True)
    assert reader.news() == []
    say("one")
    say("two")
    news = reader.news()
    assert [event.text for event in news if isinstance(event, Warned)] == ["one", "two"]
    for event in news:
        reader.state.apply(event)
    assert reader.state == Study.open("trial").state and reader.news() == []
    say("torn")
    assert reader.news() == [] and Study.open("trial").cut is None, "a line that is being written is not torn"
    writing.stdin.close()
    assert writing.wait(10) == 0
    assert reader.writer is None and Study.open("trial").cut is not None


def test_asking_who_writes_never_keeps_a_writer_out(study: Study) -> None:
    asking = "from headtorch.core.study.files import writer_of\nfrom pathlib import Path\nimport sys, time\n"
    asking += "print('go', flush=True)\nend = time.time() + 1\nwhile time.time() < end: writer_of(Path(sys.argv[1]))"
    process = subprocess.Popen([sys.executable, "-c", asking, str(study.folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "go\n"
    opened = 0
    while process.poll() is None:
        Study.open("trial", write=True).close()
        opened += 1
    assert opened > 5


def test_a_study_of_100_neurons_opens_within_a_second(asked: Settings, events: list[AnyEvent]) -> None:
    with Study.create("large", asked) as opened:
        pass
    prompts = next(event for event in events if isinstance(event, PromptsFound) and event.prompts)
    heads = next(event for event in events if isinstance(event, HeadsAttributed))
    active = next(event for event in events if isinstance(event, HeadActivityFound))
    (row, *_) = next(event for event in events if isinstance(event, NeuronsFound)).neurons
    neurons = [NeuronId(30, index) for index in range(100)]
    long = msgspec.structs.replace(prompts.prompts[0], token_ids=list(range(40)), tokens=[" word"] * 40)
    every = [HeadId(layer, head) for layer in range(31) for head in range(20)]
    lines = [encode(NeuronsFound(neurons=[msgspec.structs.replace(row, neuron=neuron) for neuron in neurons]))]
    for neuron in neurons:
        found = [msgspec.structs.replace(long, neuron=neuron, document=i) for i in range(256)]
        summaries = [msgspec.structs.replace(heads.heads[-1], head=head) for head in every]
        labels = [
            msgspec.structs.replace(active.heads[0], neuron=neuron, head=head, active=[True, False] * 128)
            for head in every[:10]
        ]
        lines += [
            encode(msgspec.structs.replace(prompts, neuron=neuron, prompts=found)),
            encode(msgspec.structs.replace(heads, neuron=neuron, heads=summaries, top_heads=every)),
            encode(msgspec.structs.replace(active, neuron=neuron, heads=labels)),
        ]
    with (opened.folder / "events.jsonl").open("ab") as log:
        log.write(b"".join(lines))
    seconds = []
    for _ in range(3):  # the machine may be busy with something else
        began = time.process_time()
        state = Study.open("large").state
        seconds.append(time.process_time() - began)
    assert len(state.prompts) == 100 and len(state.heads(neurons[-1])) == 620
    size = Path(resolve("large") / "events.jsonl").stat().st_size
    assert min(seconds) <= 1.0, f"{min(seconds):.2f} s for {size / 1e6:.0f} MB"
