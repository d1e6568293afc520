"""What is asked where nobody says otherwise, and the paper's own choices: the same for every front end. No torch."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headtorch.core.settings import Settings

DEFAULT_TOKEN = " session"  # the first content word of `headtorch tokens`, which reads the train split alone
DEFAULT_LAYERS = "last:2"
DEFAULT_NEURONS = 8  # next-token neurons of a study
DEFAULT_RANDOM = 8  # random neurons beside them


def paper_settings(asked: Settings, given: Collection[str] = ()) -> Settings:
    """The paper's own choices, as its notebooks make them; see docs/method.md.

    given: names of settings that were asked for by name, and stay as they are
    """
    import msgspec  # here, so that the command line can name the defaults without loading it

    per_layer = 40 if asked.model == "gpt2-large" else 20
    choices = {
        "layers": "last:5",
        "per_layer": per_layer,
        "trim": "paper",
        "attribution": "dot",
        "attribute_on": "trimmed",
        "activity": "paper",
        "own_layer": False,
        "prompt_limit": 100,
        "context": 1024,  # of the model's, where that is less
        "explain_n": 20,
        "score_n": 10,
        "docs": asked.docs or 10_000,
        "neurons_limit": max(asked.neurons_limit, 5 * per_layer),
    }
    chosen = {name: value for name, value in choices.items() if name not in given}
    return msgspec.structs.replace(asked, preset="paper", **chosen)
