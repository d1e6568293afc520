"""A claim in one line, as every terminal and page shows it."""

from __future__ import annotations

from headtorch.core.claims import Estimate
from headtorch.core.format import (
    in_words,
    percent,
    percent_with_interval,
    plain,
    points_with_interval,
    signed,
    signed_percent,
)
from headtorch.core.study.claim_rows import ClaimRow, ContextRow, HeadClaimRow, RewriteRow
from headtorch.core.text import visible

SEPARATOR = " · "
OPENINGS = ("Active when ", "Fires where ")  # of what the rule learner writes


def one_line(row: ClaimRow) -> str:
    """The subject, what the text says, and the numbers of a claim; all of its text is visible."""
    return SEPARATOR.join([subject(row), condition(row.text), *numbers(row)])


def condition(text: str) -> str:
    """What a claim says of the text, without "Active when" or "Fires where": "the" is among the last 3 tokens."""
    plain_text = visible(text)
    for opening in OPENINGS:
        if plain_text.startswith(opening):
            return plain_text.removeprefix(opening).removesuffix(".")
    return plain_text


def subject(row: ClaimRow) -> str:
    """L18.N98 → " of", or L2.H6 → L3.N1004 " that"."""
    token = f'"{visible(row.token)}"'
    return f"{row.neuron} → {token}" if isinstance(row, ContextRow) else f"{row.head} → {row.neuron} {token}"


def numbers(row: ClaimRow) -> list[str]:
    """The numbers of a claim, one phrase each."""
    return _context(row) if isinstance(row, ContextRow) else _head(row)


def effect(row: HeadClaimRow) -> str:
    """removes 28 % where it holds, 1 % elsewhere, +26 [19, 35]; a suppressing head "holds back" so much."""
    if row.effect_holds is None or row.effect_elsewhere is None:
        return "no effect measured"
    verb = "holds back" if row.suppressing else "removes"
    phrase = f"{verb} {percent(row.effect_holds)} where it holds, {percent(row.effect_elsewhere)} elsewhere"
    if row.contrast is None:
        return phrase
    return f"{phrase}, {points_with_interval(Estimate(row.contrast, row.contrast_low, row.contrast_high))}"


def rewriting(rewrite: RewriteRow | None, not_testable: str | None) -> str:
    """rewriting −80 % (placebo −48 %), or why it was not possible; "" where it was not tried."""
    if rewrite is None:
        return f"rewriting not testable ({visible(not_testable)})" if not_testable else ""
    placebo = f" (placebo {signed_percent(rewrite.placebo)})" if rewrite.placebo is not None else ""
    return f"rewriting {signed_percent(rewrite.change)}{placebo}"


def shares_taken(row: ContextRow) -> str:
    """L1.H2 takes 17 % [13, 21], five 44 % [39, 49], twenty of 171 84 %."""
    if not row.heads:
        return ""
    first = row.heads[0]
    phrases = [f"{first.head} takes {percent_with_interval(Estimate(first.taken, first.taken_low, first.taken_high))}"]
    several = [one for one in row.joint if 1 < one.heads < row.eligible_heads]
    for place, one in enumerate(several):
        of = f" of {row.eligible_heads:,}" if place == len(several) - 1 else ""
        estimate = Estimate(one.taken, one.low, one.high)
        share = percent(one.taken) if of and len(several) > 1 else percent_with_interval(estimate)
        phrases.append(f"{in_words(one.heads)}{of} {share}")
    return ", ".join(phrases)


def _context(row: ContextRow) -> list[str]:
    ceiling = f", ceiling {plain(row.auroc_ceiling)}" if row.auroc_ceiling is not None else ""
    phrases = [f"E {plain(row.e)}{ceiling}", shares_taken(row), rewriting(row.rewrite, row.not_testable)]
    return [phrase for phrase in phrases if phrase]


def _head(row: HeadClaimRow) -> list[str]:
    ceiling = f"text ceiling {plain(row.auroc_ceiling)}" if row.auroc_ceiling is not None else ""
    raises = f"ablating it raises p(t): Δ log p {signed(row.delta_log_p)}" if row.raises_p else ""
    phrases = [effect(row), f"E {plain(row.e)}", ceiling, rewriting(row.rewrite, row.not_testable), raises]
    return [phrase for phrase in phrases if phrase]
