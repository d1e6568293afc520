"""The researcher as explainer: a sentence, or a regular expression that judges by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import regex

from headtorch.core.errors import ExplanationError
from headtorch.core.explain.protocol import ExplainTask
from headtorch.core.records import Explanation

PATTERN_PREFIX = "re:"
MAX_PATTERN = 500
MAX_TEXT = 20_000  # characters, counted from the end
TIMEOUT = 0.5  # seconds for one prompt
MAX_SENTENCE = 2_000


class Pattern:
    """A regular expression, written re:PATTERN, searched in the text up to the firing token (its end is $)."""

    def __init__(self, source: str) -> None:
        """Raises ExplanationError for a pattern that is empty, too long or malformed."""
        body = source.removeprefix(PATTERN_PREFIX)
        if not body.strip():
            raise ExplanationError(f"There is nothing after {PATTERN_PREFIX}; write a pattern such as re: United$.")
        if len(body) > MAX_PATTERN:
            raise ExplanationError(f"The pattern has {len(body)} characters; {MAX_PATTERN} is the limit.")
        try:
            self._pattern = regex.compile(body)
        except (regex.error, RecursionError, OverflowError, ValueError) as error:
            raise ExplanationError(f"{body!r} is not a regular expression: {error}.") from None

    def found_in(self, text: str) -> bool:
        """Whether it is found anywhere; raises ExplanationError for a search that runs out of time."""
        try:
            return self._pattern.search(text[-MAX_TEXT:], timeout=TIMEOUT) is not None
        except TimeoutError:
            raise ExplanationError(
                f"The pattern {self._pattern.pattern!r} took longer than {TIMEOUT} s on one prompt; "
                "nested repetition such as (a+)+ is the usual cause."
            ) from None


class MeExplainer:
    """Gives back what the researcher wrote, checked."""

    name = "me"

    def __init__(self, text: str) -> None:
        """Raises ExplanationError for empty or overlong text and for a pattern that cannot be used."""
        self.text = text.strip("\r\n\t")
        if not self.text.strip():
            raise ExplanationError("The explanation is empty; write a sentence, or a regular expression as re:PATTERN.")
        self.is_pattern = self.text.lstrip().startswith(PATTERN_PREFIX)
        if self.is_pattern:
            self.text = self.text.lstrip()
            Pattern(self.text)
        elif len(self.text) > MAX_SENTENCE:
            raise ExplanationError(f"The explanation has {len(self.text)} characters; {MAX_SENTENCE} is the limit.")

    def explain_all(self, tasks: Sequence[ExplainTask]) -> Iterator[Explanation]:
        """The researcher's own words for each head; a regular expression is also the rule that judges."""
        return map(self.explain, tasks)

    def explain(self, task: ExplainTask) -> Explanation:
        """The same words, whatever the examples are."""
        rule = self.text if self.is_pattern else None
        return Explanation(neuron=task.neuron, head=task.head, explainer=self.name, text=self.text, rule=rule)
