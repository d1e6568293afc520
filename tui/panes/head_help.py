"""What the list and the grid of heads and the numbers below them mean."""

from __future__ import annotations

HELP = """\
The list: the heads that claims about the neuron are about, chosen on training places by their effect, and below them \
others that take a share within matched pairs (not chosen: no claim is about them).
takes: how much of the difference between firing places and their matched places (same last token, neuron off) goes \
when the head's output there is exchanged, on held-out text. With an e behind it: not measured so; then its effect as \
a share of the activation, Σe/Σa over training places, its output replaced by its mean. Below 0: it lowers the neuron.
Δ: by how many points of the activation the head does more where the rule of its claim holds than elsewhere, with the \
95 % interval over documents. E: score of that rule on held-out places, 0.5 is chance.
label: how places are called active. attr: by the head's attribution, where that goes with its effect; carr: where it \
carries at least 20 % of the activation. ✓: its claim is a finding, ·: a candidate.
too rare, always active: there are too few places of one kind to tell them apart, so it is not explained.
Below: restores, how much comes back when the head is put into the matched place; attends, how much of its attention \
lies on the tokens that the rule names; Spearman: rank agreement of attribution and effect; q: p adjusted over the \
study's claims; suppressing: it lowers the neuron; sparse: chosen for what it carries at a few places.
heads 61 %: context share, how much of the activation heads account for. Where that is below 20 %, the last token \
drives the neuron: instead of heads stand the tokens with the largest activation without attention, every head at its \
mean; R²: how well that alone tells the activation on held-out text. 3 of 171: heads chosen, of those that can feed it.

The grid: each cell is an attention head: its layer at the left, the last layer at the top, its number above. Amber \
adds to the neuron, blue (with −) takes away, · is next to nothing (under 6 % of the strongest). × cannot feed the \
neuron. An underlined head is active on some prompts and not on others: worth explaining. Without colours +1 to +4 \
and −1 to −4 say sign and strength, in narrow cells 1 to 4 and a to d.

direct attribution: A(h) = ⟨o_h, w_in⟩ / σ, what the head's output adds to the neuron's pre-activation, in its units.
removal effect (models with gated MLPs): how much the activation falls when the head's part is taken away.
⟨o, w⟩ (a study by the paper's score): the same as direct attribution, not divided by σ.

What the cells show can be changed. Exact effect: what the neuron (its pre-activation; gated: its activation) loses on \
the measured prompts when the head's output at the firing token is replaced by the same head's on other texts, and all \
behind it is computed again; with it comes what the head does through later heads and MLPs. β: its share of what makes \
the neuron vary on random text. Removal: change of the activation without the head's part, all else held. Weight-only \
prior: how much of what the head can write the neuron can read, 0 to 1, before any text. A head without a number is ?, \
and the line below says why. Spearman says how well direct attribution ranks the heads of a prompt as their effects \
do, −1 to 1, mean over n prompts.

Below the grid: the head's number, of the whole pre-activation (gated: activation); its share of the sum over heads; \
role: how well its attention agrees with a known pattern, 0 to 1, shown from 0.4: previous-token, duplicate-token \
(looks at earlier copies of the token), induction (at what followed them). β is the share of the neuron's variation on \
random positions that the head explains; at random: its mean ± standard deviation there; removal: the change of the \
activation that the head's part makes.

Σ is the sum of all parts of the pre-activation: heads, embedding, positions, MLPs, biases. A gated neuron has one for \
its gate and one for its up. error: |Σ − pre-activation| / Σ|parts|, the largest of the prompts."""
