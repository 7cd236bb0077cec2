"""Bootstrap intervals cover what they should, and calibration finds what an exhaustive search finds."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.evaluation.bootstrap import harmonic_interval, interval, paired
from components.evaluation.calibration import (
    ENOUGH,
    choose_stacking,
    fit_temperature,
    log_softmax,
    ranked_hits,
    reliability,
)

RNG = np.random.default_rng


def test_interval_is_the_normal_one_for_many_values():
    values = RNG(0).random(2000)
    mean, low, high = interval(values, n=2000)
    error = values.std() / 2000**0.5
    assert mean == pytest.approx(values.mean())
    assert (low, high) == pytest.approx((mean - 1.96 * error, mean + 1.96 * error), abs=0.2 * error)
    narrow = interval(values, n=2000, level=0.5)
    assert narrow[2] - narrow[1] == pytest.approx(2 * 0.674 * error, rel=0.1)


def test_interval_covers_the_truth_as_often_as_it_says():
    rng = RNG(1)
    hits = [low <= 0.3 <= high for _, low, high in
            (interval(rng.random(150) < 0.3, n=400, seed=i) for i in range(300))]
    assert 0.90 <= np.mean(hits) <= 0.98


def test_groups_average_over_verbs_and_resample_within_them():
    values = np.array([1.0] * 9 + [0.0])
    verbs = np.array(["a"] * 9 + ["b"])
    assert interval(values, groups=verbs) == pytest.approx((0.5, 0.5, 0.5), abs=1e-12)  # within a verb nothing varies
    assert interval(values)[0] == pytest.approx(0.9)
    shuffled = RNG(2).permutation(10)
    rng = RNG(3)
    mixed, verbs = rng.random(300), rng.integers(0, 5, 300)
    expected = np.mean([mixed[verbs == v].mean() for v in range(5)])
    assert interval(mixed, groups=verbs)[0] == pytest.approx(expected)
    assert interval(values[shuffled], groups=np.array(["a"] * 9 + ["b"])[shuffled])[0] == pytest.approx(0.5)


def test_strata_take_between_verb_variance_out():
    verbs = np.repeat(np.arange(20), 20)
    values = (RNG(4).random(400) < verbs / 19).astype(float)
    width = [high - low for _, low, high in (interval(values, groups=verbs), interval(values))]
    assert width[0] < 0.9 * width[1]  # sqrt(2/3) of it in theory


def test_paired_is_narrower_than_apart_and_signed():
    base = RNG(5).random(400)
    better = base + 0.02 + 0.01 * RNG(6).standard_normal(400)
    difference, low, high = paired(better, base)
    assert 0 < low < difference < high < 0.03
    assert high - low < 0.2 * (interval(base)[2] - interval(base)[1])
    assert paired(base, base) == (0.0, 0.0, 0.0)


def test_harmonic_interval_resamples_both_sides():
    rng = RNG(7)
    seen, unseen = (rng.random(500) < 0.8).astype(float), (rng.random(300) < 0.4).astype(float)
    value, low, high = harmonic_interval(seen, unseen)
    s, u = seen.mean(), unseen.mean()
    assert value == pytest.approx(2 * s * u / (s + u))
    assert low < value < high
    fixed = harmonic_interval(np.full(500, s), unseen)
    assert fixed[2] - fixed[1] < high - low
    assert harmonic_interval(np.zeros(3), np.zeros(3)) == (0, 0, 0)


def test_same_seed_same_interval():
    values = RNG(8).random(50)
    assert interval(values, seed=1) == interval(values, seed=1) != interval(values, seed=2)


def test_memory_stays_bounded():
    values = RNG(9).random(25_200)
    tracemalloc.start()
    interval(values)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 120e6  # 1000 x 25,200 draws at once would be 200 MB an array


@pytest.mark.parametrize("values", [np.array([]), np.array([0.5, np.nan]), np.zeros((2, 2))])
def test_values_that_have_no_mean_are_refused(values):
    with pytest.raises(ValueError, match="finite"):
        interval(values)


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="groups"):
        interval(np.zeros(3), groups=np.zeros(2))
    with pytest.raises(ValueError, match="shape"):
        paired(np.zeros(3), np.zeros(2))


def by_hand(scores, truth, sides, penalties):
    """The accuracies of each side (a mask of verbs), mean over its verbs, the long way."""
    right = (scores - penalties).argmax(1) == truth
    return [np.mean([right[truth == v].mean() for v in np.flatnonzero(side)]) for side in sides]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_stacking_is_the_best_of_all(seed):
    """Seen and unseen weigh the same, however many groups of seen verbs there are, and these weigh the same."""
    rng, columns = RNG(seed), np.arange(7)
    sides = common, rare, pseudo = columns < 3, (columns >= 3) & (columns < 5), columns >= 5
    images = np.select([common, rare], [40, 3], 0)
    truth = np.concatenate([columns, rng.integers(0, 7, 40)])
    biased = rng.standard_normal((47, 7)) + 2.0 * np.eye(7)[truth] + 1.5 * (common | rare)
    ignored = rng.standard_normal((47, 2)) + 9  # unseen verbs that do not compete
    none = np.zeros(9, bool)
    penalty, share = choose_stacking(np.hstack([biased, ignored]), truth, [np.append(s, [0, 0]) > 0 for s in sides[:2]],
                                     np.append(pseudo, [0, 0]) > 0, np.append(images, [0, 0]), none)

    def mean(penalties):
        c, r, u = (max(v, 1e-9) for v in by_hand(biased, truth, sides, penalties))
        s = 2 / (1 / c + 1 / r)
        return 2 / (1 / s + 1 / u)

    grid = [mean(p * images / np.maximum(images + m, 1)) for m in ENOUGH for p in np.linspace(0, np.ptp(biased), 401)]
    assert mean(penalty * share[:7]) >= max(grid) - 1e-3  # shares are rounded, and so may a near tie be
    assert not share[5:].any()


def test_stacking_undoes_a_known_bias():
    rng = RNG(10)
    seen = np.arange(10) < 6
    truth = rng.integers(0, 10, 600)
    fair = rng.standard_normal((600, 10)) + 3 * np.eye(10)[truth]
    penalty, share = choose_stacking(fair + 4 * seen, truth, [seen], ~seen, np.where(seen, 50, 0), np.zeros(10, bool))
    assert penalty * share[0] == pytest.approx(4, abs=1)


def test_rare_verbs_pay_as_much_of_the_penalty_as_balances_them_too():
    rng, columns = RNG(13), np.arange(12)
    common, rare, pseudo = columns < 6, (columns >= 6) & (columns < 8), columns >= 8
    images = np.select([common, rare], [50, 4], 0)
    truth = rng.integers(0, 12, 3000)
    fair = rng.standard_normal((3000, 12)) + 3 * np.eye(12)[truth]
    none = np.zeros(12, bool)
    for enough in (0, 30):  # both biased alike; rare ones hardly
        biased = fair + 4 * images / np.maximum(images + enough, 1)
        penalty, evidence = choose_stacking(biased, truth, [common, rare], pseudo, images, none)
        assert penalty * evidence[common][0] == pytest.approx(4 * 50 / (50 + enough), abs=0.8)
        assert penalty * evidence[rare][0] == pytest.approx(4 * 4 / (4 + enough), abs=0.8)
        assert not evidence[pseudo].any()


def test_a_group_without_tuning_images_competes_and_does_not_count():
    rng, columns = RNG(14), np.arange(6)
    common, rare, pseudo = columns < 3, columns == 3, columns > 3
    truth = rng.choice([0, 1, 2, 4, 5], 400)
    scores = rng.standard_normal((400, 6)) + 3 * np.eye(6)[truth] + 4 * (columns < 4)
    images = np.where(columns < 4, 20, 0)
    penalty, evidence = choose_stacking(scores, truth, [common, rare], pseudo, images, np.zeros(6, bool))
    assert penalty * evidence[0] == pytest.approx(4, abs=1)


def test_a_group_that_is_never_right_does_not_silence_the_others():
    """With one or two images a rare verb may be beyond any penalty; the mean over groups is then 0 for all of them."""
    rng = RNG(13)
    truth = np.concatenate([rng.integers(0, 8, 300), [8]])
    scores = rng.standard_normal((301, 9)) + 3 * np.eye(9)[truth] + 2.0 * (np.arange(9) < 4)
    scores[:, 8] = -50.0
    common, pseudo, rare = np.arange(9) < 4, (np.arange(9) >= 4) & (np.arange(9) < 8), np.arange(9) == 8
    images = np.where(common, 100, 2)
    penalty, evidence = choose_stacking(scores, truth, [common, rare], pseudo, images, np.zeros(9, bool))
    assert penalty * evidence[0] == pytest.approx(2, abs=0.8)


def test_rivals_lower_the_penalty_that_few_pseudo_unseen_names_would_choose():
    """Fewer names than at test stand against the seen ones in tuning: without them the choice is too high."""
    rng = RNG(12)
    seen, pseudo, unseen = (np.arange(30) < 10, (np.arange(30) >= 10) & (np.arange(30) < 14), np.arange(30) >= 14)

    def images(of, n=4000):
        truth = rng.choice(np.flatnonzero(of), n)
        return rng.standard_normal((n, 30)) + 2 * np.eye(30)[truth] + 3 * seen, truth

    scores, truth = images(seen | pseudo)
    alike = {"images": np.where(seen, 9, 0), "enough": (0,)}
    fewer, _ = choose_stacking(scores, truth, [seen], pseudo, rivals=np.zeros(30, bool), **alike)
    all_names, _ = choose_stacking(scores, truth, [seen], pseudo, rivals=unseen, **alike)

    def at_test(penalty):
        sides = []
        for of in (seen, unseen):
            scores, truth = images(of)
            sides.append((np.where(pseudo, -np.inf, scores - penalty * seen).argmax(1) == truth).mean())
        return 2 * sides[0] * sides[1] / sum(sides)

    assert all_names < fewer
    assert at_test(all_names) > at_test(fewer)


@pytest.mark.parametrize(("truth", "groups", "says"), [
    ([0, 2], [[1, 0, 0]], "neither seen nor pseudo-unseen"),
    ([0, 0], [[1, 0, 0]], "both seen and pseudo-unseen verbs"),
    ([0, 1], [[0, 1, 0]], "cannot be both"),
])
def test_stacking_refuses_what_may_not_tune(truth, groups, says):
    with pytest.raises(ValueError, match=says):
        choose_stacking(np.zeros((2, 3)), np.array(truth), np.array(groups, bool), np.array([0, 1, 0], bool),
                        np.array([5, 0, 0]), np.zeros(3, bool))


def test_ranked_hits_among_candidates():
    scores = np.array([[3.0, 2, 1, 0], [3, 2, 1, 0]])
    truth = np.array([1, 3])
    everyone, unseen = np.ones(4, bool), np.array([0, 1, 0, 1], bool)
    assert ranked_hits(scores, truth, everyone).tolist() == [False, False]
    assert ranked_hits(scores, truth, everyone, 2).tolist() == [True, False]
    assert ranked_hits(scores, truth, unseen).tolist() == [True, False]
    assert ranked_hits(scores, truth, unseen, 2).tolist() == [True, True]
    assert ranked_hits(scores, np.array([0, 0]), unseen, 4).tolist() == [False, False]  # no candidate, never right


def test_temperature_finds_the_one_that_was_used():
    rng = RNG(11)
    logits = 2 * rng.standard_normal((4000, 12))
    truth = (np.exp(log_softmax(logits)).cumsum(1) < rng.random((4000, 1))).sum(1).clip(max=11)
    for factor in (0.2, 1.0, 7.0):
        assert fit_temperature(logits * factor, truth) == pytest.approx(factor, rel=0.08)
    shut = np.concatenate([7 * logits, np.full((4000, 1), -np.inf)], 1)
    assert fit_temperature(shut, truth) == pytest.approx(7, rel=0.08)


def test_calibration_error_of_honest_and_boastful_confidence():
    rng = RNG(12)
    confidence = rng.random(20_000)
    honest = reliability(confidence, rng.random(20_000) < confidence)
    assert honest.ece < 0.02
    assert honest.count.sum() == 20_000
    boast = reliability(np.full(100, 0.95), np.arange(100) < 60)
    assert boast.ece == pytest.approx(0.35)
    assert boast.count.tolist() == [0] * 9 + [100]
    assert np.isnan(boast.accuracy[0])
    assert reliability(np.array([1.0]), np.array([True])).ece == 0
    with pytest.raises(ValueError, match="probabilities"):
        reliability(np.array([1.2]), np.array([True]))
