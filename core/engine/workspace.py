"""A model, a corpus and what was computed of the two, opened when first needed: what every command works with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from headtorch.core.analysis.baselines import Baselines, KeptTraces, baselines
from headtorch.core.analysis.congruence import best_token
from headtorch.core.analysis.index import ActivationIndex, could_hold, index_file_name, unpack_shipped
from headtorch.core.analysis.index_size import index_bytes
from headtorch.core.analysis.places import HALVES, Places
from headtorch.core.analysis.ranking import Ranking
from headtorch.core.analysis.replacements import Replacements, replacements
from headtorch.core.analysis.scan import BestSoFar, scan
from headtorch.core.analysis.setup import index_key
from headtorch.core.analysis.trim import Place
from headtorch.core.analysis.validity import Validator, context_row
from headtorch.core.causes import Replacement
from headtorch.core.corpus.corpus import open_corpus
from headtorch.core.corpus.encoding import batch_encoder
from headtorch.core.corpus.sources import find_source
from headtorch.core.corpus.storage import corpora_folder
from headtorch.core.corpus.tokens import TokenizedCorpus, tokenize
from headtorch.core.engine.language_models import LanguageModels
from headtorch.core.errors import AddressError, InputError, TokenError
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.model.loading import open_model
from headtorch.core.records import NeuronId
from headtorch.core.scale.scanning import scan_on_cluster
from headtorch.core.settings import ClusterAccess, Settings
from headtorch.core.watch import SILENT, Watch


class Workspace:
    """The model and the corpus that settings name, and the index of the one over the other.

    Each part is opened on first use and kept. `watch` hears of the progress and may stop the work.
    """

    def __init__(
        self, settings: Settings, *, device: str = "auto", watch: Watch = SILENT, model: LanguageModel | None = None
    ) -> None:
        self.settings = settings
        self.device = device
        self.watch = watch
        self.llm = LanguageModels(watch=watch)  # replaced where somebody says how language models are reached
        self.shipped_index = True  # may be taken where it answers the question; else the corpus is scanned here
        self.cluster: ClusterAccess | None = None  # a Ray cluster for the scan; None: this process scans
        self.on_best: Callable[[BestSoFar], None] | None = None  # hears of the best places while a scan goes on
        if model is not None:
            self.model = model

    @cached_property
    def model(self) -> LanguageModel:
        """The model, loaded."""
        settings = self.settings
        with self.watch.stage("model"):
            return open_model(settings.model, revision=settings.revision, device=self.device, dtype=settings.dtype)

    @cached_property
    def corpus(self) -> TokenizedCorpus:
        """The corpus in the model's tokens, in windows of the context length."""
        with self.watch.stage("corpus"):
            return self._read_corpus()

    def _read_corpus(self) -> TokenizedCorpus:
        settings = self.settings
        documents = open_corpus(
            settings.corpus,
            text_field=settings.text_field,
            docs=settings.docs,
            tokens=settings.tokens,
            watch=self.watch,
        )
        return tokenize(
            documents,
            batch_encoder(self.model.tokenizer),
            tokenizer_fingerprint=self.model.tokenizer_fingerprint,
            first_token=self.model.facts.first_token,
            context=min(settings.context, self.model.facts.context),
            folder=corpora_folder(),
            watch=self.watch,
        )

    @cached_property
    def layers(self) -> list[int]:
        """The layers the settings name."""
        return self.model.parse_layers(self.settings.layers)

    @cached_property
    def index(self) -> ActivationIndex:
        """The activation index of the layers: loaded, resumed or built; the default one ships with headtorch."""
        with self.watch.stage("scan"):
            self._take_shipped_index()
            self._preview_index()
            if self.cluster is not None:
                return scan_on_cluster(
                    self.model,
                    self.corpus,
                    self.layers,
                    self.cluster,
                    self.settings,
                    folder=index_folder(),
                    device=self.device,
                    watch=self.watch,
                )
            return scan(
                self.model,
                self.corpus,
                self.layers,
                top_k=self.settings.top_k,
                seed=self.settings.seed,
                folder=index_folder(),
                watch=self.watch,
                on_best=self.on_best,
            )

    def _take_shipped_index(self) -> None:
        """Unpack the index that ships with headtorch, or remove it where the corpus is to be scanned here."""
        path = self._index_file
        if self.shipped_index:
            if not path.exists() and unpack_shipped(path.name, path.parent):
                self.watch.note(
                    "Using the index that ships with headtorch; --no-shipped-index builds it here.", minor=True
                )
        elif path.exists() and ActivationIndex.load(path).shipped:
            path.unlink()

    def _preview_index(self) -> None:
        """Say how large the index will be, where there is nothing of it yet."""
        settings, facts = self.settings, self.model.facts
        if self._index_file.exists():
            return
        neurons = facts.d_mlp * len(set(self.layers))
        size = index_bytes(neurons, gated=facts.gated, top_k=settings.top_k, reduced=facts.dtype != "float32")
        self.watch.note(
            f"Indexing {neurons:,} neurons over {self.corpus.n_tokens:,} tokens: "
            f"{size / 1e6:,.0f} MB in memory and on the disk.",
            minor=True,
        )

    def check_question(self) -> None:
        """Look up what the settings ask for, before there is a study of it; the corpus is found, not yet read.

        Raises what is raised for a model, layers, tokens, neurons or a corpus that are not there.
        """
        asked = self.settings
        find_source(asked.corpus, asked.text_field)
        self.layers  # noqa: B018 (reads them)
        self.tokens([*asked.token_texts, *asked.reject_tokens])
        self.neurons([*asked.neurons, *asked.reject_neurons])

    @cached_property
    def ranking(self) -> Ranking:
        """Where each neuron fires most, by activations in fp32."""
        return Ranking(self.model, self.corpus, self.index)

    def index_at_hand(self) -> ActivationIndex | None:
        """The index if it is finished already; None where it would have to be built."""
        layers = tuple(sorted(set(self.layers)))
        neurons = self.model.facts.d_mlp * len(layers)
        files = index_folder().glob("index-*.safetensors")
        shipped = self.shipped_index and (self.settings.model, self.settings.corpus) == ("demo", "sotu")
        if not shipped and not any(could_hold(path, layers, neurons, self.settings.top_k) for path in files):
            return None  # without opening the corpus
        self._take_shipped_index()
        path = self._index_file
        return self.index if path.exists() and ActivationIndex.load(path).blocks_left == 0 else None

    @property
    def _index_file(self) -> Path:
        layers = tuple(sorted(set(self.layers)))
        key = index_key(self.model, self.corpus, layers, top_k=self.settings.top_k, seed=self.settings.seed)
        return index_folder() / index_file_name(key, range(len(self.corpus.windows)))

    def neurons(self, addresses: Sequence[str]) -> list[NeuronId]:
        """The neurons at these addresses; raises AddressError for one that the model or the index does not have."""
        found = [NeuronId.parse(address) for address in addresses]
        for neuron in found:
            self.model.check_neuron(neuron)
            if neuron.layer not in self.layers:
                raise AddressError(
                    f"{neuron} is not in the layers looked at ({self.settings.layers}); "
                    f"add its layer with --layers {neuron.layer}."
                )
        return found

    def tokens(self, texts: Sequence[str]) -> list[int]:
        """The ids of texts that are one token each; raises TokenError otherwise."""
        if "" in texts:
            raise TokenError('An empty text is no token; give one, such as --token " States".')
        return [self.model.single_token(text) for text in texts]

    def target_token(self, neuron: NeuronId, text: str | None) -> int:
        """The id of `text`, or of the token that the neuron promotes most."""
        if text is not None:
            return self.tokens([text])[0]
        self.model.check_neuron(neuron)
        return best_token(self.model, neuron)[0]

    def firing_sign(self, neuron: NeuronId) -> int:
        """The sign of the activation that promotes the neuron's best token: 1, or −1 for some neurons of gated MLPs."""
        self.model.check_neuron(neuron)
        return best_token(self.model, neuron)[1] if self.model.facts.gated else 1

    def strongest_places(self, neuron: NeuronId, count: int) -> list[Place]:
        """The `count` strongest firings in each half, of the sign that promotes the neuron's best token.

        Raises InputError for a neuron that never fires so.
        """
        sign = self.firing_sign(neuron)
        places = self.firings(neuron, count, sign)
        if not places:
            raise InputError(
                f"{neuron} never fires{' negatively' if sign < 0 else ''} on {self.corpus.corpus.name}; "
                "take another neuron or a larger corpus."
            )
        return places

    def firings(self, neuron: NeuronId, count: int, sign: int) -> list[Place]:
        """The `count` strongest firings of one sign in each half; raises AddressError for −1 where none is indexed."""
        tops = [self.ranking.top(neuron, half, sign, k=count) for half in HALVES]
        return [
            Place(neuron, int(document), int(position), int(window), float(activation))
            for top in tops
            for document, position, window, activation in zip(
                top.document, top.position, top.window, top.activation, strict=True
            )
            if sign * activation > 0
        ]

    def row(self, document: int, position: int) -> list[int]:
        """The full context of a place: the row of its window up to `position`."""
        return context_row(self.corpus, document, position)

    @cached_property
    def random_rows(self) -> list[list[int]]:
        """Full contexts that end at random positions of the corpus, both halves, for baselines."""
        return self.rows_at(self.index.random_positions())

    @property
    def mean_outputs(self) -> Float[Tensor, "layer head d_head"]:
        """z̄ of every head over random positions of the corpus."""
        means = self.stand_ins("mean").means
        assert means is not None
        return means

    def stand_ins(self, kind: Replacement) -> Replacements:
        """What stands in for heads' outputs, made once, from the random rows where that is needed."""
        if kind not in self._stand_ins:
            rows = self.random_rows if kind in ("resample", "mean") else ()
            self._stand_ins[kind] = replacements(self.model, kind, rows, seed=self.settings.seed, watch=self.watch)
        return self._stand_ins[kind]

    @cached_property
    def _stand_ins(self) -> dict[Replacement, Replacements]:
        return {}

    @cached_property
    def validator(self) -> Validator:
        """Measures validity on the corpus; what neurons share is computed once."""
        return Validator(self.model, self.corpus, self.index, ranking=self.ranking, seed=self.settings.seed)

    def baselines(self, neurons: Sequence[NeuronId]) -> Baselines:
        """Baselines on the random rows; what neurons of a layer share is computed once, as far as memory allows."""
        return baselines(self.model, self.random_rows, neurons, trace=self._traces, watch=self.watch)

    @cached_property
    def _traces(self) -> KeptTraces:
        return KeptTraces(self.model)

    def rows_at(self, places: Places) -> list[list[int]]:
        """The full contexts of places."""
        return [
            self.row(int(document), int(position))
            for document, position in zip(places.document, places.position, strict=True)
        ]


def index_folder() -> Path:
    """Where activation indices are kept."""
    return corpora_folder().parent / "index"
