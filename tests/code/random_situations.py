"""Random situations with all ways to be right and wrong, and a slow scorer written from the definitions alone."""

import numpy as np

from components.evaluation.situation import NUMBERS

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
