"""Attribution from one plain pass, against the inspection face."""

import numpy as np
import pytest

from headtorch.core.analysis.attribution import attribute
from headtorch.core.analysis.place_attribution import place_attribution
from headtorch.core.analysis.position_replay import Queries, observe
from headtorch.core.records import NeuronId
from tests.tiny_models import FAMILIES, tiny_model

ROWS = [[5, 9, 3, 7, 11, 2, 40, 8, 21, 6], [4, 4, 9, 30, 2, 7, 8], [12, 3, 5, 6, 7, 22, 90, 1, 2, 17, 14, 60]]


@pytest.mark.parametrize("family", FAMILIES)
def test_it_is_the_headline_attribution_of_the_cut_rows(family):
    model = tiny_model(family)
    neuron = NeuronId(model.facts.n_layers - 1, 5)
    places = [(0, 9), (0, 4), (1, 6), (2, 11), (2, 3)]
    rows = [ROWS[r][: p + 1] for r, p in places]
    expected = attribute(model, rows, [neuron] * len(rows)).headline
    queries = Queries.of(neuron, np.array([r for r, _ in places]), np.array([p for _, p in places]))
    got = place_attribution(model, neuron, observe(model, ROWS, queries))
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4 * np.nanmax(np.abs(expected)))
