"""Every request about a study of a tiny model: the numbers against plain forward passes, and what goes into the log."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from tiny_models import tiny_hf, tiny_tokenizer
from wire import Wire

from headtorch.core.analysis.ablation import ablate_heads
from headtorch.core.analysis.attribution import attribute
from headtorch.core.analysis.baselines import baselines
from headtorch.core.analysis.congruence import best_token_neurons
from headtorch.core.analysis.interventions import mean_head_outputs
from headtorch.core.analysis.observation import Observer
from headtorch.core.engine.comparing import compare
from headtorch.core.engine.protocol import (
    AblateHead,
    Cancel,
    DocumentText,
    ExplainHead,
    FindHeadRoles,
    Happened,
    HeadRoles,
    ListNeurons,
    NeuronList,
    OpenStudy,
    ProbeText,
    ReadDocument,
    RequestCancelled,
    RequestDone,
    RequestFailed,
    ShadePrompts,
    Shading,
    StudyReady,
    TextProbed,
    VisitNeuron,
)
from headtorch.core.engine.session import SCANNING, Session
from headtorch.core.events import (
    BestPrompts,
    DeviceUse,
    HeadAblated,
    HeadActivityFound,
    HeadExplained,
    HeadJudged,
    HeadsAttributed,
    HeadScored,
    IndexReady,
    NeuronVisited,
    Progress,
    PromptsFound,
    ReportWritten,
    ScoresAdjusted,
    StudyFinished,
    is_durable,
)
from headtorch.core.records import HeadId, NeuronId
from headtorch.core.settings import Settings
from headtorch.core.study.study import Study

HEAD = HeadId(1, 2)
TEXT = "The people of the United States of America have seen the Congress"


@pytest.fixture(scope="module")
def wire(own_home: Path, tiny_settings: Settings) -> Iterator[Wire]:
    """An engine whose study has been run."""
    with Wire() as engine:
        said, end = engine.ask(OpenStudy(id=0, settings=tiny_settings, device="cpu"))
        assert isinstance(end, RequestDone), end
        assert sum(isinstance(one, StudyReady) for one in said) == 1
        yield engine


@pytest.fixture
def session(wire: Wire) -> Session:
    assert wire.engine.session is not None
    return wire.engine.session


@pytest.fixture
def visited(wire: Wire, session: Session) -> NeuronId:
    """A neuron that the study is not about and that has been looked at."""
    own = session.study.state.neurons
    neuron = next(n for i in range(48) if (n := NeuronId(2, i)) not in own)
    wire.events(VisitNeuron(id=0, neuron=neuron))
    assert session.study.state.prompts[neuron]
    return neuron


@cache
def plain() -> Any:
    return tiny_hf("gpt2", attn_implementation="eager")


def forward(row: list[int], neuron: NeuronId) -> tuple[torch.Tensor, list[float], Any]:
    """Probabilities [position, token], the neuron's activations and all patterns, by transformers alone."""
    seen: list[torch.Tensor] = []
    handle = plain().transformer.h[neuron.layer].mlp.c_proj.register_forward_pre_hook(lambda m, x: seen.append(x[0]))
    with torch.no_grad():
        out = plain()(input_ids=torch.tensor([row]), output_attentions=True)
    handle.remove()
    logits = out.logits[0, :, : len(tiny_tokenizer())].double()
    return logits.softmax(-1), seen[0][0, :, neuron.index].tolist(), out.attentions


def test_a_run_tells_every_durable_event_once_and_ends(wire: Wire, session: Session) -> None:
    told = [one.event for one in wire.heard if hasattr(one, "event") and one.request == 1]
    logged = [event for event in session.study.replay()][: sum(map(is_durable, told)) + 1]
    assert logged[1:] == [event for event in told if is_durable(event)]
    assert [type(event) for event in logged[-2:]] == [StudyFinished, ReportWritten]
    assert {type(event) for event in told if not is_durable(event)} <= {Progress, BestPrompts, DeviceUse}


def test_the_list_holds_every_neuron_of_the_layers_by_address(wire: Wire, session: Session) -> None:
    found = wire.answer(ListNeurons(id=0), NeuronList)
    expected = sorted(best_token_neurons(session.workspace.model, [1, 2]), key=lambda row: row.neuron)
    assert list(zip(found.layer, found.index, strict=True)) == [(r.neuron.layer, r.neuron.index) for r in expected]
    for name in ("token_id", "token", "congruence", "cosine", "z", "kind"):
        assert getattr(found, name) == [getattr(row, name) for row in expected]


