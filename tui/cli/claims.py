"""headtorch match and headtorch rewrite: the texts behind a claim, from a study alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from headtorch.core.errors import InputError
from headtorch.tui.cli import options

if TYPE_CHECKING:
    from headtorch.core.claims import ContextClaim, HeadClaim, Rewriting
    from headtorch.core.records import HeadId, NeuronId
    from headtorch.core.study.matched_pairs import MatchedPair, PairSide
    from headtorch.core.study.state import StudyState

Name = Annotated[str, typer.Argument(help="Name or folder of a study.")]
Address = Annotated[str, typer.Argument(help="The neuron, as L3.N412.")]
By = Annotated[str | None, typer.Option("--explainer", help="Whose claim; by default that of the study's explainer.")]


def match(
    study: Name,
    neuron: Address,
    pairs: Annotated[int, typer.Option("--pairs", "-n", min=1, help="How many pairs to show.")] = 10,
    explainer: By = None,
    json: options.Json = False,
) -> None:
    """Show matched pairs side by side: where the neuron fires, and where it is off on the same last token.

    Beside the texts stand the activation, whether the rule of the context claim holds, and what each head takes and
    restores when its output is exchanged within the pair. Pairs are held-out ones, in the order of the study.

    \b
    Examples:
      headtorch match comparisons L18.N98
      headtorch match comparisons L18.N98 --pairs 100 --json
    """
    from headtorch.core.study.matched_pairs import context_claim_of, matched_pairs
    from headtorch.core.study.study import Study
    from headtorch.tui.cli.output import print_json

    opened = Study.open(study)
    address = known_neuron(opened.state, neuron)
    claim = context_claim_of(opened.state, address, explainer)
    if claim is None:
        raise InputError(why_no_claim(opened.state, address, "context claim"))
    found = matched_pairs(opened.state, claim)[:pairs]
    if json:
        about = {"study": opened.name, "neuron": address, "explainer": claim.explainer, "text": claim.text}
        print_json({**about, "held_out_pairs": claim.pairs, "pairs": found})
        return
    _print_pairs(opened.state, claim, found)


def rewrite(
    study: Name,
    neuron: Address,
    head: Annotated[str | None, typer.Argument(help="A head, as L2.H4; by default the neuron's context claim.")] = None,
    explainer: By = None,
    json: options.Json = False,
) -> None:
    """Show texts rewritten so that a claim's rule no longer holds, each with its placebo and the activations.

    ‹before → after› marks a replaced token, ‹+ after› an inserted one.

    \b
    Examples:
      headtorch rewrite comparisons L18.N98
      headtorch rewrite comparisons L3.N1004 L2.H6 --json
    """
    from headtorch.core.records import HeadId
    from headtorch.core.study.matched_pairs import context_claim_of
    from headtorch.core.study.study import Study
    from headtorch.tui.cli.output import print_json

    opened = Study.open(study)
    address = known_neuron(opened.state, neuron)
    of_head = HeadId.parse(head) if head is not None else None
    claim: ContextClaim | HeadClaim | None
    if of_head is None:
        claim = context_claim_of(opened.state, address, explainer)
    else:
        claim = _head_claim(opened.state, address, of_head, explainer)
    if claim is None:
        what = "context claim" if of_head is None else f"claim about {of_head}"
        raise InputError(why_no_claim(opened.state, address, what))
    if claim.rewriting is None:
        raise InputError("Rewriting did not test this claim: it fails an earlier test, or the study is not finished.")
    text = _text_of(opened.state, claim)
    if json:
        about = {"study": opened.name, "neuron": address, "head": of_head, "explainer": claim.explainer, "text": text}
        print_json({**about, "rewriting": claim.rewriting})
        return
    _print_rewriting(claim.rewriting, str(address) if of_head is None else f"{of_head} → {address}", text)


def known_neuron(state: StudyState, text: str) -> NeuronId:
    """A neuron of the study. Raises AddressError for what is no address, InputError for another neuron."""
    from headtorch.core.records import NeuronId

    neuron = NeuronId.parse(text)
    if neuron not in state.neurons and neuron not in state.visited:
        raise InputError(f"The study does not have {neuron}; `headtorch report STUDY` lists its neurons.")
    return neuron


def why_no_claim(state: StudyState, neuron: NeuronId, what: str) -> str:
    """A sentence on why a study has no such claim."""
    from headtorch.core.format import percent
    from headtorch.core.study.conclusions import conclusions

    verdict = conclusions(state).verdict
    if not verdict.tested:
        return verdict.sentence
    share = state.context_share.get(neuron)
    if share is not None and not share.is_driven:
        return f"{neuron} has no {what}: its last token drives it (context share {percent(share.share.value)})."
    heads = dict.fromkeys(str(head) for of, head, _ in state.head_claims if of == neuron)
    others = f"; the study has claims about {', '.join(heads)}" if heads else ""
    return f"{neuron} has no {what}{others}."


def _head_claim(state: StudyState, neuron: NeuronId, head: HeadId, explainer: str | None) -> HeadClaim | None:
    claims = {by: claim for (of, one, by), claim in state.head_claims.items() if (of, one) == (neuron, head)}
    if explainer is not None:
        return claims.get(explainer)
    usual = state.settings.explainer_name if state.settings is not None else "rules"
    return claims.get(usual, next(iter(claims.values()), None))


def _text_of(state: StudyState, claim: ContextClaim | HeadClaim) -> str:
    from headtorch.core.claims import ContextClaim

    if isinstance(claim, ContextClaim):
        return claim.text
    explanation = state.explanations.get((claim.neuron, claim.head, claim.explainer))
    return explanation.text if explanation is not None else ""


def _print_pairs(state: StudyState, claim: ContextClaim, pairs: list[MatchedPair]) -> None:
    from headtorch.core.study.claim_text import condition
    from headtorch.core.study.matched_pairs import pair_texts
    from headtorch.core.text import visible, visible_token
    from headtorch.tui.cli.output import print_note, print_table, print_text

    found = state.neurons.get(claim.neuron) or state.visited[claim.neuron]
    print_note(f"{claim.neuron} → {visible_token(found.token)} fires where: {condition(claim.text)}")
    print_note(f"{len(pairs)} of {claim.pairs} held-out pairs; a: activation; rule: whether it holds there.")
    for pair in pairs:
        print_text()
        on, off = pair_texts(pair, visible)
        print_table(
            [("", "left"), ("a", "right"), ("rule", "left"), ("document", "left"), ("text", "text")],
            [_side("fires", pair.firing, on), _side("off", pair.off, off)],
            title=f"Pair {pair.pair}",
        )
        if pair.heads:
            print_note(f"Heads, taken and restored: {', '.join(_exchanged(pair))}")


def _side(name: str, side: PairSide, text: str) -> tuple[object, ...]:
    from headtorch.core.format import plain

    return name, plain(side.activation), side.holds, f"{side.title}:{side.position}", text


def _exchanged(pair: MatchedPair) -> list[str]:
    from headtorch.core.format import percent

    return [f"{one.head} {percent(one.taken_share)} and {percent(one.restored_share)}" for one in pair.heads]


def _print_rewriting(rewriting: Rewriting, subject: str, text: str) -> None:
    from headtorch.core.format import plain
    from headtorch.core.study.claim_text import condition
    from headtorch.core.study.rewritten import edit_runs, marked_edits
    from headtorch.tui.cli.output import print_note, print_table, print_text

    print_note(f"{subject}: {condition(text)}")
    if rewriting.not_testable is not None:
        print_note(f"Rewriting could not test it: {rewriting.not_testable}.")
        return
    print_note(_changes(rewriting))
    print_text()
    rows: list[tuple[str, ...]] = []
    for one in rewriting.examples:
        edited = marked_edits(edit_runs(one.tokens, one.edited, rewriting.kind))
        rows.append(("rewritten", plain(one.activation), plain(one.edited_activation), edited))
        if one.placebo_activation is not None:
            placebo = marked_edits(edit_runs(one.tokens, one.placebo, rewriting.kind))
            rows.append(("placebo", plain(one.activation), plain(one.placebo_activation), placebo))
    print_table([("edit", "left"), ("a before", "right"), ("after", "right"), ("text", "text")], rows)


def _changes(rewriting: Rewriting) -> str:
    """What becomes of the activation, in one sentence, with what it was measured on."""
    from headtorch.core.format import count, signed_percent_with_interval

    parts = [
        f"{name} {signed_percent_with_interval(estimate)}"
        for name, estimate in (
            ("activation", rewriting.change),
            ("placebo", rewriting.placebo),
            ("difference", rewriting.difference),
            ("effect of the head", rewriting.effect_change),
            ("its placebo", rewriting.effect_placebo),
        )
        if estimate is not None
    ]
    agrees = "Rewriting agrees" if rewriting.agrees else "Rewriting does not agree"
    texts = f"{count(rewriting.pairs, 'text')} of {count(rewriting.documents, 'document')}"
    return f"{agrees}: {', '.join(parts)}, on {texts}."
