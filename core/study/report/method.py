"""What the numbers of a report mean, and what they do not, in a few sentences."""

from __future__ import annotations

from headtorch.core.settings import Settings

PAPER = (
    "The method is that of Neo, Cohen and Barez, Interpreting Context Look-ups in Transformers (arXiv 2402.15055). "
    "A neuron n of layer l fires at position p of a text, after which the token t is predicted. w_in and w_out are "
    "its weights into and out of the residual stream, σ the scale of the norm that it reads through, o_h the output of "
    "head h at p, z_h the same before the output weights, u_t the token's unembedding, centred and with the final "
    "norm's gain, a the neuron's activation."
)
Formula = tuple[str, str]

OF_CLAIMS: tuple[Formula, ...] = (
    (
        "C(n) = 1 − Σ a_0 ∕ Σ a",
        "context share: over the places where the neuron fires, a_0 being its activation with every head's output at p "
        "at its mean. Below 0.2 the last token drives the neuron, and its heads are not explained",
    ),
    (
        "T(h) = Σ (a_on − a_on[z_h ← off]) ∕ Σ (a_on − a_off)",
        "taken, by matched patching: where the neuron fires (on), the head's output at p is replaced by its output at "
        "a matched place, where the same token stands and the neuron is off; everything behind it is recomputed. "
        "Restored is the same the other way round. All heads together take and restore the whole",
    ),
    (
        "Δ = Σ e ∕ Σ a where the rule holds − Σ e ∕ Σ a elsewhere",
        "effect contrast of a head claim, on held-out places where the neuron fires; e is the effect of the head. It "
        "is positive in the claimed direction",
    ),
)


def formulas(settings: Settings, *, tested: bool) -> list[Formula]:
    """The quantities of a report, each with what it means. A sign's index stands behind _, in braces if it is long."""
    rule = "" if settings.activity == "baseline" else f" (this study uses the rule “{settings.activity}” instead)"
    return [
        (
            "c(n, t) = ⟨w_out, u_t⟩",
            "congruence: how strongly the neuron writes the token; z is c in standard deviations over the vocabulary. "
            "A congruent neuron need not predict its token, so that is measured on the corpus",
        ),
        *(OF_CLAIMS if tested else ()),
        (
            "A(h) = ⟨o_h, w_in⟩ ∕ σ",
            "direct attribution: what head h adds to the pre-activation; over heads, embedding, position, earlier MLPs "
            "and biases it sums to the whole",
        ),
        (
            "A(h) = Σ_s a_{p,s} ⟨v_s W_O, w_in⟩ ∕ σ",
            "the same, token by token: a_{p,s} is the attention to token s. A token's share is its term against all "
            "of them, in size",
        ),
        (
            "β(h) = Cov(A(h), pre) ∕ Var(pre)",
            "the head's share of what makes the neuron vary on random text; over all parts it sums to 1",
        ),
        (
            "s·(A(h) − Ā(h)) > 2 sd(h)",
            "active: beyond its own mean on random text by two standard deviations, s being the sign of the "
            f"activation{rule}",
        ),
        ("E = (TPR + TNR) ∕ 2", "explanation score on held-out documents; 0.5 is chance"),
        ("Δ log p = log p(t | replaced) − log p(t)", "effect of an ablation; negative where the head helps the token"),
        (
            "e(h) = a − a(h replaced)",
            "effect on the neuron's activation by activation patching, everything between head and neuron recomputed; "
            "positive where the head raises the activation",
        ),
        ("I(A, B) = e(A) + e(B) − e(A, B)", "above 0 synergy: two heads need each other; below 0 redundancy"),
    ]


def method_notes(*, tested: bool) -> tuple[str, ...]:
    """What stands behind the numbers, in paragraphs."""
    return (*(_CLAIM_NOTES if tested else ()), *_NOTES)


