"""Records of a made-up study, plausible and whole: each builder takes the fields that a test cares about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headtorch.core.causes import Ablation, AblationGroup
from headtorch.core.events import CorpusOpened
from headtorch.core.records import (
    Control,
    Explanation,
    HeadActivity,
    HeadId,
    Interval,
    ModelFacts,
    NeuronId,
    NextTokenNeuron,
    Prompt,
    Score,
    Validity,
)


def facts(layers: int, heads: int, d_model: int, **own: Any) -> ModelFacts:
    """A GPT-2."""
    usual = {
        "name": "demo",
        "family": "gpt2",
        "revision": None,
        "fingerprint": "f00d",
        "d_head": d_model // heads,
        "d_mlp": 4 * d_model,
        "d_vocab": 4096,
        "context": 256,
        "parallel": False,
        "gated": False,
        "activation": "gelu",
        "norm": "layer",
        "post_norm": False,
        "soft_cap": None,
        "first_token": 0,
        "dtype": "float32",
        "device": "cpu",
    }
    return ModelFacts(n_layers=layers, n_heads=heads, n_kv_heads=heads, d_model=d_model, **(usual | own))


def corpus() -> CorpusOpened:
    return CorpusOpened(
        name="sotu",
        fingerprint="c0ffee",
        documents=249,
        tokens=2_000_000,
        clusters=247,
        explain_documents=125,
        score_documents=124,
    )


def found(neuron: NeuronId, token: str, **own: Any) -> NextTokenNeuron:
    usual = {"token_id": 8, "congruence": 3.25, "cosine": 0.5, "z": 10.8, "rank": 0, "kind": "prediction"}
    return NextTokenNeuron(neuron=neuron, token=token, **(usual | own))


def prompt(neuron: NeuronId, document: int, words: Sequence[str], position: int, **own: Any) -> Prompt:
    """`words` are the tokens kept of the document, which end at `position`; a first token goes before them."""
    usual = {
        "document": document,
        "cluster": document,
        "start": position - len(words) + 1,
        "window_start": 0,
        "token_ids": [0, *range(5, 5 + len(words))],
        "tokens": ["<|endoftext|>", *words],
        "half": "explain" if document % 2 == 0 else "score",
        "long": False,
        "next_token_id": 8,
        "next_token": " States",
    }
    return Prompt(neuron=neuron, position=position, **(usual | own))


def validity(neuron: NeuronId, **own: Any) -> Validity:
    """Of a neuron that predicts its token."""
    usual = {
        "token_id": 8,
        "n": 64,
        "next_share": 0.875,
        "base_rate": 0.001,
        "lift": 875.0,
        "auroc": None,
        "logit_attribution": 2.5,
        "ablation_log_p": -0.5,
        "valid": True,
    }
    return Validity(neuron=neuron, **(usual | own))


def activity(neuron: NeuronId, head: HeadId, active: Sequence[bool], **own: Any) -> HeadActivity:
    usual = {
        "rule": "baseline",
        "suppressing": False,
        "explain_share": 0.5,
        "mean_active": 2.0,
        "mean_inactive": 0.1,
    }
    return HeadActivity(neuron=neuron, head=head, active=list(active), **(usual | own))


def explanation(neuron: NeuronId, head: HeadId, text: str, **own: Any) -> Explanation:
    return Explanation(
        neuron=neuron, head=head, text=text, **({"explainer": "rules", "train_balanced_accuracy": 0.9} | own)
    )


def score(neuron: NeuronId, head: HeadId, e: float | None, **own: Any) -> Score:
    """The rules' score; without `e`, of a head that could not be scored."""
    scored = e is not None
    usual = {
        "explainer": "rules",
        "n_active": 30,
        "n_inactive": 40 if scored else 0,
        "true_active": 27,
        "true_inactive": 20 if scored else 0,
        "unusable": 1,
        "interval": None if e is None else Interval(e - 0.125, e + 0.125),
        "f1": 0.5 if scored else None,
        "mcc": 0.25 if scored else None,
        "p": 0.0004 if scored else None,
        "q": None,
        "random_text_precision": None,
        "controls": [Control(name="shuffled", e=0.5, n=70)],
        "dropped": 2,
        "wrong_active": [1],
        "wrong_inactive": [],
    }
    return Score(neuron=neuron, head=head, e=e, **(usual | own))


def ablation(neuron: NeuronId, head: HeadId, active: AblationGroup, inactive: AblationGroup, **own: Any) -> Ablation:
    usual = {"token_id": 8, "replacement": "mean", "position": "last", "ks": None, "ks_p": None}
    return Ablation(neuron=neuron, head=head, active=active, inactive=inactive, **(usual | own))


def changes(delta: float | None, n: int) -> AblationGroup:
    """The same change of everything."""
    return AblationGroup(n=n, delta_log_p=delta, delta_p=delta, delta_logit=delta, delta_activation=delta)
