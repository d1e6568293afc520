"""A study as flat tables: one row a neuron, prompt, head, score or ablation. For tables, data frames and CSV."""

from __future__ import annotations

from statistics import median

from headtorch.core.causes import AblationGroup
from headtorch.core.records import NextTokenNeuron, Record, Score
from headtorch.core.study.state import ExplainedHead, StudyState


class NeuronRow(Record, frozen=True, kw_only=True):
    """A neuron and what came out for it.

    `best`: of the explanation whose E has the highest lower bound. The first of several is biased upwards: read
    it beside median and count.
    """

    neuron: str
    token: str
    token_id: int
    congruence: float
    cosine: float
    z: float
    rank: int
    kind: str
    sign: int
    glitch: bool
    random: bool
    valid: bool | None  # None: not measured
    next_share: float | None
    lift: float | None
    context_share: float | None  # share of the activation that heads account for; None: not measured
    context_share_low: float | None
    context_share_high: float | None
    prompts: int
    heads_explained: int
    scored: int  # explained heads that could be scored
    median_e: float | None
    best_e: float | None
    best_low: float | None  # 95 % interval of the best E, which does not know that it is the best
    best_high: float | None
    best_n_active: int | None
    best_n_inactive: int | None
    best_lower: int | None = None  # of the prompts behind the best E, those from lower activation bins
    odds_ratio: float | None = None  # of the token following at the neuron's top prompts over the odds in the corpus
    odds_low: float | None = None
    odds_high: float | None = None


class PromptRow(Record, frozen=True, kw_only=True):
    neuron: str
    half: str
    document: int
    title: str
    position: int
    start: int
    activation: float
    full_activation: float
    kept_ratio: float
    cluster: int
    long: bool
    text: str
    next_token: str | None
    bin: int | None  # of the activation histogram, where it was drawn from a lower one; None: of the strongest


class HeadRow(Record, frozen=True, kw_only=True):
    """A head's share of a neuron, over the neuron's prompts."""

    neuron: str
    token: str
    random: bool
    head: str
    rank: int  # by the study's attribution, 0 is the strongest
    mean_direct: float
    mean_dot: float | None
    mean_removal: float | None
    beta: float | None
    baseline_mean: float | None
    baseline_sd: float | None
    prior: float | None
    explain_share: float | None  # share of the explaining half's strongest prompts on which it is active
    suppressing: bool | None


class ScoreRow(Record, frozen=True, kw_only=True):
    """An explanation of a head for a neuron, with its score; `e` None: not scorable, or not scored."""

    neuron: str
    token: str
    random: bool
    head: str
    explainer: str
    explanation: str
    e: float | None
    low: float | None
    high: float | None
    n_active: int
    n_inactive: int
    true_active: int
    true_inactive: int
    unusable: int
    f1: float | None
    mcc: float | None
    p: float | None
    q: float | None
    random_text_precision: float | None
    dropped: int
    lower: int  # of the prompts scored on, those from lower activation bins
    auroc: float | None  # of the judge's degree or probability, where it has one


class AblationRow(Record, frozen=True, kw_only=True):
    neuron: str
    head: str
    token_id: int
    replacement: str
    position: str
    n_active: int
    delta_log_p_active: float | None
    delta_p_active: float | None
    delta_logit_active: float | None
    delta_activation_active: float | None
    n_inactive: int
    delta_log_p_inactive: float | None
    delta_p_inactive: float | None
    delta_logit_inactive: float | None
    delta_activation_inactive: float | None
    p: float | None  # of "the label does not matter", labels permuted over clusters of documents
    q: float | None  # adjusted over the heads ablated alike
    controlled_p: float | None  # the same p for the change beyond that of control heads
    ks: float | None
    ks_p: float | None
    lower: int  # of the prompts, those from lower activation bins


def summary_rows(state: StudyState, explainer: str | None = None) -> list[NeuronRow]:
    """One row a neuron, in the order found. Scores are those of `explainer`, by default the study's own."""
    chosen = explainer or (state.settings.explainer_name if state.settings else "rules")
    return [neuron_row(state, found, chosen) for found in state.neurons.values()]


def neuron_row(state: StudyState, found: NextTokenNeuron, explainer: str) -> NeuronRow:
    """A neuron's row, with the scores of `explainer`."""
    neuron = found.neuron
    validity, measured = state.validity.get(neuron), state.context_share.get(neuron)
    share = measured.share if measured else None
    scores = [score for score in state.scores_of(neuron) if score.explainer == explainer]
    scorable = {score.head: score.e for score in scores if score.e is not None}
    best = max((score for score in scores if score.interval is not None), key=_lower_bound, default=None)
    return NeuronRow(
        neuron=str(neuron),
        token=found.token,
        token_id=found.token_id,
        congruence=found.congruence,
        cosine=found.cosine,
        z=found.z,
        rank=found.rank,
        kind=found.kind,
        sign=found.sign,
        glitch=found.glitch,
        random=found.random,
        valid=validity.valid if validity else None,
        next_share=validity.next_share if validity else None,
        lift=validity.lift if validity else None,
        context_share=share.value if share else None,
        context_share_low=share.low if share else None,
        context_share_high=share.high if share else None,
        prompts=len(state.prompts.get(neuron, [])),
        heads_explained=sum(said.explainer == explainer for said in state.explanations_of(neuron)),
        scored=len(scorable),
        median_e=median(scorable.values()) if scorable else None,
        best_e=best.e if best else None,
        best_low=best.interval.low if best and best.interval else None,
        best_high=best.interval.high if best and best.interval else None,
        best_n_active=best.n_active if best else None,
        best_n_inactive=best.n_inactive if best else None,
        best_lower=best.lower if best else None,
        odds_ratio=validity.odds_ratio if validity else None,
        odds_low=validity.odds_low if validity else None,
        odds_high=validity.odds_high if validity else None,
    )


