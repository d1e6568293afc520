"""What the numbers of a report mean, and what they do not, in a few sentences."""

from __future__ import annotations

METHOD_NOTES = (
    "The method is that of Neo, Cohen and Barez, *Interpreting Context Look-ups in Transformers* (arXiv 2402.15055).",
    "Congruence c is the inner product of a neuron's output weights with the unembedding of a token; z is c in "
    "standard deviations over the vocabulary. A congruent neuron need not predict its token, so that is measured "
    "on the corpus.",
    "A(h) is the part of the neuron's pre-activation that head h adds where the neuron fires. With embeddings, "
    "earlier MLPs and biases the parts add up to the pre-activation. It is a sum of what arrived, not the effect "
    "of a change: the ablation is that. β is the head's share of what makes the neuron vary on random text.",
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
