"""Every command on a tiny model and a small corpus: what it prints, and what its JSON holds."""

from __future__ import annotations

from typing import Any

import pytest
from calls import Call, Places, data

from headtorch.core.study.study import Study

NEURON = "L2.N7"
PARTS = {"embed", "position", "heads", "attention_bias", "mlps", "bias"}


def total(parts: dict[str, Any]) -> float:
    """The sum of all parts of a pre-activation."""
    heads = sum(value for layer in parts["heads"] for value in layer if value is not None)
    return float(
        parts["embed"] + parts["position"] + heads + sum(parts["attention_bias"]) + sum(parts["mlps"]) + parts["bias"]
    )


def test_neurons_of_a_token(cli: Call, places: Places) -> None:
    rows = data(cli("neurons", "--model", places.model, "--token", " States", "--top", 5, "--json"))
    assert len(rows) == 5
    assert {"neuron", "token", "token_id", "congruence", "cosine", "z", "rank", "kind"} <= rows[0].keys()
    assert {row["token"] for row in rows} == {" States"}
    assert [row["z"] for row in rows] == sorted((row["z"] for row in rows), reverse=True)


def test_neurons_of_layers_and_random_ones(cli: Call, places: Places) -> None:
    of_layer = data(cli("neurons", "--model", places.model, "--layers", "1", "--top", 4, "--json"))
    assert {row["neuron"][:3] for row in of_layer} == {"L1."}
    drawn = [data(cli("neurons", "--model", places.model, "--random", "--top", 4, "--json")) for _ in range(2)]
    assert drawn[0] == drawn[1] and all(row["random"] for row in drawn[0])


def test_the_table_of_neurons_has_a_line_for_each(cli: Call, places: Places) -> None:
    left = cli("neurons", "--model", places.model, "--token", " States", "--top", 5)
    lines = left.out.splitlines()
    assert lines[0].split()[:2] == ["neuron", "token"] and len(lines) == 6
    assert all("·States" in line for line in lines[1:])


def test_scan_twice_gives_the_same_index(studied: Call) -> None:
    first, second = (data(studied("scan", "--json")) for _ in range(2))
    assert first == second
    assert first["layers"] == [1, 2] and first["neurons"] == 2 * 48
    assert "layers   1, 2\n" in studied("scan").out


def test_prompts(studied: Call) -> None:
    rows = data(studied("prompts", "--neuron", NEURON, "--top", 4, "--json"))
    wanted = "doc position start token_ids tokens activation full_activation kept_ratio cluster half"
    assert set(wanted.split()) <= rows[0].keys()
    assert {row["half"] for row in rows} == {"explain", "score"}
    for row in rows:
        assert row["kept_ratio"] == pytest.approx(row["activation"] / row["full_activation"], rel=1e-5)
        assert row["kept_ratio"] >= 0.8 and len(row["tokens"]) == len(row["token_ids"])
    assert len(studied("prompts", "--neuron", NEURON, "--top", 4).out.splitlines()) == len(rows) + 3


def test_the_parts_of_an_attribution_sum_to_what_the_model_computed(studied: Call) -> None:
    [row] = data(studied("attribute", "--neuron", NEURON, "--prompt", "the people of the United", "--json"))
    required = {"token_ids", "tokens", "pre_activation", "activation", "parts", "dot", "sum", "error", "sources"}
    assert required | {"neuron", "removal"} <= row.keys() <= required | {"neuron", "removal", "beta"}
    assert row["parts"].keys() == PARTS
    assert total(row["parts"]) == pytest.approx(row["pre_activation"], abs=1e-4)
    assert row["error"] == pytest.approx(row["sum"] - row["pre_activation"], abs=1e-6)
    for name, given in row["sources"].items():
        layer, head = (int(part) for part in name[1:].split(".H"))
        assert len(given) == len(row["tokens"])
        assert sum(given) == pytest.approx(row["parts"]["heads"][layer][head], abs=1e-4)


def test_a_gated_neuron_has_two_reads_that_each_sum(cli: Call, places: Places) -> None:
    common = ("attribute", "--model", places.gated, "--corpus", places.corpus, "--neuron", NEURON)
    [row] = data(cli(*common, "--prompt", "the people of the United", "--json"))
    assert "parts" not in row and row["reads"].keys() == {"gate", "up"}
    for read in ("gate", "up"):
        assert total(row["reads"][read]) == pytest.approx(row["pre_activation"][read], abs=1e-4)
    text = cli(*common, "--prompt", "the people of the United").out
    assert "gate read" in text and "up read" in text