def test_a_visit_finds_prompts_and_heads_and_leaves_the_studys_own_neurons_alone(wire: Wire, session: Session) -> None:
    neuron, own = NeuronId(1, 40), dict(session.study.state.neurons)
    events = wire.events(VisitNeuron(id=0, neuron=neuron))
    kinds = [type(event) for event in events]
    assert kinds[:4] == [NeuronVisited, PromptsFound, HeadsAttributed, HeadActivityFound]
    state = session.study.state
    assert state.neurons == own and neuron in state.visited
    model, prompts, attributed = session.workspace.model, state.prompts[neuron], state.attributed[neuron]
    rows = [session.workspace.row(prompt.document, prompt.position) for prompt in prompts]
    expected = attribute(model, rows, [neuron] * len(rows)).direct.mean(0)
    base = baselines(model, session.workspace.random_rows, [neuron])
    for summary in attributed.heads:
        at = (summary.head.layer, summary.head.index)
        assert summary.mean_direct == pytest.approx(expected[at], rel=1e-4, abs=1e-6)
        assert summary.baseline_mean == pytest.approx(base.mean[0][at], rel=1e-6)
    assert Study.open(session.folder).state.attributed[neuron] == attributed


def test_a_second_visit_has_nothing_to_add(wire: Wire, visited: NeuronId) -> None:
    assert wire.events(VisitNeuron(id=0, neuron=visited)) == []


def test_the_studys_family_of_tests_does_not_grow_by_what_is_explained_beside_it(
    wire: Wire, session: Session, visited: NeuronId
) -> None:
    [before] = [event for event in session.study.replay() if isinstance(event, ScoresAdjusted)]
    head = session.study.state.attributed[visited].top_heads[0]
    events = wire.events(ExplainHead(id=0, neuron=visited, head=head, explainer="me", explanation="re: the"))
    assert [type(event) for event in events] == [HeadExplained, HeadJudged, HeadScored]
    events = wire.events(ExplainHead(id=0, neuron=visited, head=head))
    assert [type(event) for event in events] == [HeadExplained, HeadJudged, HeadScored]
    again = next(event for event in compare(session.study, "rules") if isinstance(event, ScoresAdjusted))
    assert again == before


def test_an_ablation_is_that_of_the_prompts_where_the_head_is_active_and_where_not(
    wire: Wire, session: Session, visited: NeuronId
) -> None:
    for replacement in ("zero", "mean"):
        [event] = wire.events(AblateHead(id=0, neuron=visited, head=HEAD, replacement=replacement))
        assert isinstance(event, HeadAblated)
        done, state = event.ablation, session.study.state
        means = mean_head_outputs(session.workspace.model, session.workspace.random_rows)
        prompts = state.prompts[visited]
        rows = [session.workspace.row(prompt.document, prompt.position) for prompt in prompts]
        [change] = ablate_heads(
            session.workspace.model, rows, visited, done.token_id, [HEAD], replacement=replacement, means=means
        )
        parts = [(g.n, g.delta_log_p) for g in (done.active, done.inactive) if g.delta_log_p is not None]
        assert sum(n * mean for n, mean in parts) / len(rows) == pytest.approx(change.delta_log_p.mean(), rel=1e-4)


@pytest.mark.parametrize("full", [False, True])
def test_shades_are_the_models_own_numbers(wire: Wire, session: Session, visited: NeuronId, full: bool) -> None:
    shading = wire.answer(ShadePrompts(id=0, neuron=visited, head=HEAD, full=full), Shading)
    state, workspace = session.study.state, session.workspace
    prompts, token = state.prompts[visited], state.visited[visited].token_id
    given = session.study.load_arrays(state.attributed[visited].artefact)["heads"][:, 0, HEAD.layer, HEAD.index]
    assert len(shading.tokens) == len(prompts) == len(shading.sources)
    for i, prompt in enumerate(prompts):
        context = workspace.row(prompt.document, prompt.position)
        shown = context if full else prompt.token_ids
        p, activation, _ = forward(list(shown), visited)
        _, _, patterns = forward(context, visited)
        pattern = patterns[HEAD.layer][0, HEAD.index, -1]
        assert shading.tokens[i] == workspace.model.token_texts(shown)
        assert shading.activation[i] == pytest.approx(activation, abs=1e-4)
        assert shading.probability[i] == pytest.approx(float(p[-1, token]), rel=1e-3)
        assert shading.attention[i][0] == pytest.approx(float(pattern[0]), abs=1e-5)
        assert shading.attention[i][1:] == pytest.approx(pattern[len(context) - len(shown) + 1 :].tolist(), abs=1e-5)
        assert sum(shading.sources[i]) + shading.elsewhere[i] == pytest.approx(float(given[i]), abs=1e-4)
        if full:
            assert shading.elsewhere[i] == pytest.approx(0, abs=1e-5)
        else:
            assert shading.activation[i][-1] == pytest.approx(prompt.activation, abs=1e-4)


