"""Texts, titles and names that would drive a terminal come out inert."""

from __future__ import annotations

from pathlib import Path

import pytest
from calls import Call, Places

HOSTILE = "\x1b[31m\x1b]0;owned\x07 [bold]States[/INST] \u202eunion\u2066 the\x00 United \x9b2J States\u200b"
ACTIVE = set("\x1b\x07\x00\x9b\u202e\u2066\u200b")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    for i in range(12):
        (folder / f"{i} \x1b[2J\u202e[red].txt").write_text(f"{i} " + HOSTILE * (3 + i))
    return folder


@pytest.mark.parametrize(
    "args",
    [
        ("prompts", "--neuron", "L2.N7"),
        ("attribute", "--neuron", "L2.N7", "--top", 2),
        ("effects", "--neuron", "L2.N7", "--top", 2),
        ("ablate", "--neuron", "L2.N7", "--head", "L1.H2", "--prompt", HOSTILE[:40].replace("\x00", "")),
        ("run", "--token", " States", "--neurons", 1, "--random-neurons", 1, "--study", "hostile"),
    ],
)
def test_a_hostile_corpus_stays_inert(cli: Call, places: Places, corpus: Path, args: tuple[object, ...]) -> None:
    left = cli(*args, "--model", places.model, "--corpus", corpus, "--context", 48, "--top-k", 16)
    assert left.code == 0, left.err
    assert left.out and not ACTIVE & set(left.out + left.err)


@pytest.mark.parametrize(
    "args",
    [
        ("scan", "--corpus", "\x1b[2Jnowhere\u202e"),
        ("scan", "--corpus", "hf:\x1b[2Jx"),
        ("neurons", "--model", "no\x1b]0;owned\x07"),
        ("neurons", "--token", "[/INST]\x1b[31m"),
        ("prompts", "--neuron", "L2\x1b.N7"),
        ("run", "--study", "a\x1bb"),
        ("run", "--explainer", "me", "--explanation", "re:(\x1b[31m"),
    ],
)
def test_hostile_names_stay_inert(cli: Call, places: Places, args: tuple[object, ...]) -> None:
    model = () if "--model" in args else ("--model", places.model)
    left = cli(*args, *model)
    assert left.code == 2 and left.out == ""
    assert left.err and not ACTIVE & set(left.err)
