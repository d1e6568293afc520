"""The line for a hypothesis of one's own: a sentence, or a regular expression that is checked while it is typed."""

from __future__ import annotations

from collections.abc import Sequence

from headtorch.core.errors import ExplanationError, InputError
from headtorch.tui.explaining import PATTERN
from headtorch.tui.screens.prompt_line import LineScreen, Suggestion

MOST = 4  # earlier hypotheses to offer


class HypothesisLine(LineScreen[str]):
    """Returns what was typed. `no_judge`: what to do about a sentence, where no language model could judge it."""

    def __init__(self, subject: str, initial: str = "", earlier: Sequence[Suggestion] = (), no_judge: str = "") -> None:
        super().__init__(subject, initial, "a sentence, or re: and a pattern to find in the text before it fires")
        self._earlier, self._no_judge = earlier, no_judge

    def read_line(self, text: str) -> str:
        """Raises InputError for a pattern that is none, and for a sentence that nobody could judge."""
        problem = pattern_problem(text) if text.strip() else _empty()
        if problem:
            raise InputError(problem)
        if self._no_judge and not is_pattern(text):
            raise InputError(f"A sentence is judged by a language model. {self._no_judge} Or write {PATTERN}PATTERN.")
        return text

    def suggest(self, text: str) -> list[Suggestion]:
        """Hypotheses about other heads that hold the text."""
        return [one for one in self._earlier if text.strip() in one.text and text != one.text][:MOST]

    def changed(self, text: str) -> None:
        """A pattern that is none is said at once."""
        self.say_problem(pattern_problem(text) if is_pattern(text) else "")


def is_pattern(text: str) -> bool:
    """Whether it is a regular expression and no sentence."""
    return text.lstrip().startswith(PATTERN)


def pattern_problem(text: str) -> str:
    """What is wrong with a hypothesis, in a sentence; empty where nothing is."""
    from headtorch.core.explain.me import MeExplainer

    try:
        MeExplainer(text)
    except ExplanationError as error:
        return str(error)
    return ""


def _empty() -> str:
    return f"Write when the head is active: a sentence, or {PATTERN} and a pattern such as {PATTERN} United$."
