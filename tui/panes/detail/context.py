"""The context claim of a neuron: when it fires after its tokens, which heads bring that about, what rewriting does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from headtorch.core.claims import ContextClaim, ContextShare, MatchedHead
from headtorch.core.format import count, in_words, percent, percent_with_interval, plain
from headtorch.core.records import NeuronId
from headtorch.core.study.claim_text import condition
from headtorch.core.text import visible, visible_token
from headtorch.tui.claims import context_claim, is_driven_by_last_token, why_no_claim
from headtorch.tui.palette import Palette
from headtorch.tui.panes.detail.drawing import fact
from headtorch.tui.panes.detail.rewriting import rewriting_lines
from headtorch.tui.panes.detail.standing import standing
from headtorch.tui.panes.detail.verdict import in_brackets
from headtorch.tui.panes.figures import fixed, small
from headtorch.tui.panes.flow import flow, paragraph

if TYPE_CHECKING:
    from headtorch.core.study.claim_rows import ContextRow
    from headtorch.tui.session import Session

EXAMPLES = 2
_COLUMNS = (("taken", 16), ("restored", 16), ("q", 9), ("attends", 9), ("holds", 7), ("elsewhere", 11))
_HEAD = 9  # columns of a head's address
ALL_WITHIN = 0.001  # of 100 %: what all heads together take


def context_lines(session: Session, neuron: NeuronId, width: int, palette: Palette) -> list[Text]:
    """The claim about the neuron, or why there is none; of one driven by its last token, the tokens."""
    shown = context_claim(session, neuron)
    share = session.state.context_share.get(neuron)
    if share is not None and is_driven_by_last_token(session, neuron):
        lines = _last_token(neuron, share, width, palette)
        return [*lines, Text(), *_claim(shown[0], shown[1], share, width, palette)] if shown is not None else lines
    if shown is None:
        lines = paragraph(why_no_claim(session, neuron), width, palette.style("quiet"))
        return [*lines, *flow(_shared(share, palette), width)]
    return _claim(shown[0], shown[1], share, width, palette)


def _last_token(neuron: NeuronId, share: ContextShare, width: int, palette: Palette) -> list[Text]:
    said = (
        f"{neuron} is driven by its last token: heads account for {percent_with_interval(share.share)} of its "
        "activation where it fires, so its heads are not explained."
    )
    lines = paragraph(said, width, palette.style("bright"))
    words = [
        Text.assemble(
            (visible_token(one.token), palette.style("token")), (f" {fixed(one.activation)}", palette.style("text"))
        )
        for one in share.last_tokens
    ]
    if words:
        lines += flow([Text("strongest last tokens", style=palette.style("quiet")), *words], width)
    return [*lines, *flow([fact("R² of the last token alone", fixed(share.r2), palette)], width)]


def _claim(
    claim: ContextClaim, row: ContextRow | None, share: ContextShare | None, width: int, palette: Palette
) -> list[Text]:
    facts = [
        fact("E", fixed(claim.e), palette, strong=True),
        Text(in_brackets(claim.interval), style=palette.style("text")),
        fact("ceiling", plain(claim.auroc_ceiling), palette),
        fact("AUROC", plain(claim.auroc), palette),
        fact("q", small(row.q if row is not None else None), palette),
        fact("", f"{count(claim.pairs, 'pair')}, {count(claim.documents, 'document')}", palette),
    ]
    return [
        *paragraph(f"{claim.neuron} fires where: {condition(claim.text)}", width, palette.style("bright", bold=True)),
        *standing(row, width, palette),
        *flow(facts, width),
        *flow([*_shared(share, palette), *_joint(claim, palette)], width),
        *_heads(claim, row, width, palette),
        *rewriting_lines(claim.rewriting, EXAMPLES, width, palette),
        *flow([fact("by", visible(claim.explainer), palette)], width),
    ]


def _shared(share: ContextShare | None, palette: Palette) -> list[Text]:
    return [] if share is None else [fact("heads account for", percent_with_interval(share.share), palette)]


def _joint(claim: ContextClaim, palette: Palette) -> list[Text]:
    """What several heads take together; all of them take 100 %, but for what absolute positions do."""
    facts = []
    for one in claim.joint:
        if one.heads < claim.eligible_heads:
            value = f"{percent_with_interval(one.taken)}, restore {percent(one.restored.value)}"
            facts.append(fact(f"{in_words(one.heads)} take", value, palette))
            continue
        check = " ✓" if abs(one.taken.value - 1.0) <= ALL_WITHIN else ""
        value = f"{percent(one.taken.value, 1)}{check}, restore {percent(one.restored.value, 1)}"
        facts.append(fact(f"all {one.heads} take", value, palette))
    if claim.heads_for_80 is not None:
        facts.append(fact("80 % with", count(claim.heads_for_80, "head"), palette))
    return facts


def _heads(claim: ContextClaim, row: ContextRow | None, width: int, palette: Palette) -> list[Text]:
    if not claim.heads:
        return []
    shown, left = [], width - _HEAD
    for name, cells in _COLUMNS:
        if left < cells:
            break
        shown.append((name, cells))
        left -= cells
    q = {one.head: one.q for one in row.heads} if row is not None else {}
    header = "head".ljust(_HEAD) + "".join(name.rjust(cells) for name, cells in shown)
    lines = [Text(header, style=palette.style("quiet"))]
    for one in claim.heads:
        line = Text(str(one.head).ljust(_HEAD), style=palette.style("bright"))
        for name, cells in shown:
            style = palette.style("text" if name in ("taken", "restored") else "quiet")
            line.append(_cell(one, name, q.get(str(one.head))).rjust(cells), style)
        lines.append(line)
    return lines


def _cell(one: MatchedHead, name: str, q: float | None) -> str:
    cells = {
        "taken": percent_with_interval(one.taken),
        "restored": percent_with_interval(one.restored),
        "q": small(q),
        "attends": percent(one.attends),
        "holds": percent(one.taken_holds),
        "elsewhere": percent(one.taken_elsewhere),
    }
    return cells[name]
