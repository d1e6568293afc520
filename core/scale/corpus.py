"""The corpus as workers read it: token ids from shared memory or from shared storage, never tokenised again."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headtorch.core.corpus.corpus import Corpus
from headtorch.core.corpus.tokens import TokenizedCorpus
from headtorch.core.corpus.windows import Windows
from headtorch.core.errors import ClusterError
from headtorch.core.records import Half
from headtorch.core.scale.job import Job

SHIPPED_BYTES = 4 << 30  # of ids; larger corpora are read from shared storage


@dataclass(frozen=True)
class ShippedCorpus:
    """A tokenized corpus as plain arrays, which Ray holds once per machine and maps into every worker there."""

    ids: NDArray[np.int32]  # [token of the corpus]
    offsets: NDArray[np.int64]  # [document + 1]
    explains: NDArray[np.bool_]  # [document]
    context: int
    first_token: int | None
    fingerprint: str

    @cached_property
    def windows(self) -> Windows:
        """The rows that a model reads."""
        return Windows(self.ids, self.offsets, self.context, self.first_token)

    def half(self, document: int) -> Half:
        """The half of the split that a document is in."""
        return "explain" if self.explains[document] else "score"


def opened(job: Job) -> TokenizedCorpus:
    """The corpus from the files of the machine that asked, or from storage that is shared with it.

    Raises ClusterError where they are not there.
    """
    try:
        corpus = Corpus(Path(job.corpus_folder), job.corpus_spec, job.corpus_tokens)
        return TokenizedCorpus(corpus, Path(job.tokens_folder), job.context, job.first_token)
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"A worker cannot read the tokens in {job.tokens_folder} ({error}); a corpus of this size is not sent "
            "to workers: put HEADTORCH_CACHE on storage that all machines share."
        ) from None


def shipped(corpus: TokenizedCorpus) -> ShippedCorpus | None:
    """What is sent to the workers; None for a corpus that is too large for that."""
    ids, offsets = corpus.arrays
    if ids.nbytes > SHIPPED_BYTES:
        return None
    return ShippedCorpus(ids, offsets, corpus.corpus.halves, corpus.context, corpus.first_token, corpus.fingerprint)
