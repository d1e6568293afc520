"""Which language model is asked: flags before the file before the environment, and nothing is asked after a slip."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from calls import Call

from headtorch.core.errors import InputError
from headtorch.core.settings import LlmAccess, LlmSettings, Price
from headtorch.tui.explainer_settings import EXPLAINER_SETTINGS, explainer_problems, in_force, llm_settings
from headtorch.tui.settings import TuiSettings, load_settings

DOCS = Path(__file__).parents[2] / "docs"
KEYS = [
    "sk-proj-7hD9sQm2vX4kTz81",
    "sk-ant-REDACTED",
    "gsk_7hD9sQm2vX4kTz81aB",
    "hf_abcdefghijABCDEFGHIJabcdefghij",
    "xai-7hD9sQm2vX4kTz81",
    "nvapi-7hD9sQm2vX4kTz81",
    "AIzaSyA7hD9sQm2vX4kTz81aBcDeFgHiJkLmNo",
    "Bearer 7hD9sQm2vX4kTz81",
    "7f3a9c0d1e2b4f5a6c7d8e9f0a1b2c3d",
    "aB3dE5gH7jK9mN1pQ3sT",
]


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADTORCH_CONFIG", str(tmp_path))
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def load(folder: Path, table: str, prices: str = "") -> TuiSettings:
    """The settings of a folder whose config.toml has the table `explainer`."""
    (folder / "config.toml").write_text(f'theme = "paper"\n[explainer]\n{table}\n', encoding="utf-8")
    (folder / "prices.toml").write_text(prices, encoding="utf-8")
    return load_settings(folder)


def test_without_a_model_no_language_model_is_asked() -> None:
    assert llm_settings(TuiSettings()) == (None, LlmAccess())
    assert llm_settings(TuiSettings(), base_url="http://localhost:8000/v1", concurrency=2) == (
        None,
        LlmAccess(concurrency=2),
    )


def test_every_setting_can_be_set(tmp_path: Path) -> None:
    asked = LlmSettings(
        model="org/large:70b",
        base_url="http://gpu:8000/v1",
        judge_model="small",
        judge_base_url="http://localhost:11434/v1",
        temperature=None,
        max_tokens=2048,
        hide_target=True,
        judge_batch=4,
        control_n=5,
        random_n=0,
    )
    access = LlmAccess(
        api_key_env="MY_KEY",
        judge_api_key_env="OTHER_KEY",
        concurrency=16,
        timeout=120.0,
        attempts=3,
        max_calls=1000,
        max_cost=2.5,
        prices={"org/large:70b": Price(0.0, 0.0), "small": Price(1.0, 2.0)},
    )
    settings = load(
        tmp_path,
        """
        model = "org/large:70b"
        base_url = "http://gpu:8000/v1/"
        judge_model = "small"
        judge_base_url = "http://localhost:11434/v1"
        temperature = "default"
        max_tokens = 2048
        hide_target = true
        judge_batch = 4
        control_n = 5
        random_n = 0
        api_key_env = "MY_KEY"
        judge_api_key_env = "OTHER_KEY"
        concurrency = 16
        timeout = 120.0
        attempts = 3
        max_calls = 1000
        max_cost = 2.5
        """,
        '["org/large:70b"]\nprompt = 0\ncompletion = 0\n[small]\nprompt = 1\ncompletion = 2\n',
    )
    assert settings.problems == () and set(settings.explainer) == set(EXPLAINER_SETTINGS)
    assert llm_settings(settings) == (asked, access)
    assert llm_settings(TuiSettings(folder=tmp_path), **settings.explainer) == (asked, access)


def test_flags_go_before_the_file_and_the_file_before_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://environment/v1/")

    def url(settings: TuiSettings, **flags: Any) -> str:
        asked, _ = llm_settings(settings, **flags)
        assert asked is not None
        return asked.base_url

    assert url(load(tmp_path, 'model = "m"')) == "http://environment/v1"
    written = load(tmp_path, 'model = "m"\nbase_url = "http://file/v1"')
    assert url(written) == "http://file/v1"
    assert url(written, base_url="http://flag/v1", judge_model=None) == "http://flag/v1"
    monkeypatch.setenv("OPENAI_BASE_URL", "")
    assert url(load(tmp_path, 'model = "m"')) == "https://api.openai.com/v1"


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ('base_ulr = "http://localhost:8000/v1"', "there is no setting explainer.base_ulr; did you mean base_url?"),
        ("zzzz = 1", "there is no setting explainer.zzzz; there are model, base_url"),
        ('base_url = "localhost:8000"', "explainer.base_url is 'localhost:8000', but should be an address such as"),
        ('base_url = "ftp://localhost/v1"', "should be an address"),
        ('base_url = "http:///v1"', "should be an address"),
        ('base_url = "http://localhost:99999/v1"', "should be an address"),
        ('base_url = "http://local host/v1"', "should be an address"),
        ("base_url = 8000", "should be an address"),
        ('base_url = "http://localhost/v1/chat/completions"', "should end before /chat/completions"),
        ('judge_base_url = "nowhere"', "explainer.judge_base_url is 'nowhere', but should be an address"),
        ('model = ""', "explainer.model is '', but should be a model's name"),
        ('model = "a\\u001b[2J"', "should be a model's name"),
        ("judge_model = 3", "should be a model's name"),
        ("temperature = -0.1", "explainer.temperature is -0.1, but should be a number from 0 to 2"),
        ('temperature = "hot"', 'or "default"'),
        ("temperature = nan", "explainer.temperature is nan"),
        ("max_tokens = 0", "explainer.max_tokens is 0, but should be a whole number from 1"),
        ("max_tokens = 1.5", "should be a whole number"),
        ("concurrency = true", "explainer.concurrency is True, but should be a whole number"),
        ("concurrency = -1", "should be a whole number from 1"),
        ("attempts = 0", "should be a whole number from 1"),
        ("timeout = -1", "explainer.timeout is -1, but should be seconds, 1 or more"),
        ("max_calls = -1", "should be a whole number from 0"),
        ("max_cost = -1", "explainer.max_cost is -1, but should be dollars, 0 or more"),
        ("max_cost = inf", "explainer.max_cost is inf, but should be dollars"),
        ('max_cost = "5"', "explainer.max_cost is '5', but should be dollars"),
        ("judge_batch = 0", "should be a whole number from 1"),
        ("control_n = -3", "should be a whole number from 0"),
        ("random_n = -3", "should be a whole number from 0"),
        ("hide_target = 1", "should be true or false"),
        ('api_key_env = ""', "explainer.api_key_env should be the name of an environment variable"),
        ("api_key_env = 5", "explainer.api_key_env should be the name of an environment variable"),
        ('api_key = "x"', "there is no setting explainer.api_key: put the key into an environment variable"),
        ('OPENAI_API_KEY = "x"', "there is no setting explainer.OPENAI_API_KEY: put the key into"),
    ],
)
def test_a_slip_in_the_file_is_one_sentence_and_nothing_is_asked_until_it_is_put_right(
    tmp_path: Path, entry: str, said: str
) -> None:
    settings = load(tmp_path, f"random_n = 7\n{entry}" if "random_n" not in entry else entry)
    assert settings.theme == "paper", "the rest of the file is used"
    assert len(settings.problems) == 1 and settings.problems == settings.explainer_problems
    assert said in settings.problems[0] and str(tmp_path / "config.toml") in settings.problems[0]
    assert settings.problems[0].isprintable() and settings.problems[0].endswith((".", "?"))
    with pytest.raises(InputError) as refused:
        llm_settings(settings, model="m")
    assert str(refused.value) == settings.problems[0]


def test_an_unreadable_file_is_no_leave_to_ask_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[explainer\nbase_url = "http://localhost:8000/v1"')
    with pytest.raises(InputError, match="is not TOML"):
        llm_settings(load_settings(tmp_path), model="m")


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("name", ["api_key_env", "judge_api_key_env"])
def test_a_key_in_place_of_its_variable_is_refused_and_never_repeated(tmp_path: Path, name: str, key: str) -> None:
    settings = load(tmp_path, f'model = "m"\n{name} = "{key}"')
    with pytest.raises(InputError, match=rf"{name} should be the name of an environment variable"):
        llm_settings(settings)
    with pytest.raises(InputError, match="should be the name of an environment variable") as refused:
        llm_settings(TuiSettings(), **{name: key})
    told = [*settings.problems, settings.as_toml(), str(refused.value)]
    assert not any(key in text for text in told)


@pytest.mark.parametrize("key", KEYS[:8])
@pytest.mark.parametrize("name", ["model", "judge_model", "base_url", "temperature", "max_cost"])
def test_a_key_in_any_other_place_is_never_repeated(tmp_path: Path, name: str, key: str) -> None:
    settings = load(tmp_path, f'{name} = "{key}"\n"{key}" = 1')
    assert len(settings.problems) == 2
    assert not any(key in text for text in (*settings.problems, settings.as_toml()))


@pytest.mark.parametrize(
    "url", ["https://me:hunter2@host/v1", "https://hunter2@host/v1", "https://host/v1?key=hunter2", "http://h/#hunter2"]
)
def test_an_address_with_a_secret_in_it_is_refused_and_never_repeated(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError) as refused:
        llm_settings(TuiSettings(), model="m", base_url=url)
    assert "--base-url has a user, a password or a query in it" in str(refused.value)
    settings = load(tmp_path, f'base_url = "{url}"')
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    named = load(tmp_path, 'model = "m"')
    with pytest.raises(InputError, match="OPENAI_BASE_URL has a user") as refused_too:
        llm_settings(named)
    said = [*settings.problems, *explainer_problems(named), str(refused.value), str(refused_too.value), named.as_toml()]
    assert len(said) == 5 and not any("hunter2" in text for text in said)


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "my_key", "_K", "HF_TOKEN", "TOGETHER_API_KEY_2", "KEY"])
def test_names_of_variables_are_no_keys(name: str) -> None:
    assert llm_settings(TuiSettings(), api_key_env=name)[1].api_key_env == name


@pytest.mark.parametrize(
    "model", ["gpt-4o-mini-2024-07-18", "task-model", "Qwen/Qwen3-8B", "llama3.2:3b-instruct-q4_K_M", "hf.co/a/b:Q8_0"]
)
def test_names_of_models_are_no_keys(model: str) -> None:
    asked, _ = llm_settings(TuiSettings(), model=model)
    assert asked is not None and asked.model == model


@pytest.mark.parametrize(
    ("flag", "value", "said"),
    [
        ("model", "", "--explainer-model is ''"),
        ("base_url", "nowhere", "--base-url is 'nowhere'"),
        ("max_cost", -1.0, "--max-cost is -1.0, but should be dollars, 0 or more."),
        ("max_calls", -1, "--max-calls is -1"),
    ],
)
def test_a_flag_that_cannot_be_used_is_named_as_it_is_typed(flag: str, value: object, said: str) -> None:
    with pytest.raises(InputError) as refused:
        llm_settings(TuiSettings(), **{flag: value})
    assert str(refused.value).startswith(said)


@pytest.mark.parametrize(("judge", "missing"), [("judge", "judge"), ("", "m")])
def test_a_capped_cost_needs_the_price_of_every_model(tmp_path: Path, judge: str, missing: str) -> None:
    table = 'model = "m"\n' + (f'judge_model = "{judge}"' if judge else "")
    prices = "[m]\nprompt = 1\ncompletion = 2\n" if judge else ""
    settings = load(tmp_path, table, prices)
    llm_settings(settings)
    with pytest.raises(InputError, match=f"The price of {missing} is unknown") as refused:
        llm_settings(settings, max_cost=1.0)
    assert "prices.toml" in str(refused.value)


def test_the_settings_in_force_have_the_engines_own_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = in_force({})
    whole = {**{name: None for name in EXPLAINER_SETTINGS}, **shown}
    asked, access = LlmSettings(model="any"), LlmAccess()
    for name, value in whole.items():
        if name != "model":
            assert value == getattr(asked if hasattr(asked, name) else access, name)
    assert "model" not in shown
    monkeypatch.setenv("OPENAI_BASE_URL", "http://environment/v1")
    assert in_force({})["base_url"] == "http://environment/v1"
    assert in_force({"base_url": "http://file/v1"})["base_url"] == "http://file/v1"


def test_the_table_is_printed_with_what_is_wrong_and_never_a_key(
    cli: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEYS[0])
    load(tmp_path, f'model = "m"\napi_key_env = "{KEYS[1]}"\nmax_tokens = 99', "[m]\nprompt = 1\n")
    shown = cli("config", "show")
    table = tomllib.loads(shown.out)["explainer"]
    assert (table["model"], table["max_tokens"], table["api_key_env"]) == ("m", 99, "OPENAI_API_KEY")
    assert "api_key_env should be the name" in shown.err and "the price of m lacks completion" in shown.err
    assert shown.err.count("\n") == 2
    assert not any(key in shown.out + shown.err for key in KEYS)


def test_what_is_printed_can_be_read_back(tmp_path: Path) -> None:
    settings = load(tmp_path, 'model = "a\\"b"\ntemperature = "default"\nmax_cost = 0.5\nhide_target = true')
    again = tmp_path / "again"
    again.mkdir()
    (again / "config.toml").write_text(settings.as_toml())
    read = load_settings(again)
    assert read.problems == () and read.explainer == in_force(settings.explainer)


# documentation


def test_every_setting_is_documented_with_its_default() -> None:
    page = (DOCS / "explainers.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", page, re.MULTILINE))
    assert set(EXPLAINER_SETTINGS) <= set(rows)
    defaults = in_force({})
    for name in EXPLAINER_SETTINGS:
        said = re.fullmatch(r"`(.+)`", rows[name])
        assert (None if said is None else tomllib.loads(f"x = {said[1]}")["x"]) == defaults.get(name), name


def test_the_examples_of_the_documentation_are_usable(tmp_path: Path) -> None:
    page = (DOCS / "explainers.md").read_text("utf-8")
    examples = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    configs = [text for text in examples if "[explainer]" in text]
    prices = [text for text in examples if "prompt =" in text]
    assert len(configs) >= 2 and len(prices) == 1
    (tmp_path / "prices.toml").write_text(prices[0])
    for text in configs:
        (tmp_path / "config.toml").write_text(text)
        settings = load_settings(tmp_path)
        assert settings.problems == () and explainer_problems(settings) == []
        assert llm_settings(settings)[0] is not None
