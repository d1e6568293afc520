"""What a session knows of claims: their rows with q and reasons, heads chosen for them, and the places behind them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from headtorch.core.claims import ClaimHead, ContextClaim, HeadClaim
from headtorch.core.errors import HeadtorchError
from headtorch.core.events import (
    ContextClaimTested,
    ContextShareMeasured,
    ControlsTested,
    HeadAblated,
    HeadClaimTested,
    HeadExplained,
    HeadScored,
    NeuronsFound,
    ScoresAdjusted,
    StageFinished,
    StageStarted,
    StudyFinished,
    ValidityMeasured,
)
from headtorch.core.records import HeadActivity, HeadId, NeuronId, Prompt
from headtorch.core.study.stages import has_claim_stages
from headtorch.core.text import visible
from headtorch.tui.explaining import own_explainer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from headtorch.core.study.claim_places import ClaimPlaces
    from headtorch.core.study.claim_rows import ClaimRow, ContextRow, HeadClaimRow
    from headtorch.core.study.conclusions import Conclusions
    from headtorch.tui.session import Session

CONCLUDED_FROM = (  # after these events claims may stand otherwise
    NeuronsFound,
    ValidityMeasured,
    ContextShareMeasured,
    ContextClaimTested,
    HeadClaimTested,
    ControlsTested,
    HeadExplained,
    HeadScored,
    ScoresAdjusted,
    HeadAblated,
    StageStarted,
    StageFinished,
    StudyFinished,
)
SPLITS = {"explain": "train", "score": "held-out"}  # of documents, as the reader knows them
Key = tuple[str, str | None, str]  # neuron, head (None: a context claim), explainer


@dataclass(frozen=True)
class ClaimCounts:
    """The claims of one neuron: how many were tested, how many are findings, and E of the context claim."""

    tested: int
    findings: int
    context_e: float | None


@dataclass(frozen=True)
class StudyClaims:
    """The conclusions of a study, with its rows by what they are about."""

    conclusions: Conclusions
    rows: dict[Key, ClaimRow]
    counts: dict[str, ClaimCounts]  # by neuron


def study_claims(session: Session) -> StudyClaims:
    """The rows of the study's claims, computed once until another claim comes."""
    if session.claims is None:
        from headtorch.core.study.conclusions import conclusions

        concluded = conclusions(session.state)
        rows = [*concluded.findings, *concluded.candidates, *concluded.last_token, *concluded.random]
        by_neuron: dict[str, list[ClaimRow]] = {}
        for row in rows:
            by_neuron.setdefault(row.neuron, []).append(row)
        session.claims = StudyClaims(
            conclusions=concluded,
            rows={(row.neuron, getattr(row, "head", None), row.explainer): row for row in rows},
            counts={neuron: _counts(mine) for neuron, mine in by_neuron.items()},
        )
    return session.claims


def _counts(rows: list[ClaimRow]) -> ClaimCounts:
    contexts = [row.e for row in rows if row.kind == "context" and row.e is not None]
    return ClaimCounts(len(rows), sum(row.is_finding for row in rows), contexts[0] if contexts else None)


def verdict_sentence(session: Session) -> str:
    """What the study found, once it is finished; empty before that, and for a study that tests no claims."""
    if session.state.finished is None or not has_claim_stages(session.state):
        return ""
    return study_claims(session).conclusions.verdict.sentence


def claim_counts(session: Session, neuron: NeuronId) -> ClaimCounts:
    """Of one neuron; zeros where nothing was tested."""
    return study_claims(session).counts.get(str(neuron), ClaimCounts(0, 0, None))


def claim_explainer(session: Session, neuron: NeuronId, head: HeadId | None = None) -> str:
    """Whose claim is shown: of whom the user chose, else the study's own explainer's, else the first there is."""
    state = session.state
    tested = [by for at, by in state.context_claims if at == neuron]
    if head is not None:
        tested = [by for at, one, by in state.head_claims if (at, one) == (neuron, head)]
    wanted = [session.selection.explainer, own_explainer(state), *tested]
    return next((name for name in wanted if name in tested), own_explainer(state))


def context_claim(session: Session, neuron: NeuronId) -> tuple[ContextClaim, ContextRow | None] | None:
    """The context claim shown of a neuron, with its row where it is one of the study's; None: none was tested."""
    explainer = claim_explainer(session, neuron)
    claim = session.state.context_claims.get((neuron, explainer))
    if claim is None:
        return None
    row = study_claims(session).rows.get((str(neuron), None, explainer))
    return claim, row if row is not None and row.kind == "context" else None