def test_without_a_head_only_the_neuron_is_shaded(wire: Wire, visited: NeuronId) -> None:
    shading = wire.answer(ShadePrompts(id=0, neuron=visited), Shading)
    assert shading.sources == shading.attention == [] and len(shading.activation) == len(shading.tokens)


@pytest.mark.parametrize("position", [None, 3])
@pytest.mark.parametrize("replacement", ["zero", "mean"])
def test_a_probed_text_is_what_the_model_does_on_it(
    wire: Wire, session: Session, position: int | None, replacement: Any
) -> None:
    neuron, model = NeuronId(2, 7), session.workspace.model
    asked = ProbeText(id=0, text=TEXT, neuron=neuron, head=HEAD, position=position, replacement=replacement)
    probed = wire.answer(asked, TextProbed)
    row = [tiny_tokenizer().bos_token_id, *tiny_tokenizer().encode(TEXT)]
    p, activation, patterns = forward(row, neuron)
    assert probed.token_ids == row[1:] and "".join(probed.tokens) == TEXT
    assert probed.activation == pytest.approx(activation[1:], abs=1e-4)
    assert probed.position == (int(np.argmax(activation[1:])) if position is None else position)
    end = probed.position + 1  # in the row
    best = p[end].topk(10)
    assert [one.p for one in probed.next_tokens] == pytest.approx(best.values.tolist(), rel=1e-3)
    assert [one.token for one in probed.next_tokens] == model.token_texts(best.indices.tolist())
    heads = sum(value for layer in probed.heads for value in layer if value is not None)
    assert probed.other is not None and probed.pre_activation is not None and probed.error is not None
    assert heads + probed.other == pytest.approx(probed.pre_activation + probed.error, abs=1e-5)
    assert abs(probed.error) < 1e-4
    assert sum(probed.sources) + probed.elsewhere == pytest.approx(probed.heads[HEAD.layer][HEAD.index], abs=1e-5)
    pattern = patterns[HEAD.layer][0, HEAD.index, end].tolist()
    assert probed.attention == pytest.approx(pattern[1:], abs=1e-5)
    assert len(probed.sources) == len(probed.tokens)

    means = mean_head_outputs(model, session.workspace.random_rows)
    for one in probed.next_without[:3]:
        [change] = ablate_heads(
            model, [row[: end + 1]], neuron, one.token_id, [HEAD], replacement=replacement, means=means
        )
        assert one.p == pytest.approx(float(np.exp(change.after.log_p[0])), rel=1e-4)
        assert probed.activation_without == pytest.approx(change.after.activation[0], abs=1e-5)
    assert {one.token for one in probed.next_tokens} <= {one.token for one in probed.next_without}


def test_a_document_is_whole_and_its_activations_are_those_of_the_scans_windows(wire: Wire, session: Session) -> None:
    neuron, corpus = NeuronId(1, 3), session.workspace.corpus
    found = wire.answer(ReadDocument(id=0, document=5, neuron=neuron), DocumentText)
    assert "".join(found.tokens) == corpus.corpus.document(5).text and found.title == corpus.corpus.titles[5]
    for number in corpus.windows.of_document(5):
        window = corpus.windows[number]
        _, activation, _ = forward(window.ids.tolist(), neuron)
        mine = found.activation[window.start : window.start + len(window.ids) - 1]
        assert mine == pytest.approx(activation[1:], abs=1e-4)
    assert None not in found.activation
    assert wire.answer(ReadDocument(id=0, document=5), DocumentText).activation == []


