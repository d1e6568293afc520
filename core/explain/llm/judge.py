"""A language model as judge: it reads a claim and a text, and says whether the head is active at the text's end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from headtorch.core.explain.llm.asking import NOT_ASKED, Chat, Distinct
from headtorch.core.explain.llm.prompts import (
    OPTIONS,
    VERDICT_SCHEMA,
    VERDICTS_SCHEMA,
    check_version,
    judge_messages,
)
from headtorch.core.explain.llm.questions import Question, Reply, Unanswered
from headtorch.core.explain.llm.verdicts import read_verdict, read_verdicts
from headtorch.core.explain.protocol import Case, NoAnswer
from headtorch.core.records import Explanation, Judgement, Verdict
from headtorch.core.settings import LlmSettings

OnVerdicts = Callable[[Case, list[int], list[Verdict], int], None]
TOKENS_EACH = 24  # of an answer, for each text of a batch


@dataclass
class _Waiting:
    """A case, and what has been said of it."""

    case: Case
    own: list[Verdict]
    others: list[list[Verdict]]
    empty: list[Verdict]
    random: list[Verdict]
    probabilities: list[float | None]  # of `own`
    known: set[int] = field(default_factory=set)  # places in `own`
    calls: int = 0
    left: int = 0
    unanswered: int = 0
    reason: str = ""

    @classmethod
    def of(cls, case: Case) -> _Waiting:
        n = len(case.controls)
        return cls(
            case=case,
            own=[None] * len(case.prompts),
            others=[[None] * n for _ in case.others],
            empty=[None] * n,
            random=[None] * len(case.random_texts),
            probabilities=[None] * len(case.prompts),
        )


class _Place(NamedTuple):
    """Where the verdicts of one question go: `size` of them from `begin` on, in one of the case's lists."""

    of: _Waiting
    verdicts: list[Verdict]
    begin: int
    size: int


class LlmJudge:
    """Judges any explanation, also one that carries a rule, by its words."""

    def __init__(self, settings: LlmSettings, chat: Chat, *, on_verdicts: OnVerdicts | None = None) -> None:
        """`on_verdicts` hears a case, which of its prompts are judged, how, and how many will be.

        Raises ExplanationError for prompts of an unknown version.
        """
        check_version(settings.prompts)
        self._settings = settings
        self._model = settings.judge_model or settings.model
        self._chat = chat
        self._on_verdicts = on_verdicts

    @property
    def name(self) -> str:
        """ "llm:" and the model's name."""
        return f"llm:{self._model}"

    def questions(self, cases: Sequence[Case]) -> list[Question]:
        """What would be asked, each question once, case by case: asking that is cut off leaves whole cases behind."""
        return self._plan([_Waiting.of(case) for case in cases]).questions

    def judge_all(self, cases: Sequence[Case]) -> Iterator[Judgement | NoAnswer]:
        """A judgement for each case as soon as it is whole; NoAnswer where a call stays unanswered.

        A text that the model refuses to judge has an unusable verdict.

        All calls go out together, in the order of the cases. Cases that ask the same (an empty explanation, say)
        share the answer.
        """
        waiting = [_Waiting.of(case) for case in cases]
        plan = self._plan(waiting)
        yield from (self._judgement(one) for one in waiting if not one.left)
        lost = NOT_ASKED
        unheard = set(range(len(plan.questions)))
        with closing(self._chat.ask(plan.questions)) as replies:
            for number, reply in replies:
                if isinstance(reply, Unanswered) and reply.final:
                    lost = reply
                unheard.remove(number)
                yield from self._take(plan.places[number], reply)
        for number in sorted(unheard):
            yield from self._take(plan.places[number], lost)

    def _plan(self, waiting: Sequence[_Waiting]) -> Distinct[_Place]:
        plan: Distinct[_Place] = Distinct()
        for one in waiting:
            case = one.case
            self._add(plan, one, case.explanation, case.texts, one.own)
            shown = [case.texts[place] for place in case.controls]
            for other, verdicts in zip(case.others, one.others, strict=True):
                self._add(plan, one, other, shown, verdicts)
            nothing = msgspec.structs.replace(case.explanation, text="", rule=None)
            self._add(plan, one, nothing, shown, one.empty)
            self._add(plan, one, case.explanation, case.random_texts, one.random)
        return plan

    def _add(
        self,
        plan: Distinct[_Place],
        one: _Waiting,
        explanation: Explanation,
        texts: Sequence[Sequence[str]],
        verdicts: list[Verdict],
    ) -> None:
        size = max(1, self._settings.judge_batch)
        for begin in range(0, len(texts), size):
            batch = texts[begin : begin + size]
            plan.add(self._question(explanation, batch), _Place(one, verdicts, begin, len(batch)))
            one.calls += 1
            one.left += 1

    def _question(self, explanation: Explanation, texts: Sequence[Sequence[str]]) -> Question:
        settings = self._settings
        return Question(
            base_url=settings.judge_base_url or settings.base_url,
            model=self._model,
            messages=judge_messages(explanation, texts),
            schema=VERDICT_SCHEMA if len(texts) == 1 else VERDICTS_SCHEMA,
            temperature=settings.temperature,
            max_tokens=max(settings.max_tokens, TOKENS_EACH * len(texts)),
            options=OPTIONS if settings.judge_batch == 1 else (),
        )

    def _take(self, places: Sequence[_Place], reply: Reply) -> Iterator[Judgement | NoAnswer]:
        for place in places:
            one = place.of
            one.left -= 1
            if isinstance(reply, Unanswered) and not reply.refused:
                one.unanswered += 1
                one.reason = one.reason or reply.reason
            else:
                said = _verdicts(reply, place.size)
                place.verdicts[place.begin : place.begin + place.size] = said
                if place.verdicts is one.own:
                    one.probabilities[place.begin] = _probability(reply)
                    one.known.update(range(place.begin, place.begin + place.size))
                    self._tell(one)
            if not one.left:
                yield self._judgement(one)

    def _tell(self, one: _Waiting) -> None:
        if self._on_verdicts is not None:
            known = sorted(one.known)
            prompts = [one.case.prompts[place] for place in known]
            self._on_verdicts(one.case, prompts, [one.own[place] for place in known], len(one.own))

    def _judgement(self, one: _Waiting) -> Judgement | NoAnswer:
        case, claim = one.case, one.case.explanation
        if one.unanswered:
            return NoAnswer(
                neuron=claim.neuron, head=claim.head, reason=one.reason, unanswered=one.unanswered, calls=one.calls
            )
        return Judgement(
            neuron=claim.neuron,
            head=claim.head,
            explainer=claim.explainer,
            judge=self.name,
            prompts=list(case.prompts),
            verdicts=one.own,
            control_prompts=[case.prompts[place] for place in case.controls],
            others=one.others,
            empty=one.empty,
            random_active=list(case.random_active),
            random_verdicts=one.random,
            dropped=case.dropped,
            probabilities=one.probabilities if any(p is not None for p in one.probabilities) else [],
        )


def _probability(reply: Reply) -> float | None:
    """P("active") of an answer about one text, where the endpoint says."""
    if isinstance(reply, Unanswered) or reply.probabilities is None:
        return None
    return reply.probabilities[0]


def _verdicts(reply: Reply, size: int) -> list[Verdict]:
    """What was said of each text. A refusal is an answer that is neither: asked again, it would be refused again."""
    if isinstance(reply, Unanswered):
        return [None] * size
    return [read_verdict(reply.text)] if size == 1 else read_verdicts(reply.text, size)
