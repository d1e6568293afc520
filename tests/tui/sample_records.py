"""What a made-up study finds in a model with 4 layers of 8 heads: neurons, their prompts, and a record of each kind.

Three next-token neurons and two random ones, twelve prompts each. What a head gives to a neuron is high on the prompts
where it is called active and near its baseline on the others, in the arrays as in the records made from them.
"""

from __future__ import annotations

import made_up
import numpy as np
from numpy.typing import NDArray

from headtorch.core.causes import Ablation, AblationGroup
from headtorch.core.events import HeadsAttributed
from headtorch.core.records import (
    Control,
    Explanation,
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
from headtorch.core.study.artefacts import content_hash

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
        p=0.0021,
        ks=0.8,
        ks_p=2e-6,
    )


def sample_facts() -> ModelFacts:
    """A GPT-2 of 4 layers and 8 heads."""
    return made_up.facts(LAYERS, HEADS, 256, d_mlp=1536)
