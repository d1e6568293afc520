"""Baselines on random positions: moments and β against numpy, and that β over all parts sums to 1."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_models import FAMILIES, ragged_rows, tiny_model

from headtorch.core.analysis.attribution import attribute
from headtorch.core.analysis.baselines import baselines
from headtorch.core.errors import AddressError
from headtorch.core.records import NeuronId

SUPPORTED = [family for family in FAMILIES if family not in ("falcon_new", "falcon_sequential")]
NEURONS = [NeuronId(2, 7), NeuronId(0, 3), NeuronId(2, 1), NeuronId(1, 40)]


@pytest.mark.parametrize("family", SUPPORTED)
def test_beta_over_all_parts_sums_to_one(family: str) -> None:
    model = tiny_model(family)
    found = baselines(model, ragged_rows(model, 20), NEURONS)
    np.testing.assert_allclose(found.beta_total, 1, atol=2e-5)
    for i, neuron in enumerate(NEURONS):
        eligible = model.eligible_heads(neuron.layer)
        for values in (found.mean, found.sd, found.beta):
            np.testing.assert_array_equal(np.isfinite(values[i]), eligible)
    if not model.facts.gated:
        assert not found.beta_bias.any()


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_moments_and_beta_equal_numpys_over_single_attributions(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headtorch.core.analysis.baselines.ROWS_AT_ONCE", 7)
    monkeypatch.setattr("headtorch.core.analysis.baselines.PARTS_BYTES", 1)  # one neuron at a time
    model = tiny_model(family)
    rows = ragged_rows(model, 30)
    found = baselines(model, rows, NEURONS)
    assert found.n == 30
    for i, neuron in enumerate(NEURONS):
        assert found.of(neuron) == i
        single = attribute(model, rows, [neuron] * len(rows))
        varying = single.activation if model.facts.gated else single.pre_activation[:, 0]
        varying = varying.astype(np.float64)
        headline, shares = single.headline.astype(np.float64), single.direct.astype(np.float64)
        np.testing.assert_allclose(found.mean[i], headline.mean(0), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(found.sd[i], headline.std(0, ddof=1), rtol=1e-4, atol=1e-6)
        for layer, head in np.argwhere(np.isfinite(shares[0])):
            covariance = np.cov(shares[:, layer, head], varying)
            assert found.beta[i, layer, head] == pytest.approx(covariance[0, 1] / covariance[1, 1], abs=1e-5)
        embed = np.cov(single.without_reads(single.embed).astype(np.float64), varying)
        assert found.beta_embed[i] == pytest.approx(embed[0, 1] / embed[1, 1], abs=1e-5)


def test_a_neuron_asked_for_twice_is_answered_twice() -> None:
    model = tiny_model("gpt2")
    found = baselines(model, ragged_rows(model, 8), [NEURONS[0], NEURONS[1], NEURONS[0]])
    np.testing.assert_array_equal(found.beta[0], found.beta[2])
    assert not np.array_equal(found.beta[0], found.beta[1], equal_nan=True)


def test_a_neuron_that_never_varies_has_no_beta() -> None:
    model = tiny_model("gpt2")
    row = ragged_rows(model, 1)[0]
    found = baselines(model, [row, row, row], [NEURONS[0]])
    assert np.isnan(found.beta).all()
    np.testing.assert_allclose(found.sd, 0, atol=1e-7)


def test_what_cannot_be_asked_is_refused() -> None:
    model = tiny_model("gpt2")
    with pytest.raises(AddressError, match=r"no neuron L0\.N9999"):
        baselines(model, [[1], [2]], [NeuronId(0, 9999)])
    with pytest.raises(ValueError, match="at least two rows, not 1"):
        baselines(model, [[1]], [NeuronId(0, 0)])
