"""The main job: the stages of a study in their order, each finding logged before it is shown."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from headtorch.core.engine import judging, stages
from headtorch.core.engine.contrast import contrast
from headtorch.core.engine.workspace import Workspace
from headtorch.core.errors import InputError
from headtorch.core.events import AnyEvent, ReportWritten, StageFinished, StageStarted, StudyFinished
from headtorch.core.settings import Settings
from headtorch.core.study.report import write_report
from headtorch.core.study.study import Study

Stage = Callable[[Study, Workspace], Iterator[AnyEvent]]

STAGES: dict[str, Stage] = {
    "discover": stages.discover,
    "scan": stages.build_index,
    "trim": stages.trim_prompts,
    "validity": stages.validate,
    "attribute": stages.attribute_heads,
    "contrast": contrast,
    "explain": judging.explain,
    "score": judging.score,
    "ablate": judging.ablate,
}


def run_study(study: Study, workspace: Workspace, *, out: Path | None = None) -> Iterator[AnyEvent]:
    """Run what is not done yet of a study that is open for writing, and write its report into `out`.

    Every event is on the disk when it is yielded. A stage that was interrupted starts again; finished ones are passed
    over. Raises what the stages raise; the study then holds all that was yielded. Settings that could not be carried
    through raise InputError before any work.
    """
    started = time.monotonic()
    left = [name for name in STAGES if not study.state.is_done(name)]
    if left:
        _check(study.settings)
        yield from _logged(study, stages.open_model(study, workspace))
    for name in left:
        workspace.watch.checkpoint()
        if name == _first_to_read(left):
            yield from _logged(study, stages.open_corpus(study, workspace))
        yield from _run_stage(study, name, STAGES[name](study, workspace))
    paths = write_report(study, out)
    yield from _logged(study, iter([ReportWritten(paths=[str(path) for path in paths])]))
    if study.state.finished is None:
        yield from _logged(study, iter([StudyFinished(seconds=time.monotonic() - started)]))


def _first_to_read(left: list[str]) -> str | None:
    """The first stage that needs the corpus: the neurons are shown before it is read."""
    return next((name for name in left if name != "discover"), None)


def _check(settings: Settings) -> None:
    judging.explainer_of(settings)
    if settings.attribution == "dot" and settings.activity == "baseline":
        raise InputError(
            "The baseline of a head is measured in direct attribution, not in dot products; choose the activity rule "
            "paper, top-k or share, or attribution direct."
        )


def _run_stage(study: Study, name: str, events: Iterator[AnyEvent]) -> Iterator[AnyEvent]:
    started = time.monotonic()
    yield from _logged(study, iter([StageStarted(stage=name)]))
    yield from _logged(study, events)
    yield from _logged(study, iter([StageFinished(stage=name, seconds=time.monotonic() - started)]))


def _logged(study: Study, events: Iterator[AnyEvent]) -> Iterator[AnyEvent]:
    for event in events:
        study.append(event)
        yield event
