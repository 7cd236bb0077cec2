"""Worked examples that pin the situation scorer to the field's two conventions; `self_test` runs them all."""

from typing import Any

from components.evaluation.situation import NUMBERS, score

_OTHERS = ["waving", "rowing", "looking", "resting", "diving"]
_SPACE = {"verbs": {"riding": {"order": ["agent"]}, "feeding": {"order": ["agent", "food"]},
                    **{verb: {"order": ["agent"]} for verb in _OTHERS}}}

# name: (predicted box, true box, right under jsl, right under coformer)
_BOXES: dict[str, tuple[list[float] | None, list[float], bool, bool]] = {
    "20/36 with the ends counted, 12/25 without": ([0, 0, 4, 3], [0, 0, 5, 5], True, False),
    "exactly half with the ends counted": ([0, 0, 9, 4], [0, 0, 9, 9], False, False),
    "exactly half without the ends": ([0, 0, 10, 5], [0, 0, 10, 10], True, True),
    "a box beyond the image is cut by coformer only": ([0, 0, 60, 20], [0, 0, 20, 20], False, True),
    "no box and none true": (None, [-1, -1, -1, -1], True, True),
    "no box but one true": (None, [0, 0, 9, 9], False, False),
    "a box but none true": ([0, 0, 9, 9], [-1, -1, -1, -1], False, False),
}


def self_test() -> list[tuple[str, bool]]:
    """Every fixture by name, and whether the scorer answers as the convention's own script does."""
    results = []
    for name, (box, true, *expected) in _BOXES.items():
        for convention, right in zip(("jsl", "coformer"), expected, strict=True):
            got = _numbers(["riding"], {"agent": ("n1", box)}, {"agent": ["n1"]}, {"agent": true}, convention)
            results.append((f"{convention}: {name}", got["top1_grnd_value"] == float(right)))
    for convention, right in (("jsl", 0.0), ("coformer", 1.0)):
        got = _numbers(["riding"], {"agent": ("oov", None)}, {"agent": ["n9"]}, {"agent": [-1] * 4}, convention, {"n1"})
        results.append((f"{convention}: a noun outside the vocabulary said as oov", got["top1_value"] == right))
    for convention, right in (("jsl", 0.0), ("coformer", 1.0)):
        got = _numbers(["riding"], {"agent": ("n1", [0, 0, 9, 9], 0.0)}, {"agent": ["n1"]}, {"agent": [0, 0, 9, 9]},
                       convention)
        results.append((f"{convention}: an existence logit of exactly 0", got["top1_grnd_value"] == right))

    nouns = {"agent": ["n1", "n2", "n3"], "food": ["n4", "n5", ""]}
    boxes = {"agent": [0, 0, 9, 9], "food": [-1] * 4}
    frame = {"agent": ("n2", [0, 0, 9, 9]), "food": ("", None)}
    got = _numbers(["feeding"], frame, nouns, boxes, "jsl")
    results.append(("nouns of different annotators and an empty role count", set(got.values()) == {1.0}))
    got = _numbers(["riding", "feeding"], frame, nouns, boxes, "jsl")
    results.append(("a true verb ranked second counts from top-5 on",
                    all(got[n] == (not n.startswith("top1")) for n in NUMBERS)))
    got = _numbers([*_OTHERS, "feeding"], frame, nouns, boxes, "jsl")
    results.append(("a true verb ranked sixth counts with the verb given only",
                    all(got[n] == n.startswith("gt") for n in NUMBERS)))
    got = _numbers(["feeding"], frame | {"food": ("n9", None)}, nouns, boxes, "jsl")
    results.append(("one wrong noun of two", (got["gt_value"], got["gt_value_all"]) == (0.5, 0.0)))
    return results


def _numbers(ranked: list[str], frame: dict[str, tuple], nouns: dict[str, list[str]], boxes: dict[str, list[float]],
             convention: Any, vocabulary: set[str] | None = None) -> dict[str, float]:
    """The 14 numbers of one image, 20 x 20 pixels; a frame is {role: (noun, box[, existence logit])}."""
    verb = "feeding" if "food" in nouns else "riding"
    frames = [{r: said[min(k, len(said) - 1)] for r, said in nouns.items()} for k in range(3)]
    truth = {"verb": verb, "width": 20, "height": 20, "bb": boxes, "frames": frames}
    roles = {r: dict(zip(("noun", "box", "exists"), answer, strict=False)) for r, answer in frame.items()}
    prediction = {"image": "a.jpg", "verbs": ranked, "frames": {verb: roles}}
    return score([prediction], {"a.jpg": truth}, _SPACE, convention=convention, vocabulary=vocabulary).numbers
