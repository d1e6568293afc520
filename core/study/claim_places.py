"""The places that a neuron's claims are learned and tested on, as the artefact of FiringPlacesFound holds them.

First the firing places, training split before held-out split; then the matched places, likewise. Rows (windows of the
corpus up to a place) are stored once for all places that they hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from headtorch.core.errors import StudyError
from headtorch.core.records import NeuronId, Prompt

SHOWN = 64  # tokens before and with p that a prompt shows

Ints = NDArray[np.int32]


@dataclass(frozen=True)
class ClaimPlaces:
    """Parallel arrays over places, and the texts that they end.

    row, length: the tokens of a place are the first `length` of row `row`, the model's first token included
    pair: matched places and the firing places that they match share a number; −1 for a firing place without a match
    """

    document: Ints  # [place]
    position: Ints  # [place]
    cluster: Ints  # [place], of near-duplicate documents
    held_out: NDArray[np.bool_]  # [place]
    firing: NDArray[np.bool_]  # [place]
    pair: Ints  # [place]
    activation: NDArray[np.float32]  # [place]
    next_token: Ints  # [place], the id of the token that follows; −1 at a document's end
    row: Ints  # [place]
    length: Ints  # [place]
    row_ids: Ints  # [token], of all rows, one after the other
    row_starts: Ints  # [row + 1], where each row begins in `row_ids`
    row_text: Ints  # [row], index in `row_ids` order of the first token that comes from the document (0 or 1)
    vocabulary_ids: Ints  # [entry], ascending
    vocabulary: tuple[str, ...]  # [entry], the text of each
    titles: tuple[str, ...]  # [document in ascending order]

    def __len__(self) -> int:
        return len(self.document)

    def ids(self, place: int) -> Ints:
        """The token ids up to and including the place, the model's first token included."""
        start = int(self.row_starts[self.row[place]])
        return self.row_ids[start : start + int(self.length[place])]

    def text(self, place: int, most: int | None = None) -> tuple[str, ...]:
        """The document's tokens up to and including the place, at most the last `most`."""
        ids = self.ids(place)[int(self.row_text[self.row[place]]) :]
        return self.texts_of(ids if most is None else ids[-most:])

    def texts_of(self, ids: Ints) -> tuple[str, ...]:
        """The texts of token ids that occur in the rows."""
        return tuple(self.vocabulary[i] for i in np.searchsorted(self.vocabulary_ids, ids).tolist())

    def prompts(self, neuron: NeuronId) -> list[Prompt]:
        """The firing places as prompts of at most SHOWN tokens."""
        titles = dict(zip(np.unique(self.document).tolist(), self.titles, strict=True))
        return [self._prompt(neuron, i, titles) for i in np.flatnonzero(self.firing).tolist()]

    def _prompt(self, neuron: NeuronId, i: int, titles: Mapping[int, str]) -> Prompt:
        row = int(self.row[i])
        tokens = self.text(i, SHOWN)
        in_row = int(self.length[i]) - int(self.row_text[row])  # tokens of the document
        position, following, activation = int(self.position[i]), int(self.next_token[i]), float(self.activation[i])
        known = np.searchsorted(self.vocabulary_ids, following) if following >= 0 else -1
        return Prompt(
            neuron=neuron,
            document=int(self.document[i]),
            title=titles[int(self.document[i])],
            position=position,
            start=position - len(tokens) + 1,
            window_start=position - in_row + 1,
            token_ids=self.ids(i)[-len(tokens) :].tolist(),
            tokens=list(tokens),
            activation=activation,
            full_activation=activation,
            kept_ratio=1.0,
            cluster=int(self.cluster[i]),
            half="score" if self.held_out[i] else "explain",
            long=False,
            next_token_id=following if following >= 0 else None,
            next_token=self.vocabulary[int(known)] if following >= 0 else None,
        )

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """As an artefact: texts as UTF-8 bytes with the offset behind each."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        packed: dict[str, NDArray[np.generic]] = {}
        for name, value in plain.items():
            if isinstance(value, tuple):
                packed[name], packed[f"{name}_ends"] = _packed(value)
            else:
                packed[name] = value
        return packed

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[np.generic]]) -> ClaimPlaces:
        """Read what `arrays` gave. Raises StudyError for anything else."""
        try:
            texts = {name: _unpacked(arrays[name], arrays[f"{name}_ends"]) for name in ("vocabulary", "titles")}
            plain = {field.name: arrays[field.name] for field in fields(cls) if field.name not in texts}
        except (KeyError, UnicodeDecodeError) as error:
            raise StudyError("The places of a neuron are damaged; run the study again under another name.") from error
        return cls(**plain, **texts)  # type: ignore[arg-type]


def _packed(texts: Sequence[str]) -> tuple[NDArray[np.uint8], Ints]:
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    ends = np.cumsum([len(one) for one in encoded], dtype=np.int32)
    return np.frombuffer(b"".join(encoded), np.uint8).copy(), ends


def _unpacked(data: NDArray[np.generic], ends: NDArray[np.generic]) -> tuple[str, ...]:
    whole, stops = data.astype(np.uint8).tobytes(), ends.tolist()
    starts = [0, *stops[:-1]] if stops else []
    return tuple(whole[a:b].decode("utf-8", "surrogatepass") for a, b in zip(starts, stops, strict=True))
