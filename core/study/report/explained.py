"""One head of a neuron in the Markdown report: what explains it, what speaks against that, what replacing it does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from headtorch.core.causes import Ablation
from headtorch.core.records import Score
from headtorch.core.study.report.cited import WRONG_SHOWN
from headtorch.core.study.report.contents import Report
from headtorch.core.study.report.escape import escaped
from headtorch.core.study.report.marked import example
from headtorch.core.study.report.parts import CitedPrompt, HeadPart, NeuronPart
from headtorch.core.study.report.people import human_scores, said_by_people
from headtorch.core.study.report.phrases import delta_log_p, number, percent, small, with_interval


def explained_head(head: HeadPart, part: NeuronPart, report: Report) -> Iterator[str]:
    """Blocks of Markdown; examples are left out for a neuron of the random baseline."""
    scores = {score.explainer: score for score in head.scores}
    cited = {} if part.found.random else part.cited_of(head)
    mark = "★ " if f"{part.found.neuron} {head.head}" in report.bookmarks else ""
    for said in head.explanations:
        score = scores.get(said.explainer)
        verdict = _verdict(score, report.tests.get(score.explainer)) if score else "Not scored."
        train = said.train_balanced_accuracy
        fitted = f" On the prompts it was made from: {number(train)}." if train is not None else ""
        people = "".join(f" {said_by_people(one)}" for one in human_scores(report.people, said))
        by = f"({escaped(said.explainer)}). {verdict}{fitted}{people}"
        yield f"{mark}**{head.head}** is active when: {escaped(said.text)} {by}"
        if score is not None:
            yield from _list(head, cited, score.wrong_active, "Active, judged inactive")
            yield from _list(head, cited, score.wrong_inactive, "Inactive, judged active")
    if head.explanations:
        yield from _list(head, cited, head.active_examples, "Active; ‹ › is the token it looked up most")
        yield from _list(head, cited, head.inactive_examples, "Not active")


def _list(head: HeadPart, cited: dict[int, CitedPrompt], indices: Sequence[int], title: str) -> list[str]:
    known = [cited[i] for i in indices if i in cited]
    shown = known[:WRONG_SHOWN] if "judged" in title else known
    if not shown:
        return []
    count = f" ({len(shown)} of {len(indices)})" if len(shown) < len(indices) else ""
    return [f"{head.head}. {title}{count}:", "\n".join(example(prompt, str(head.head)) for prompt in shown)]


def ablated(done: Ablation) -> str:
    """What replacing a head does, as a paragraph of Markdown."""
    jointly = f" with {', '.join(map(str, done.together))}" if done.together else ""
    p = f"; p = {small(done.p)}" if done.p is not None else ""
    less = f", less control heads of equal norm {small(done.controlled_p)}" if done.controlled_p is not None else ""
    lower = f"; {done.lower} of the prompts are from lower activation bins" if done.lower else ""
    return (
        f"{done.head}{jointly} replaced ({done.replacement}, {done.position} position): Δ log p {delta_log_p(done)}; "
        f"Δ activation {number(done.active.delta_activation)} on active, "
        f"{number(done.inactive.delta_activation)} on inactive prompts{p}{less}{lower}."
        f"{''.join(_ways(done))}"
    )


def _ways(done: Ablation) -> Iterator[str]:
    """Through the neuron or around it, and what later layers make up for."""
    for side, through in (("active", done.mediation_active), ("inactive", done.mediation_inactive)):
        if through is not None:
            share = "" if through.share is None else f" ({percent(through.share)})"
            yield (
                f" On {side} prompts (n = {through.n}), of {number(through.total, 3)} in log p "
                f"{number(through.through, 3)} goes through the neuron{share}, {number(through.around, 3)} around it, "
                f"{number(through.interaction, 3)} through both together."
            )
    for side, repair in (("active", done.repair_active), ("inactive", done.repair_inactive)):
        if repair is not None:
            yield (
                f" On {side} prompts (n = {repair.n}), {number(repair.direct_log_p, 3)} with everything later frozen, "
                f"{number(repair.total_log_p, 3)} in all; later layers make up for it on "
                f"{percent(repair.repaired_log_p)} of the prompts."
            )


def _verdict(score: Score, tests: int | None) -> str:
    lower = f", {score.lower} of them from lower activation bins" if score.lower else ""
    n = f"n = {score.n_active} active + {score.n_inactive} inactive{lower}"
    aside = f", {score.unusable} unusable answers" if score.unusable else ""
    if score.e is None:
        return f"Not scorable ({n}{aside})."
    auroc = f", AUROC {number(score.auroc)}" if score.auroc is not None else ""
    family = f" over {tests} tests" if tests is not None else ""
    controls = "; ".join(f"{escaped(seen.name)} {number(seen.e)} (n = {seen.n})" for seen in score.controls)
    return (
        f"E = {with_interval(score.e, score.interval)}, {n}{aside}; "
        f"right on {score.true_active} of {score.n_active} active and {score.true_inactive} of {score.n_inactive} "
        f"inactive; F1 {number(score.f1)}, MCC {number(score.mcc)}{auroc}, p = {small(score.p)}, "
        f"q = {small(score.q)}{family}; {score.dropped} near-copies dropped"
        f"{f'; controls: {controls}' if controls else ''}."
    )
