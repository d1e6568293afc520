"""A made-up study of a model with 4 layers of 8 heads, for tests of the terminal: small, whole, and its sums agree.

Three next-token neurons and two random ones, twelve prompts each. What a head gives to a neuron is high on the prompts
where it is called active and near its baseline on the others, in the arrays as in the records made from them.
"""

from __future__ import annotations

from pathlib import Path

import made_up
import numpy as np
from fake_engine import FakeEngine
from numpy.typing import NDArray

from headtorch.core.causes import Ablation, AblationGroup
from headtorch.core.engine.protocol import HeadRoles, NeuronList, Shading
from headtorch.core.events import (
    AnyEvent,
    BaselineCompared,
    HeadAblated,
    HeadActivityFound,
    HeadExplained,
    HeadsAttributed,
    HeadScored,
    IndexReady,
    ModelOpened,
    NeuronsFound,
    PromptsFound,
    ScoresAdjusted,
    StageFinished,
    StageStarted,
    StudyFinished,
    ValidityMeasured,
    Warned,
)
from headtorch.core.records import (
    AdjustedP,
    Control,
    Explanation,
    GroupMean,
    HeadActivity,
    HeadId,
    HeadSummary,
    Interval,
    Kind,
    ModelFacts,
    NeuronId,
    NextTokenNeuron,
    Prompt,
    Score,
    Validity,
)
from headtorch.core.settings import Settings
from headtorch.core.study.artefacts import content_hash
from headtorch.core.study.state import StudyState, fold
from headtorch.core.study.study import Study
from headtorch.tui.selection import Selection
from headtorch.tui.session import Session

LAYERS, HEADS, PROMPTS, LOWER = 4, 8, 12, 4
AN, AS, STATES = NeuronId(3, 892), NeuronId(3, 17), NeuronId(2, 364)
RANDOM_1, RANDOM_2 = NeuronId(3, 77), NeuronId(2, 1386)
NEURONS = (AN, AS, STATES, RANDOM_1, RANDOM_2)
LOOKUP, PREVIOUS, DAMPING, ALWAYS = HeadId(2, 7), HeadId(1, 2), HeadId(2, 4), HeadId(0, 5)

HOSTILE = "[bold]x[/bold] [/INST] \x1b[31mred\x1b]0;title\x07 a\u202eb\u2066c\u0000\r\n\t漢字 e\u0301 {0} %s"

_TOKENS = {AN: " an", AS: " as", STATES: " States", RANDOM_1: " other", RANDOM_2: " well"}
_TEXTS = (
    (" an", "the| apple| tree| and| picked"),
    (" an", "plate| of| oranges|,| he| ate"),
    (" a", "such| a| way| that| it| became"),
    (" an", "the| eagle| is| also| called"),
    (" an", "umbrellas|,| so| she| bought"),
    (" a", "after| the| other|,| was"),
    (" an", "an| hour| or| maybe| half"),
    (" an", "of| the| Union| and| every| officer|,| which| is"),
    (" the", "in| the| course| of| last| summer|,| we| saw"),
    (" an", "eggs| were| dear| that| year|;| he| wanted"),
    (None, "it| ends| with| this"),
    (" an", "an| owl| and| an| eel| met"),
)


def is_active(head: HeadId, prompt: int) -> bool:
    """The labels of the made-up heads, prompts from lower bins at the end."""
    if head == ALWAYS:
        return prompt < PROMPTS
    if prompt >= PROMPTS:
        return False
    return {LOOKUP: prompt % 3 != 2, PREVIOUS: prompt % 2 == 0, DAMPING: prompt % 4 < 2}.get(head, False)


def sample_prompt(neuron: NeuronId, index: int, lower: bool = False) -> Prompt:
    """The `index`-th prompt of a neuron, its strongest first; `lower`: one from a lower activation bin."""
    follows, words = _TEXTS[(index + neuron.layer * 5 + neuron.index) % len(_TEXTS)] if neuron != AN else _TEXTS[index]
    if follows == " an":
        follows = _TOKENS[neuron]
    tokens = words.split("|")
    activation = (1.5 if lower else 9.81) - 0.37 * index
    document = 4127 + 13 * index + neuron.index + 1000 * lower
    return made_up.prompt(
        neuron,
        document,
        tokens,
        position=211 + index,
        title=f"{1790 + index} A speech, no. {document}",
        token_ids=[0, *range(10, 10 + len(tokens))],
        activation=activation,
        full_activation=activation * 1.1,
        kept_ratio=1 / 1.1,
        half="explain" if index % 2 == 0 else "score",
        next_token_id=None if follows is None else _token_id(neuron) if follows == _TOKENS[neuron] else 99,
        next_token=follows,
        bin=3 if lower else None,
    )


