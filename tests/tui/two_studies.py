"""Two studies of one model on two corpora, with names that try to break out of what shows them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
from sample_records import AN, HOSTILE, NEURONS, sample_arrays
from sample_study import sample_events, sample_settings

from headtorch.core.events import AnyEvent, CorpusOpened, HeadsAttributed, NeuronsFound
from headtorch.core.settings import Settings
from headtorch.core.study.study import Study

Change = Callable[[AnyEvent], AnyEvent]


def study_in(folder: Path, settings: Settings | None = None, change: Change = lambda event: event) -> Path:
    """The sample study with other settings or events, in a folder of its own."""
    with Study.create(folder, settings or sample_settings()) as study:
        for neuron in NEURONS:
            study.save_arrays(sample_arrays(neuron))
        for event in sample_events():
            study.append(change(event))
    return folder


def two_studies(tmp_path: Path) -> list[str]:
    """One on sotu, one on another corpus: there β and directs come in another order, and a token is hostile."""
    news = msgspec.structs.replace(sample_settings(), corpus=f"/news {HOSTILE.replace(chr(0), '')}")
    return [str(study_in(tmp_path / "one")), str(study_in(tmp_path / "two", news, elsewhere))]


def elsewhere(event: AnyEvent) -> AnyEvent:
    """The event as another corpus would have it."""
    if isinstance(event, CorpusOpened):
        return msgspec.structs.replace(event, fingerprint="news")
    if isinstance(event, NeuronsFound):
        rows = [msgspec.structs.replace(row, token=HOSTILE) if row.neuron != AN else row for row in event.neurons]
        return msgspec.structs.replace(event, neurons=rows)
    if isinstance(event, HeadsAttributed):
        heads = [msgspec.structs.replace(head, mean_direct=-head.mean_direct) for head in event.heads]
        return msgspec.structs.replace(event, heads=heads)
    return event
