"""The composition scorer against slow, independent ones: a ranking at every bias, and the public evaluators' recipe."""

import json
import tracemalloc
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.base.errors import UserError
from components.evaluation import composition as c
from components.evaluation.composition_files import Scores, read_pairs
from components.pipeline.composition import report_text, score_file

REAL = Path(__file__).parents[2] / "../shared/data/composition"


def ranked(scores: np.ndarray, labels: np.ndarray, seen: np.ndarray, k: int, unseen: np.ndarray | None = None):
    unseen = ~seen if unseen is None else unseen
    blocks = (part.copy() for part in np.array_split(scores, min(3, len(scores))))
    return c.rank(blocks, labels, seen, [np.flatnonzero(unseen)], k)[0]


def right_at(scores: np.ndarray, labels: np.ndarray, seen: np.ndarray, k: int, bias: float) -> np.ndarray:
    """Ranks anew: whether fewer than k others score at least as much as the true pair."""
    out = []
    for row, label in zip(scores, labels, strict=True):
        biased = [value + (0 if s else bias) for value, s in zip(row, seen, strict=True)]
        ahead = sum(v >= biased[label] for i, v in enumerate(biased) if i != label)
        out.append(ahead < k and biased[label] > -np.inf)
    return np.array(out)


def swept(scores, labels, seen, k) -> dict[str, float]:
    """Every number from rankings at biases between all differences of scores, and far beyond them."""
    gaps = {a - b for row in scores for a in row[seen] for b in row[~seen] if np.isfinite([a, b]).all()}
    edges = sorted(gaps)
    biases = [edges[0] - 1, *((a + b) / 2 for a, b in pairwise(edges)), edges[-1] + 1]
    of_seen = seen[labels]
    points = []
    for bias in biases:
        hits = right_at(scores, labels, seen, k, bias)
        points.append((hits[of_seen].mean(), hits[~of_seen].mean()))
    area = sum((u2 - u1) * (s1 + s2) / 2 for (s1, u1), (s2, u2) in pairwise(points))
    return {"auc": area, "best_seen": points[0][0], "best_unseen": points[-1][1],
            "best_hm": max(2 * s * u / (s + u) if s + u else 0 for s, u in points)}