def _token_id(neuron: NeuronId) -> int:
    return 7 + NEURONS.index(neuron)


def sample_arrays(neuron: NeuronId) -> dict[str, NDArray[np.float64]]:
    """The artefact of a neuron; parts sum to its pre-activation, heads that cannot feed it are nan."""
    random = np.random.default_rng(neuron.layer * 10_000 + neuron.index)
    direct = random.normal(0.0, 0.02, (PROMPTS, LAYERS, HEADS))
    for head, strength in ((LOOKUP, 3.1), (PREVIOUS, 1.2), (DAMPING, -0.8), (ALWAYS, 1.9)):
        for prompt in range(PROMPTS):
            direct[prompt, head.layer, head.index] += strength if is_active(head, prompt) else 0.05
    direct[:, neuron.layer + 1 :] = np.nan
    mlps = random.normal(0.3, 0.1, (PROMPTS, 1, LAYERS))
    mlps[..., neuron.layer :] = 0.0
    attention_bias = random.normal(0.0, 0.01, (PROMPTS, 1, LAYERS))
    embed, position = random.normal(0.2, 0.05, (PROMPTS, 1)), random.normal(0.0, 0.05, (PROMPTS, 1))
    bias = np.full((PROMPTS, 1), -0.4)
    total = np.nansum(direct, axis=(1, 2))[:, None] + mlps.sum(-1) + attention_bias.sum(-1) + embed + position + bias
    return {
        "headline": direct,
        "heads": direct[:, None],
        "dot": direct[:, None] * 7.0,
        "removal": -direct,
        "embed": embed,
        "position": position,
        "attention_bias": attention_bias,
        "mlps": mlps,
        "bias": bias,
        "pre_activation": total,
        "activation": np.maximum(total[:, 0], 0.0),
    }


def sample_events() -> list[AnyEvent]:
    """Everything that the log of the finished study holds, StudyOpened left out."""
    before: list[AnyEvent] = [
        StageStarted(stage="discover"),
        ModelOpened(facts=sample_facts()),
        made_up.corpus(),
        NeuronsFound(neurons=[sample_row(neuron) for neuron in NEURONS]),
        StageFinished(stage="discover", seconds=1.5),
        IndexReady(key="k", windows=9000, tokens=2_000_000, seconds=60.0),
    ]
    found = [event for neuron in NEURONS for event in _of_neuron(neuron)]
    return [*before, *found, *_over_all()]


def sample_row(neuron: NeuronId) -> NextTokenNeuron:
    """A neuron's row as discovery gives it."""
    at = NEURONS.index(neuron)
    kinds: tuple[Kind, ...] = ("prediction", "prediction", "suppression", "ordinary", "entropy")
    return made_up.found(
        neuron,
        _TOKENS[neuron],
        token_id=_token_id(neuron),
        congruence=14.2 - 1.7 * at,
        cosine=0.61 - 0.08 * at,
        z=31.0 - 5.0 * at,
        rank=at,
        kind=kinds[at],
        random=neuron in (RANDOM_1, RANDOM_2),
    )


def _of_neuron(neuron: NeuronId) -> list[AnyEvent]:
    at = NEURONS.index(neuron)
    lower = [sample_prompt(neuron, index, lower=True) for index in range(LOWER)]
    activities = [
        sample_activity(neuron, head, lower=LOWER if head == ALWAYS else 0)
        for head in (LOOKUP, PREVIOUS, DAMPING, ALWAYS)
    ]
    scored = [
        sample_score(neuron, LOOKUP, 0.83 - 0.06 * at),
        sample_score(neuron, PREVIOUS, 0.71 - 0.05 * at),
        sample_score(neuron, DAMPING, None),
    ]
    return [
        PromptsFound(
            neuron=neuron, prompts=[sample_prompt(neuron, i) for i in range(PROMPTS)], dropped_near_duplicates=3
        ),
        ValidityMeasured(validity=sample_validity(neuron)),
        sample_attribution(neuron),
        HeadActivityFound(
            neuron=neuron,
            heads=activities,
            eligible=(neuron.layer + 1) * HEADS,
            never_active=(neuron.layer + 1) * HEADS - 4,
            always_active=1,
            explainable=3,
            lower=lower,
        ),
        *(HeadExplained(explanation=sample_explanation(neuron, score.head)) for score in scored),
        *(HeadScored(score=score) for score in scored),
        *(HeadAblated(ablation=sample_ablation(neuron, head)) for head in (LOOKUP, PREVIOUS)),
    ]


