"""Agreement of names and classes: against exhaustive search, by hand, and never between results that do not compare."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.base.errors import UserError
from components.evaluation import clustering as c

LABELS = st.integers(1, 12).flatmap(lambda n: st.tuples(
    st.lists(st.integers(0, 3), min_size=n, max_size=n), st.lists(st.integers(0, 3), min_size=n, max_size=n)))


def by_search(names: list[int], classes: list[int]) -> int:
    """The most images that any one-to-one naming of classes gets right."""
    found, wanted = sorted(set(names)), sorted(set(classes))
    wanted += [None] * len(found)
    return max(sum(dict(zip(found, chosen, strict=True))[n] == k for n, k in zip(names, classes, strict=True))
               for chosen in itertools.permutations(wanted, len(found)))


@settings(max_examples=60, deadline=None)
@given(LABELS)
def test_cluster_accuracy_is_the_best_of_all_assignments(pair):
    names, classes = pair
    assert c.right(names, classes).sum() == by_search(names, classes)
    assert c.cluster_accuracy(names, classes) <= c.purity(names, classes) + 1e-12


@settings(max_examples=60, deadline=None)
@given(LABELS, st.permutations(range(4)))
def test_which_words_the_names_are_does_not_matter(pair, renamed):
    names, classes = pair
    other = [f"name {renamed[n]}" for n in names]
    for measure in (c.cluster_accuracy, c.purity, c.nmi, c.ari):
        assert measure(other, classes) == pytest.approx(measure(names, classes), abs=1e-9)


def test_figures_by_hand():
    names = ["a", "a", "b", "c", "c", "c"]
    classes = ["x", "x", "x", "y", "y", "z"]
    assert c.right(names, classes).tolist() == [True, True, False, True, True, False]
    assert c.cluster_accuracy(names, classes, per_class=True) == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert c.purity(names, classes) == pytest.approx(5 / 6)
    assert c.purity(list("abcdef"), classes) == 1
    n = [2, 1, 3]
    m = [3, 2, 1]
    joint = [2, 1, 2, 1]
    entropy = [sum(-k / 6 * math.log(k / 6) for k in counts) for counts in (n, m, joint)]
    both = entropy[0] + entropy[1]
    assert c.nmi(names, classes) == pytest.approx(2 * (both - entropy[2]) / both)
    pairs = [(a, b) for a, b in itertools.combinations(range(6), 2)]
    same = [np.array([v[a] == v[b] for a, b in pairs]) for v in (names, classes)]
    chance = same[0].sum() * same[1].sum() / len(pairs)
    best = (same[0].sum() + same[1].sum()) / 2
    assert c.ari(names, classes) == pytest.approx(((same[0] & same[1]).sum() - chance) / (best - chance))


def encode(texts: list[str]) -> np.ndarray:
    """Unit vectors by letters: a real if small text encoder."""
    counts = np.array([[t.lower().count(chr(97 + i)) for i in range(26)] for t in texts], float)
    return counts / np.linalg.norm(counts, axis=1, keepdims=True)


def test_meaning_and_words():
    names, truth = ["abc", "abc", "dd"], ["abc", "abd", "ee"]
    assert c.semantic(names, truth, encode) == pytest.approx([1, 2 / 3, 0])
    assert c.word_overlap(["House Wren", "Marsh-Wren", "Ruff"], ["house wren", "Wren", "Smew"]).tolist() == [1, 0.5, 0]


@pytest.mark.parametrize("fixed, teacher, student, images", [
    (10, 1, 0, 11), (10.5, 1, 0, 11), (10, 1, 0.5, 21), (0, 1, 0.5, 1), (10, 1, 1, None), (10, 1, 2, None),
])
def test_break_even_is_the_first_image_that_pays(fixed, teacher, student, images):
    assert c.break_even(fixed, teacher, student) == images
    if images:
        assert fixed + images * student < images * teacher
        assert fixed + (images - 1) * student >= (images - 1) * teacher


@pytest.mark.parametrize("costs", [(-1, 1, 0), (1, math.inf, 0), (1, math.nan, 0), (1, 1, -1)])
def test_break_even_refuses_impossible_costs(costs):
    with pytest.raises(ValueError, match="costs"):
        c.break_even(*costs)


def test_scores_compare_only_what_was_measured_alike():
    images, classes = [f"{i}.jpg" for i in range(60)], [f"class {chr(97 + i % 12)}" for i in range(60)]
    exact = c.score(images, [k.upper() for k in classes], classes, encode=encode, encoder="letters")
    assert exact.numbers["cluster_accuracy"] == exact.numbers["purity"] == exact.numbers["nmi"] == 1
    worse = c.score(images, ["class a" if i % 5 == 0 else k for i, k in enumerate(classes)], classes, encode=encode,
                    encoder="letters")
    gain, low, high = exact.better(worse)
    assert 0 < low <= gain <= high and gain == pytest.approx(1 - worse.numbers["cluster_accuracy"])
    assert exact.better(worse, "semantic_accuracy")[0] > 0
    other_images = c.score([f"{i}.png" for i in range(60)], classes, classes, encode=encode, encoder="letters")
    other_encoder = c.score(images, classes, classes, encode=encode, encoder="words")
    for other, part in ((other_images, "images"), (other_encoder, "sentence encoder")):
        with pytest.raises(UserError, match=f"differ in {part}"):
            exact.better(other)


def test_lengths_must_agree():
    for call in (lambda: c.right(["a"], []), lambda: c.purity([], []), lambda: c.score([], [], []),
                 lambda: c.score(["i"], ["a", "b"], ["a", "b"])):
        with pytest.raises(ValueError):
            call()


def test_label_quality_by_hand():
    found = c.label_quality(["House wren", "house-wren", "Robin", "Smew"], ["House Wren", "House Wren", "Ruff", "Ruff"])
    assert found == {"images": 4, "classes": 2, "distinct_names": 3, "hungarian_correct": 3, "cluster_accuracy": 0.75,
                     "purity": 1.0, "exact_name": 0.5, "true_name_in_vocabulary": 0.5, "all_same": 0.5,
                     "all_different": 0.5}
