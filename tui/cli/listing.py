"""headtorch models, corpora, studies: what is at hand."""

from __future__ import annotations

import time

from headtorch.tui.cli import options


def models(json: options.Json = False) -> None:
    """List the models at hand: the demo, the Hugging Face cache, and model folders in the current folder.

    \b
    Example:
      headtorch models --json
    """
    from headtorch.core.model.catalog import models_at_hand
    from headtorch.tui.cli.output import print_json, print_table

    found = models_at_hand()
    if json:
        print_json(found)
        return
    print_table(
        [("model", "text"), ("family", "left"), ("MB", "right"), ("problem", "text")],
        [(m.name, m.family, round(m.bytes / 1e6), m.problem or "") for m in found],
    )


def corpora(json: options.Json = False) -> None:
    """List the corpora at hand: the one that comes with headtorch, and those opened before.

    \b
    Example:
      headtorch corpora
    """
    from headtorch.core.corpus.listing import catalog
    from headtorch.tui.cli.output import print_json, print_table

    found = catalog()
    if json:
        print_json(found)
        return
    print_table(
        [("corpus", "text"), ("documents", "right"), ("description", "text")],
        [(c.spec, c.documents, c.description) for c in found],
    )


def studies(json: options.Json = False) -> None:
    """List the studies, last written first.

    \b
    Example:
      headtorch studies
    """
    from headtorch.core.study.study import list_studies
    from headtorch.tui.cli.output import print_json, print_note, print_table

    found = list_studies()
    if json:
        print_json(
            [
                {name: getattr(s, name) for name in s.__struct_fields__ if name != "folder"} | {"folder": str(s.folder)}
                for s in found
            ]
        )
        return
    if not found:
        print_note("No study yet; headtorch run makes one.")
        return
    print_table(
        [("study", "text"), ("neurons", "right"), ("scores", "right"), ("state", "text"), ("written", "left")],
        [
            (s.name, s.neurons, s.scores, s.problem or ("finished" if s.finished else "unfinished"), _when(s.modified))
            for s in found
        ],
    )


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
