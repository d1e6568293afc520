"""The HTML report in a real browser: asks for nothing, runs nothing that was smuggled in, and is accessible.

Skipped where there is no chromium or no playwright; the accessibility checker is fetched from npm once and kept.
"""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import platformdirs
import pytest
from claims_study import claims_study
from markupsafe import Markup

from headtorch.core.study import Study
from headtorch.core.study.report import report_of
from headtorch.core.study.report.html import _environment, to_html
from headtorch.core.text import visible

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

AXE = "axe-core@4.14.1"
SCHEMES = [(scheme, width) for scheme in ("light", "dark") for width in (1280, 400)]
SMUGGLED = '<img src="http://e.vil/i.png" onerror="window.hacked = 1"><svg onload="window.hacked = 1">'
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("there is no chromium on this machine")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def path(study: Study, tmp_path: Path) -> Path:
    """The report of the hostile study; the script of a note would tell that it ran."""
    study.notes.write("study", f"<script>window.hacked = 1</script> {SMUGGLED} javascript:hacked=1")
    study.notes.write("L3.N412 L2.H1", f"'\"></title></style></script>{SMUGGLED}")
    (tmp_path / "report.html").write_text(to_html(report_of(study)))
    return tmp_path / "report.html"


@pytest.fixture(scope="module")
def claims_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a study with claims."""
    folder = tmp_path_factory.mktemp("claims")
    (folder / "report.html").write_text(to_html(report_of(claims_study(folder / "study"))))
    return folder / "report.html"


@pytest.fixture
def opened(browser: Any, path: Path) -> Iterator[Open]:
    """`opened(color_scheme="dark")`: the page, its `requests`, those `refused`, what it `said` on the console."""
    contexts = []

    def open_page(width: int = 1280, of: Path | None = None, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.requests, page.refused, page.said = [], [], []
        page.on("requestfailed", lambda request: page.refused.append((request.url, request.failure)))
        page.on("request", lambda request: page.requests.append(request.url))
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.goto((of or path).as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()


def test_it_opens_from_the_disk_asks_for_nothing_and_says_nothing(opened: Open, path: Path) -> None:
    page = opened()
    page.wait_for_load_state("networkidle")
    assert page.requests == [path.as_uri()] and page.said == []
    assert page.title() == "trial · headtorch report"


def test_what_was_smuggled_into_texts_stays_text(opened: Open, hostile: str) -> None:
    page = opened()
    assert page.evaluate("window.hacked") is None
    assert page.evaluate("[document.scripts.length, document.images.length]") == [1, 0]
    text = page.inner_text("body")
    assert SMUGGLED in text and visible(hostile) in text
    assert not [character for character in text if visible(character) != character and character not in "\n\t"]


@pytest.mark.parametrize(
    "attack",
    [
        "const s = document.createElement('script'); s.textContent = 'window.hacked = 1'; document.body.append(s)",
        "document.body.insertAdjacentHTML('beforeend', '<b id=x onclick=\"window.hacked = 1\"></b>'); x.click()",
        "new Image().src = 'http://e.vil/'",
        "fetch('http://e.vil/').catch(() => 0)",
        "document.body.insertAdjacentHTML('beforeend', '<b style=\"color: red\"></b>')",
        "document.body.insertAdjacentHTML('beforeend', '<iframe src=\"http://e.vil/\"></iframe>')",
        "document.head.insertAdjacentHTML('beforeend', '<link rel=stylesheet href=\"http://e.vil/s.css\">')",
    ],
)
def test_the_policy_holds_against_a_script_that_runs_all_the_same(opened: Open, attack: str) -> None:
    page = opened()
    page.evaluate("document.addEventListener('securitypolicyviolation', (e) => (window.blocked = e.violatedDirective))")
    page.evaluate(f"() => {{ {attack} }}")
    page.wait_for_function("window.blocked", timeout=5000)
    assert page.evaluate("window.hacked") is None
    asked = [url for url in page.requests if "e.vil" in url]
    assert page.refused == [(url, "csp") for url in asked], "stopped by the policy, not by the network"


def test_it_reads_the_same_without_its_script(opened: Open) -> None:
    assert opened(java_script_enabled=False).inner_text("main") == opened().inner_text("main")


def test_what_is_left_out_of_the_markup_is_nothing_to_a_browser(
    opened: Open, study: Study, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = "document.body.outerHTML.replace(/>\\s+/g, '>').replace(/\\s+</g, '<')"
    shorter = opened()
    seen = shorter.evaluate(tree), shorter.inner_text("body")
    monkeypatch.setitem(_environment().filters, "compact", Markup)
    path.write_text(to_html(report_of(study)))
    longer = opened()
    assert (longer.evaluate(tree), longer.inner_text("body")) == seen


def test_a_table_is_sorted_by_the_keyboard_and_says_how(opened: Open) -> None:
    page = opened()
    heading = page.locator("#glance th", has_text="neuron").first
    heading.locator("button").focus()
    rows = "[...document.querySelectorAll('#glance tbody th a')].map((a) => a.textContent)"
    for key, said, order in (("Enter", "ascending", False), ("Space", "descending", True)):
        page.keyboard.press(key)
        assert heading.get_attribute("aria-sort") == said
        assert page.evaluate(rows) == sorted(["L3.N412", "L2.N7"], reverse=order)


@pytest.mark.parametrize(("claims", "target"), [(False, "#explained"), (True, "#findings")])
def test_the_first_tab_skips_to_what_was_found(opened: Open, claims_path: Path, claims: bool, target: str) -> None:
    page = opened(of=claims_path if claims else None)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('href')") == target


@pytest.mark.parametrize(("scheme", "width"), SCHEMES)
@pytest.mark.parametrize("claims", [False, True])
def test_nothing_stands_out_to_the_side(opened: Open, claims_path: Path, claims: bool, scheme: str, width: int) -> None:
    page = opened(width, of=claims_path if claims else None, color_scheme=scheme)
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_on_paper_everything_is_unfolded_and_dark_on_white(opened: Open) -> None:
    page = opened(color_scheme="light")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator("nav").is_hidden()
    assert len(page.pdf()) > 10_000


@pytest.fixture(scope="module")
def axe() -> Path:
    folder = Path(platformdirs.user_cache_path("headtorch-tests")) / AXE
    script = folder / "package" / "axe.min.js"
    if script.exists():
        return script
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm, which fetches the accessibility checker, is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run([npm, "pack", AXE], cwd=folder, capture_output=True, text=True, timeout=60)
    if done.returncode:
        pytest.skip(f"the accessibility checker could not be fetched: {done.stderr.strip()[-200:]}")
    with tarfile.open(folder / done.stdout.split()[-1]) as archive:
        archive.extractall(folder, filter="data")
    return script


@pytest.mark.parametrize(("scheme", "width"), SCHEMES)
@pytest.mark.parametrize("claims", [False, True])
def test_the_accessibility_checker_finds_nothing_serious(
    opened: Open, claims_path: Path, axe: Path, claims: bool, scheme: str, width: int
) -> None:
    page = opened(width, of=claims_path if claims else None, color_scheme=scheme, bypass_csp=True)
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
    page.add_script_tag(path=axe)
    found = page.evaluate("axe.run().then((result) => result.violations)")
    serious = [(one["id"], one["nodes"][0]["html"][:200]) for one in found if one["impact"] in ("serious", "critical")]
    assert not serious
