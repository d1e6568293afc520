"""What the detail pane's words, marks and numbers mean."""

HELP = """\
Claim. First the context claim: after the same last token, the neuron fires where the text before it is as the rule \
says. The rule is learned on matched pairs (a firing place, and a place with the same last token where the neuron is \
off) of the training split, all numbers are from held-out text. E: mean of two rates, how many firing places the rule \
calls so, and how many of the others it calls off; 0.5 is chance, in brackets the 95 % interval. ceiling: AUROC of the \
best that text alone can tell (ridge on its tokens); AUROC: that of the rule's degree. q: p adjusted over the study's \
claims (Benjamini-Hochberg). heads account for: context share, what is lost of the activation when all heads there \
are replaced by their means. five take …: share of the difference within pairs that goes when the strongest heads are \
exchanged together, and what they restore the other way round. All heads must take 100.0 % (✓), the check of the \
measurement; in models with absolute positions a rest is left, which is the position's. 80 % with: how many heads \
reach that.
In the table: taken and restored by the head alone with intervals; attends: how much of its attention lies on the \
tokens that the rule names; holds, elsewhere: taken where the rule holds, and where not.
rewriting: relative change of the activation when the tokens that make the rule hold are replaced (for rules of \
absence: put in), in «quotes»; placebo: other tokens at like distance, rule still true; difference: the two \
compared. The token that the neuron is read at is underlined and never touched; what will be replaced is underlined too.
Then the claim about the selected head. removes: share of the activation that goes when the head's output is replaced, \
where the rule holds and elsewhere; Δ: the difference in points; n: active + inactive places; active by: what calls a \
place active, with how well it goes with the effect (Spearman); Δ by resample: with other texts' outputs instead of \
the mean; Δ within a last token: among places that end alike; last token: a claim not shown to be about more than \
the token at p (where the neuron is read); p(t): probability of the neuron's token. effect, A(h): changes under \
rewriting, of what the head does and of its attribution.
✓ finding: the neuron is valid, E and Δ (or a share taken) hold at q < 0.05, and rewriting agrees or cannot be tested. \
· candidate: what speaks against it stands behind.

Explanation. The claim about when the head is active for the neuron, and who made it: rules (found by search), me \
(your own), llm (a language model). Where several explain a head, each has a line with its score, and ▸ marks the one \
shown in full. A rule and a pattern judge themselves, a sentence is judged by a language model. E is the mean of two \
rates on unseen prompts: of the active ones, how many the claim calls active, and of the inactive ones, how many it \
calls inactive; 0.5 is chance, 1 is perfect. In brackets its 95 % interval; n counts active + inactive prompts. In \
the plot ● is E, ━ the interval, ┼ chance. F1: harmonic mean of precision and recall. MCC: correlation of claim and \
truth, −1 to 1. p: one-sided exact test (Fisher) against chance. q: p adjusted over all heads of the study \
(Benjamini-Yekutieli). Controls should be near 0.5: another head's claim, an empty claim, shuffled labels. Precision \
on random text: how often the head is really active where the claim says so. Near-copies of prompts that the claim \
was made from are dropped. ✗ lists the prompts judged wrongly, by their number.

mean A(h): the head's attribution, in units of the pre-activation (gated: of the activation), over its active and its \
inactive prompts. A head is active where its attribution stands out from random text by the study's rule. A \
suppressing head lowers the neuron.

The neuron itself. P(next = t | fires): how often its token follows where it fires most. base rate: how often it \
follows anywhere; odds ratio: the odds that it follows there over the odds anywhere, with a 95 % interval (lift: the \
ratio of the shares). It predicts its token with P of at least 0.5 and an odds ratio of at least 20 whose interval \
begins at 5 or above. AUROC: how well the activation tells where the token follows, 0.5 is chance. logit attribution: \
what the neuron adds to its token's logit. Δ log p at 0: change of the token's log probability (in nats) with the \
neuron set to 0.

Evidence. The neuron's prompts, ● active and ○ inactive for the head, with their number, A(h), the activation \
(fires), the split (claims are made from train and judged on held-out; lower: from a lower activation bin), and the \
verdict on the explanation shown: ✓ right, ✗ wrong, ? an answer that is neither (it counts as wrong), blank not \
judged or not known. Where claims are tested these are the places where the neuron fires, held-out ones first, and \
carries is the head's effect as a share of the activation there. The firing token is underlined, the token that \
follows stands after →.

Ablation. The change, after minus before, when the head's output is replaced: log p in nats, probability p, logit, \
activation, and rank of the neuron's token (more is worse). Bars go left for minus and right for plus, each row on \
its own scale. KS: largest distance between the distributions of Δ log p on active and inactive prompts, 0 to 1, with \
its p. Below, each prompt's Δ log p as a small histogram, ● active above ○ inactive. labels permuted: p of "it does \
not matter whether the head is active"; q: adjusted over the heads ablated alike in the study. Control heads have \
outputs of the same size; beyond control heads: the same p for what this head does more than they. Δ log p in all = \
through the neuron (only the neuron changed) + around it (the neuron held) + interaction. With all that follows \
frozen, nothing later can make up for the head; what it makes up for is self-repair: the gap is |Δ frozen| − |Δ in all|.

Cause. Exact effects: what the neuron loses when the head's output is replaced by the same head's on other texts and \
all behind it is computed again. The table says how well cheaper numbers tell them: ρ, Spearman over the heads of a \
prompt; top 5, how many of the five largest agree; r, Pearson over all heads and prompts. Cooperation: the strongest \
heads taken away one by one and together. I = e(A) + e(B) − e(A and B); ∧ the two need each other, ∨ they stand in \
for each other, told only where the 95 % interval excludes 0 and random pairs of the same effects have less (p, by \
chance). Spectrum: effects on prompts of every activation bin, not on the strongest alone; n prompts in each.

Sources. What each token of the selected prompt gave to the head's attribution A(h); with what tokens not shown gave \
(elsewhere) it sums to A(h). back: tokens before the firing one; attends: the head's attention to it; fires: the \
neuron's activation there; p(token | shown): the model's probability after the tokens shown.

Notes. Your own, about the neuron, the head on it, the head, and the study."""
