"""The stream of events: what is written is what is read, and nothing that JSON would lose is ever written."""

from __future__ import annotations

import math
import subprocess
import sys

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headtorch.core.errors import StudyError
from headtorch.core.event_lines import UnknownEvent, decode, encode
from headtorch.core.events import (
    AnyEvent,
    DeviceUse,
    DurableEvent,
    HeadActivityFound,
    HeadScored,
    LiveEvent,
    NeuronsFound,
    Progress,
    StageFinished,
    ValidityMeasured,
    Warned,
    is_durable,
)
from headtorch.core.records import HeadId, NeuronId, NextTokenNeuron, Score, Validity

EVENTS = [*DurableEvent.__subclasses__(), *LiveEvent.__subclasses__()]
NOT_FINITE = [math.nan, math.inf, -math.inf]


def values(kind: msgspec.inspect.Type) -> st.SearchStrategy[object]:
    """Any value of a type, as JSON can hold it."""
    match kind:
        case msgspec.inspect.StructType(cls=cls, fields=fields):
            return st.builds(cls, **{field.name: values(field.type) for field in fields})
        case msgspec.inspect.UnionType(types=types):
            return st.one_of(*map(values, types))
        case msgspec.inspect.ListType(item_type=item):
            return st.lists(values(item), max_size=2)
        case msgspec.inspect.VarTupleType(item_type=item):
            return st.lists(values(item), max_size=2).map(tuple)
        case msgspec.inspect.LiteralType(values=choices):
            return st.sampled_from(choices)
        case msgspec.inspect.FloatType():
            return st.floats(allow_nan=False, allow_infinity=False)
        case msgspec.inspect.IntType():
            return st.integers(-(2**40), 2**40)
        case msgspec.inspect.BoolType():
            return st.booleans()
        case msgspec.inspect.StrType():
            return st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
        case msgspec.inspect.NoneType():
            return st.none()
    raise AssertionError(f"no values known for {kind}")


def validity(**changes: float | None) -> Validity:
    whole = Validity(
        neuron=NeuronId(3, 4),
        token_id=7,
        n=64,
        next_share=0.8,
        base_rate=0.001,
        lift=800.0,
        auroc=None,
        logit_attribution=2.5,
        ablation_log_p=None,
        valid=True,
    )
    return msgspec.structs.replace(whole, **changes)


def score(**changes: object) -> Score:
    whole = Score(
        neuron=NeuronId(3, 4),
        head=HeadId(2, 1),
        explainer="rules",
        n_active=20,
        n_inactive=20,
        true_active=15,
        true_inactive=15,
        unusable=0,
        e=0.75,
        interval=None,
        f1=None,
        mcc=None,
        p=None,
        q=None,
        random_text_precision=None,
        controls=[],
        dropped=0,
        wrong_active=[],
        wrong_inactive=[],
    )
    return msgspec.structs.replace(whole, **changes)


@pytest.mark.parametrize("cls", EVENTS, ids=lambda cls: cls.__name__)
def test_every_event_reads_back_as_it_was_written(cls: type) -> None:
    @settings(max_examples=25, deadline=None)
    @given(values(msgspec.inspect.type_info(cls)))
    def check(event: AnyEvent) -> None:
        line = encode(event)
        assert line.count(b"\n") == 1 and line.endswith(b"\n")
        assert decode(line) == event

    check()


def test_the_union_holds_every_event_once() -> None:
    assert {member.__name__ for member in AnyEvent.__args__} == {cls.__name__ for cls in EVENTS}
    assert len(AnyEvent.__args__) == len(EVENTS)


def test_what_is_shown_and_forgotten_is_live_and_all_else_is_durable() -> None:
    live = {cls.__name__ for cls in EVENTS if not issubclass(cls, DurableEvent)}
    assert live == {"Progress", "BestPrompts", "ExplanationSoFar", "VerdictsSoFar", "Spending", "DeviceUse"}
    assert not is_durable(Progress(stage="scan", done=1, total=2, unit="tokens"))
    assert not is_durable(DeviceUse(device="cpu", memory_used=5))
    assert is_durable(StageFinished(stage="scan", seconds=1.0))


@pytest.mark.parametrize("bad", NOT_FINITE)
def test_a_number_that_is_not_finite_is_refused_and_its_place_is_named(bad: float) -> None:
    with pytest.raises(ValueError, match=r"ValidityMeasured\.validity\.lift is not a finite number"):
        encode(ValidityMeasured(validity=validity(lift=bad)))


@pytest.mark.parametrize("bad", NOT_FINITE)
def test_a_field_that_may_be_missing_is_no_hiding_place_for_nan(bad: float) -> None:
    # JSON would hold null here, which reads back as a missing value without any error.
    with pytest.raises(ValueError, match=r"HeadScored\.score\.e "):
        encode(HeadScored(score=score(e=bad)))


def test_nan_deep_in_a_list_is_found() -> None:
    good = NextTokenNeuron(
        neuron=NeuronId(0, 0), token_id=1, token=" a", congruence=1.0, cosine=0.5, z=9.0, rank=0, kind="prediction"
    )
    bad = msgspec.structs.replace(good, z=math.nan)
    with pytest.raises(ValueError, match=r"NeuronsFound\.neurons\[1\]\.z "):
        encode(NeuronsFound(neurons=[good, bad]))


def test_text_that_utf8_cannot_hold_is_refused_in_a_sentence() -> None:
    with pytest.raises(StudyError, match="not valid Unicode"):
        encode(Warned(text="file \udcff.txt"))


def test_a_field_of_a_newer_version_is_passed_over() -> None:
    line = b'{"type":"StageFinished","stage":"scan","seconds":2.0,"joules":7,"neuron":{"layer":1,"index":2,"unit":"x"}}'
    assert decode(line) == StageFinished(stage="scan", seconds=2.0, neuron=NeuronId(1, 2))


def test_a_log_from_before_prompts_of_lower_bins_reads_as_one_without_them() -> None:
    head = '{"layer":1,"index":0}'
    activity = (
        f'{{"neuron":{head},"head":{head},"rule":"baseline","suppressing":false,"active":[true],"explain_share":1.0,'
        '"mean_active":1.0,"mean_inactive":null}'
    )
    line = (
        f'{{"type":"HeadActivityFound","neuron":{head},"heads":[{activity}],"eligible":4,"never_active":1,'
        '"always_active":2,"explainable":1}'
    )
    found = decode(line)
    assert isinstance(found, HeadActivityFound)
    assert (found.lower, found.heads[0].lower, found.always_active) == ([], 0, 2)


def test_an_event_of_a_newer_version_is_told_apart_from_damage() -> None:
    with pytest.raises(UnknownEvent, match="HeadsCooperated"):
        decode(b'{"type":"HeadsCooperated","heads":[]}')


@pytest.mark.parametrize(
    "line",
    [b"", b"{", b"[]", b"null", b"{}", b'{"type":3}', b'{"type":"StageFinished"}', b"\xff\xfe", b'{"type":"Warned"}}'],
)
def test_a_damaged_line_is_not_an_event(line: bytes) -> None:
    with pytest.raises(StudyError, match="not an event") as caught:
        decode(line)
    assert not isinstance(caught.value, UnknownEvent)


def test_events_are_immutable() -> None:
    with pytest.raises(AttributeError):
        Warned(text="a").text = "b"  # type: ignore[misc]


def test_events_and_studies_load_neither_torch_nor_pandas() -> None:
    code = "import sys, headtorch.core.events, headtorch.core.study; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "headtorch.core.study.state" in loaded
    assert not {"torch", "transformers", "transformer_lens", "pandas", "textual"} & set(loaded)