def _lower_bound(score: Score) -> tuple[float, float]:
    """Of E, by which explanations are ranked: E itself is highest where there are fewest prompts."""
    return (score.interval.low if score.interval else 0.0), score.e or 0.0


def prompt_rows(state: StudyState) -> list[PromptRow]:
    """One row a prompt, a neuron's strongest and then those from lower activation bins; `text` is the kept tokens."""
    return [
        PromptRow(
            neuron=str(prompt.neuron),
            half=prompt.half,
            document=prompt.document,
            title=prompt.title,
            position=prompt.position,
            start=prompt.start,
            activation=prompt.activation,
            full_activation=prompt.full_activation,
            kept_ratio=prompt.kept_ratio,
            cluster=prompt.cluster,
            long=prompt.long,
            text="".join(prompt.document_tokens),
            next_token=prompt.next_token,
            bin=prompt.bin,
        )
        for neuron, strongest in state.prompts.items()
        for prompt in [*strongest, *(state.activity[neuron].lower if neuron in state.activity else [])]
    ]


def head_rows(state: StudyState) -> list[HeadRow]:
    """One row a neuron and eligible head, the strongest first."""
    rows = []
    for neuron in state.attributed:
        found = state.neurons.get(neuron)
        for rank, summary in enumerate(state.heads(neuron).values()):
            activity = state.activity_of(neuron, summary.head)
            rows.append(
                HeadRow(
                    neuron=str(neuron),
                    token=found.token if found else "",
                    random=found.random if found else False,
                    head=str(summary.head),
                    rank=rank,
                    mean_direct=summary.mean_direct,
                    mean_dot=summary.mean_dot,
                    mean_removal=summary.mean_removal,
                    beta=summary.beta,
                    baseline_mean=summary.baseline_mean,
                    baseline_sd=summary.baseline_sd,
                    prior=summary.prior,
                    explain_share=activity.explain_share if activity else None,
                    suppressing=activity.suppressing if activity else None,
                )
            )
    return rows


def score_rows(state: StudyState) -> list[ScoreRow]:
    """One row a score, neuron by neuron and then explainer by explainer: answers come in any order."""
    neurons = {neuron: place for place, neuron in enumerate([*state.neurons, *state.visited])}
    explainers = {name: place for place, name in enumerate(state.explainers())}
    heads = {(one.neuron, one.head): place for place, one in enumerate(state.explainable())}

    def place(key: ExplainedHead) -> tuple[int, ...]:
        neuron, head, explainer = key
        unknown = len(state.scores)
        return neurons.get(neuron, unknown), explainers.get(explainer, unknown), heads.get((neuron, head), unknown)

    rows = []
    for (neuron, head, explainer), score in sorted(state.scores.items(), key=lambda one: place(one[0])):
        found = state.neurons.get(neuron)
        said = state.explanations.get((neuron, head, explainer))
        rows.append(
            ScoreRow(
                neuron=str(neuron),
                token=found.token if found else "",
                random=found.random if found else False,
                head=str(head),
                explainer=explainer,
                explanation=said.text if said else "",
                e=score.e,
                low=score.interval.low if score.interval else None,
                high=score.interval.high if score.interval else None,
                n_active=score.n_active,
                n_inactive=score.n_inactive,
                true_active=score.true_active,
                true_inactive=score.true_inactive,
                unusable=score.unusable,
                f1=score.f1,
                mcc=score.mcc,
                p=score.p,
                q=score.q,
                random_text_precision=score.random_text_precision,
                dropped=score.dropped,
                lower=score.lower,
                auroc=score.auroc,
            )
        )
    return rows


def ablation_rows(state: StudyState) -> list[AblationRow]:
    """One row a neuron, head, replacement and position; differences are after minus before."""
    return [
        AblationRow(
            neuron=str(done.neuron),
            head=str(done.head),
            token_id=done.token_id,
            replacement=done.replacement,
            position=done.position,
            n_active=done.active.n,
            n_inactive=done.inactive.n,
            p=done.p,
            q=done.q,
            controlled_p=done.controlled_p,
            ks=done.ks,
            ks_p=done.ks_p,
            lower=done.lower,
            **_deltas(done.active, "active"),
            **_deltas(done.inactive, "inactive"),
        )
        for done in state.adjusted_ablations()
    ]


def _deltas(group: AblationGroup, name: str) -> dict[str, float | None]:
    return {
        f"delta_log_p_{name}": group.delta_log_p,
        f"delta_p_{name}": group.delta_p,
        f"delta_logit_{name}": group.delta_logit,
        f"delta_activation_{name}": group.delta_activation,
    }
