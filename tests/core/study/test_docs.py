"""The example in docs/studies.md runs."""

from __future__ import annotations

import re
from pathlib import Path

from headtorch.core.events import AnyEvent
from headtorch.core.records import HeadId, NeuronId
from headtorch.core.settings import Settings
from headtorch.core.study import Study
from headtorch.core.study.ratings import ExplanationRated, Ratings
from headtorch.core.study.report import write_report

PAGE = Path(__file__).parents[3] / "docs" / "studies.md"


def test_the_example_of_the_page_runs_on_a_study(asked: Settings, events: list[AnyEvent]) -> None:
    with Study.create("trial", asked) as study:
        for event in events:
            study.append(event)
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, object] = {}
    exec(example, names)
    best = names["best"]
    assert list(best["neuron"]) == ["L3.N412", "L3.N412"]  # type: ignore[index]
    assert study.notes.read().notes == {"L3.N412 L2.H4": "look at the commas"}


def test_the_page_names_every_file_of_a_study(asked: Settings) -> None:
    with Study.create("trial", asked) as study:
        study.notes.write("study", "x")
        study.save_arrays({})
        write_report(study)
        head = {"neuron": NeuronId(0, 0), "head": HeadId(0, 0), "explainer": "rules", "words": ""}
        Ratings(study.folder).add(ExplanationRated(rater="ada", rating=3, **head))  # type: ignore[arg-type]
    named = set(re.findall(r"^\| `([^`/]+)/?` \|", PAGE.read_text(encoding="utf-8").split("\n## ")[0], re.MULTILINE))
    assert {path.name for path in study.folder.iterdir()} - {"notes.lock", "ratings.lock"} == named
