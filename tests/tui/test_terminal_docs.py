"""The page about the terminal names every command and its keys."""

from __future__ import annotations

from pathlib import Path

from headtorch.tui.keymap import COMMANDS
from headtorch.tui.keys import key_names

PAGE = Path(__file__).parents[2] / "docs" / "terminal.md"
PLACES = {
    "workbench": "Anywhere in the workbench",
    "list": "In every list",
    "neurons": "Neurons",
    "prompts": "Prompts",
    "heads": "Heads",
    "detail": "Detail",
    "pairs": "Matched pairs and rewritten texts",
    "document": "A whole document",
    "try-text": "Try your own text",
    "try-typing": "Try your own text, while typing",
    "try-answer": "Try your own text, on the answer",
    "pick": "The pick screen",
    "choice": "A field of the pick screen that has a few values",
    "line": "A line to type in",
    "explain": "How to explain a head",
    "calls": "What would be sent to a language model",
    "budget": "What a study may ask of a language model",
    "note": "A note",
    "export": "What to export",
    "studies": "Lists of studies",
    "compare-with": "What to compare the study with",
    "compare": "Studies side by side",
    "rate": "Rating explanations",
    "help": "The help",
    "app": "Everywhere",
}


def keys_table() -> str:
    """Every command by place, as Markdown."""
    out = []
    for place, title in PLACES.items():
        rows = [c for c in COMMANDS if c.place == place]
        out += [f"### {title}", "", "| keys | id | what it does |", "|---|---|---|"]
        out += [f"| `{key_names(c.keys).replace(' ', '` `')}` | `{c.id}` | {c.help} |" for c in rows]
        out.append("")
    return "\n".join(out)


def test_every_place_has_a_title() -> None:
    assert {command.place for command in COMMANDS} == set(PLACES)


def test_the_page_has_the_keys_as_they_are() -> None:
    page = PAGE.read_text("utf-8")
    written = page.split("<!-- keys -->\n")[1].split("\n<!-- end of keys -->")[0]
    assert written.strip() == keys_table().strip(), (
        "put what keys_table() returns between the marks of docs/terminal.md"
    )