def public(scores, labels, seen, candidates, k) -> dict[str, float]:
    """The published evaluation procedure, step by step, on scores without ties."""
    of_seen = seen[labels]
    masked = np.where(candidates, scores, -1e10)

    def hits(bias):
        guesses = np.argsort(-(masked + bias * (~seen & candidates)), axis=1)[:, :k]
        found = (guesses == labels[:, None]).any(1)
        return found[of_seen].mean(), found[~of_seen].mean(), found

    last = hits(1e3)
    kth_seen = np.sort(masked[:, seen], axis=1)[:, -k]
    short = (kth_seen - scores[np.arange(len(labels)), labels])[~of_seen & last[2]] - 1e-4
    short = np.sort(short)
    biases = short[::max(len(short) // 20, 1)]
    points = [hits(b)[:2] for b in biases] + [last[:2]]
    s, u = (np.array(v) for v in zip(*points, strict=True))
    with np.errstate(invalid="ignore"):
        harmonic = np.nan_to_num(2 * s * u / (s + u))
    return {"auc": np.trapezoid(s, u), "best_seen": s.max(), "best_unseen": u.max(), "best_hm": harmonic.max(),
            "bias": 1e3 if harmonic.argmax() == len(biases) else biases[harmonic.argmax()]}


def case(seed: int, images: int, pairs: int, share: float = 0.6, skill: float = 1.0):
    """Scores that know something, more of seen pairs than of others, with images of both kinds."""
    rng = np.random.default_rng(seed)
    seen = rng.random(pairs) < share
    seen[:2] = True, False
    labels = rng.integers(0, pairs, images)
    labels[:2] = 0, 1
    scores = rng.standard_normal((images, pairs)) + 0.8 * seen
    scores[np.arange(images), labels] += skill * rng.random(images) * 2
    return scores.astype(np.float32), labels, seen


SMALL = st.tuples(st.integers(0, 10**6), st.integers(2, 6), st.integers(3, 6), st.integers(1, 4), st.booleans())


@settings(max_examples=40, deadline=None)
@given(SMALL)
def test_exact_equals_ranking_at_every_bias(drawn):
    seed, images, pairs, k, coarse = drawn
    scores, labels, seen = case(seed, images, pairs)
    if coarse:  # many ties, and pairs that are out of question
        scores = np.round(scores)
        scores[np.random.default_rng(seed).random(scores.shape) < 0.1] = -np.inf
    if not np.isfinite(scores[:, seen].max(1) + scores[:, ~seen].max(1)).any():
        return
    found = c.Steps(ranked(scores, labels, seen, k), "exact").curve().numbers()
    for name, value in swept(scores.astype(float), labels, seen, k).items():
        assert found[name] == pytest.approx(value, abs=1e-9), name


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("world", ["closed", "open"])
@pytest.mark.parametrize("seed", range(3))
def test_reference_equals_the_public_procedure(k, world, seed):
    scores, labels, seen = case(seed, 400, 60)
    candidates = np.ones(60, bool)
    if world == "closed":  # pairs of validation only are out
        out = np.flatnonzero(~seen)[2::3]
        candidates[out] = False
        keep = candidates[labels]
        scores, labels = scores[keep], labels[keep]
    found = c.Steps(ranked(scores, labels, seen, k, ~seen & candidates), "reference").curve().numbers()
    for name, value in public(scores.astype(float), labels, seen, candidates, k).items():
        assert found[name] == pytest.approx(value, abs=1e-6), name


def test_reference_is_somewhat_below_exact():
    for seed in range(4):
        rank = ranked(*case(seed, 600, 80), 1)
        exact, reference = (c.Steps(rank, m).curve().numbers() for m in c.MODES)
        for name in ("auc", "best_hm", "best_seen"):
            assert 0 <= exact[name] - reference[name] < 0.02
        assert exact["auc"] > reference["auc"]
        assert exact["best_unseen"] == reference["best_unseen"]


def test_a_constant_scorer_knows_nothing():
    scores, labels, seen = case(0, 50, 10)
    found = c.Steps(ranked(np.zeros_like(scores), labels, seen, 1), "exact").curve().numbers()
    assert found["auc"] == found["best_hm"] == found["best_seen"] == found["best_unseen"] == 0


def test_a_perfect_scorer_with_a_bias_for_seen_is_perfect_at_one_bias():
    seen = np.arange(10) < 5
    labels = np.arange(10)
    scores = np.eye(10) + 3.0 * seen
    found = c.Steps(ranked(scores, labels, seen, 1), "exact").curve().numbers()
    assert found["auc"] == found["best_hm"] == found["best_seen"] == found["best_unseen"] == 1
    assert 2 < found["bias"] < 4  # true unseen pairs at 1 must beat 3, true seen pairs at 4 must not be beaten by 0 + b


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([-100.0, 0.5, 64.0]))
def test_a_constant_added_to_all_scores_changes_nothing(seed, constant):
    scores, labels, seen = case(seed, 30, 12)
    scores = np.round(scores * 64) / 64  # so that adding loses no digits
    for mode in c.MODES:
        one, other = (c.Steps(ranked(s, labels, seen, 2), mode).curve() for s in (scores, scores + constant))
        assert np.array_equal(one.seen, other.seen) and np.array_equal(one.unseen, other.unseen)


def test_blocks_and_the_order_of_images_change_nothing():
    scores, labels, seen = case(3, 101, 40)
    whole = c.rank([scores.copy()], labels, seen, [np.flatnonzero(~seen)], 3)[0]
    order = np.random.default_rng(0).permutation(101)
    for other in (ranked(scores, labels, seen, 3), ranked(scores[order], labels[order], seen, 3)):
        for mode in c.MODES:
            assert c.Steps(whole, mode).curve().numbers() == c.Steps(other, mode).curve().numbers()


def test_letting_pairs_in_group_by_group_equals_starting_anew():
    scores, labels, seen = case(4, 60, 30)
    groups = np.array_split(np.random.default_rng(1).permutation(np.flatnonzero(~seen)), 4)
    blocks = [part.copy() for part in np.array_split(scores, 5)]
    for t, one in enumerate(c.rank(blocks, labels, seen, groups, 2)):
        unseen = np.zeros_like(seen)
        unseen[np.concatenate(groups[:t + 1])] = True
        other = ranked(scores, labels, seen, 2, unseen)
        assert np.array_equal(one.truth, other.truth) and np.array_equal(one.unseen_best, other.unseen_best)
        assert c.Steps(one, "exact").curve().numbers() == c.Steps(other, "exact").curve().numbers()


@pytest.mark.parametrize("bias", [0.0, 1000.0, -0.7])
@pytest.mark.parametrize("k", [1, 3])
def test_guesses_and_primitives(k, bias):
    scores, labels, seen = case(5, 80, 12)
    parts = np.stack([np.arange(12) // 4, np.arange(12) % 4], 1)
    rank = ranked(scores, labels, seen, k)
    best = np.argsort(-(scores.astype(float) + bias * ~seen), axis=1)[:, :k]
    assert np.array_equal(c.guesses(rank, bias), best)
    found = c.primitives(rank, parts, bias)
    assert found["attribute_accuracy"] == (best // 4 == labels[:, None] // 4).any(1).mean()
    assert found["object_accuracy"] == (best % 4 == labels[:, None] % 4).any(1).mean()
    assert found["pair_accuracy"] == right_at(scores.astype(float), labels, seen, k, bias).mean()


def test_classes_count_alike():
    scores, labels, seen = case(6, 120, 10)
    rank = ranked(scores, labels, seen, 1)
    found = c.Steps(rank, "exact").curve(c.per_class(rank)).numbers()
    expected = np.mean([right_at(scores[labels == p], labels[labels == p], seen, 1, -1e6).mean()
                        for p in np.unique(labels) if seen[p]])
    assert found["best_seen"] == pytest.approx(expected)


def test_intervals_repeat_and_follow_the_number_of_images():
    wide, narrow = (c.intervals(c.Steps(ranked(*case(7, n, 20), 1), "exact"), n=200) for n in (60, 960))
    again = c.intervals(c.Steps(ranked(*case(7, 60, 20), 1), "exact"), n=200)
    assert wide == again
    for name in c.NUMBERS:
        assert 1.5 < (wide[name][1] - wide[name][0]) / (narrow[name][1] - narrow[name][0]) < 9  # 4 in theory


@pytest.mark.parametrize("mode", c.MODES)
def test_weights_are_repetitions(mode):
    scores, labels, seen = case(8, 40, 12)
    weight = np.random.default_rng(0).integers(1, 4, 40)
    rows = np.repeat(np.arange(40), weight)
    weighted = c.Steps(ranked(scores, labels, seen, 1), mode).curve(weight.astype(float)).numbers()
    repeated = c.Steps(ranked(scores[rows], labels[rows], seen, 1), mode).curve().numbers()
    assert weighted == pytest.approx(repeated)


def save(folder: Path, scores, labels, seen, name="scores", **more) -> tuple[Path, Path]:
    np.savez(folder / f"{name}.npz", scores=scores, labels=labels)
    pairs = [[f"a{i // 4}", f"o{i % 4}"] for i in range(len(seen))]
    (folder / "pairs.json").write_text(json.dumps({"pairs": pairs, "seen": seen.tolist()} | more))
    return folder / f"{name}.npz", folder / "pairs.json"


@pytest.mark.parametrize("mode", c.MODES)
def test_a_file_scores_as_its_arrays(tmp_path, mode):
    scores, labels, seen = case(9, 70, 16)
    files = save(tmp_path, scores, labels, seen)
    report = score_file(*files, mode=mode, world="closed", top_k=1, draws=50)
    expected = c.Steps(ranked(scores, labels, seen, 1), mode).curve().numbers()
    assert {n: report[n] for n in c.NUMBERS} == {n: expected[n] for n in c.NUMBERS}
    assert report["difference"]["auc"] == report["modes"]["exact"]["auc"] - report["modes"]["reference"]["auc"]
    assert all(low <= report[n] <= high for n, (low, high) in report["intervals"].items())
    assert f"{100 * report['auc']:6.2f}" in report_text(report)
    json.dumps(report, allow_nan=False)
    np.savez_compressed(tmp_path / "packed.npz", scores=scores, labels=labels.astype(np.uint8))
    assert score_file(tmp_path / "packed.npz", files[1], mode=mode, world="closed", top_k=1, draws=50) == report


def test_pairs_that_are_no_candidates_are_never_guessed(tmp_path):
    scores, labels, seen = case(10, 70, 16)
    labels = np.where(np.isin(labels, np.flatnonzero(~seen)[-2:]), 1, labels)
    out = np.flatnonzero(~seen)[-2:]
    candidates = ~np.isin(np.arange(16), out)
    scores[:, out] += 100
    files = save(tmp_path, scores, labels, seen, candidates=candidates.tolist())
    closed = score_file(*files, mode="exact", world="closed", top_k=1, draws=0)
    scores[:, out] = -np.inf
    assert closed["best_unseen"] > 0
    assert closed["auc"] == c.Steps(ranked(scores, labels, seen, 1), "exact").curve().numbers()["auc"]
    assert score_file(*files, mode="exact", world="open", top_k=1, draws=0)["best_unseen"] == 0
    labels[5] = out[0]
    with pytest.raises(UserError, match="no candidate"):
        score_file(*save(tmp_path, scores, labels, seen, candidates=candidates.tolist()), mode="exact", world="closed",
                   top_k=1)


def test_the_feasibility_threshold_is_the_best_of_validation(tmp_path):
    scores, labels, seen = case(11, 200, 40, skill=0.6)
    rng = np.random.default_rng(0)
    used = np.isin(np.arange(40), labels[:100])
    feasibility = np.where(used, 0.5 + rng.random(40) / 2, rng.random(40)) - 0.2  # some below zero
    files = save(tmp_path, scores[100:], labels[100:], seen, feasibility=feasibility.tolist())
    validation, _ = save(tmp_path, scores[:100], labels[:100], seen, "validation", feasibility=feasibility.tolist())
    report = score_file(*files, mode="exact", world="open", top_k=1, validation=validation, draws=0)
    chosen = report["feasibility"]

    def area(threshold):
        unseen = ~seen & (feasibility >= threshold)
        return c.Steps(ranked(scores[:100], labels[:100], seen, 1, unseen), "exact").curve().numbers()["auc"]

    assert len(chosen["trials"]) == 50
    for threshold, found in chosen["trials"]:
        assert found == area(threshold)
    assert chosen["validation_auc"] == max(a for _, a in chosen["trials"]) == area(chosen["threshold"])
    assert area(-9) < chosen["validation_auc"]
    given_one = score_file(*files, mode="exact", world="open", top_k=1, threshold=chosen["threshold"], draws=0)
    assert given_one["auc"] == report["auc"]
    assert given_one["unseen_candidates"] == (~seen & (feasibility >= chosen["threshold"])).sum()
    lowest = score_file(*files, mode="exact", world="open", top_k=1, threshold=-1.0, draws=0)
    none = score_file(*files, mode="exact", world="open", top_k=1, draws=0)
    assert lowest["auc"] == none["auc"]  # a threshold below zero changes no seen score


@pytest.mark.skipif(not REAL.is_dir(), reason="../shared/data/composition is missing")
@pytest.mark.parametrize("name", ["ut-zappos", "mit-states"])
def test_published_thresholds_keep_the_published_number_of_pairs(tmp_path, name):
    expected = json.loads((REAL / "expected.json").read_text())[name]
    with np.load(REAL / name / "feasibility.npz") as data:
        seen, feasibility = data["seen"].ravel(), data["feasibility"].ravel().astype(float)
        pairs = [[a, o] for a in data["attributes"].tolist() for o in data["objects"].tolist()]
    (tmp_path / "pairs.json").write_text(json.dumps(
        {"pairs": pairs, "seen": seen.tolist(), "feasibility": feasibility.tolist()}))
    labels = np.array([np.flatnonzero(seen)[0], np.flatnonzero(~seen)[0]])
    np.savez(tmp_path / "s.npz", scores=np.random.default_rng(0).random((2, len(pairs)), np.float32), labels=labels)
    report = score_file(tmp_path / "s.npz", tmp_path / "pairs.json", mode="reference", world="open", top_k=1,
                        threshold=expected["published_threshold"], draws=0)
    assert report["seen_candidates"] == expected["train"]
    assert report["unseen_candidates"] == expected["unseen_pairs_at_or_above_threshold"]


def test_memory_is_that_of_a_block(tmp_path):
    rng = np.random.default_rng(0)
    seen = np.arange(2000) % 40 == 0
    path = tmp_path / "large.npz"
    np.savez(path, scores=rng.random((5000, 2000), np.float32), labels=rng.integers(0, 2000, 5000))  # 40 MB
    (tmp_path / "pairs.json").write_text(json.dumps({"pairs": [[i // 50, i % 50] for i in range(2000)],
                                                     "seen": seen.tolist()}))
    scores = Scores(path, read_pairs(tmp_path / "pairs.json"))
    tracemalloc.start()
    c.rank(scores.blocks(1 << 20), scores.labels, seen, [np.flatnonzero(~seen)], 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 << 20


def refuse(folder: Path, says: str, **changes) -> None:
    scores, labels, seen = case(12, 20, 8)
    arrays = {"scores": scores, "labels": labels} | changes
    np.savez(folder / "bad.npz", **{k: v for k, v in arrays.items() if v is not None})
    _, pairs = save(folder, scores, labels, seen)
    with pytest.raises(UserError) as caught:
        score_file(folder / "bad.npz", pairs, mode="exact", world="closed", top_k=1)
    assert says in str(caught.value) and "bad.npz" in str(caught.value) and "mend:" in str(caught.value)


def test_bad_score_files_are_one_clear_error(tmp_path):
    scores, labels, seen = case(12, 20, 8)
    spoilt = scores.copy()
    spoilt[3, 3] = np.nan
    endless = scores.copy()
    endless[3, 3] = np.inf
    for says, changes in {
        "no 'scores'": {"scores": None}, "no 'labels'": {"labels": None},
        "has shape [20, 7], expected [20, 8]": {"scores": scores[:, 1:]},
        "has shape [20, 8], expected [19, 8]": {"labels": labels[1:]},
        "'scores' holds int64": {"scores": scores.astype(int)},
        "'labels' is float64": {"labels": labels.astype(float)}, "'labels' must lie in 0..7": {"labels": labels + 1},
        "holds no number in rows": {"scores": spoilt}, "'scores' holds no number": {"scores": endless},
        "stored by columns": {"scores": np.asfortranarray(scores)},
        "holds objects": {"scores": scores.astype(object)},
        "no image has a unseen pair": {"labels": np.where(seen[labels], labels, 0)},
        "no image has a seen pair": {"labels": np.where(seen[labels], 1, labels)},
        "is empty": {"scores": scores[:0], "labels": labels[:0]},
    }.items():
        refuse(tmp_path, says, **changes)
    good, pairs = save(tmp_path, scores, labels, seen)
    good.write_bytes(good.read_bytes()[:-200])
    for path in (good, tmp_path / "absent.npz", pairs):
        with pytest.raises(UserError, match="not a readable"):
            score_file(path, pairs, mode="exact", world="closed", top_k=1)


def test_a_damaged_score_file_is_found_out(tmp_path):
    scores, labels, seen = case(12, 2000, 8)
    path, pairs = save(tmp_path, scores, labels, seen)
    content = bytearray(path.read_bytes())
    content[2000] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="read to its end"):
        score_file(path, pairs, mode="exact", world="closed", top_k=1)


@pytest.mark.parametrize("says, changes", [
    ("'pairs' must be a list", {"pairs": []}), ("'pairs' must be a list", {"pairs": ["wet dog"] * 8}),
    ("holds a pair twice", {"pairs": [["a", "b"]] * 8}), ("'seen' must be 8 booleans", {"seen": [1] * 8}),
    ("'seen' must be 8 booleans", {"seen": [True]}), ("'candidates' must be 8", {"candidates": None}),
    ("'feasibility' must be 8 numbers", {"feasibility": [0.1] * 7}),
    ("'feasibility' must be 8 numbers", {"feasibility": [float("nan")] * 8}),
])
def test_bad_pair_files_are_one_clear_error(tmp_path, says, changes):
    _, pairs = save(tmp_path, *case(12, 20, 8))
    pairs.write_text(json.dumps(json.loads(pairs.read_text()) | changes))
    with pytest.raises(UserError) as caught:
        read_pairs(pairs)
    assert says in str(caught.value) and "pairs.json" in str(caught.value)


def test_options_that_do_not_fit_are_refused(tmp_path):
    files = save(tmp_path, *case(12, 20, 8))
    for says, options in {"--top-k": {"top_k": 0}, "--threshold": {"threshold": 0.1},
                          "--validation": {"validation": files[0]}}.items():
        with pytest.raises(UserError, match=says):
            score_file(*files, **{"mode": "exact", "world": "open", "top_k": 1} | options)
    both = save(tmp_path, *case(12, 20, 8), feasibility=[0.5] * 8)
    with pytest.raises(UserError, match="finite number"):
        score_file(*both, mode="exact", world="open", top_k=1, threshold=float("nan"))
    with pytest.raises(UserError, match="given already"):
        score_file(*both, mode="exact", world="open", top_k=1, validation=both[0], threshold=0.1)


def test_the_shares_of_images_average_to_the_area():
    """And their spread is the spread of the area: what two models are compared by, image by image."""
    rng = np.random.default_rng(5)
    seen = np.arange(12) < 7
    labels = rng.integers(0, 12, 300)
    scores = rng.normal(size=(300, 12))
    scores[np.arange(300), labels] += 1
    ranked, = c.rank([scores.copy()], labels, seen, [np.flatnonzero(~seen)], 1)
    steps = c.Steps(ranked, "exact")
    shares = c.shares(steps)
    assert shares.mean() == pytest.approx(steps.curve().numbers()["auc"], abs=1e-12)
    draws = []
    for _ in range(300):
        weight = np.zeros(300)
        for side in (steps.unseen, ~steps.unseen):
            at = np.flatnonzero(side)
            weight[at] = np.bincount(rng.integers(0, len(at), len(at)), minlength=len(at))
        draws.append(steps.curve(weight).numbers()["auc"])
    assert np.std(draws) == pytest.approx(shares.std() / np.sqrt(300), rel=.15)