def test_roles_are_the_shares_of_attention_that_transformer_lens_measures(wire: Wire, session: Session) -> None:
    from transformer_lens.head_detector import (
        compute_head_attention_similarity_score,
        get_induction_head_detection_pattern,
    )

    from headtorch.core.engine.roles import share_of

    roles = wire.answer(FindHeadRoles(id=0), HeadRoles)
    facts = session.workspace.model.facts
    for name in ("previous_token", "duplicate_token", "induction"):
        scores = np.array(getattr(roles, name))
        assert scores.shape == (facts.n_layers, facts.n_heads) and ((scores >= 0) & (scores <= 1)).all()
    row = [tiny_tokenizer().bos_token_id, *[5, 9, 33, 7] * 2]
    _, _, patterns = forward(row, NeuronId(0, 0))
    wanted = get_induction_head_detection_pattern(torch.tensor([row]))
    ours = share_of(session.workspace.model.attention_patterns(row), wanted)
    for layer in range(facts.n_layers):
        for head in range(facts.n_heads):
            expected = compute_head_attention_similarity_score(
                patterns[layer][0, head], wanted, exclude_bos=False, exclude_current_token=False, error_measure="mul"
            )
            assert float(ours[layer, head]) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (VisitNeuron(id=0, neuron=NeuronId(2, 48)), "no neuron L2.N48"),
        (VisitNeuron(id=0, neuron=NeuronId(0, 1)), "not in the layers looked at"),
        (ShadePrompts(id=0, neuron=NeuronId(1, 47)), "no prompts of L1.N47"),
        (ProbeText(id=0, text="", neuron=NeuronId(1, 1)), "no text yet"),
        (ProbeText(id=0, text=" the" * 500, neuron=NeuronId(1, 1)), "reads at most 64"),
        (ProbeText(id=0, text=" the", neuron=NeuronId(1, 1), position=1), "no token 1"),
        (ProbeText(id=0, text=" the", neuron=NeuronId(1, 1), head=HeadId(2, 0)), "L2.H0 cannot feed L1.N1"),
        (ReadDocument(id=0, document=16), "documents 0-15"),
        (AblateHead(id=0, neuron=NeuronId(1, 1), head=HeadId(1, 4)), "no head L1.H4"),
        (ExplainHead(id=0, neuron=NeuronId(1, 1), head=HEAD, explainer="me"), "There is no explanation to score"),
        (ExplainHead(id=0, neuron=NeuronId(1, 1), head=HEAD, explainer="me", explanation="re:("), "not a regular"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(wire: Wire, request_: Any, said: str) -> None:
    message = wire.refusal(request_)
    assert said in message and "\n" not in message


def test_the_study_opens_again_at_once_and_without_a_new_line_in_its_log(
    wire: Wire, session: Session, tiny_settings: Settings
) -> None:
    before = (session.folder / "events.jsonl").read_bytes()
    model = session.workspace.model
    said, end = wire.ask(OpenStudy(id=0, where=session.folder.name, device="cpu"))
    assert isinstance(end, RequestDone) and [type(one) for one in said if isinstance(one, StudyReady)] == [StudyReady]
    assert (session.folder / "events.jsonl").read_bytes() == before
    assert wire.engine.session is not None and wire.engine.session.workspace.model is model
    assert wire.events(VisitNeuron(id=0, neuron=NeuronId(2, 30)))
    assert "being written by another" not in wire.refusal(OpenStudy(id=0, where="no such study"))
    with Study.open(session.folder, write=True):
        pass  # the lock is free: the study that could not be opened closed the one before


def test_during_a_scan_what_needs_no_index_is_answered_and_what_needs_it_is_refused(
    own_home: Path, tiny_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    scanning, asked = threading.Event(), threading.Event()
    observe = Observer.observe

    def held(*args: Any) -> Any:
        scanning.set()
        assert asked.wait(60)
        return observe(*args)

    monkeypatch.setattr(Observer, "observe", held)
    settings = msgspec.structs.replace(tiny_settings, top_k=17)  # another index than that of the other tests
    with Wire() as wire:
        study = wire.send(OpenStudy(id=0, settings=settings, device="cpu"))
        assert scanning.wait(60)
        probe = wire.send(ProbeText(id=0, text=TEXT, neuron=NeuronId(2, 7)))
        visit = wire.send(VisitNeuron(id=0, neuron=NeuronId(2, 7)))
        while wire.engine.inbox._waiting[1:] == []:
            time.sleep(0.001)
        asked.set()
        assert isinstance(wire.end(probe), RequestDone)
        refused = wire.end(visit)
        assert isinstance(refused, RequestFailed) and refused.message == SCANNING
        assert not any(isinstance(one, Happened) and isinstance(one.event, IndexReady) for one in wire.heard)
        wire.send(Cancel(id=0, target=study))
        assert isinstance(wire.end(study), RequestCancelled)
        again = wire.answer(ProbeText(id=0, text=TEXT, neuron=NeuronId(2, 7)), TextProbed)  # what is open stays open
        [during] = [one for one in wire.heard if isinstance(one, TextProbed) and one.request == probe]
        assert again.activation == during.activation
