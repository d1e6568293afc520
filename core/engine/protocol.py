"""What a front end and the engine say to each other: JSON lines, one typed message each. No torch here.

A front end sends requests on the engine's standard input; the engine answers on its standard output with any number of
messages that name the request, and ends each request with exactly one of RequestDone, RequestFailed, RequestCancelled.
A newer request of a kind cancels the older one. While OpenStudy runs, the other requests are served between batches;
while a language model is waited for, those of other kinds are.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from headtorch.core.causes import Replacement, Where
from headtorch.core.errors import InputError
from headtorch.core.event_lines import first_not_finite
from headtorch.core.events import AnyEvent
from headtorch.core.records import HeadId, Kind, NeuronId, Record
from headtorch.core.records import PlannedCalls as PlannedCalls
from headtorch.core.settings import ClusterAccess, LlmAccess, LlmSettings, Settings

HeadMap: TypeAlias = list[list[float | None]]  # [layer][head]; None: the head cannot feed the neuron


class Request(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=True):
    """Base of all requests. `id` is chosen by the front end and names the request in every answer."""

    id: int


class OpenStudy(Request, frozen=True, kw_only=True):
    """Open or make a study, load its model and corpus, and (`run`) do what is not done yet. Closes the one before.

    Without `where` the name is made from the settings; without `settings` the study must be there already.
    """

    settings: Settings | None = None
    where: str | None = None
    device: str = "auto"
    run: bool = True
    access: LlmAccess = LlmAccess()  # where the study explains with a language model
    cluster: ClusterAccess | None = None  # scans; None: the one that HEADTORCH_RAY names, else the engine itself


class ListNeurons(Request, frozen=True, kw_only=True):
    """Every neuron of the study's layers with the token it promotes most: NeuronList."""


class VisitNeuron(Request, frozen=True, kw_only=True):
    """Prompts and heads of a neuron that is not among the study's own: NeuronVisited and the events of its stages."""

    neuron: NeuronId


class ShadePrompts(Request, frozen=True, kw_only=True):
    """How strongly each token of the neuron's prompts lights up: Shading.

    `full`: the whole context instead of the kept tokens. Without `head` the head's two shadings are left out.
    """

    neuron: NeuronId
    head: HeadId | None = None
    full: bool = False


class ExplainHead(Request, frozen=True, kw_only=True):
    """Explain a head of a neuron and score the explanation on unseen prompts; logged as HeadExplained, HeadScored."""

    neuron: NeuronId
    head: HeadId
    explainer: Literal["rules", "me", "llm"] = "rules"
    explanation: str | None = None  # for "me": a sentence, or a regular expression, re:PATTERN
    llm: LlmSettings | None = None  # for "llm", and as the judge of a sentence
    access: LlmAccess = LlmAccess()


class PlanCalls(Request, frozen=True, kw_only=True):
    """What `head` would ask of a language model, without asking: CallsPlanned."""

    head: ExplainHead


class AblateHead(Request, frozen=True, kw_only=True):
    """Take a head away on the neuron's prompts, or several jointly; logged as HeadAblated.

    `mediation`: how much goes through the neuron, what self-repair hides, and what the neuron itself does, too; at the
    last position alone.
    """

    neuron: NeuronId
    head: HeadId
    replacement: Replacement = "resample"
    position: Where = "last"
    together: list[HeadId] = []  # heads taken away with it
    mediation: bool = False


class MeasureEffects(Request, frozen=True, kw_only=True):
    """What every head really does to the neuron; logged as EffectsMeasured."""

    neuron: NeuronId


class MeasureCooperation(Request, frozen=True, kw_only=True):
    """Whether heads, by default the strongest, need or replace each other; logged as CooperationMeasured."""

    neuron: NeuronId
    heads: list[HeadId] = []


class MeasureSpectrum(Request, frozen=True, kw_only=True):
    """What heads, by default the strongest, do over all activations; logged as SpectrumMeasured."""

    neuron: NeuronId
    heads: list[HeadId] = []


class FindHeadRoles(Request, frozen=True, kw_only=True):
    """What each head of the model is known as: HeadRoles."""


class ReadDocument(Request, frozen=True, kw_only=True):
    """A document of the corpus in the model's tokens: DocumentText. With `neuron`, its activation on every token."""

    document: int
    neuron: NeuronId | None = None


class ProbeText(Request, frozen=True, kw_only=True):
    """A text of the user's own: TextProbed.

    `position` counts the text's own tokens from 0; without it the token where the neuron is strongest.
    """

    text: str
    neuron: NeuronId
    head: HeadId | None = None
    position: int | None = None
    replacement: Literal["zero", "mean"] = "mean"


class Cancel(Request, frozen=True, kw_only=True):
    """Stop the request `target` at its next checkpoint; what it has finished is kept."""

    target: int


AnyRequest: TypeAlias = (
    OpenStudy
    | ListNeurons
    | VisitNeuron
    | ShadePrompts
    | ExplainHead
    | PlanCalls
    | AblateHead
    | MeasureEffects
    | MeasureCooperation
    | MeasureSpectrum
    | FindHeadRoles
    | ReadDocument
    | ProbeText
    | Cancel
)


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=True):
    """Base of all messages of the engine."""


