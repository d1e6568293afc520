"""Effects for reading: the heads that matter most beside their attribution, and how well cheap numbers tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from headtorch.core.causes import Agreement, EstimateError, HeadEffects
from headtorch.core.replacement_kinds import REPLACEMENTS
from headtorch.tui.cli.output import print_note, print_table, print_text

if TYPE_CHECKING:
    from headtorch.core.analysis.attribution import Attribution

TOP_HEADS = 8
NAMES = {"beta": "β", "pre_activation": "pre-activation"}


def print_effects(record: HeadEffects, attribution: Attribution, prompt: int) -> None:
    """Print the heads with the largest effects on one prompt; `prompt` is its place in the attribution."""
    print_note(f"{record.neuron} on: {''.join(record.tokens)}")
    print_text(f"activation {record.activation:.3f}, pre-activation {record.pre_activation:.3f}")
    quantity = _told_by(record)
    grid = getattr(record.effects, quantity)
    ranked = sorted(
        ((abs(value), k, i) for k, layer in enumerate(grid) for i, value in enumerate(layer) if value is not None),
        key=lambda one: (-one[0], one[1:]),
    )
    columns = ["effect", "on pre-activation", "direct", "removal"]
    rows: list[list[object]] = []
    for _, k, i in ranked[:TOP_HEADS]:
        found = [record.effects.activation[k][i], record.effects.pre_activation[k][i]]
        said = [float(attribution.direct[prompt, k, i]), float(attribution.removal[prompt, k, i])]
        estimate = [] if record.estimate is None else [getattr(record.estimate, quantity)[k][i]]
        rows.append([f"L{k}.H{i}", *found, *said, *estimate])
    if record.estimate is not None:
        columns.append("gradient")
    print_table([("head", "left"), *((name, "right") for name in columns)], rows)
    if record.estimate_error is not None:
        _print_error(getattr(record.estimate_error, quantity), NAMES.get(quantity, quantity))
    print_text()


def _told_by(record: HeadEffects) -> str:
    """What heads are ranked by: their effect on the activation, or on the pre-activation where it never fires."""
    fires = any(value for layer in record.effects.activation for value in layer)
    return "activation" if fires else "pre_activation"


def _print_error(error: EstimateError, quantity: str) -> None:
    if error.rms_relative is None or error.max is None:
        print_note(f"No head has an effect on the {quantity}, so the gradient has nothing to be compared with.")
    else:
        print_note(
            f"gradient: estimates the effect on the {quantity}, off by {error.rms_relative:.0%} of the effects' size "
            f"(root mean square over the heads), at most by {error.max:.3f}"
        )


def print_legend(record: HeadEffects) -> None:
    """What the columns mean."""
    where = "at the last position" if record.position == "last" else "at all positions"
    averaged = f", mean over {record.donors} of them" if record.replacement == "resample" else ""
    label = REPLACEMENTS[record.replacement].label
    print_note(
        f"effect: activation − activation with the head's output {where} replaced by {label}{averaged}, everything "
        "behind it recomputed; direct: its part of the pre-activation (gated: of the activation, by the half "
        "rule); removal: change of the activation without that part, nothing recomputed"
    )


def print_agreement(found: Sequence[Agreement]) -> None:
    """Print how well each cheap number tells the exact effects."""
    print_text()
    print_table(
        [
            ("estimate", "left"),
            ("of the effect on", "left"),
            ("Spearman", "right"),
            ("prompts", "right"),
            ("top 5", "right"),
            ("Pearson", "right"),
            ("pairs", "right"),
        ],
        [
            (
                NAMES.get(one.estimate, one.estimate),
                NAMES.get(one.quantity, one.quantity),
                one.spearman,
                f"{one.n_spearman} of {one.n}",
                one.top,
                one.pearson,
                one.pairs,
            )
            for one in found
        ],
        title="How well cheap numbers tell the effects",
    )
    print_note(
        "Spearman: over the heads of a prompt, mean over the prompts where both sides vary; top 5: share of "
        "the estimate's five largest, in size, that are among the five largest effects; Pearson: over all heads of "
        "all prompts"
    )
