"""The examples of the documentation run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


def examples() -> list[tuple[str, str]]:
    """(page, code) of every Python block under a <!-- run --> mark."""
    marked = re.compile(r"<!-- run -->\n```python\n(.*?)```", re.DOTALL)
    return [(page.name, code) for page in sorted(DOCS.glob("*.md")) for code in marked.findall(page.read_text("utf-8"))]


def test_there_is_an_example_to_run() -> None:
    assert any(page == "python.md" for page, _ in examples())


@pytest.mark.parametrize(("page", "code"), examples())
def test_the_example_runs(page: str, code: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEADTORCH_CACHE", str(tmp_path))
    exec(compile(code, page, "exec"), {})
