"""Every request and message survives the wire, and a bad line is an error that says so."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from typing import get_args

import msgspec
import pytest

from headtorch.core.engine import protocol
from headtorch.core.engine.protocol import (
    AblateHead,
    AnyMessage,
    AnyRequest,
    CallsPlanned,
    Cancel,
    DocumentText,
    EngineReady,
    ExplainHead,
    FindHeadRoles,
    Happened,
    HeadRoles,
    ListNeurons,
    MeasureCooperation,
    MeasureEffects,
    MeasureSpectrum,
    NeuronList,
    OpenStudy,
    PlanCalls,
    ProbeText,
    ReadDocument,
    Refused,
    RequestCancelled,
    RequestDone,
    RequestFailed,
    ShadePrompts,
    Shading,
    StudyReady,
    TextProbed,
    TokenProbability,
    VisitNeuron,
    decode_message,
    decode_request,
    encode_line,
)
from headtorch.core.errors import InputError
from headtorch.core.events import Progress
from headtorch.core.records import HeadId, NeuronId, PlannedCalls
from headtorch.core.settings import LlmAccess, LlmSettings, Price, Settings

NEURON, HEAD = NeuronId(3, 412), HeadId(2, 4)
HOSTILE = 'line\nend \x1b[31m "quoted" \u202e [bold] 🪔'

REQUESTS = [
    OpenStudy(id=1, settings=Settings(token_texts=(HOSTILE,)), where="trial", device="cpu", run=False),
    OpenStudy(id=1, where="trial"),
    ListNeurons(id=2),
    VisitNeuron(id=3, neuron=NEURON),
    ShadePrompts(id=4, neuron=NEURON, head=HEAD, full=True),
    ExplainHead(id=5, neuron=NEURON, head=HEAD, explainer="me", explanation="re: a\\nb"),
    PlanCalls(
        id=11,
        head=ExplainHead(
            id=0,
            neuron=NEURON,
            head=HEAD,
            explainer="llm",
            llm=LlmSettings(model=HOSTILE, temperature=None),
            access=LlmAccess(max_cost=0.5, prices={HOSTILE: Price(0.5, 2.0)}),
        ),
    ),
    AblateHead(id=6, neuron=NEURON, head=HEAD, replacement="zero", position="all"),
    AblateHead(id=12, neuron=NEURON, head=HEAD, together=[HeadId(0, 1), HeadId(1, 0)], mediation=True),
    MeasureEffects(id=13, neuron=NEURON),
    MeasureCooperation(id=14, neuron=NEURON, heads=[HEAD, HeadId(0, 1)]),
    MeasureSpectrum(id=15, neuron=NEURON, heads=[HEAD]),
    FindHeadRoles(id=7),
    ReadDocument(id=8, document=3, neuron=NEURON),
    ProbeText(id=9, text=HOSTILE, neuron=NEURON, head=HEAD, position=2),
    Cancel(id=10, target=9),
]
MESSAGES = [
    EngineReady(version="1", pid=7),
    Refused(reason=HOSTILE),
    StudyReady(request=1, folder="/tmp/ü"),
    Happened(request=1, event=Progress(stage="scan", done=1, total=2, unit="tokens")),
    NeuronList(
        request=2, layer=[0], index=[1], token_id=[2], token=[HOSTILE], congruence=[0.1], cosine=[0.2], z=[3.0],
        kind=["entropy"],
    ),
    Shading(
        request=4, neuron=NEURON, head=HEAD, full=False, tokens=[[" a"]], activation=[[1e-30]], sources=[[0.5]],
        elsewhere=[0.25], attention=[[1.0]], probability=[0.75],
    ),
    CallsPlanned(
        request=11,
        plans=[
            PlannedCalls(
                model=HOSTILE, base_url="u", calls=3, cached=1, prompt_tokens=9, completion_tokens=4, cost=None
            )
        ],
        examples=[HOSTILE],
    ),
    HeadRoles(request=7, previous_token=[[0.1]], duplicate_token=[[0.2]], induction=[[0.3]]),
    DocumentText(request=8, document=3, title=HOSTILE, tokens=["a"], neuron=NEURON, activation=[None]),
    TextProbed(
        request=9, neuron=NEURON, head=None, tokens=["a"], token_ids=[1], activation=[0.5], position=0,
        pre_activation=0.25, heads=[[0.125, None]], other=0.125, error=0.0, sources=[], attention=[],
        next_tokens=[TokenProbability(HOSTILE, 0.5)], next_without=[],
    ),
    RequestDone(request=1, seconds=0.5),
    RequestFailed(request=1, message="It failed.", bug=True),
    RequestCancelled(request=1),
]  # fmt: skip


def test_no_kind_is_left_out_here() -> None:
    assert {type(request) for request in REQUESTS} == set(get_args(AnyRequest))
    assert {type(message) for message in MESSAGES} == set(get_args(AnyMessage))


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda one: type(one).__name__)
def test_a_request_is_one_line_that_reads_back_equal(request_: AnyRequest) -> None:
    line = encode_line(request_)
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    assert decode_request(line) == request_


@pytest.mark.parametrize("message", MESSAGES, ids=lambda one: type(one).__name__)
def test_a_message_is_one_line_that_reads_back_equal(message: AnyMessage) -> None:
    line = encode_line(message)
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    assert decode_message(line) == message


@pytest.mark.parametrize(
    "line",
    [b"", b"\n", b"hello\n", b"[]\n", b"{}\n", b'{"type":"Explode","id":1}\n', b'{"type":"ListNeurons"}\n',
     b'{"type":"VisitNeuron","id":1,"neuron":"L1.N2"}\n', b'{"type":"ListNeurons","id":"one"}\n', b"\xff\xfe\x00\n",
     b'{"type":"EngineReady","version":"1","pid":1}\n'],
)  # fmt: skip
def test_a_line_that_is_no_request_is_an_input_error(line: bytes) -> None:
    with pytest.raises(InputError, match="not a request"):
        decode_request(line)


def test_a_line_that_is_no_message_is_an_input_error() -> None:
    with pytest.raises(InputError, match="not a message"):
        decode_message(b"Loading checkpoint shards: 100%\n")


def test_a_later_versions_field_is_passed_over() -> None:
    line = encode_line(ListNeurons(id=2)).replace(b"}", b',"fancy":true}')
    assert decode_request(line) == ListNeurons(id=2)


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_what_json_cannot_hold_is_refused_at_the_source(number: float) -> None:
    shading = next(one for one in MESSAGES if isinstance(one, Shading))
    with pytest.raises(ValueError, match=r"Shading\.activation\[0\]\[1\]"):
        encode_line(msgspec.structs.replace(shading, activation=[[1.0, number]]))


def test_protocol_and_client_load_no_torch() -> None:
    code = (
        "import sys, headtorch.core.engine.protocol, headtorch.core.engine.client, headtorch.core.engine.server\n"
        "assert not {'torch', 'transformers', 'transformer_lens', 'numpy'} & set(sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, timeout=60, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    )


def test_every_name_of_the_unions_is_told_apart_by_its_type() -> None:
    tags = [cls.__struct_config__.tag for cls in (*get_args(AnyRequest), *get_args(AnyMessage))]
    assert len(set(tags)) == len(tags) and all(hasattr(protocol, str(tag)) for tag in tags)