_CLAIM_NOTES = (
    "A claim is one rule about the text up to p: of a neuron (it fires where the rule holds, learned on matched "
    "pairs) or of a head of a neuron (the head drives it where the rule holds). It is learned on the train split and "
    "tested on the held-out split; clusters of near-duplicate documents never cross, and every interval is over such "
    "clusters.",
    "A finding passed every test: the neuron predicts its token; the lower bound of E is above 0.5 with q < 0.05; of a "
    "neuron, at least one head takes a share above 0 with q < 0.05, of a head, the effect contrast is above 0 with "
    "q < 0.05 and goes beyond the last token; and rewriting agrees, or could not be tested. Everything else is "
    "a candidate. q is the p value adjusted by Benjamini and Hochberg over the study's claims of the same kind; "
    "next-token neurons and random neurons are apart.",
    "Rewriting: on held-out text where the rule holds, the tokens that make it hold are replaced by tokens that the "
    "model finds likely there and that make it false (rules of absence: inserted). The placebo replaces other tokens "
    "at like distance, with the rule still true. Rewriting agrees where the activation falls more than under the "
    "placebo, with an interval that excludes 0.",
    "The text ceiling is what a kernel ridge on the tokens reaches (AUROC): a rule cannot be expected to do much "
    "better.",
    "Findings are ordered by neuron, the strongest first: the lower bound of E above chance times the lower bound of "
    "the share taken by five heads, or of the effect contrast. E alone ranks nothing.",
)

_NOTES = (
    "A(h) is a part of a sum, of what arrived; it is not the effect of a change: effects and ablations are that.",
    "A head counts as active by the activity rule of the settings, by default when A(h) lies more than two standard "
    "deviations beyond its own mean on random text; “carries” means that its effect is at least 20 % of the "
    "activation. Texts chosen for a large activation make heads look more like alternatives to one another than they "
    "are.",
    "A head that is active on more than 75 % of the max-activating examples has no negatives among them: they come "
    "from lower bins of the neuron's activation histogram, labelled by the same rule and cut to the same lengths. Its"
    " E is not part of the comparison with random neurons.",
    "E is how well an explanation, read or executed on text alone, tells active from inactive in documents that the "
    "explainer has not seen. Its 95 % interval combines a Wilson interval for each rate. Where n is small the interval "
    "is wide: two heads whose intervals overlap are not ranked by their E.",
    "The best of several heads is a biased number: the more heads are tried, the higher it is by chance. Read the "
    "median and the count beside it, and q. A head whose held-out texts are all of one class is not scorable, which is "
    "neither a good nor a bad E.",
    "A judge that is a language model reads the explanation and one text, nothing else. An answer that is neither "
    "active nor inactive counts as wrong and is counted. Its controls, an empty explanation and one of another head, "
    "say how far it gets without the explanation: compare E with them, not with 0.5 alone.",
    "A rule that scores well is a description of when the head is active on this corpus. It does not show that "
    "the head computes that rule.",
)

LIMITS = (
    "Everything here holds for this model, this corpus and these neurons. On another corpus other texts activate the "
    "neuron, and a head can do something else.",
    "Max-activating examples are the extreme of a neuron; firing places, which claims are tested on, are its upper "
    "2.5 %. What happens at ordinary activations is not what they show.",
    "A contribution is part of a sum, with attention patterns and norms as they were. It is not what would happen "
    "without the head: other parts can make up for it. Only the replacements say that, and they take the model to "
    "states it may never reach by itself. Replacing a head by its mean is not neutral everywhere; contrasts cancel it.",
    "In a real model dozens of heads share the work: the numbers of several heads together are the honest ones, those"
    " of single heads are small.",
    "The top source tokens of a head are its own share, token by token. What a token carries by then may have come "
    "from tokens before it.",
    "An explanation is one text that tells active from inactive. Others, of another meaning, may do as well.",
)

BIBTEX = """@inproceedings{neo2024interpreting,
  title         = {Interpreting Context Look-ups in Transformers: Investigating Attention-{MLP} Interactions},
  author        = {Neo, Clement and Cohen, Shay B. and Barez, Fazl},
  booktitle     = {Proceedings of the 2024 Conference on Empirical Methods in Natural Language Processing},
  pages         = {16681--16697},
  year          = {2024},
  eprint        = {2402.15055},
  archivePrefix = {arXiv}
}"""