def head_claim(session: Session, neuron: NeuronId, head: HeadId) -> tuple[HeadClaim, HeadClaimRow | None] | None:
    """The head claim shown, with its row where it is one of the study's; None: none was tested."""
    explainer = claim_explainer(session, neuron, head)
    claim = session.state.head_claims.get((neuron, head, explainer))
    if claim is None:
        return None
    row = study_claims(session).rows.get((str(neuron), str(head), explainer))
    return claim, row if row is not None and row.kind == "head" else None


def chosen_heads(session: Session, neuron: NeuronId) -> list[ClaimHead]:
    """The heads that claims are about: those that take most within matched pairs, then the others by effect."""
    event = session.state.claim_heads.get(neuron)
    context = context_claim(session, neuron)
    taken = {one.head: one.taken.value for one in (context[0].heads if context is not None else [])}
    heads = event.heads if event is not None else []
    return sorted(heads, key=lambda one: (one.head not in taken, -abs(taken.get(one.head, one.effect))))


def first_neuron(session: Session) -> NeuronId | None:
    """Where to begin: the neuron of the strongest finding, else a valid one of large context share, else the first."""
    state = session.state
    if has_claim_stages(state) and (findings := study_claims(session).conclusions.findings):
        return NeuronId.parse(findings[0].neuron)
    studied = [found.neuron for found in state.next_token_neurons()] or list(state.neurons)

    def worth(neuron: NeuronId) -> tuple[bool, float]:
        validity, share = state.validity.get(neuron), state.context_share.get(neuron)
        return validity is not None and validity.valid, share.share.value if share is not None else 0.0

    shared = [neuron for neuron in studied if neuron in state.context_share]
    return max(shared, key=worth) if shared else next(iter(studied), None)


def is_driven_by_last_token(session: Session, neuron: NeuronId) -> bool:
    """Whether its context share was measured and is too small for its heads to be explained."""
    share = session.state.context_share.get(neuron)
    return share is not None and not share.is_driven


def why_no_claim(session: Session, neuron: NeuronId) -> str:
    """Why there is no context claim about the neuron, in one or two sentences."""
    state = session.state
    if not has_claim_stages(state):
        return study_claims(session).conclusions.verdict.sentence
    if neuron not in state.neurons:
        return f"{neuron} was looked at by name: claims are tested about the study's own neurons."
    if state.is_done("claims"):
        return f"No context claim could be tested about {neuron}: it has too few matched places."
    stages = ", ".join(dict.fromkeys(stage for stage, _ in state.running))
    return "Claims are not tested yet" + (f"; now running: {visible(stages)}." if stages else ".")


# the places behind claims


def claim_places(session: Session, neuron: NeuronId) -> ClaimPlaces | None:
    """The firing and matched places of a neuron; None where there are none or they cannot be read."""
    event = session.state.firing.get(neuron)
    if event is None:
        return None
    if event.artefact not in session.places:
        from headtorch.core.study.claim_places import ClaimPlaces  # numpy: not before the first frame

        arrays = session.loaded(event.artefact)
        try:
            session.places[event.artefact] = None if arrays is None else ClaimPlaces.of(arrays)
        except HeadtorchError as error:
            session.on_notice(str(error), True)
            session.places[event.artefact] = None
    return session.places[event.artefact]


def labelled_prompts(session: Session, activity: HeadActivity) -> list[Prompt]:
    """The prompts or firing places that `activity.active` labels; none where they cannot be read."""
    if activity.places == "firing" and claim_places(session, activity.neuron) is None:
        return []
    return session.state.labelled_prompts(activity)


def of_chosen_head(
    session: Session, neuron: NeuronId, head: HeadId, name: Literal["attribution", "effect"]
) -> list[float | None]:
    """A(h), or e(h), at every firing place of a head that claims are about; empty where that is not known."""
    values = _array_of(session, neuron, head, name)
    return [] if values is None else [value if value == value else None for value in values.tolist()]


def baseline_of(session: Session, neuron: NeuronId, head: HeadId) -> tuple[float, float] | None:
    """Ā(h) and sd(h) of a head that claims are about, over random positions."""
    mean, deviation = (_array_of(session, neuron, head, name) for name in ("baseline_mean", "baseline_sd"))
    return None if mean is None or deviation is None else (float(mean), float(deviation))


def _array_of(session: Session, neuron: NeuronId, head: HeadId, name: str) -> NDArray[np.generic] | None:
    """The head's column of an array of the artefact of chosen heads; the head is its last axis."""
    event = session.state.claim_heads.get(neuron)
    at = next((i for i, one in enumerate(event.heads) if one.head == head), None) if event is not None else None
    arrays = session.loaded(event.artefact) if event is not None and at is not None else None
    if arrays is None or name not in arrays:
        return None
    column: NDArray[np.generic] = arrays[name][..., at]
    return column
