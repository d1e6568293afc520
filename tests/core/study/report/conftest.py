"""Shared by the tests of the report: a study on the disk that is hostile wherever text can be, prompts shaded."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from headtorch.core.events import AnyEvent, HeadExplained, PromptsFound, PromptsShaded
from headtorch.core.records import HeadId, NeuronId
from headtorch.core.settings import Settings
from headtorch.core.study import Study
from headtorch.core.study.shading import ShadedPrompt, to_arrays

NEURON, HEAD = NeuronId(3, 412), HeadId(2, 1)
LOOKED_UP = 0.625  # of the head's attribution, on the first token of prompt 0


@pytest.fixture
def study(asked: Settings, events: list[AnyEvent], hostile: str, tmp_path: Path) -> Study:
    """The sample study; the tokens of its prompts, its notes and an explainer's name are hostile too."""
    with Study.create(tmp_path / "trial", asked) as made:
        for event in events:
            made.append(_hostile_tokens(event, hostile) if isinstance(event, PromptsFound) else event)
            if isinstance(event, HeadExplained):
                said = msgspec.structs.replace(event.explanation, explainer=f"llm:{hostile}")
                made.append(HeadExplained(explanation=said))
        made.append(PromptsShaded(neuron=NEURON, artefact=made.save_arrays(to_arrays([HEAD], _shades()))))
        for subject in ("study", str(NEURON), f"{NEURON} {HEAD}"):
            made.notes.write(subject, hostile)
        made.notes.bookmark(str(NEURON))
    return Study.open(tmp_path / "trial")


def _hostile_tokens(event: PromptsFound, hostile: str) -> PromptsFound:
    tokens = ["<bos>", "of", f" {hostile}", " United"]
    prompts = [
        msgspec.structs.replace(prompt, start=38, tokens=tokens, next_token=f" {hostile}") for prompt in event.prompts
    ]
    return msgspec.structs.replace(event, prompts=prompts)


def _shades() -> list[ShadedPrompt]:
    return [
        ShadedPrompt(
            index=i, activation=[0.0, 1.0, 4.0], shares={str(HEAD): [LOOKED_UP, 0.125, 0.0]}, first={str(HEAD): 0.125}
        )
        for i in range(2)
    ]
