"""The size that an index is said to have before it is made is that of its arrays."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from fake_model import FakeCorpus, FakeModel

from headtorch.core.analysis.index_size import index_bytes
from headtorch.core.analysis.scan import scan


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("gated", [False, True])
def test_the_size_of_an_index_is_that_of_its_arrays(gated: bool, dtype: str) -> None:
    model = FakeModel(gated=gated, d_mlp=50)
    model.facts = msgspec.structs.replace(model.facts, dtype=dtype)
    index = scan(model, FakeCorpus([100, 50, 70]), [0, 1], top_k=16)
    of_corpus = ("window_document", "window_start", "random_hashes", "random_places", "count")
    held = sum(
        array.nbytes for name, array in vars(index).items() if isinstance(array, np.ndarray) and name not in of_corpus
    )
    assert index_bytes(100, gated=gated, top_k=16, reduced=dtype != "float32") == held