def _over_all() -> list[AnyEvent]:
    return [
        ScoresAdjusted(
            explainer="rules",
            method="Benjamini-Yekutieli",
            tests=6,
            adjusted=[
                AdjustedP(neuron=neuron, head=head, explainer="rules", q=0.004 * (1 + at))
                for at, neuron in enumerate((AN, AS, STATES))
                for head in (LOOKUP, PREVIOUS)
            ],
        ),
        BaselineCompared(
            explainer="rules",
            next_token=GroupMean(mean=0.72, median=0.73, interval=Interval(0.64, 0.8), heads=6, neurons=3),
            random=GroupMean(mean=0.57, median=0.57, interval=Interval(0.5, 0.63), heads=4, neurons=2),
            difference=0.15,
            interval=Interval(0.04, 0.26),
        ),
        Warned(text="Only 12 prompts were found.", neuron=STATES),
        Warned(text="The corpus is small for this model."),
        StudyFinished(seconds=100.0),
    ]


def sample_attribution(neuron: NeuronId) -> HeadsAttributed:
    """The means of `sample_arrays`, and the name of its artefact."""
    arrays = sample_arrays(neuron)
    summaries = [
        HeadSummary(
            head=HeadId(layer, head),
            mean_direct=float(arrays["headline"][:, layer, head].mean()),
            mean_dot=float(arrays["dot"][:, 0, layer, head].mean()),
            mean_removal=float(arrays["removal"][:, layer, head].mean()),
            beta=0.31 if HeadId(layer, head) == LOOKUP else 0.01,
            baseline_mean=0.05,
            baseline_sd=0.2,
        )
        for layer in range(neuron.layer + 1)
        for head in range(HEADS)
    ]
    ranked = sorted(summaries, key=lambda summary: -abs(summary.mean_direct))
    return HeadsAttributed(
        neuron=neuron,
        artefact=f"{content_hash(arrays)}.npz",
        heads=summaries,
        top_heads=[summary.head for summary in ranked[:5]],
        max_error=3e-7,
    )


def sample_activity(neuron: NeuronId, head: HeadId, lower: int = 0) -> HeadActivity:
    """A head's labels by `is_active`."""
    active = [is_active(head, prompt) for prompt in range(PROMPTS + lower)]
    explaining = active[:PROMPTS:2]
    return made_up.activity(
        neuron,
        head,
        active,
        suppressing=head == DAMPING,
        explain_share=sum(explaining) / len(explaining),
        mean_active=-0.8 if head == DAMPING else 3.1,
        mean_inactive=0.05,
        lower=lower,
    )


def sample_explanation(neuron: NeuronId, head: HeadId) -> Explanation:
    """A rule in words."""
    text = "Active when the text has named, a few words earlier, a thing that begins with a vowel sound."
    return made_up.explanation(neuron, head, text, rule="re:\\b[aeiou]")


def sample_score(neuron: NeuronId, head: HeadId, e: float | None) -> Score:
    """E with its interval and controls; without `e`, a head that could not be scored."""
    inactive = 0 if e is None else 4
    return made_up.score(
        neuron,
        head,
        e,
        n_active=8,
        n_inactive=inactive,
        true_active=7,
        true_inactive=3 if inactive else 0,
        interval=None if e is None else Interval(e - 0.12, min(1.0, e + 0.09)),
        f1=None if e is None else 0.81,
        mcc=None if e is None else 0.6,
        random_text_precision=None if e is None else 0.2,
        controls=[
            Control(name="other head", e=0.52, n=12),
            Control(name="empty", e=0.5, n=12),
            Control(name="shuffled", e=None, n=0),
        ],
        wrong_inactive=[] if e is None else [5],
    )


def sample_validity(neuron: NeuronId) -> Validity:
    """Valid for the next-token neurons, not for the random ones."""
    chosen = neuron in (AN, AS, STATES)
    return made_up.validity(
        neuron,
        token_id=_token_id(neuron),
        next_share=0.875 if chosen else 0.02,
        base_rate=0.004,
        lift=218.75 if chosen else 5.0,
        auroc=0.97 if chosen else None,
        ablation_log_p=-0.5 if chosen else 0.01,
        valid=chosen,
    )


def sample_ablation(neuron: NeuronId, head: HeadId) -> Ablation:
    """The head matters where it is active."""
    return made_up.ablation(
        neuron,
        head,
        token_id=_token_id(neuron),
        active=AblationGroup(
            n=8, delta_log_p=-1.31, delta_p=-0.3, delta_logit=-1.2, delta_activation=-2.9, delta_rank=4.5
        ),
        inactive=AblationGroup(n=4, delta_log_p=-0.02, delta_p=0.0, delta_logit=0.01, delta_activation=-0.1),
        ks=0.8,
        ks_p=2e-6,
    )


