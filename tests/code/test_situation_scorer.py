"""The situation scorer against the field's fixtures and against a slow scorer written from the definitions alone."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.base.errors import UserError
from components.evaluation.situation import NUMBERS, harmonic, role_accuracy, score, slices
from components.evaluation.situation_fixtures import self_test

SPACE = {"verbs": {"riding": {"order": ["agent", "vehicle", "place"]}, "resting": {"order": ["agent"]},
                   "feeding": {"order": ["agent", "food", "tool", "place"]}, "looking": {"order": ["agent", "item"]},
                   "waving": {"order": ["agent", "tool"]}, "rowing": {"order": ["agent", "tool", "place"]}}}
NOUNS = ["", "n1", "n2", "n3", "n4"]
VOCABULARY = {"n1", "n2", "n3"}


def draw(rng, count, *, balanced=False, exists=True):
    """Random predictions and annotations with all ways to be right and wrong; boxes on a grid, so that ties occur."""
    verbs = list(SPACE["verbs"])
    predictions, annotations = [], {}

    def box(limit):
        x, y = rng.integers(0, limit - 1, 2)
        return [int(x), int(y), int(rng.integers(x + 1, limit + 1)), int(rng.integers(y + 1, limit + 1))]

    for i in range(count):
        verb = verbs[i % len(verbs) if balanced else int(rng.choice(len(verbs), p=[.4, .2, .2, .1, .05, .05]))]
        order = SPACE["verbs"][verb]["order"]
        nouns = {r: [str(n) for n in rng.choice(NOUNS, 3)] for r in order}
        truth = {"verb": verb, "width": 20, "height": 16, "frames": [{r: nouns[r][k] for r in order} for k in range(3)],
                 "bb": {r: [-1] * 4 if rng.random() < 0.3 else box(12) for r in order}}
        frame = {}
        for r in order:
            near = truth["bb"][r]
            kind = rng.random()
            if kind < 0.25:
                guess = None
            elif kind < 0.7 and near[0] >= 0:
                guess = (np.array(near) + rng.integers(-1, 2, 4) * [1, 1, 0, 0]).tolist()
                guess[2:] = max(guess[0], guess[2]), max(guess[1], guess[3] + int(rng.integers(0, 12)))
            else:
                guess = box(30)
            said = str(rng.choice(nouns[r] if rng.random() < 0.7 else [*NOUNS, "oov"]))
            frame[r] = {"noun": said, "box": guess}
            if exists and guess is not None:
                frame[r]["exists"] = float(rng.choice([-1.0, 0.0, 0.0, 1.0, 2.0]))
        ranked = [str(v) for v in rng.permutation(verbs)]
        if rng.random() < 0.5:
            ranked.remove(verb)
            ranked.insert(0, verb)
        name = f"{verb}_{i}.jpg"
        annotations[name] = truth
        predictions.append({"image": name, "verbs": ranked, "frames": {verb: frame}})
    order = rng.permutation(count)
    return [predictions[i] for i in order], annotations


def slow(predictions, annotations, convention, average, vocabulary):
    """The 14 numbers one image and one role at a time, in plain Python."""
    def known(noun, truth):
        if vocabulary is None or noun == "" or noun in vocabulary:
            return noun
        return noun if truth and convention == "jsl" else "oov"

    def match(a, b, size):
        if convention == "jsl":
            a = [max(v, 0) for v in a]
            w = max(0, min(a[2], b[2]) - max(a[0], b[0]) + 1)
            h = max(0, min(a[3], b[3]) - max(a[1], b[1]) + 1)
            areas = [(c[2] - c[0] + 1) * (c[3] - c[1] + 1) for c in (a, b)]
            return w * h / (sum(areas) - w * h) > 0.5
        a = [min(max(v, 0), limit) for v, limit in zip(a, [*size, *size], strict=True)]
        w, h = max(min(a[2], b[2]) - max(a[0], b[0]), 0), max(min(a[3], b[3]) - max(a[1], b[1]), 0)
        areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
        return w * h / max(sum(areas) - w * h, 1e-4) >= 0.5

    rows = []
    for p in predictions:
        truth = annotations[p["image"]]
        nouns, places = [], []
        for role in SPACE["verbs"][truth["verb"]]["order"]:
            guess, place = p["frames"][truth["verb"]][role], truth["bb"][role]
            right = known(guess["noun"], False) in [known(f[role], True) for f in truth["frames"]]
            logit = guess.get("exists", 1.0) if guess["box"] is not None else -1.0
            said = logit > 0 or (logit == 0 and convention == "coformer")
            size = truth["width"], truth["height"]
            there = said and match(guess["box"], place, size) if place[0] != -1 else not said
            nouns.append(right)
            places.append(right and there)
        given = [sum(nouns) / len(nouns), all(nouns), sum(places) / len(places), all(places)]
        row = []
        for k in (1, 5):
            hit = truth["verb"] in p["verbs"][:k]
            row += [hit, *(hit * g for g in given)]
        rows.append((truth["verb"], [*row, *given]))
    out = {}
    for i, number in enumerate(NUMBERS):
        values = [(verb, float(row[i])) for verb, row in rows]
        per_verb = average == "verb" or (average == "script" and convention == "jsl" and not number.endswith("_verb"))
        groups = [[v for verb, v in values if verb == g] for g in {verb for verb, _ in values}]
        out[number] = (sum(sum(g) / len(g) for g in groups) / len(groups) if per_verb
                       else sum(v for _, v in values) / len(values))
    return out


@pytest.mark.parametrize(("name", "right"), self_test())
def test_fixture(name, right):
    assert right, name


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 40), convention=st.sampled_from(["jsl", "coformer"]),
       average=st.sampled_from(["verb", "image", "script"]), vocabulary=st.sampled_from([None, VOCABULARY]))
def test_equals_slow_scorer(seed, count, convention, average, vocabulary):
    predictions, annotations = draw(np.random.default_rng(seed), count)
    scores = score(predictions, annotations, SPACE, convention=convention, average=average, vocabulary=vocabulary)
    expected = slow(predictions, annotations, convention, average, vocabulary)
    assert scores.numbers == pytest.approx(expected, abs=1e-9)
    assert list(scores.numbers) == list(NUMBERS)
    assert scores.averaged("image") == pytest.approx(slow(predictions, annotations, convention, "image", vocabulary))


def test_random_draws_tell_conventions_and_averages_apart():
    """The property test would be blind if its draws never met a case in which the conventions differ."""
    predictions, annotations = draw(np.random.default_rng(0), 400)
    jsl, coformer = (score(predictions, annotations, SPACE, convention=c, vocabulary=VOCABULARY)
                     for c in ("jsl", "coformer"))
    assert {n for n in NUMBERS if jsl.numbers[n] != coformer.numbers[n]} == {n for n in NUMBERS if "value" in n}
    assert all(jsl.numbers[n] != jsl.averaged("image")[n] for n in NUMBERS if n != "top5_verb")
    assert jsl.averaged("script")["top1_verb"] == jsl.averaged("image")["top1_verb"]
    assert jsl.averaged("script")["top1_value"] == jsl.averaged("verb")["top1_value"]


@pytest.mark.parametrize("convention", ["jsl", "coformer"])
def test_averages_agree_where_verbs_have_equal_counts(convention):
    predictions, annotations = draw(np.random.default_rng(1), 120, balanced=True)
    scores = score(predictions, annotations, SPACE, convention=convention)
    assert scores.averaged("verb") == pytest.approx(scores.averaged("image"), abs=1e-9)


def test_one_frame_scores_as_three_equal_ones():
    predictions, annotations = draw(np.random.default_rng(2), 30)
    three = {n: a | {"frames": a["frames"][:1] * 3} for n, a in annotations.items()}
    one = {n: a | {"frames": a["frames"][:1]} for n, a in annotations.items()}
    assert score(predictions, three, SPACE).numbers == score(predictions, one, SPACE).numbers


def test_slices_select_images_and_roles_of_their_verbs():
    predictions, annotations = draw(np.random.default_rng(3), 80)
    whole = score(predictions, annotations, SPACE)
    groups = {"seen": {"riding", "resting"}, "unseen": {"feeding", "looking", "waving", "rowing"}, "none": {"flying"}}
    parts = slices(whole, groups)
    assert list(parts) == ["seen", "unseen"]
    for name, part in parts.items():
        kept = {n: a for n, a in annotations.items() if a["verb"] in groups[name]}
        alone = score([p for p in predictions if p["image"] in kept], kept, SPACE)
        assert part.images == alone.images
        assert part.numbers == alone.numbers
        assert role_accuracy(part).keys() == role_accuracy(alone).keys()
        np.testing.assert_equal(role_accuracy(part), role_accuracy(alone))


def test_role_accuracy_counts_nouns_and_boxes_apart():
    truth = {"verb": "riding", "width": 40, "height": 40,
             "frames": [{"agent": "n1", "vehicle": "n2", "place": "n3"}] * 3,
             "bb": {"agent": [0, 0, 10, 10], "vehicle": [0, 0, 10, 10], "place": [-1] * 4}}
    frame = {"agent": {"noun": "n9", "box": [0, 0, 10, 6]}, "vehicle": {"noun": "n2", "box": [0, 0, 10, 5]},
             "place": {"noun": "n3", "box": [0, 0, 5, 5]}}
    prediction = {"image": "a", "verbs": ["riding"], "frames": {"riding": frame}}
    roles = role_accuracy(score([prediction], {"a": truth}, SPACE))
    assert roles["agent"] == {"count": 1, "noun": 0.0, "grounded": 1, "box": 1.0}
    assert roles["vehicle"] == {"count": 1, "noun": 1.0, "grounded": 1, "box": 0.0}
    assert (roles["place"]["noun"], roles["place"]["grounded"]) == (1.0, 0)
    assert np.isnan(roles["place"]["box"])


def test_mean_is_of_the_eight_numbers_without_boxes():
    scores = score(*draw(np.random.default_rng(4), 50), SPACE)
    n = scores.numbers
    eight = [n[k] for k in ("top1_verb", "top1_value", "top1_value_all", "top5_verb", "top5_value", "top5_value_all",
                            "gt_value", "gt_value_all")]
    assert scores.mean == pytest.approx(sum(eight) / 8)


def test_by_verb_averages_to_the_headline():
    scores = score(*draw(np.random.default_rng(8), 60), SPACE)
    each = scores.by_verb("top1_value")
    assert each.keys() == set(scores.verbs)
    assert np.mean(list(each.values())) == pytest.approx(scores.numbers["top1_value"])
    assert each["riding"] == pytest.approx(scores.values("top1_value")[scores.verbs == "riding"].mean())


def test_harmonic_mean():
    assert harmonic(0.5, 0.5) == 0.5
    assert harmonic(0.9, 0.0) == 0.0 == harmonic(0.0, 0.0)
    assert harmonic(0.6, 0.3) == pytest.approx(0.4)


def broken(change):
    """One good prediction and its truth, changed by `change(predictions, annotations)`."""
    predictions, annotations = draw(np.random.default_rng(5), 3, balanced=True)
    predictions = sorted(predictions, key=lambda p: p["image"])  # feeding_2, resting_1, riding_0
    change(predictions, annotations)
    return predictions, annotations


BROKEN = {
    "feeding_2.jpg: predicted more than once": lambda p, a: p.append(p[0]),
    "riding_0.jpg: has no prediction": lambda p, a: p.pop(),
    "feeding_2.jpg: has no annotation": lambda p, a: a.pop("feeding_2.jpg"),
    "no image to score": lambda p, a: (p.clear(), a.clear()),
    "feeding_2.jpg: prediction without 'verbs'": lambda p, a: p[0].pop("verbs"),
    "feeding_2.jpg: no frame for the true verb": lambda p, a: p[0]["frames"].clear(),
    "'tool' of verb 'feeding' is missing": lambda p, a: p[0]["frames"]["feeding"].pop("tool"),
    "'food' of verb 'feeding' is missing": lambda p, a: a["feeding_2.jpg"]["frames"][1].pop("food"),
    "field 'noun' of role 'tool' of verb": lambda p, a: p[0]["frames"]["feeding"]["tool"].pop("noun"),
    "verb 'flying' is not in the lexicon": lambda p, a: a["feeding_2.jpg"].update(verb="flying"),
    "4 annotator frames": lambda p, a: a["feeding_2.jpg"]["frames"].append({}),
    "role 'agent' is not [x1": lambda p, a: p[0]["frames"]["feeding"]["agent"].update(box=[5, 5, 1, 9]),
    "role 'food' is not [x1": lambda p, a: a["feeding_2.jpg"]["bb"].update(food=[1, 2, 3]),
    "role 'place' is not [x1": lambda p, a: p[0]["frames"]["feeding"]["place"].update(box=[0, 0, float("inf"), 1]),
    "existence logit": lambda p, a: p[0]["frames"]["feeding"]["place"].update(box=[0, 0, 1, 1], exists=float("nan")),
}


@pytest.mark.parametrize("message", BROKEN)
def test_mismatch_is_named(message):
    with pytest.raises(UserError) as error:
        score(*broken(BROKEN[message]), SPACE)
    assert message in str(error.value)


@pytest.mark.parametrize("options", [{"convention": "coco"}, {"average": "role"}])
def test_unknown_option_is_named(options):
    with pytest.raises(UserError, match=str(next(iter(options.values())))):
        score(*draw(np.random.default_rng(6), 2), SPACE, **options)


def test_full_test_set_of_swig_size_is_fast():
    """25,200 images under both conventions and all averages; the bar is 3 s on 2 cores, here twice that."""
    predictions, annotations = draw(np.random.default_rng(7), 1260)
    many = [p | {"image": f"{k}/{p['image']}"} for k in range(20) for p in predictions]
    truth = {f"{k}/{n}": a for k in range(20) for n, a in annotations.items()}
    begin = time.process_time()
    scores = [score(many, truth, SPACE, convention=c, vocabulary=VOCABULARY) for c in ("jsl", "coformer")]
    numbers = [s.averaged(a) for s in scores for a in ("verb", "image", "script")]
    spent = time.process_time() - begin
    assert len(many) == 25_200
    assert numbers[0] == pytest.approx(score(predictions, annotations, SPACE, convention="jsl",
                                             vocabulary=VOCABULARY).numbers)
    assert spent < 6, f"{spent:.2f} s"
