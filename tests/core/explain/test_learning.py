"""Learning a rule from hundreds of labelled texts: what is planted is learned, noise is not, one table serves many."""

from __future__ import annotations

import random

import numpy as np
import pytest
from random_texts import noisy_labels, random_texts

from headtorch.core.explain.features import feature_table, least_support
from headtorch.core.explain.learning import find_rule, folds_of
from headtorch.core.explain.rule import Rule, Term, clause_length


def test_a_planted_rule_is_recovered_from_300_noisy_texts() -> None:
    texts = random_texts(300, seed=1)
    labels = noisy_labels(texts, lambda text: " United" in text[-4:], seed=2)
    rule = find_rule(feature_table(texts), labels)
    assert rule.wording() == 'Active when " United" is among the last 4 tokens.'


def test_a_rule_about_the_present_clause_is_recovered() -> None:
    """Commas 3 to 20 tokens from the end: a window of fixed length does worse."""
    rng = random.Random(4)
    texts = [[*text] for text in random_texts(300, seed=8)]
    for text in texts:
        text[-rng.randint(3, 20)] = ","
        text[-rng.randint(2, 20)] = " United"
    rule = find_rule(feature_table(texts), [" United" in text[-clause_length(text) :] for text in texts])
    assert rule.wording() == 'Active when " United" is in the present clause.'


def test_one_table_serves_several_labellings() -> None:
    texts = random_texts(300, seed=3)
    table = feature_table(texts)
    for value in (" of", " was", " United"):
        labels = noisy_labels(texts, lambda text, value=value: value in text[-6:], seed=4, noise=0.1)  # type: ignore[misc]
        assert [term.value for term in find_rule(table, labels).terms] == [value]


def test_every_statement_is_true_of_the_texts_that_its_terms_hold_of() -> None:
    texts = random_texts(120, seed=5)
    table = feature_table(texts)
    costs = table.costs()
    for statement in range(0, len(table.holds), 7):
        term = table.name(statement, costs)
        assert table.holds[statement].tolist() == [term.holds(text) for text in texts]
    assert len(np.unique(table.holds, axis=0)) == len(table.holds)


def test_every_statement_has_support() -> None:
    table = feature_table(random_texts(400, seed=6))
    count = table.holds.sum(axis=1)
    assert table.support == least_support(400) == 8
    assert count.min() >= 8 and count.max() <= 392


def test_a_rule_about_one_document_is_not_learned() -> None:
    """Twelve clusters, each with a word of its own: within a cluster the word gives the label, across it does not."""
    texts, labels, clusters = [], [], []
    for cluster in range(12):
        for text in random_texts(20, seed=cluster):
            texts.append((*text[:-3], f" word{cluster}", *text[-2:]))
            labels.append(cluster % 2 == 0)
            clusters.append(cluster)
    assert find_rule(feature_table(texts), labels).terms != ()
    assert find_rule(feature_table(texts), labels, clusters=clusters).terms == ()


def test_clusters_are_kept_together_and_classes_spread() -> None:
    rng = np.random.default_rng(0)
    clusters, labels = rng.integers(0, 40, 300), rng.random(300) < 0.3
    folds = folds_of(labels, clusters)
    assert all(len(set(folds[clusters == cluster])) == 1 for cluster in range(40))
    for fold in range(5):
        assert 0.1 < (folds[labels] == fold).mean() < 0.3
        assert 0.1 < (folds[~labels] == fold).mean() < 0.3


@pytest.mark.parametrize("texts", [[], [()] * 4, [(" a",)] * 20])
def test_texts_that_tell_nothing_give_no_rule(texts: list[tuple[str, ...]]) -> None:
    rule = find_rule(feature_table(texts), [i % 2 == 0 for i in range(len(texts))])
    assert rule.terms == ()


def test_another_number_of_labels_is_refused() -> None:
    with pytest.raises(ValueError, match="3 labels for 4 texts"):
        find_rule(feature_table([(" a",)] * 4), [True] * 3)


def test_no_statement_is_about_the_length_of_a_text() -> None:
    """The inactive texts are short, as trimming leaves them; a rule of an earlier version about that still judges."""
    texts = random_texts(100, seed=7)
    cut = [text if i % 2 else text[-4:] for i, text in enumerate(texts)]
    assert all(kind != "short" for kind, _ in feature_table(cut).keys)
    old = Rule.loads('{"terms":[{"kind":"short","farthest":4}]}')
    assert [old.judges(text) for text in cut] == [i % 2 == 0 for i in range(100)]


def test_the_degree_is_the_share_of_terms_that_hold() -> None:
    terms = tuple(Term(kind="token", value=value, farthest=2) for value in (" a", " b", " c"))
    for join in ("and", "or"):
        rule = Rule(terms=terms, join=join)  # type: ignore[arg-type]
        assert [rule.degree(text) for text in ((" a", " b"), (" a", " x"), (" x",))] == [2 / 3, 1 / 3, 0.0]
    assert Rule(default=True).degree((" a",)) == 1.0
