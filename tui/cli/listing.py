"""headtorch models, corpora: what is at hand."""

from __future__ import annotations

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
