"""What a study was asked: each setting that changes its numbers, and none that does not (device, batch size)."""

from __future__ import annotations

from typing import Literal

import msgspec

from headtorch.core.records import Record

ActivityRule = Literal["baseline", "paper", "top-k", "share"]
TrimMethod = Literal["doubling", "exact", "paper"]


class LlmSettings(Record, frozen=True, kw_only=True):
    """The language model that explains and judges, as far as it changes what is said."""

    model: str
    base_url: str = "https://api.openai.com/v1"
    judge_model: str | None = None  # None: the explainer's
    judge_base_url: str | None = None  # None: the explainer's
    temperature: float | None = 0.0  # None: the endpoint's own default
    max_tokens: int = 512  # of one answer, a reasoning model's thoughts included
    hide_target: bool = False  # the explainer is not told the neuron's token
    judge_batch: int = 1  # prompts in one call to the judge; above 1 its verdicts are not independent
    control_n: int = 10  # prompts of each class that the controls are judged on
    random_n: int = 20  # random places of the corpus that are judged
    prompts: int = 2  # version of the words that are sent


class Price(Record, frozen=True):
    """US dollars for a million tokens."""

    prompt: float
    completion: float


class LlmAccess(Record, frozen=True, kw_only=True):
    """How a language model is reached, and how far: changes no number, so it is no part of a study.

    Keys are named by their environment variable and never written down.
    """

    api_key_env: str = "OPENAI_API_KEY"
    judge_api_key_env: str | None = None  # None: the explainer's
    concurrency: int = 8  # calls at once, to each endpoint
    timeout: float = 60.0  # seconds without a byte of the answer
    attempts: int = 5  # of one call
    max_calls: int | None = None
    max_cost: float | None = None  # US dollars
    prices: dict[str, Price] = msgspec.field(default_factory=dict)  # by the model's name


class ClusterAccess(Record, frozen=True, kw_only=True):
    """A Ray cluster for the scan, and how the work is cut: changes no number, so it is no part of a study."""

    address: str = "auto"  # HOST:PORT; auto: RAY_ADDRESS, else the cluster of this machine, else one of our own; local
    shards: int | None = None  # None: by the size of the corpus
    workers: int | None = None  # None: one for each GPU, or for each CPU


class Settings(Record, frozen=True, kw_only=True):
    """The question of a study. Two studies with equal settings are the same study.

    Every field has a default, so that a study stays readable after later versions add settings.
    """

    model: str = "demo"
    revision: str | None = None
    dtype: str = "auto"
    corpus: str = "sotu"
    text_field: str = "text"
    docs: int | None = None  # read at most this many documents
    tokens: int | None = None  # read at most this many tokens
    token_texts: tuple[str, ...] = ()  # the tokens asked about; empty: the best next-token neurons of the layers
    neurons: tuple[str, ...] = ()  # addresses asked for by name (L3.N412), beside those found
    layers: str = "last:5"
    per_layer: int | None = None  # next-token neurons kept per layer; None: no limit
    neurons_limit: int = 20  # next-token neurons kept in all
    random_neurons: int = 20  # size of the random baseline, from the same layers
    context: int = 256
    top_k: int = 128  # top places kept per neuron and half
    trim: TrimMethod = "doubling"
    trim_ratio: float = 0.8
    attribution: Literal["direct", "dot"] = (
        "direct"  # what heads are judged by; dot needs an activity rule but baseline
    )
    attribute_on: Literal["full", "trimmed"] = "full"
    activity: ActivityRule = "baseline"
    own_layer: bool = True  # heads of the neuron's own layer are judged too, where they feed it
    prompt_limit: int | None = None  # trimmed prompts of so many tokens or more are dropped; None: none is
    explainer: Literal["rules", "me", "llm"] = "rules"
    explanation: str | None = None  # the researcher's own, for the explainer "me"
    llm: LlmSettings | None = None  # for the explainer "llm", and as the judge of a sentence
    survey_tokens: int = 120_000  # of the corpus, sampled by window, that firing places are drawn from
    train_places: int = 320  # firing places that claims are learned on
    held_out_places: int = 300  # and tested on; matched pairs likewise
    claim_heads: int = 5  # heads of a neuron that claims are about, by effect; up to 3 sparse ones beside them
    explain_n: int = 20  # prompts to explain from; of a firing set those that a language model is shown
    score_n: int = 40  # prompts to score on, per class, at most; of a firing set those that a language model judges
    split_seed: int = 0  # of the halves
    seed: int = 0  # of everything else that is drawn
    preset: Literal["default", "paper"] = "default"
    reject_neurons: tuple[str, ...] = ()  # addresses never taken
    reject_tokens: tuple[str, ...] = ()  # tokens never taken

    @property
    def explainer_name(self) -> str:
        """What the explanations are signed with: "rules", "me", or "llm:" and the model's name."""
        return f"llm:{self.llm.model}" if self.explainer == "llm" and self.llm is not None else self.explainer


def changed_settings(before: Settings, after: Settings) -> list[str]:
    """The names of the settings that differ."""
    return [name for name in after.__struct_fields__ if getattr(before, name) != getattr(after, name)]


def settings_differences(there: Settings, now: Settings) -> list[str]:
    """One phrase per setting that differs, e.g. "top_k is 128 there and 64 now"."""
    return [
        f"{name} is {getattr(there, name)!r} there and {getattr(now, name)!r} now"
        for name in changed_settings(there, now)
    ]
