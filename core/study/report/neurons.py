"""One neuron's section of the Markdown report: what it is, where it fires, its heads and what explains them."""

from __future__ import annotations

from headtorch.core.format import percent_with_interval
from headtorch.core.records import Prompt, Validity
from headtorch.core.study.report.contents import Report
from headtorch.core.study.report.escape import escaped, escaped_token
from headtorch.core.study.report.explained import ablated, explained_head
from headtorch.core.study.report.marked import lit_text
from headtorch.core.study.report.parts import HeadPart, NeuronPart
from headtorch.core.study.report.phrases import number, percent, small, table, with_interval
from headtorch.core.study.report.selected import in_full, in_rows

TENTH = 0.05  # of the largest contribution: less is not drawn


def neuron_section(part: NeuronPart, report: Report) -> list[str]:
    """The paragraphs and tables of one neuron."""
    found = part.found
    sign = ", firing negatively" if found.sign < 0 else ""
    glitch = "; the token's unembedding norm is an outlier" if found.glitch else ""
    about = "A member of the random baseline. " if found.random else ""
    marked = "★ Bookmarked. " if str(found.neuron) in report.bookmarks else ""
    return [
        f"### {found.neuron} → “{escaped_token(found.token)}”",
        f"{about}{marked}Congruence c = {number(found.congruence)}, cosine {number(found.cosine)}, "
        f"z = {number(found.z, 1)}, rank {found.rank} of the token, kind {found.kind}{sign}{glitch}.",
        *_validity(part),
        *_context_share(part),
        *_prompts(part),
        *_heads(part, gated=report.model is not None and report.model.gated),
        *_map(part),
        *(line for head in in_full(part, report) for line in explained_head(head, part, report)),
        *_others(part, report),
        *(ablated(done) for head in part.heads for done in head.ablations),
        *(f"Note on {escaped(subject)}: {escaped(note)}" for subject, note in part.notes.items()),
    ]


def _validity(part: NeuronPart) -> list[str]:
    seen = part.validity
    if seen is None:
        return []
    failed = "It does not predict its token well (that takes P ≥ 0.5 and an odds ratio ≥ 20, its interval from 5 up)"
    verdict = "It predicts its token" if seen.valid else failed
    return [
        f"{verdict}: P(next = t | fires) = {number(seen.next_share)} on its top {seen.n} places against "
        f"{small(seen.base_rate)} in the corpus ({_odds(seen)}), AUROC {number(seen.auroc)}, "
        f"direct logit attribution {number(seen.logit_attribution)}, Δ log p with the neuron at 0 "
        f"{number(seen.ablation_log_p)}."
    ]


def _odds(seen: Validity) -> str:
    if seen.odds_ratio is None or seen.odds_low is None or seen.odds_high is None:
        return f"lift {number(seen.lift, 1)}"
    return f"odds ratio {seen.odds_ratio:,.0f} [{seen.odds_low:,.0f}, {seen.odds_high:,.0f}]"


def _context_share(part: NeuronPart) -> list[str]:
    measured, firing = part.context_share, part.firing
    if measured is None:
        return []
    drives = "heads drive it" if measured.is_driven else "its last token drives it, so its heads are not explained"
    places = (
        f" {firing.train} training and {firing.held_out} held-out firing places, {firing.train_pairs} and "
        f"{firing.held_out_pairs} of them with a matched place; {firing.token_suffices} have none, because their last "
        f"token is never off; {firing.near_copies} near-copies dropped."
        if firing is not None
        else ""
    )
    return [f"Context share {percent_with_interval(measured.share)}: {drives}.{places}"]


