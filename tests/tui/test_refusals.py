"""What a user can get wrong ends in one sentence on standard error and exit code 2."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from calls import Call, Left, Places, refusal

NEURON = "L2.N7"
TEXT = "the people of the United"


def test_an_unknown_model(cli: Call) -> None:
    assert "no/such-model" in refusal(cli("neurons", "--model", "no/such-model", "--token", " States"))


def test_a_folder_that_is_no_model(cli: Call, places: Places) -> None:
    assert str(places.corpus) in refusal(cli("neurons", "--model", places.corpus, "--token", " States"))


def test_a_model_without_safetensors(cli: Call, places: Places, tmp_path: Path) -> None:
    folder = tmp_path / "pickled"
    shutil.copytree(places.model, folder)
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    assert "safetensors" in refusal(cli("neurons", "--model", folder, "--token", " States"))


def test_a_torn_weight_file(cli: Call, places: Places, tmp_path: Path) -> None:
    folder = tmp_path / "torn"
    shutil.copytree(places.model, folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert "torn" in refusal(cli("neurons", "--model", folder, "--token", " States"))


def on(cli: Call, places: Places, corpus: object, *more: object) -> Left:
    return cli("scan", "--model", places.model, "--corpus", corpus, *more)


def test_an_unknown_corpus(cli: Call, places: Places, tmp_path: Path) -> None:
    assert "nowhere" in refusal(on(cli, places, tmp_path / "nowhere"))
    assert refusal(on(cli, places, "sotus"))
    assert refusal(on(cli, places, "x" * 5000))
    assert refusal(on(cli, places, ""))


def test_an_empty_corpus(cli: Call, places: Places, tmp_path: Path) -> None:
    assert refusal(on(cli, places, tmp_path))
    (tmp_path / "blank.txt").write_text("  \n")
    assert refusal(on(cli, places, tmp_path))


def test_a_broken_line_of_jsonl_is_named(cli: Call, places: Places, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"text": "the people"}\n{"text": "the Uni\n{"text": "the"}\n')
    assert "line 2" in refusal(on(cli, places, broken))
    broken.write_text('{"body": "the people"}\n')
    assert "--text-field" in refusal(on(cli, places, broken))


def test_a_token_that_is_several_shows_its_pieces(studied: Call, cli: Call, places: Places) -> None:
    message = refusal(cli("neurons", "--model", places.model, "--token", " Statesman"))
    assert " States" in message
    assert '" States"' in refusal(cli("neurons", "--model", places.model, "--token", "States")).replace("'", '"')
    assert refusal(cli("neurons", "--model", places.model, "--token", ""))


@pytest.mark.parametrize("neuron", ["L9.N0", "L2.N48", "412", "L2.H4", "L2.N99999999999", "", "L-1.N0"])
@pytest.mark.parametrize("command", ["prompts", "attribute", "ablate"])
def test_a_neuron_that_is_not_there(studied: Call, command: str, neuron: str) -> None:
    more = {"prompts": (), "attribute": ("--prompt", TEXT), "ablate": ("--head", "L0.H0")}[command]
    assert refusal(studied(command, f"--neuron={neuron}", *more))


def test_the_range_of_neurons_is_shown(studied: Call) -> None:
    assert "47" in refusal(studied("prompts", "--neuron", "L2.N48"))


@pytest.mark.parametrize("head", ["L9.H0", "L1.H4", "H4", "L1.N4", ""])
def test_a_head_that_is_not_there(studied: Call, head: str) -> None:
    assert refusal(studied("ablate", "--head", head, "--neuron", NEURON, "--prompt", TEXT))


def test_a_head_that_cannot_feed_the_neuron(studied: Call) -> None:
    message = refusal(studied("ablate", "--head", "L2.H0", "--neuron", "L1.N3", "--prompt", TEXT))
    assert "L2.H0" in message and "L1.N3" in message


def test_a_neuron_outside_the_layers_asked_for(studied: Call) -> None:
    assert "--layers" in refusal(studied("prompts", "--neuron", "L0.N3", "--layers", "1-2"))


@pytest.mark.parametrize("layers", ["9", "last:0", "3-1", "two", "", "0,,1", "-1"])
def test_layers_that_are_none(studied: Call, layers: str) -> None:
    assert refusal(studied("scan", f"--layers={layers}"))


@pytest.mark.parametrize("option", [("--device", "cuda:1"), ("--device", "tpu"), ("--dtype", "float8")])
def test_devices_and_dtypes_that_are_not_here(studied: Call, option: tuple[str, str]) -> None:
    if option[1] == "cuda:1" and torch.cuda.device_count() > 1:
        pytest.skip("this machine has a second GPU")
    assert option[1] in refusal(studied("scan", *option))


@pytest.mark.parametrize(
    "args",
    [
        ("attribute", "--neuron", NEURON),
        ("attribute", "--neuron", NEURON, "--prompt", TEXT, "--top", "3"),
        ("run", "--explainer", "me"),
        ("run", "--explanation", "re: United$"),
    ],
)
def test_options_that_contradict_each_other(studied: Call, args: tuple[str, ...]) -> None:
    assert "--" in refusal(studied(*args))


def test_random_neurons_have_no_token(cli: Call, places: Places) -> None:
    assert refusal(cli("neurons", "--model", places.model, "--random", "--token", " States"))


@pytest.mark.parametrize("explanation", ["re:(", "re:", "", "  ", "active after United", "re:" + "a" * 1000])
def test_explanations_that_cannot_judge(studied: Call, places: Places, explanation: str) -> None:
    assert refusal(studied("run", "--explainer", "me", "--explanation", explanation, "--study", "unmade"))
    assert not (places.home / "studies" / "unmade").exists()


@pytest.mark.parametrize("prompt", ["", "the people " * 100])
def test_prompts_that_are_too_short_or_too_long(studied: Call, prompt: str) -> None:
    assert "prompt" in refusal(studied("attribute", "--neuron", NEURON, "--prompt", prompt))
    assert "prompt" in refusal(studied("ablate", "--head", "L0.H0", "--neuron", NEURON, "--prompt", prompt))


def test_a_neuron_that_never_fires(studied: Call) -> None:
    assert "never fires" in refusal(studied("prompts", "--neuron", "L2.N5"))
    assert "never fires" in refusal(studied("attribute", "--neuron", "L2.N5", "--top", 2))
    assert "never fires" in refusal(studied("ablate", "--neuron", "L2.N5", "--head", "L0.H0"))


def test_a_slip_in_the_question_leaves_no_study_behind(studied: Call, places: Places) -> None:
    for slip in (("--token", " Statesman"), ("--neuron", "L9.N0"), ("--layers", "9"), ("--reject-token", "nosuch")):
        assert refusal(studied("run", "--study", "slip", *slip))
    assert not (places.home / "studies" / "slip").exists()


def test_a_study_with_other_settings(studied: Call) -> None:
    args = ("run", "--study", "fixed", "--neurons", 1, "--random-neurons", 0)
    assert studied(*args).code == 0
    message = refusal(studied(*args, "--seed", 1))
    assert "seed is 0 there and 1 now" in message and "--study" in message


@pytest.mark.parametrize("name", ["", "..", "-x", "a\x1bb", "x" * 300])
def test_names_that_no_study_can_have(studied: Call, name: str) -> None:
    refusal(studied("run", f"--study={name}", "--neurons", 1, "--random-neurons", 0))


def test_folders_that_cannot_be_written(studied: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_text("no folder")
    args = ("run", "--neurons", 1, "--random-neurons", 0)
    assert str(file) in refusal(studied(*args, "--study", file / "study"))
    assert str(file) in refusal(studied(*args, "--study", tmp_path / "study", "--out", file / "report"))
    monkeypatch.setenv("HEADTORCH_CACHE", str(file / "cache"))
    assert str(file) in refusal(studied("scan"))
    monkeypatch.setenv("HEADTORCH_HOME", str(file / "home"))
    assert studied("studies").code in (0, 2)


@pytest.mark.parametrize("module", ["corpus.store", "corpus.tokens", "files"])
def test_a_full_disk(studied: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setenv("HEADTORCH_CACHE", str(tmp_path))
    monkeypatch.setattr(f"headtorch.core.{module}.create", full)
    assert "disk is full" in refusal(studied("scan"))


@pytest.mark.parametrize(
    "args",
    [
        ("prompts",),
        ("scan", "--context", "1"),
        ("scan", "--top-k", "many"),
        ("scan", "--no-such-option"),
        ("no-such-command",),
        ("prompts", "--neuron", NEURON, "--trim", "short"),
        (),
    ],
)
def test_wrong_usage_leaves_with_2(cli: Call, args: tuple[str, ...]) -> None:
    left = cli(*args)
    assert left.code == 2 and "Traceback" not in left.err


@pytest.mark.parametrize("arguments", [("neurons", "--\u202eno"), ("--\x9b31m",), ("no\u202e",)])
def test_errors_about_arguments_show_what_is_hidden(cli: Call, arguments: tuple[str, ...]) -> None:
    left = cli(*arguments)
    assert left.code == 2
    assert left.err.replace("\n", "").isprintable() and re.search(r"\\(u202e|x9b)", left.err)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize("arguments", [("config", "path"), ("--version",)])
def test_a_full_standard_output_is_one_sentence(arguments: tuple[str, ...]) -> None:
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "headtorch", *arguments], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert ended.returncode == 2 and ended.stderr.count("\n") == 1 and "disk is full" in ended.stderr