class Answer(Message, frozen=True, kw_only=True):
    """Base of the messages that answer a request."""

    request: int


class EngineReady(Message, frozen=True, kw_only=True):
    """The engine reads requests from now on."""

    version: str
    pid: int


class Refused(Message, frozen=True, kw_only=True):
    """A line on the engine's input that is not a request."""

    reason: str


class StudyReady(Answer, frozen=True, kw_only=True):
    """The study lies in `folder`; its log is what came before, the events that follow are new."""

    folder: str


class Happened(Answer, frozen=True, kw_only=True):
    """An event of the study; a durable one is on the disk."""

    event: AnyEvent


class NeuronList(Answer, frozen=True, kw_only=True):
    """Neurons in columns of equal length, in order of address."""

    layer: list[int]
    index: list[int]
    token_id: list[int]
    token: list[str]
    congruence: list[float]
    cosine: list[float]
    z: list[float]
    kind: list[Kind]


class Shading(Answer, frozen=True, kw_only=True):
    """Per prompt, in the order of the neuron's prompts, and per token of it; the last token is where the neuron fires.

    `sources` sums to the head's attribution A(h); the tokens of a prompt may be fewer than the head's context, and
    `elsewhere` is what the tokens not shown give. `probability` is the model's p(target | the tokens shown).
    """

    neuron: NeuronId
    head: HeadId | None
    full: bool
    tokens: list[list[str]]
    activation: list[list[float]]
    sources: list[list[float]]  # empty without a head
    elsewhere: list[float]
    attention: list[list[float]]  # the head's pattern at the last token; empty without a head
    probability: list[float]


class CallsPlanned(Answer, frozen=True, kw_only=True):
    """`examples` are whole texts as they would be sent: to the explainer, and one to the judge."""

    plans: list[PlannedCalls]
    examples: list[str]


class HeadRoles(Answer, frozen=True, kw_only=True):
    """How well each head's pattern agrees with a known one, 0 to 1, [layer][head]."""

    previous_token: list[list[float]]
    duplicate_token: list[list[float]]
    induction: list[list[float]]


class DocumentText(Answer, frozen=True, kw_only=True):
    document: int
    title: str
    tokens: list[str]
    neuron: NeuronId | None = None
    activation: list[float | None] = []  # per token; None: not measured (the first of a window)


class TokenProbability(Record, frozen=True):
    token: str
    p: float
    token_id: int = -1


class TextProbed(Answer, frozen=True, kw_only=True):
    """What a neuron does on a text, and one head's part in it.

    Tokens are the text's own, without the model's first token. Parts are of the pre-activation at `position` (gated: of
    the activation, by the half rule, without `other` and `error`): heads + other = pre_activation + error.
    `sources` and `elsewhere`, which is what the first token gives, sum to the head's part; tokens behind `position`
    have 0.
    """

    neuron: NeuronId
    head: HeadId | None
    tokens: list[str]
    token_ids: list[int]
    activation: list[float]  # per token
    position: int
    pre_activation: float | None  # None: gated
    heads: HeadMap
    other: float | None  # embedding, positions, MLPs and biases together
    error: float | None
    sources: list[float]  # per token; empty without a head
    attention: list[float]
    next_tokens: list[TokenProbability]  # most probable first
    next_without: list[TokenProbability]  # the same tokens and the new front runners, with the head replaced
    activation_without: float | None = None
    elsewhere: float = 0.0


class RequestDone(Answer, frozen=True, kw_only=True):
    seconds: float


class RequestFailed(Answer, frozen=True, kw_only=True):
    """`message` is one sentence for the user; `bug`: not the user's doing, the log has the details."""

    message: str
    bug: bool = False


class RequestCancelled(Answer, frozen=True, kw_only=True):
    """Stopped by Cancel, by a newer request of the kind, or by the end of the study it belonged to."""


AnyMessage: TypeAlias = (
    EngineReady
    | Refused
    | StudyReady
    | Happened
    | NeuronList
    | Shading
    | HeadRoles
    | CallsPlanned
    | DocumentText
    | TextProbed
    | RequestDone
    | RequestFailed
    | RequestCancelled
)

_ENCODER = msgspec.json.Encoder()
_REQUESTS: msgspec.json.Decoder[AnyRequest] = msgspec.json.Decoder(AnyRequest)
_MESSAGES: msgspec.json.Decoder[AnyMessage] = msgspec.json.Decoder(AnyMessage)


def encode_line(message: Request | Message) -> bytes:
    """The message as one JSON line. Raises ValueError naming a NaN or an infinity, which JSON has not."""
    where = first_not_finite(message)
    if where is not None:
        raise ValueError(f"{type(message).__name__}{where} is not a finite number.")
    return _ENCODER.encode(message) + b"\n"


def decode_request(line: bytes) -> AnyRequest:
    """Raises InputError for a line that is not a request."""
    try:
        return _REQUESTS.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"not a request: {error}") from None


def decode_message(line: bytes) -> AnyMessage:
    """Raises InputError for a line that is not a message."""
    try:
        return _MESSAGES.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"not a message of the engine: {error}") from None
