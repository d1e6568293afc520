"""The main job: the stages of a study in their order, each finding logged before it is shown."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from headtorch.core.engine import stages
from headtorch.core.engine.ablating import ablate
from headtorch.core.engine.claims_stage import claim_tests, head_claim_tests
from headtorch.core.engine.comparing import compare, compare_again
from headtorch.core.engine.contrast import contrast
from headtorch.core.engine.explaining import explain, explain_heads, without_explanation
from headtorch.core.engine.firing_stage import find_places
from headtorch.core.engine.heads_stage import choose_heads
from headtorch.core.engine.measuring import measure
from headtorch.core.engine.method import Method, method_of
from headtorch.core.engine.planning import ask_leave
from headtorch.core.engine.scoring import score, score_heads, without_judgement
from headtorch.core.engine.workspace import Workspace
from headtorch.core.errors import InputError
from headtorch.core.events import AnyEvent, ReportWritten, StageFinished, StageStarted, StudyFinished
from headtorch.core.records import HeadActivity
from headtorch.core.settings import Settings
from headtorch.core.study.report import check_folder, write_report
from headtorch.core.study.stages import stages_of
from headtorch.core.study.state import StudyState
from headtorch.core.study.study import Study
from headtorch.core.watch import SILENT, Watch

Stage = Callable[[Study, Workspace], Iterator[AnyEvent]]

STAGES: dict[str, Stage] = {
    "discover": stages.discover,
    "scan": stages.build_index,
    "trim": stages.trim_prompts,
    "validity": stages.validate,
    "attribute": stages.attribute_heads,
    "places": find_places,
    "heads": choose_heads,
    "contrast": contrast,
    "explain": explain,
    "score": score,
    "claims": claim_tests,
    "effects": measure,
    "ablate": ablate,
}
LATER = ("effects", "places", "heads", "claims")  # stages that finished studies of earlier versions have not
ASKING = ("explain", "score", "claims", "ablate")  # gone through again for heads that were left unanswered


def run_study(study: Study, workspace: Workspace, *, out: Path | None = None) -> Iterator[AnyEvent]:
    """Run what is not done yet of a study that is open for writing, and write its report into `out`.

    Every event is on the disk when it is yielded. A stage that was interrupted starts again; finished ones are passed
    over, but for heads that a language model left unanswered. Raises StorageError before any work where `out` cannot be
    written, and what the stages raise; the study then holds all
    that was yielded. Settings that could not be carried through raise InputError before any work.
    """
    started = time.monotonic()
    left = stages_left(study.state)
    if out is not None:
        check_folder(out)
    if left:
        method = check(study.settings, workspace)
        yield from _logged(study, stages.open_model(study, workspace))
    for name in left:
        workspace.watch.checkpoint()
        if name == _first_to_read(left):
            yield from _logged(study, stages.open_corpus(study, workspace))
        if name == _first_to_ask(left):
            ask_leave(study, workspace, method, study.state.explainable())
        with workspace.watch.stage(name):
            yield from _run_stage(study, name, STAGES[name](study, workspace))
    if study.state.finished is None:  # before the report, which tells it
        yield from _logged(study, iter([StudyFinished(seconds=time.monotonic() - started)]))
    yield from report_study(study, out, workspace.watch)


def report_study(study: Study, out: Path | None = None, watch: Watch = SILENT) -> Iterator[AnyEvent]:
    """Write the report of what the study knows, but for the large table of claim places (`headtorch report` has it)."""
    paths = write_report(study, out, watch=watch, with_places=False)
    yield from _logged(study, iter([ReportWritten(paths=[str(path) for path in paths])]))


def stages_left(state: StudyState) -> list[str]:
    """The stages that are not done, and those that would ask again for heads that were left unanswered."""
    own = state.settings.explainer_name if state.settings is not None else "rules"
    family = {(one.neuron, one.head, own) for one in state.explainable()}
    again = ASKING if (family & state.unanswered.keys()) - state.scores.keys() else ()
    return [name for name in stages_of(state) if name in again or not state.is_done(name)]


def is_finished(state: StudyState) -> bool:
    """Whether nothing needs to be run for the study to be read; `run_study` may still have something to add."""
    return state.finished is not None and all(state.is_done(name) for name in stages_of(state) if name not in LATER)


def explain_study(
    study: Study, workspace: Workspace, settings: Settings, heads: Sequence[HeadActivity] | None = None
) -> Iterator[AnyEvent]:
    """Explain and score heads by another explainer than the study's own, and test its claims, as far as it is not done.

    settings: the study's, but for the explainer
    heads: all that are worth explaining, where not given; then p values are adjusted and neurons compared, which is
        done again for single heads once it was done for all

    Every event is on the disk when it is yielded.
    """
    method = check(settings, workspace)
    wanted = study.state.explainable() if heads is None else heads
    ask_leave(study, workspace, method, wanted)
    unexplained = without_explanation(study.state, method, wanted)
    yield from _logged(study, workspace.llm.accounted(explain_heads(study, workspace, method, unexplained)))
    unjudged = without_judgement(study.state, method, wanted)
    yield from _logged(study, workspace.llm.accounted(score_heads(study, workspace, method, unjudged)))
    compared = compare if heads is None else compare_again
    yield from _logged(study, compared(study, method.explainer.name))
    yield from _logged(study, head_claim_tests(study, workspace, method.explainer.name, wanted))
    yield from report_study(study, watch=workspace.watch)


def _first_to_read(left: list[str]) -> str | None:
    """The first stage that needs the corpus: the neurons are shown before it is read."""
    return next((name for name in left if name != "discover"), None)


def _first_to_ask(left: list[str]) -> str | None:
    return next((name for name in left if name in ("explain", "score")), None)


def check(settings: Settings, workspace: Workspace) -> Method:
    """How the study's heads are explained; raises InputError for settings that could not be carried through."""
    if settings.attribution == "dot" and settings.activity == "baseline":
        raise InputError(
            "The baseline of a head is measured in direct attribution, not in dot products; choose the activity rule "
            "paper, top-k or share, or attribution direct."
        )
    method = method_of(settings, workspace.llm)
    if method.asks and settings.llm is not None:
        workspace.llm.need_keys(settings.llm)
    return method


def _run_stage(study: Study, name: str, events: Iterator[AnyEvent]) -> Iterator[AnyEvent]:
    started = time.monotonic()
    yield from _logged(study, iter([StageStarted(stage=name)]))
    yield from _logged(study, events)
    yield from _logged(study, iter([StageFinished(stage=name, seconds=time.monotonic() - started)]))


def _logged(study: Study, events: Iterator[AnyEvent]) -> Iterator[AnyEvent]:
    for event in events:
        study.append(event)
        yield event