def _prompts(part: NeuronPart) -> list[str]:
    if not part.prompts:
        return ["No prompts."]
    cited = {prompt.index: prompt for prompt in part.cited}
    rows = [
        [number(prompt.activation), prompt.half, escaped(prompt.title), lit_text(cited[index]), _next(prompt)]
        for prompt, index in zip(part.prompts, part.strongest, strict=True)
    ]
    lit = "; it is at least 45 % as active on those in ‹ ›" if any(prompt.lit for prompt in part.cited) else ""
    return [
        f"The strongest {len(part.prompts)} of {part.prompts_in_all} prompts "
        f"({part.near_duplicates_dropped} near-copies{_long(part)} dropped); the neuron fires on the token in "
        f"⟦ ⟧{lit}.",
        table(["activation", "half", "document", "kept text", "next"], rows),
    ]


def _long(part: NeuronPart) -> str:
    return f" and {part.long_dropped} long ones" if part.long_dropped else ""


def _next(prompt: Prompt) -> str:
    return "end" if prompt.next_token is None else escaped_token(prompt.next_token)


def _heads(part: NeuronPart, *, gated: bool) -> list[str]:
    if part.max_error is None:  # not attributed yet
        return []
    rows = [
        [
            f"{head.head}{' (suppresses)' if head.activity and head.activity.suppressing else ''}",
            number(head.summary.mean_direct if head.summary else None, 3),
            number(head.summary.beta if head.summary else None, 3),
            _baseline_of(head),
            percent(head.activity.explain_share if head.activity else None),
        ]
        for head in part.heads
    ]
    lines = [
        f"Heads, the strongest of {part.eligible_heads} that can feed the neuron. The parts add up to the "
        f"pre-activation to {small(part.max_error)} of Σ|parts|.",
        table(["head", "mean A(h)", "β", f"baseline {'removal' if gated else 'A(h)'} ± sd", "active on"], rows),
    ]
    if part.never_active is not None:
        lines.append(
            f"Heads never active: {part.never_active}; always: {part.always_active}; "
            f"on 25-75 % of the explaining half: {part.explainable}.{_lower(part)}"
        )
    return lines


def _others(part: NeuronPart, report: Report) -> list[str]:
    others, count = in_rows(part, report)
    if not others:
        return []
    left = count - len(others)
    rest = f"; {left} others stand in the tables and the JSON of this report" if left else ""
    rows = [
        [str(head.head), number(head.summary.mean_direct if head.summary else None, 3),
         with_interval(score.e, score.interval) if score else "–",
         f"{score.n_active} + {score.n_inactive}" if score else "–", escaped(head.explanations[0].text)]
        for head, score in others
    ]  # fmt: skip
    return [
        f"{count} more explained heads, the highest lower bound of E first{rest}.",
        table(["head", "mean A(h)", "E [95 %]", "n", "active when"], rows),
    ]


def _map(part: NeuronPart) -> list[str]:
    """[layer][head] in tenths of the largest contribution, as lines of fixed width."""
    largest = max((abs(value) for row in part.map for value in row if value is not None), default=0.0)
    if part.found.random or not largest:
        return []
    width = max(len(f"H{len(part.map[0]) - 1}"), 3) + 1
    names = "".join(f"H{head}".rjust(width) for head in range(len(part.map[0])))
    rows = [
        f"L{layer}".ljust(4) + "".join(_tenths(value, largest).rjust(width) for value in row)
        for layer, row in enumerate(part.map)
    ]
    return [
        f"The map of its heads: mean contribution in tenths of the largest, {number(largest, 3)}.",
        "\n".join(["```", f"    {names}", *rows, "```"]),
    ]


def _tenths(value: float | None, largest: float) -> str:
    if value is None:
        return ""
    return "·" if abs(value) < TENTH * largest else f"{10 * value / largest:+.0f}".replace("-", "−")


def _lower(part: NeuronPart) -> str:
    if not part.lower_prompts:
        return ""
    explained = sum(bool(head.activity and head.activity.lower) for head in part.heads)
    return (
        f" Of the always active heads, {explained} could be explained against the strongest prompts and "
        f"{part.lower_prompts} from lower activation bins."
    )


def _baseline_of(head: HeadPart) -> str:
    if head.summary is None or head.summary.baseline_mean is None:
        return "–"
    return f"{number(head.summary.baseline_mean, 3)} ± {number(head.summary.baseline_sd, 3)}"