def sample_facts() -> ModelFacts:
    """A GPT-2 of 4 layers and 8 heads."""
    return made_up.facts(LAYERS, HEADS, 256, d_mlp=1536)


def sample_settings() -> Settings:
    """What the study was asked."""
    return Settings(token_texts=(" an",), layers="last:2", neurons_limit=3, random_neurons=2)


def sample_shading(
    neuron: NeuronId = AN, head: HeadId | None = LOOKUP, full: bool = False, request: int = 1
) -> Shading:
    """The engine's answer to ShadePrompts; sources sum to the head's attribution, attention to 1."""
    prompts = [sample_prompt(neuron, index) for index in range(PROMPTS)]
    far = ["Long", " before", " that", ","] if full else []
    tokens = [[prompt.tokens[0], *far, *prompt.tokens[1:]] for prompt in prompts]
    random = np.random.default_rng(5)
    activation, sources, attention = [], [], []
    for index, (prompt, row) in enumerate(zip(prompts, tokens, strict=True)):
        share = np.full(len(row), 0.1 / len(row))
        share[len(row) // 2] += 0.9
        direct = 0.0 if head is None else sample_arrays(neuron)["headline"][index, head.layer, head.index]
        activation.append([*np.abs(random.normal(0.0, 0.3, len(row) - 1)).tolist(), prompt.activation])
        sources.append((float(np.nan_to_num(direct)) * share).tolist())
        attention.append(share.tolist())
    return Shading(
        request=request,
        neuron=neuron,
        head=head,
        full=full,
        tokens=tokens,
        activation=activation,
        sources=sources if head else [],
        elsewhere=[0.0] * PROMPTS,
        attention=attention if head else [],
        probability=[0.71 - 0.03 * index for index in range(PROMPTS)],
    )


def sample_roles() -> HeadRoles:
    """PREVIOUS looks at the token before, DAMPING at repeated ones; nothing else has a role."""
    scores = np.zeros((3, LAYERS, HEADS))
    scores[0, PREVIOUS.layer, PREVIOUS.index] = 0.92
    scores[2, DAMPING.layer, DAMPING.index] = 0.71
    previous, duplicate, induction = scores.tolist()
    return HeadRoles(request=1, previous_token=previous, duplicate_token=duplicate, induction=induction)


def sample_neuron_list(count: int = 200) -> NeuronList:
    """Every neuron of the last two layers, `count` rows in order of address; the study's own are among them."""
    random = np.random.default_rng(11)
    half = count // 2
    layer = np.repeat([2, 3], [half, count - half])
    index = np.concatenate([np.arange(half), np.arange(count - half)])
    kinds: tuple[Kind, ...] = ("ordinary", "prediction", "suppression", "entropy")
    token = random.integers(0, 4096, count)
    return NeuronList(
        request=1,
        layer=layer.tolist(),
        index=index.tolist(),
        token_id=token.tolist(),
        token=[f" word{i}" for i in token.tolist()],
        congruence=random.normal(3.0, 1.0, count).tolist(),
        cosine=random.uniform(0.0, 0.6, count).tolist(),
        z=random.normal(8.0, 3.0, count).tolist(),
        kind=[kinds[i] for i in random.integers(0, 4, count).tolist()],
    )


def sample_state() -> StudyState:
    """The finished study."""
    state = fold(sample_events())
    state.settings = sample_settings()
    return state


def sample_session(state: StudyState | None = None, study: Study | None = None) -> Session:
    """A session over a FakeEngine that looks at the first neuron and its strongest explained head, shaded."""
    session = Session(FakeEngine(lambda message: None, lambda end: None), state=state or sample_state(), study=study)
    session.selection = Selection(neuron=AN, head=LOOKUP)
    session.take(sample_shading())
    return session


def sample_folder(tmp_path: Path) -> Path:
    """The study as a real folder with its artefacts, so that `Session.arrays` and notes work."""
    folder = tmp_path / "sample"
    with Study.create(folder, sample_settings()) as study:
        for neuron in NEURONS:
            study.save_arrays(sample_arrays(neuron))
        for event in sample_events():
            study.append(event)
    return folder


def session_in(folder: Path) -> Session:
    """A session over the study in `folder`."""
    study = Study.open(folder)
    session = sample_session(study.state, study)
    session.notes = study.notes.read()
    return session
