"""An attribution for reading: the sum and its error in words, the strongest heads and what they looked up."""

from __future__ import annotations

from collections.abc import Sequence

from headtorch.core.records import GatedSources, Parts, PromptAttribution
from headtorch.core.text import visible_token
from headtorch.tui.cli.output import print_note, print_table, print_text

TOP_HEADS = 8
TOP_SOURCES = 2
EXACT = 1e-4  # of the larger of 1 and the pre-activation


def print_attribution(record: PromptAttribution) -> None:
    """Print one prompt's attribution."""
    print_note(f"{record.neuron} on: {''.join(record.tokens)}")
    print_text(f"activation {record.activation:.3f}")
    if record.parts is not None:
        _print_read("pre-activation", record.parts, record.pre_activation, record.error)
    elif record.reads is not None:
        for name in ("gate", "up"):
            numbers = (getattr(record.pre_activation, name), getattr(record.error, name))
            _print_read(f"{name} read", getattr(record.reads, name), *numbers)
    _print_heads(record)
    print_text()


def _print_read(name: str, parts: Parts, pre_activation: object, error: object) -> None:
    """The sum, and in words how well it holds."""
    assert isinstance(pre_activation, float) and isinstance(error, float)
    heads = sum(value for layer in parts.heads for value in layer if value is not None)
    exact = abs(error) <= EXACT * max(1.0, abs(pre_activation))
    verdict = "the parts sum to it exactly" if exact else "NOT EXACT: the parts do not sum to it"
    print_text(f"{name} {pre_activation:.3f} ({verdict}, error {error:.0e})")
    terms = [
        ("embedding", parts.embed),
        ("position", parts.position),
        ("heads", heads),
        ("attention biases", sum(parts.attention_bias)),
        ("MLPs", sum(parts.mlps)),
        ("bias", parts.bias),
    ]
    print_note("  = " + " + ".join(f"{what} {value:.3f}" for what, value in terms))


def _print_heads(record: PromptAttribution) -> None:
    """The strongest heads by direct attribution; of a gated neuron, which has two, by removal."""
    grid = record.parts.heads if record.parts is not None else record.removal
    ranked = sorted(
        ((value, k, i) for k, layer in enumerate(grid) for i, value in enumerate(layer) if value is not None),
        key=lambda one: -abs(one[0]),
    )
    columns = [("head", "left"), ("removal", "right"), ("looked up", "text")]
    if record.parts is not None:
        columns.insert(1, ("direct", "right"))
    if record.beta is not None:
        columns.insert(-1, ("β", "right"))
    rows = []
    for value, k, i in ranked[:TOP_HEADS]:
        row: list[object] = [f"L{k}.H{i}", record.removal[k][i], _looked_up(record, f"L{k}.H{i}")]
        if record.parts is not None:
            row.insert(1, value)
        if record.beta is not None:
            row.insert(-1, record.beta[k][i])
        rows.append(row)
    print_table(columns, rows)


def _looked_up(record: PromptAttribution, head: str) -> str:
    given = record.sources.get(head)
    if given is None:
        return ""
    if isinstance(given, GatedSources):
        return f"gate {_strongest(record.tokens, given.gate)}; up {_strongest(record.tokens, given.up)}"
    return _strongest(record.tokens, given)


def _strongest(tokens: Sequence[str], given: Sequence[float]) -> str:
    """The source tokens that gave the most, with what they gave."""
    order = sorted(range(len(given)), key=lambda s: -abs(given[s]))[:TOP_SOURCES]
    return ", ".join(f"{visible_token(tokens[s])} {given[s]:+.3f}" for s in order)
