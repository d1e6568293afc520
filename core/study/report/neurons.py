"""One neuron's section of the Markdown report: what it is, where it fires, its heads and what explains them."""

from __future__ import annotations

from collections.abc import Iterator

from headtorch.core.records import Prompt, Score
from headtorch.core.study.report.contents import Report
from headtorch.core.study.report.escape import escaped, escaped_token
from headtorch.core.study.report.parts import HeadPart, NeuronPart
from headtorch.core.study.report.phrases import delta_log_p, number, percent, small, table, with_interval

PROMPT_TOKENS = 60  # shown of one prompt, counted back from where the neuron fires


def neuron_section(part: NeuronPart, report: Report) -> list[str]:
    """The paragraphs and tables of one neuron."""
    found = part.found
    sign = ", firing negatively" if found.sign < 0 else ""
    glitch = "; the token's unembedding norm is an outlier" if found.glitch else ""
    about = "A member of the random baseline. " if found.random else ""
    return [
        f"### {found.neuron} → “{escaped_token(found.token)}”",
        f"{about}Congruence c = {number(found.congruence)}, cosine {number(found.cosine)}, "
        f"z = {number(found.z, 1)}, rank {found.rank} of the token, kind {found.kind}{sign}{glitch}.",
        *_validity(part),
        *_prompts(part),
        *_heads(part),
        *(line for head in part.heads for line in _explained(head, report)),
        *(f"Note on {escaped(subject)}: {escaped(note)}" for subject, note in part.notes.items()),
    ]


def _validity(part: NeuronPart) -> list[str]:
    seen = part.validity
    if seen is None:
        return []
    failed = "It does not predict its token well (P ≥ 0.5 and lift ≥ 20 are asked for)"
    verdict = "It predicts its token" if seen.valid else failed
    return [
        f"{verdict}: P(next = t | fires) = {number(seen.next_share)} on its top {seen.n} places against "
        f"{small(seen.base_rate)} in the corpus (lift {number(seen.lift, 1)}), AUROC {number(seen.auroc)}, "
        f"direct logit attribution {number(seen.logit_attribution)}, Δ log p with the neuron at 0 "
        f"{number(seen.ablation_log_p)}."
    ]


def _prompts(part: NeuronPart) -> list[str]:
    if not part.prompts:
        return ["No prompts."]
    rows = [
        [number(prompt.activation), prompt.half, escaped(prompt.title), _context(prompt), _next(prompt)]
        for prompt in part.prompts
    ]
    return [
        f"The strongest {len(part.prompts)} of {part.prompts_in_all} prompts "
        f"({part.near_duplicates_dropped} near-copies dropped); the neuron fires on the token in ⟦ ⟧.",
        table(["activation", "half", "document", "kept text", "next"], rows),
    ]


def _context(prompt: Prompt) -> str:
    before, firing = prompt.document_tokens[:-1], prompt.document_tokens[-1:]
    cut = "…" if len(before) >= PROMPT_TOKENS else ""
    return f"{cut}{escaped(''.join(before[-PROMPT_TOKENS + 1 :]))}⟦{escaped(''.join(firing))}⟧"


def _next(prompt: Prompt) -> str:
    return "end" if prompt.next_token is None else escaped_token(prompt.next_token)


def _heads(part: NeuronPart) -> list[str]:
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
        table(["head", "mean A(h)", "β", "baseline A(h) ± sd", "active on"], rows),
    ]
    if part.never_active is not None:
        lines.append(
            f"Heads never active: {part.never_active}; always: {part.always_active}; "
            f"on 25-75 % of the explaining half: {part.explainable}.{_lower(part)}"
        )
    return lines


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


def _explained(head: HeadPart, report: Report) -> Iterator[str]:
    scores = {score.explainer: score for score in head.scores}
    for said in head.explanations:
        score = scores.get(said.explainer)
        verdict = _verdict(score, report.tests.get(score.explainer)) if score else "Not scored."
        train = said.train_balanced_accuracy
        fitted = f" On the prompts it was made from: {number(train)}." if train is not None else ""
        yield f"**{head.head}** is active when: {escaped(said.text)} ({escaped(said.explainer)}). {verdict}{fitted}"
    for done in head.ablations:
        yield (
            f"{head.head} replaced ({done.replacement}, {done.position} position): Δ log p {delta_log_p(done)}; "
            f"Δ activation {number(done.active.delta_activation)} on active, "
            f"{number(done.inactive.delta_activation)} on inactive prompts"
            f"{f'; {done.lower} of the prompts are from lower activation bins' if done.lower else ''}."
        )


def _verdict(score: Score, tests: int | None) -> str:
    lower = f", {score.lower} of them from lower activation bins" if score.lower else ""
    n = f"n = {score.n_active} active + {score.n_inactive} inactive{lower}"
    aside = f", {score.unusable} unusable answers" if score.unusable else ""
    if score.e is None:
        return f"Not scorable ({n}{aside})."
    family = f" over {tests} tests" if tests is not None else ""
    controls = "; ".join(f"{escaped(seen.name)} {number(seen.e)} (n = {seen.n})" for seen in score.controls)
    return (
        f"E = {with_interval(score.e, score.interval)}, {n}{aside}; "
        f"right on {score.true_active} of {score.n_active} active and {score.true_inactive} of {score.n_inactive} "
        f"inactive; F1 {number(score.f1)}, MCC {number(score.mcc)}, p = {small(score.p)}, "
        f"q = {small(score.q)}{family}; {score.dropped} near-copies dropped"
        f"{f'; controls: {controls}' if controls else ''}."
    )
