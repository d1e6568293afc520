"""headtorch ablate with more than one head, headtorch cooperation, headtorch spectrum."""

from __future__ import annotations

import pytest
from calls import Call, data, refusal

NEURON = "L2.N7"
ABOUT = ("--neuron", NEURON, "--top", 4)
TEXT = "the people of the United States have seen"


def test_ablation_with_everything(studied: Call) -> None:
    more = ("--mediation", "--self-repair", "--neuron-ablation")
    heads = ("--head", "L1.H2", "--head", "L0.H1")
    found = data(studied("ablate", *heads, *ABOUT, "--replacement", "resample", *more, "--json"))
    assert (found["head"], found["together"], found["replacement"], found["donors"]) == (
        "L1.H2",
        ["L0.H1"],
        "resample",
        4,
    )
    prompts = found["active"]["n"] + found["inactive"]["n"]
    assert len(found["points"]["delta_log_p"]) == len(found["points"]["active"]) == prompts
    for name in ("active", "inactive"):
        group, mediation, repair = found[name], found[f"mediation_{name}"], found[f"repair_{name}"]
        if group["n"] == 0:
            assert mediation is None and repair is None
            continue
        assert mediation["total"] == pytest.approx(group["delta_log_p"], abs=1e-5)
        parts = mediation["through"] + mediation["around"] + mediation["interaction"]
        assert parts == pytest.approx(mediation["total"])
        assert repair["total_logit"] == pytest.approx(group["delta_logit"], abs=1e-5)
        assert found["silenced"][name]["n"] == group["n"]


def test_ablation_of_a_text_in_tables(studied: Call) -> None:
    about = ("--head", "L1.H2", "--head", "L0.H1", "--neuron", NEURON, "--prompt", TEXT, "--replacement", "zero")
    left = studied("ablate", *about, "--mediation", "--self-repair", "--neuron-ablation")
    assert left.code == 0
    for said in ("L1.H2 and L0.H1", "neuron at 0", "share through", "make up for it"):
        assert said in left.out
    assert "at every position" in studied("ablate", *about, "--position", "all").out


def test_cooperation(studied: Call) -> None:
    found = data(studied("cooperation", *ABOUT, "--heads", 3, "--json"))
    assert [one["quantity"] for one in found["synergies"]] == ["pre_activation", "activation", "log_p"]
    for synergy in found["synergies"]:
        assert len(synergy["heads"]) == len(synergy["joint"]) == len(synergy["pairs"]) == 3
        effects = {one["head"]: one["effect"] for one in synergy["heads"]}
        for pair in synergy["pairs"]:
            expected = effects[pair["first"]] + effects[pair["second"]] - pair["joint"]
            assert pair["synergy"] == pytest.approx(expected, abs=1e-6)
    assert 0 < found["variety"]["p"] <= 1
    left = studied("cooperation", *ABOUT, "--head", "L1.H2", "--head", "L0.H1", "--replacement", "zero")
    assert left.code == 0
    for said in ("L1.H2 L0.H1", "On the log p", "Different heads on different prompts"):
        assert said in left.out


def test_spectrum(studied: Call) -> None:
    found = data(studied("spectrum", "--neuron", NEURON, "--heads", 2, "--per-bin", 3, "--json"))
    assert len(found["bins"]) == 11 and found["bins"][-1]["low"] is None
    assert len(found["curves"]) == 2
    for curve in found["curves"]:
        assert [value is None for value in curve["activation"]] == [one["n"] == 0 for one in found["bins"]]
    left = studied("spectrum", "--neuron", NEURON, "--head", "L1.H2", "--per-bin", 3)
    assert left.code == 0 and "strongest" in left.out and "L1.H2" in left.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("ablate", "--head", "L1.H2", "--head", "L1.H2", *ABOUT), "named twice"),
        (("ablate", "--head", "L1.H2", *ABOUT, "--position", "all", "--mediation"), "use --position last"),
        (
            ("ablate", "--head", "L1.H2", *ABOUT, "--position", "all", "--replacement", "resample"),
            "last position alone",
        ),
        (("cooperation", "--head", "L1.H2", *ABOUT), "at least two heads"),
        (("cooperation", "--head", "L1.H9", *ABOUT), "no head L1.H9"),
        (("spectrum", "--neuron", NEURON, "--head", "here"), "not the address of a head"),
        (("spectrum", "--neuron", NEURON, "--position", "all"), "last position alone"),
    ],
)
def test_what_cannot_be_asked_is_refused(studied: Call, arguments: tuple[str, ...], said: str) -> None:
    assert said in refusal(studied(*arguments))