def test_attribution_of_top_prompts_has_the_share_of_each_head_on_random_text(studied: Call) -> None:
    rows = data(studied("attribute", "--neuron", NEURON, "--top", 2, "--json"))
    assert len(rows) == 4  # of each half
    assert all(len(row["beta"]) == 3 and len(row["beta"][0]) == 4 for row in rows)


def test_an_attribution_for_reading_says_that_it_is_exact_and_what_was_looked_up(studied: Call) -> None:
    text = studied("attribute", "--neuron", NEURON, "--prompt", "the people of the United").out
    assert "the parts sum to it exactly" in text
    assert "looked up" in text and "·United" in text


def test_a_neuron_outside_the_usual_layers_gets_an_index_of_its_own_layer(studied: Call) -> None:
    assert data(studied("prompts", "--neuron", "L0.N3", "--top", 2, "--json"))


def test_a_neuron_that_promotes_its_token_negatively_is_shown_where_it_fires_so(cli: Call, places: Places) -> None:
    small = ("--model", places.gated, "--corpus", places.corpus, "--context", 32, "--top-k", 16)
    rows = data(cli("neurons", "--model", places.gated, "--layers", "2", "--top", 48, "--json"))
    for sign in (1, -1):
        neuron = next(row["neuron"] for row in rows if row["sign"] == sign)
        shown = data(cli("prompts", "--neuron", neuron, *small, "--top", 2, "--json"))
        assert shown and all(sign * prompt["full_activation"] > 0 and prompt["kept_ratio"] >= 0.8 for prompt in shown)
        split = data(cli("attribute", "--neuron", neuron, *small, "--top", 1, "--json"))
        assert len(split) == 2 and all(sign * record["activation"] > 0 for record in split)


@pytest.mark.parametrize("where", [(), ("--prompt", "the people of the United")])
def test_ablation(studied: Call, where: tuple[str, ...]) -> None:
    found = data(studied("ablate", "--head", "L1.H2", "--neuron", NEURON, "--token", " States", *where, "--json"))
    group = {"n", "delta_log_p", "delta_p", "delta_logit", "delta_activation", "delta_rank"}
    assert found["head"] == "L1.H2" and found["active"].keys() == group
    prompts = found["active"]["n"] + found["inactive"]["n"]
    assert prompts == 1 if where else 20 <= prompts <= 40
    left = studied("ablate", "--head", "L1.H2", "--neuron", NEURON, "--token", " States", *where)
    assert left.code == 0 and "Δ log p" in left.out


def test_run_twice_prints_the_same_study(studied: Call, cli: Call) -> None:
    args = ("run", "--neurons", 2, "--random-neurons", 1, "--study", "tiny-study", "--json")
    first = data(studied(*args))
    claims = {"verdict", "findings", "candidates", "last_token", "controls"}
    assert first.keys() - claims == {
        "study",
        "neurons",
        "scores",
        "ablations",
        "unanswered",
        "asked",
        "calls",
        "reports",
    }
    assert claims <= first.keys()
    assert len(first["neurons"]) == 3
    assert data(studied(*args))["scores"] == first["scores"]
    table = studied(*args[:-1]).out
    assert "Neurons and the token each promotes" in table and "report: " in table
    assert "tiny-study" in [study["name"] for study in data(cli("studies", "--json"))]
    assert "tiny-study" in cli("studies").out


def test_an_option_goes_before_the_preset(studied: Call) -> None:
    args = ("run", "--preset", "paper", "--layers", "1", "--neurons", 1, "--random-neurons", 0, "--study", "by-paper")
    settings = Study.open(data(studied(*args, "--json"))["study"]).settings
    assert (settings.preset, settings.attribution, settings.activity) == ("paper", "dot", "paper")
    assert (settings.layers, settings.context, settings.neurons_limit) == ("1", 32, 1)


def test_what_is_at_hand(cli: Call, places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(places.model.parent)
    assert any("tiny" in model["name"] for model in data(cli("models", "--json")))
    assert "gpt2" in cli("models").out
    assert "sotu" in [corpus["spec"] for corpus in data(cli("corpora", "--json"))]
    assert "sotu" in cli("corpora").out
