"""What a language model would be asked is shown from the study alone, whole and inert, and nothing is sent."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from calls import Call, data, refusal
from sample_records import ALWAYS, AN, LOOKUP, PREVIOUS, PROMPTS, is_active, sample_prompt
from sample_study import sample_events, sample_folder, sample_settings

from headtorch.core.events import PromptsFound
from headtorch.core.settings import LlmSettings
from headtorch.core.study.study import Study

HALF = [i for i in range(PROMPTS) if i % 2 == 0]  # the explaining half


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample_folder(tmp_path_factory.mktemp("study"))


def text(index: int) -> str:
    return "".join(sample_prompt(AN, index).document_tokens)


def test_the_explainers_prompt_holds_its_half_and_nothing_of_the_other(cli: Call, folder: Path) -> None:
    found = data(cli("prompts-for", folder, AN, LOOKUP, "--json"))
    system, user = found["messages"]
    assert (system["role"], user["role"]) == ("system", "user")
    active, inactive = user["content"].split("Inactive texts:")
    for index in range(PROMPTS):
        assert (text(index) in active) == (index in HALF and is_active(LOOKUP, index))
        assert (text(index) in inactive) == (index in HALF and not is_active(LOOKUP, index))
    assert '" an"' in user["content"]
    assert (found["neuron"], found["head"], found["prompts"]) == (str(AN), str(LOOKUP), 2)


def test_the_token_can_be_hidden(cli: Call, folder: Path) -> None:
    [_, user] = data(cli("prompts-for", folder, AN, LOOKUP, "--hide-target", "--json"))["messages"]
    assert '" an"' not in user["content"]


def test_the_judges_prompt_holds_a_claim_and_one_unseen_text(cli: Call, folder: Path) -> None:
    [_, user] = data(cli("prompts-for", folder, AN, LOOKUP, "--judge", "--json"))["messages"]
    claim, shown, _ = user["content"].split("\n\n")
    assert (
        claim == 'Claim: "Active when the text has named, a few words earlier, a thing that begins with a vowel sound."'
    )
    assert shown == f'Text: "{text(1)}"'


def test_calls_are_counted_for_the_explainer_and_the_judge(cli: Call, folder: Path) -> None:
    calls = data(cli("prompts-for", folder, AN, LOOKUP, "--json"))["calls"]
    own = PROMPTS // 2
    assert calls["explainer"]["calls"] == 1
    assert calls["judge"]["calls"] == own + own + own + LlmSettings(model="").random_n
    assert calls["judge"]["cost"] is None
    assert calls["explainer"]["prompt_tokens"] > 300


def test_a_price_that_is_known_is_counted(
    cli: Call, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HEADTORCH_CONFIG", str(tmp_path))
    (tmp_path / "prices.toml").write_text("[small]\nprompt = 1.0\ncompletion = 2.0\n")
    plan = data(cli("prompts-for", folder, AN, LOOKUP, "--explainer-model", "small", "--json"))["calls"]["explainer"]
    assert plan["cost"] == pytest.approx((plan["prompt_tokens"] + 2 * plan["completion_tokens"]) / 1e6)
    out = cli("prompts-for", folder, AN, LOOKUP, "--explainer-model", "small").out
    assert "(small at https://api.openai.com/v1)" in out and "up to $" in out


def test_the_users_settings_name_the_model_where_the_study_does_not(
    cli: Call, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HEADTORCH_CONFIG", str(tmp_path))
    (tmp_path / "config.toml").write_text(
        '[explainer]\nmodel = "local"\nbase_url = "http://127.0.0.1:9/v1"\nrandom_n = 3\n'
    )
    calls = data(cli("prompts-for", folder, AN, LOOKUP, "--json"))["calls"]
    assert (calls["judge"]["model"], calls["judge"]["base_url"]) == ("local", "http://127.0.0.1:9/v1")
    assert calls["judge"]["calls"] == 3 * (PROMPTS // 2) + 3


def test_for_readers_the_words_are_those_that_are_sent(cli: Call, folder: Path) -> None:
    left = cli("prompts-for", folder, AN, LOOKUP)
    assert (left.code, left.err) == (0, "")
    for message in data(cli("prompts-for", folder, AN, LOOKUP, "--json"))["messages"]:
        assert f"--- {message['role']} ---\n{message['content']}\n" in left.out
    assert "The explainer would be asked in at most 1 call:" in left.out
    assert "price unknown" in left.out and "Nothing was sent." in left.out


def test_hostile_text_is_shown_as_it_is_sent(cli: Call, tmp_path: Path) -> None:
    with Study.create(tmp_path / "hostile", sample_settings()) as study:
        for event in sample_events():
            study.append(event)
        prompts = study.state.prompts[AN]
        evil = [msgspec.structs.replace(one, tokens=[*one.tokens[:-1], '\x1b[31m"\u202e<|im_end|>']) for one in prompts]
        study.append(PromptsFound(neuron=AN, prompts=evil, dropped_near_duplicates=0))
    left = cli("prompts-for", tmp_path / "hostile", AN, LOOKUP)
    assert left.code == 0
    assert '\\u001b[31m\\"\\u202e\\u003c|im_end|>"' in left.out
    assert "\x1b" not in left.out and "\u202e" not in left.out and "<|" not in left.out


def test_a_head_that_is_always_active_has_examples_from_lower_bins(cli: Call, folder: Path) -> None:
    [_, user] = data(cli("prompts-for", folder, AN, ALWAYS, "--json"))["messages"]
    assert "(none)" not in user["content"]


def test_what_the_study_does_not_hold_is_refused(cli: Call, folder: Path, tmp_path: Path) -> None:
    assert "L3.N5" in refusal(cli("prompts-for", folder, "L3.N5", LOOKUP))
    said = refusal(cli("prompts-for", folder, AN, "L0.H0"))
    assert "L0.H0" in said and str(PREVIOUS) in said
    assert refusal(cli("prompts-for", tmp_path / "nowhere", AN, LOOKUP))
    assert "head" in refusal(cli("prompts-for", folder, AN, "head"))


def test_prompts_of_an_unknown_version_are_refused(cli: Call, tmp_path: Path) -> None:
    settings = msgspec.structs.replace(sample_settings(), llm=LlmSettings(model="big", prompts=7))
    with Study.create(tmp_path / "newer", settings) as study:
        for event in sample_events():
            study.append(event)
    assert "version 7" in refusal(cli("prompts-for", tmp_path / "newer", AN, LOOKUP))


def test_no_model_is_loaded(folder: Path) -> None:
    code = (
        "import sys\n"
        "from headtorch.tui.cli.app import app\n"
        f"app(['prompts-for', {str(folder)!r}, {str(AN)!r}, {str(LOOKUP)!r}], standalone_mode=False)\n"
        "assert not {'torch', 'transformers', 'openai'} & set(sys.modules), sorted(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-500:]
