"""A language model as the terminal sees it, for tests: settings, what it says of a head, what its judge decides."""

from __future__ import annotations

from sample_records import AN, LOOKUP, is_active

from headtorch.core.events import AnyEvent, HeadExplained, HeadJudged, HeadScored
from headtorch.core.records import Explanation, HeadId, Interval, Judgement, NeuronId, Score, Verdict
from headtorch.core.settings import LlmAccess, LlmSettings, Price
from headtorch.tui.language_model import LanguageModel

MODEL = LlmSettings(model="small-1", base_url="http://127.0.0.1:9/v1")
NAME = "llm:small-1"
PRICED = LlmAccess(prices={"small-1": Price(1.0, 2.0)})
AT_HAND = LanguageModel(MODEL, PRICED)


def said_by(
    explainer: str, text: str = "Active after a fruit.", neuron: NeuronId = AN, head: HeadId = LOOKUP
) -> Explanation:
    """A claim without a rule."""
    return Explanation(neuron=neuron, head=head, explainer=explainer, text=text)


def judged_by(judge: str, explainer: str, verdicts: list[Verdict]) -> Judgement:
    """Verdicts on the scoring prompts (the odd ones) of the sample's first head, in order."""
    return Judgement(
        neuron=AN,
        head=LOOKUP,
        explainer=explainer,
        judge=judge,
        prompts=[1 + 2 * at for at in range(len(verdicts))],
        verdicts=verdicts,
    )


def score_of(judgement: Judgement, e: float = 0.75) -> Score:
    """A score that goes with the verdicts."""
    pairs = list(zip(judgement.prompts, judgement.verdicts, strict=True))
    active = [(i, v) for i, v in pairs if is_active(LOOKUP, i)]
    inactive = [(i, v) for i, v in pairs if not is_active(LOOKUP, i)]
    return Score(
        neuron=AN,
        head=LOOKUP,
        explainer=judgement.explainer,
        n_active=len(active),
        n_inactive=len(inactive),
        true_active=sum(v is True for _, v in active),
        true_inactive=sum(v is False for _, v in inactive),
        unusable=sum(v is None for _, v in pairs),
        e=e,
        interval=Interval(e - 0.2, e + 0.1),
        f1=0.7,
        mcc=0.5,
        p=0.03,
        q=None,
        random_text_precision=None,
        controls=[],
        dropped=0,
        wrong_active=[i for i, v in active if v is not True],
        wrong_inactive=[i for i, v in inactive if v is not False],
    )


def explained_by(explainer: str, judge: str, verdicts: list[Verdict], text: str, e: float = 0.75) -> list[AnyEvent]:
    """What the engine tells of a head that was explained, judged and scored."""
    judgement = judged_by(judge, explainer, verdicts)
    return [
        HeadExplained(explanation=said_by(explainer, text)),
        HeadJudged(judgement=judgement),
        HeadScored(score=score_of(judgement, e)),
    ]
