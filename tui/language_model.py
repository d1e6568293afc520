"""The language model that the user has at hand, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass, field

from headtorch.core.errors import HeadtorchError
from headtorch.core.settings import LlmAccess, LlmSettings
from headtorch.tui.explainer_settings import llm_settings
from headtorch.tui.settings import FILE, TuiSettings

NONE_NAMED = f"No language model is named: set model in the table [explainer] of {FILE}."


@dataclass(frozen=True)
class LanguageModel:
    """What the settings say. `problem`: a sentence on what cannot be used in them; then nothing is asked."""

    llm: LlmSettings | None = None
    access: LlmAccess = field(default_factory=LlmAccess)
    problem: str = ""

    @classmethod
    def of(cls, settings: TuiSettings) -> LanguageModel:
        """Never raises: see `problem`."""
        try:
            llm, access = llm_settings(settings)
        except HeadtorchError as error:
            return cls(problem=str(error))
        return cls(llm, access)

    def asked(self, study: LlmSettings | None) -> LlmSettings | None:
        """The model to ask: the one in the settings, else the study's own."""
        return None if self.problem else self.llm or study

    def why_none(self, study: LlmSettings | None) -> str:
        """What to do where there is none to ask; empty where there is one."""
        return self.problem or ("" if self.llm or study else NONE_NAMED)
