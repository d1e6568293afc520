"""Which tokens a model finds likely at a place of a text, given what stands before it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from headtorch.core.analysis.batching import MemoryGuard, bucket_length, length_batches, pad_rows, pass_tokens
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.watch import SILENT, Watch

TOP = 128  # tokens at each place
LEAST_PROBABILITY = 1e-4
LOGIT_BYTES = 128 * 2**20  # of the logits of one pass


class LikelyTokens:
    """The next-token distributions of `model` over `rows` (token ids, first token included), kept once computed.

    At a place the `TOP` likeliest tokens of probability ≥ 1e-4, given the tokens before it. Special tokens never count.
    Only the last `reach` places of each row have them.
    """

    def __init__(self, model: LanguageModel, rows: Sequence[Sequence[int]], reach: int = 64) -> None:
        self.model, self._rows, self._reach = model, rows, reach
        self._special = torch.tensor(sorted(_special_ids(model)), dtype=torch.long)
        self._found: dict[int, tuple[NDArray[np.int32], NDArray[np.float32]]] = {}  # [place, rank], nan: none

    def prepare(self, rows: Collection[int], watch: Watch = SILENT) -> None:
        """Run the rows (indices) that have not been run, in batches."""
        missing = [i for i in dict.fromkeys(rows) if i not in self._found]
        most = min(pass_tokens(self.model.device), LOGIT_BYTES // (4 * self.model.facts.d_vocab))
        batches = length_batches([len(self._rows[i]) for i in missing], max(1, most))
        guard = MemoryGuard()
        for batch in batches:
            watch.checkpoint()
            run = partial(self._run, [missing[i] for i in batch])
            for _ in guard.run(len(batch), run):
                watch.checkpoint()

    def at(self, row: int, index: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Ids and probabilities of the tokens likely at `index` of the row, likeliest first; none beyond the reach."""
        self.prepare([row])
        ids, probabilities = self._found[row]
        place = index - (len(self._rows[row]) - len(ids))
        if index < 1 or place < 0:
            return np.zeros(0, np.int32), np.zeros(0, np.float32)
        likely = probabilities[place] >= LEAST_PROBABILITY
        return ids[place][likely], probabilities[place][likely]

    def _run(self, indices: Sequence[int], part: slice) -> None:
        indices = indices[part]
        rows = [self._rows[i] for i in indices]
        longest = bucket_length(max(map(len, rows)), self.model.facts.context)
        logits = self.model.logits(pad_rows(rows, longest, self.model.device))
        logits[..., self._special.to(logits.device)] = -torch.inf
        for number, row, of_row in zip(indices, rows, logits, strict=True):
            last = len(row) - 1  # the token at place i is foretold at i − 1
            first = max(0, last - self._reach)
            top = of_row[first:last].softmax(-1).topk(min(TOP, of_row.shape[-1]))
            self._found[number] = top.indices.int().cpu().numpy(), top.values.cpu().numpy()


def _special_ids(model: LanguageModel) -> set[int]:
    special = {number for number, token in model.tokenizer.added_tokens_decoder.items() if token.special}
    return {number for number in special | {*model.tokenizer.all_special_ids} if number < model.facts.d_vocab}
