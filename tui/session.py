"""What the workbench shows: the fold of a study, what is live beside it, and what is selected. Knows no widget.

The engine's messages go in through `take`, the user's choices through `select_…`; both return the topics that changed,
and the panes of those topics are drawn again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from headtorch.core.engine.protocol import (
    AblateHead,
    Answer,
    AnyMessage,
    ExplainHead,
    FindHeadRoles,
    Happened,
    HeadRoles,
    ListNeurons,
    NeuronList,
    OpenStudy,
    ReadDocument,
    Refused,
    Request,
    RequestCancelled,
    RequestDone,
    RequestFailed,
    ShadePrompts,
    Shading,
    StudyReady,
)
from headtorch.core.errors import HeadtorchError
from headtorch.core.events import (
    AnyEvent,
    BestPrompts,
    ClaimHeadsChosen,
    DeviceUse,
    HeadActivityFound,
    HeadsAttributed,
    NeuronsFound,
    NeuronVisited,
    Progress,
    PromptsFound,
)
from headtorch.core.records import HeadId, NeuronId, NextTokenNeuron, Prompt
from headtorch.core.settings import LlmAccess, Settings
from headtorch.core.study.notes import NoteBook
from headtorch.core.study.state import StudyState
from headtorch.core.study.study import Study
from headtorch.tui.claims import CONCLUDED_FROM, chosen_heads, first_neuron
from headtorch.tui.explaining import heads_unanswered
from headtorch.tui.feeding import feeds
from headtorch.tui.heard import Heard
from headtorch.tui.keymap import key_of
from headtorch.tui.language_model import LanguageModel
from headtorch.tui.noting import read_notes
from headtorch.tui.requests import UNNUMBERED, EngineLink, Requests, is_same
from headtorch.tui.selection import Selection
from headtorch.tui.topics import EVERYTHING, Topic, topics_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from headtorch.core.study.claim_places import ClaimPlaces
    from headtorch.tui.claims import StudyClaims

_SHADED_AFTER = (PromptsFound, HeadsAttributed, HeadActivityFound, ClaimHeadsChosen)


@dataclass
class Session:
    """One study on the screen."""

    engine: EngineLink
    on_notice: Callable[[str, bool], None] = lambda text, is_error: None
    keymap: Mapping[str, str] = field(default_factory=dict)  # the user's own keys, by the command's id
    model: LanguageModel = field(default_factory=LanguageModel)
    since: int = 0  # answers to requests with a smaller number are about the study before
    state: StudyState = field(default_factory=StudyState)
    selection: Selection = field(default_factory=Selection)
    study: Study | None = None  # open for reading: arrays and notes
    ready: bool = False  # the engine has this study and answers about it
    read_only: str | None = None  # why the study is only looked at; the end of a sentence
    progress: Progress | None = None
    device: DeviceUse | None = None
    best_prompts: dict[NeuronId, list[Prompt]] = field(default_factory=dict)  # while the scan goes on
    all_neurons: NeuronList | None = None
    roles: HeadRoles | None = None
    heard: Heard = field(default_factory=Heard)  # what language models are saying
    shadings: dict[tuple[NeuronId, HeadId | None, bool], Shading] = field(default_factory=dict)
    notes: NoteBook = field(default_factory=NoteBook)
    claims: StudyClaims | None = None  # until the next claim; see `headtorch.tui.claims`
    places: dict[str, ClaimPlaces | None] = field(default_factory=dict)  # by artefact, where they can be read
    requests: Requests = field(init=False)
    _recorded: dict[tuple[str, HeadId | None], Shading | None] = field(default_factory=dict)
    _arrays: dict[str, dict[str, NDArray[np.generic]] | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.requests = Requests(self.engine)

    # what comes from the engine

    def take(self, message: AnyMessage) -> frozenset[Topic]:
        """Fold a message of the engine in; returns what changed."""
        if self.is_past(message):
            return frozenset()
        match message:
            case StudyReady(folder=folder):
                return self._study_ready(Path(folder))
            case Happened(event=event):
                return self._event(event)
            case NeuronList():
                self.all_neurons = message
                return frozenset({"neurons"})
            case HeadRoles():
                self.roles = message
                return frozenset({"heads", "detail"})
            case Shading(neuron=neuron, head=head, full=full):
                self.shadings[neuron, head, full] = message
                return frozenset({"prompts", "detail"})
            case RequestDone(request=number) | RequestCancelled(request=number):
                return self._ended(self.requests.end(number))
            case RequestFailed(request=number, message=text):
                self.on_notice(text, True)
                return self._ended(self.requests.end(number, text)) | {"prompts", "heads"}
            case Refused(reason=reason):
                self.on_notice(f"The engine did not understand: {reason}", True)
        return frozenset()

    def is_past(self, message: AnyMessage) -> bool:
        """Whether the message answers a request about the study before."""
        return isinstance(message, Answer) and message.request < self.since

    def _study_ready(self, folder: Path) -> frozenset[Topic]:
        try:
            topics = self.replay(folder)
        except HeadtorchError as error:
            self.on_notice(str(error), True)
            return EVERYTHING
        self.ready = True
        self.ask_shading()
        return topics

    def replay(self, where: str | Path) -> frozenset[Topic]:
        """Show a study as it is on the disk. Raises StudyError for one that cannot be read."""
        self.study = Study.open(where)
        self.state, self.claims = self.study.state, None
        self.notes = read_notes(self)
        if self.selection.neuron is None and (neuron := first_neuron(self)) is not None:
            self.select_neuron(neuron)
        return EVERYTHING

    def follow(self) -> frozenset[Topic]:
        """Take in what another process has logged. Raises StudyError for a log that cannot be read."""
        topics: frozenset[Topic] = frozenset()
        for event in self.study.news() if self.study is not None else []:
            topics |= self._event(event)
        return topics

    def _event(self, event: AnyEvent) -> frozenset[Topic]:
        if isinstance(event, Progress):
            self.progress = event
        elif isinstance(event, DeviceUse):
            self.device = event
        elif isinstance(event, BestPrompts):
            self.best_prompts[event.neuron] = event.prompts
        elif isinstance(event, PromptsFound | HeadActivityFound):
            self._forget_shadings(event.neuron)
        self.heard.take(event)
        self.state.apply(event)
        if isinstance(event, CONCLUDED_FROM):
            self.claims = None
        topics = topics_of(event)
        if isinstance(event, NeuronsFound) and event.neurons and self.selection.neuron not in self.state.neurons:
            topics |= self.select_neuron(event.neurons[0].neuron)
        elif isinstance(event, NeuronVisited):
            topics |= self.select_neuron(event.neuron.neuron)
        elif isinstance(event, _SHADED_AFTER) and event.neuron == self.selection.neuron:
            self.ask_shading()
            if self.selection.head is None:
                topics |= self._take_strongest_head()
        return topics

    def _ended(self, request: Request | None) -> frozenset[Topic]:
        if isinstance(request, ExplainHead):
            self._forget_heard(request)
        if not self.requests.is_waiting(OpenStudy):
            self.progress = None
        if not any(self.requests.is_waiting(kind) for kind in (OpenStudy, ExplainHead)):
            self.heard.spending = None
        if self.device is not None and not self.requests.waiting:
            self.device = msgspec.structs.replace(self.device, busy=None)  # nobody measures it while nothing runs
        return frozenset({"progress", "detail"})

    def _forget_heard(self, request: ExplainHead) -> None:
        """What was heard last stays only where nothing better is there."""
        about = request.neuron, request.head
        for key in [key for key in self.state.scores if key[:2] == about]:
            self.heard.forget(key)

    def _forget_shadings(self, neuron: NeuronId) -> None:
        for key in [key for key in self.shadings if key[0] == neuron]:
            del self.shadings[key]

    # what the user chooses

    def select_neuron(self, neuron: NeuronId) -> frozenset[Topic]:
        """Look at a neuron; its strongest head is selected with it. `ask_shading` is the caller's, once it rests."""
        if neuron == self.selection.neuron:
            return frozenset()
        self.selection.neuron, self.selection.prompt, self.selection.head = neuron, 0, None
        self._take_strongest_head()
        return frozenset({"study", "prompts", "heads", "detail", "neurons"})

    def select_prompt(self, index: int) -> frozenset[Topic]:
        """Look at one prompt of the neuron."""
        self.selection.prompt = index
        return frozenset({"detail", "heads"} if self.selection.one_prompt else {"detail"})

    def select_head(self, head: HeadId) -> frozenset[Topic]:
        """Look at one head."""
        if head == self.selection.head:
            return frozenset()
        self.selection.head = head
        return frozenset({"study", "prompts", "heads", "detail"})

    def _take_strongest_head(self) -> frozenset[Topic]:
        neuron = self.selection.neuron
        heads = self.state.heads(neuron) if neuron is not None else {}
        explained = self.state.activity.get(neuron) if neuron is not None else None
        if neuron is not None and (chosen := chosen_heads(self, neuron)):
            self.selection.head = chosen[0].head
        elif explained is not None and explained.heads:
            self.selection.head = explained.heads[0].head
        elif heads:
            self.selection.head = next(iter(heads))
        return frozenset({"heads", "detail", "study", "prompts"})

    # what is asked of the engine

    def open_study(
        self,
        settings: Settings | None,
        where: str | None,
        device: str = "auto",
        run: bool = True,
        access: LlmAccess | None = None,
    ) -> None:
        """Have the engine begin or reopen a study; `access`: with other caps than the user's settings have."""
        self.ready, self.heard = False, Heard()
        self.requests.failed.clear()
        self.requests.ask(
            OpenStudy(
                id=UNNUMBERED,
                settings=settings,
                where=where,
                device=device,
                run=run,
                access=access or self.model.access,
            )
        )

    def ask_shading(self) -> None:
        """Have the tokens of the present prompts shaded, once."""
        chosen = self.selection
        if chosen.neuron is None or not self.state.prompts.get(chosen.neuron) or not self.ready:
            return
        head = self.feeding_head()
        request = ShadePrompts(id=UNNUMBERED, neuron=chosen.neuron, head=head, full=chosen.full)
        newest = [sent for sent in self.requests.waiting.values() if isinstance(sent, ShadePrompts)][-1:]
        settled = [*newest, *(failed for failed, _ in self.requests.failed)]
        known = (chosen.neuron, head, chosen.full) in self.shadings
        if not known and not any(is_same(request, one) for one in settled):
            self.requests.ask(request)

    def ask_all_neurons(self) -> None:
        """List every neuron of the layers, once."""
        if self.all_neurons is None and not self.requests.is_waiting(ListNeurons):
            self.requests.ask(ListNeurons(id=UNNUMBERED))

    def ask_roles(self) -> None:
        """Find what the heads are known as, once."""
        if self.roles is None and not self.requests.is_waiting(FindHeadRoles):
            self.requests.ask(FindHeadRoles(id=UNNUMBERED))

    def ablate(self, together: Sequence[HeadId] = (), *, mediation: bool = False) -> None:
        """Take the selected head away on the neuron's prompts, others with it."""
        neuron, head = self.selection.neuron, self.selection.head
        if neuron is not None and head is not None:
            self.requests.ask(
                AblateHead(id=UNNUMBERED, neuron=neuron, head=head, together=list(together), mediation=mediation)
            )

    def read_document(self, document: int, neuron: NeuronId | None) -> int:
        """Ask for a document; the answer carries the number returned."""
        return self.requests.ask(ReadDocument(id=UNNUMBERED, document=document, neuron=neuron))

    def engine_ended(self) -> frozenset[Topic]:
        """Nothing is running any more; what was shown stays."""
        self.requests.waiting.clear()
        self.ready, self.progress, self.device = False, None, None
        return EVERYTHING

    def is_unfinished(self) -> bool:
        """Whether opening the study again would do something: it is not open, or not at its end."""
        done = self.ready and self.state.finished is not None and not heads_unanswered(self.state)
        return not self.requests.is_waiting(OpenStudy) and not done

    # what the panes read

    def feeding_head(self) -> HeadId | None:
        """The selected head; None without one, and where it cannot feed the selected neuron."""
        neuron, head = self.selection.neuron, self.selection.head
        if neuron is None or head is None or (self.state.model and not feeds(self.state.model, head, neuron)):
            return None
        return head

    def row(self, neuron: NeuronId | None = None) -> NextTokenNeuron | None:
        """The neuron's row: the study's, or a visited one's."""
        wanted = neuron or self.selection.neuron
        if wanted is None:
            return None
        return self.state.neurons.get(wanted) or self.state.visited.get(wanted)

    def prompts(self) -> list[Prompt]:
        """The prompts of the selected neuron; the best so far while the scan goes on."""
        neuron = self.selection.neuron
        if neuron is None:
            return []
        return self.state.all_prompts(neuron) or self.best_prompts.get(neuron, [])

    def prompt(self) -> Prompt | None:
        """The selected prompt."""
        prompts = self.prompts()
        return prompts[self.selection.prompt] if self.selection.prompt < len(prompts) else None

    def shading(self) -> Shading | None:
        """How the tokens of the present prompts are shaded, when the engine has said it."""
        chosen = self.selection
        if chosen.neuron is None:
            return None
        found = self.shadings.get((chosen.neuron, self.feeding_head(), chosen.full))
        return found or self.shadings.get((chosen.neuron, None, chosen.full))

    def recorded(self) -> Shading | None:
        """The same as far as the study holds it, on the kept tokens; needs no engine."""
        neuron, head = self.selection.neuron, self.feeding_head()
        event = self.state.shaded.get(neuron) if neuron is not None and not self.selection.full else None
        if neuron is None or event is None or (arrays := self.loaded(event.artefact)) is None:
            return None
        from headtorch.tui.recorded import recorded_shading  # numpy: not before the first frame

        place = event.artefact, head
        if place not in self._recorded:
            try:
                self._recorded[place] = recorded_shading(neuron, head, self.state.prompts.get(neuron, []), arrays)
            except HeadtorchError as error:
                self.on_notice(str(error), True)
                self._recorded[place] = None
        return self._recorded[place]

    def arrays(self) -> dict[str, NDArray[np.generic]] | None:
        """The selected neuron's attribution per prompt: "headline", "removal" [prompt, layer, head] and the parts."""
        neuron = self.selection.neuron
        event = self.state.attributed.get(neuron) if neuron is not None else None
        return None if event is None else self.loaded(event.artefact)

    def loaded(self, artefact: str) -> dict[str, NDArray[np.generic]] | None:
        """The arrays of an artefact of the study; None where they cannot be read, which is said once."""
        load = self.state.load
        if load is None:
            return None
        if artefact not in self._arrays:
            try:
                self._arrays[artefact] = dict(load(artefact))
            except HeadtorchError as error:
                self.on_notice(str(error), True)
                self._arrays[artefact] = None
        return self._arrays[artefact]

    def key(self, command: str) -> str:
        """The key that leads to a command, for a sentence."""
        return key_of(command, self.keymap)
