"""Two-sample tests keep their promise: without a difference alarms are as rare as stated, and one that is is found."""

import numpy as np
import pytest
from scipy.stats import binom, chi2_contingency

from components.monitoring import statistics


def alarms(test, same: bool, times: int = 200, level: float = 0.1) -> int:
    """How often p falls to `level` over draws of two small samples."""
    rng = np.random.default_rng(0)
    return sum(test(rng, same)[1] <= level for _ in range(times))


def vectors(rng, same):
    a, b = rng.normal(size=(25, 4)), rng.normal(size=(20, 4))
    return statistics.mmd(a, b if same else b + 0.9, 99, seed=int(rng.integers(1 << 30)))


def words(rng, same):
    a, b = rng.choice(list("abcdefgh"), 40), rng.choice(list("abcdefgh") if same else list("abcd"), 30)
    return statistics.categories(a, b, 99, seed=int(rng.integers(1 << 30)))


def values(rng, same):
    return statistics.numbers(rng.random(60), rng.random(50) ** (1 if same else 2))


TESTS = pytest.mark.parametrize("test", [vectors, words, values])


@TESTS
def test_without_a_difference_alarms_are_as_rare_as_stated(test):
    assert alarms(test, same=True) <= binom.ppf(0.999, 200, 0.1)


@TESTS
def test_a_difference_is_found(test):
    assert alarms(test, same=False) >= 120


def test_mmd_is_what_its_definition_says():
    """Against the three double sums, written out."""
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(6, 3)), rng.normal(size=(5, 3)) + 1
    both = np.concatenate([a, b])
    gaps = [((x - y) ** 2).sum() for i, x in enumerate(both) for y in both[i + 1:]]

    def mean(p, q):
        return np.mean([np.exp(-((x - y) ** 2).sum() / np.median(gaps)) for x in p for y in q])

    value, p = statistics.mmd(a, b, 99)
    assert value == pytest.approx(np.sqrt(mean(a, a) + mean(b, b) - 2 * mean(a, b)))
    assert 0.01 <= p <= 0.2


def test_identical_vectors_are_no_difference():
    assert statistics.mmd(np.ones((5, 2)), np.ones((5, 2)), 19)[1] == 1.0


def test_chi_square_is_that_of_the_textbook():
    a, b = list("aaabbbbccc"), list("abbbcccccc")
    table = [[of.count(w) for w in "abc"] for of in (a, b)]
    assert statistics.categories(a, b, 9)[0] == pytest.approx(chi2_contingency(table, correction=False).statistic)


def test_holm_by_hand():
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([0.9, 0.8]) == [1.0, 1.0]


def test_stability_is_zero_for_equals_and_finite_for_strangers():
    assert statistics.stability(list("aab"), list("aab")) == 0
    assert statistics.stability(list("a" * 100 + "b" * 100), list("a" * 180 + "b" * 20)) > 0.25
    assert np.isfinite(statistics.stability(list("aa"), list("bb")))
