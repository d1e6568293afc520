"""What the numbers of a report mean, and what they do not, in a few sentences."""

from __future__ import annotations

from headtorch.core.settings import Settings

PAPER = (
    "The method is that of Neo, Cohen and Barez, Interpreting Context Look-ups in Transformers (arXiv 2402.15055). "
    "A neuron n of layer l fires at position p of a prompt, after which the token t is predicted. w_in and w_out are "
    "its weights into and out of the residual stream, σ the scale of the norm that it reads through, o_h the output of "
    "head h at p, u_t the token's unembedding, centred and with the final norm's gain."
)


def formulas(settings: Settings) -> list[tuple[str, str]]:
    """The quantities of a report, each with what it means. A sign's index stands behind _, in braces if it is long."""
    rule = "" if settings.activity == "baseline" else f" (this study uses the rule “{settings.activity}” instead)"
    return [
        (
            "c(n, t) = ⟨w_out, u_t⟩",
            "congruence: how strongly the neuron writes the token; z is c in standard deviations over the vocabulary. "
            "A congruent neuron need not predict its token, so that is measured on the corpus",
        ),
        (
            "A(h) = ⟨o_h, w_in⟩ ∕ σ",
            "what head h adds to the pre-activation; over heads, embedding, position, earlier MLPs and biases it sums "
            "to the whole",
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
        ("E = (TPR + TNR) ∕ 2", "head explanation score on unseen documents; 0.5 is chance"),
        ("Δ log p = log p(t | replaced) − log p(t)", "effect of an ablation; negative where the head helps the token"),
        (
            "effect(h) = a − a(h replaced)",
            "on the neuron's activation a, everything between head and neuron computed again; positive where the head "
            "lights the neuron",
        ),
        ("I(A, B) = e(A) + e(B) − e(A, B)", "above 0 two heads need each other, below 0 they stand in for each other"),
    ]


METHOD_NOTES = (
    "A(h) is a part of a sum, of what arrived; it is not the effect of a change: effects and ablations are that.",
    "A head counts as active on a prompt by the activity rule of the settings, by default when A(h) lies more "
    "than two standard deviations beyond its own mean on random text. Prompts are chosen for a large activation, "
    "which makes heads look more like alternatives to one another than they are.",
    "A head that is active on more than 75 % of the strongest prompts has no negatives among them: they come from "
    "lower bins of the neuron's activation histogram, labelled by the same rule and cut to the same lengths. Its E is "
    "not part of the comparison with random neurons.",
    "E = (TPR + TNR)/2 is how well an explanation, read or executed on text alone, tells active from inactive "
    "prompts in documents that the explainer has not seen; 0.5 is chance. Its 95 % interval combines a Wilson "
    "interval for each rate. n is small, so the interval is wide: two heads whose intervals overlap are not "
    "ranked by their E.",
    "The best of several heads is a biased number: the more heads are tried, the higher it is by chance. Read the "
    "median and the count beside it, and q, which is the p value of Fisher's exact test adjusted over all the "
    "heads tested. A head whose scoring prompts are all of one class is not scorable, which is neither a good nor "
    "a bad E.",
    "A judge that is a language model reads the explanation and one text, nothing else. An answer that is neither "
    "active nor inactive counts as wrong and is counted. Its controls, an empty explanation and one of another head, "
    "say how far it gets without the explanation: compare E with them, not with 0.5 alone.",
    "A rule that scores well is a description of when the head is active on this corpus. It does not show that "
    "the head computes that rule.",
)

LIMITS = (
    "Everything here holds for this model, this corpus and these neurons. Another corpus lights other prompts; a head "
    "can do something else elsewhere.",
    "Prompts are the strongest firings of a neuron. What happens at ordinary activations is not what they show.",
    "A contribution is part of a sum, with attention patterns and norms as they were. It is not what would happen "
    "without the head: other parts can make up for it. Only the replacements say that, and they take the model to "
    "states it may never reach by itself.",
    "What a head looked up is its own share, token by token. What a token carries by then may have come from tokens "
    "before it.",
    "An explanation is one text that tells active from inactive prompts. Others, of another meaning, may do as well.",
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
