"""The explaining and the scoring half of a neuron's prompts, kept apart: nothing learnt from one sits in the other."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from headtorch.core.records import Prompt

WINDOW = 50  # tokens on either side of the firing token that are compared
SHINGLE = 3  # tokens
NEAR = 0.5  # Jaccard similarity of the shingle sets from which two places count as near-copies


def prompt_text(prompt: Prompt) -> tuple[str, ...]:
    """The prompt's tokens that come from the document; the model's own first token is no evidence."""
    return tuple(prompt.document_tokens)


def assert_disjoint(prompts: Sequence[Prompt]) -> None:
    """Raise AssertionError when a document or a cluster of near-duplicate documents lies in both halves."""
    for name in ("document", "cluster"):
        explaining = {getattr(prompt, name) for prompt in prompts if prompt.half == "explain"}
        shared = sorted(explaining & {getattr(prompt, name) for prompt in prompts if prompt.half == "score"})
        if shared:
            raise AssertionError(f"The explaining and the scoring half share the {name} {shared[0]}.")


def near_copies(
    prompts: Sequence[Prompt], surroundings: Sequence[Sequence[int]] | None = None, *, near: float = NEAR
) -> frozenset[int]:
    """Indices of the scoring prompts that repeat an explaining one.

    A scoring prompt goes when its text is that of an explaining prompt, or when the sets of 3-token sequences of their
    surroundings have |A ∩ B|/|A ∪ B| ≥ `near`. `surroundings` holds, per prompt, the document's token ids up to 50 on
    either side of the firing token; without it the kept tokens stand in for them.
    """
    places = [prompt.token_ids for prompt in prompts] if surroundings is None else surroundings
    scoring = [prompt.half == "score" for prompt in prompts]
    texts = {prompt_text(prompt) for prompt in prompts if prompt.half == "explain"}
    same = {i for i, prompt in enumerate(prompts) if scoring[i] and prompt_text(prompt) in texts}
    return near_copy_indices(places, scoring, near=near) | same


def near_copy_indices(
    surroundings: Sequence[Sequence[int]], held_out: Sequence[bool], *, near: float = NEAR
) -> frozenset[int]:
    """Indices of the held-out places whose surrounding token ids nearly repeat those of a training place.

    |A ∩ B|/|A ∪ B| ≥ `near` over the sets of 3-token sequences.
    """
    shingles = [_shingles(ids) for ids in surroundings]
    holders: dict[tuple[int, ...], list[int]] = defaultdict(list)  # shingle → training places
    for i, shingle_set in enumerate(shingles):
        if not held_out[i]:
            for shingle in shingle_set:
                holders[shingle].append(i)
    copies = set()
    for i, shingle_set in enumerate(shingles):
        if held_out[i]:
            shared = Counter(j for shingle in shingle_set for j in holders.get(shingle, ()))
            if any(n >= near * (len(shingle_set) + len(shingles[j]) - n) for j, n in shared.items()):
                copies.add(i)
    return frozenset(copies)


def _shingles(ids: Sequence[int]) -> set[tuple[int, ...]]:
    sequence = tuple(int(token) for token in ids)
    if len(sequence) <= SHINGLE:
        return {sequence}
    return {sequence[i : i + SHINGLE] for i in range(len(sequence) - SHINGLE + 1)}
