"""The scorer of HICO-DET against a slow one, by hand on small cases, and from the command line in each setting."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from hicos import annotations_of, random_hico, save_hico
from hypothesis import given, settings
from hypothesis import strategies as st

from components.base.errors import UserError
from components.datasets.hico import read_hico
from components.evaluation.hico import keep_best, read_detections, score, truth
from components.evaluation.hico_report import Request, evaluate
from flows.cli import cli


def slow(predictions, records):
    """{interaction: average precision}, one detection after another, as the first evaluator goes about it."""
    def iou(a, b):
        w, h = (min(a[k + 2], b[k + 2]) - max(a[k], b[k]) + 1 for k in (0, 1))
        if w <= 0 or h <= 0:
            return 0.0
        areas = [(c[2] - c[0] + 1) * (c[3] - c[1] + 1) for c in (a, b)]
        return w * h / (sum(areas) - w * h)

    true = {}
    for record in records:
        for hoi in record["hoi_annotation"]:
            ends = [record["annotations"][hoi[k]]["bbox"] for k in ("subject_id", "object_id")]
            true.setdefault(hoi["hoi_category_id"], {}).setdefault(record["file_name"], []).append([*ends, False])
    out = {}
    for number, of_image in true.items():
        total = sum(map(len, of_image.values()))
        found = [(d["score"], p["image"], d) for p in predictions for d in p["hois"] if d["hoi_category_id"] == number]
        right = []
        for _, image, one in sorted(found, key=lambda f: -f[0]):
            best, best_pair = -1.0, None
            for pair in of_image.get(image, []):
                overlap = min(iou(one["person"], pair[0]), iou(one["object"], pair[1]))
                if overlap > best:
                    best, best_pair = overlap, pair
            right.append(best >= 0.5 and not best_pair[2])
            if right[-1]:
                best_pair[2] = True
        hits = np.cumsum(right)
        precision = [h / (i + 1) for i, h in enumerate(hits)]
        out[number] = sum(max([p for p, h in zip(precision, hits, strict=True) if h / total >= t], default=0)
                          for t in np.arange(0, 1.1, 0.1)) / 11
    return out


def found_in(folder, predictions, records):
    """Scores by way of files."""
    save_hico(folder, predictions, records)
    test = read_hico(folder / "test.json").require_sound()
    return score(read_detections(folder / "P.jsonl", test), truth(test))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), images=st.integers(1, 12))
def test_equals_slow_scorer(seed, images, tmp_path_factory):
    predictions, records = random_hico(np.random.default_rng(seed), images)
    scores = found_in(tmp_path_factory.mktemp("h"), predictions, records)
    expected = slow(predictions, records)
    assert {i + 1: scores.ap[i] for i in np.flatnonzero(scores.pairs)} == pytest.approx(expected, abs=1e-12)
    assert scores.mean()["interactions"] == len(expected)
    if expected:
        assert scores.mean()["map"] == pytest.approx(np.mean(list(expected.values())))


def test_random_draws_have_every_outcome():
    """The property would be blind if draws were all right or all wrong, or if the order of scores did not matter."""
    drawn = [random_hico(np.random.default_rng(seed), 4) for seed in range(20)]
    values = [v for one in drawn for v in slow(*one).values()]
    assert 0 in values and max(values) == pytest.approx(1) and any(0 < v < 1 for v in values)
    flat = [([p | {"hois": [{**d, "score": 0.5} for d in p["hois"]]} for p in found], true) for found, true in drawn]
    assert sum(slow(*a) != slow(*b) for a, b in zip(drawn, flat, strict=True)) > 5


BOX, FAR = [0, 0, 9, 9], [50, 50, 59, 59]


def pair(person=BOX, thing=FAR, score=0.5, hoi=1):
    return {"hoi_category_id": hoi, "person": person, "object": thing, "score": score}


@pytest.mark.parametrize(("detections", "expected"), [
    ([pair()], 1.0),
    ([], 0.0),
    ([pair(hoi=2)], 0.0),  # another interaction on the same boxes
    ([pair(thing=BOX)], 0.0),  # the object is somewhere else
    ([pair(person=[0, 0, 9, 4])], 1.0),  # 50 of 100 pixels with both ends counted: exactly half is enough
    ([pair(person=[0, 0, 9, 3])], 0.0),
    ([pair(score=0.9), pair(score=0.8)], 1.0),  # the second is a false alarm after full recall
    ([pair(thing=BOX, score=0.9), pair(score=0.8)], 0.5),
    ([pair(person=[0, 0, 9, 5], score=0.9), pair(score=0.8)], 1.0),  # the surer one has the pair, though the worse fit
])
def test_one_pair_by_hand(detections, expected, tmp_path):
    records = annotations_of([("a.jpg", [(1, BOX, FAR)])])
    scores = found_in(tmp_path, [{"image": "a.jpg", "hois": detections}], records)
    assert scores.ap[0] == pytest.approx(expected)
    assert scores.recall[0] == (expected > 0)


def test_a_detection_belongs_to_its_best_match_only(tmp_path):
    """Both fit the first pair best, so the second pair stays unfound although a detection overlaps it enough."""
    near = [0, 0, 9, 12]
    records = annotations_of([("a.jpg", [(1, BOX, FAR), (1, near, FAR)])])
    scores = found_in(tmp_path, [{"image": "a.jpg", "hois": [pair(score=0.9), pair(score=0.8)]}], records)
    assert scores.recall[0] == 0.5
    assert scores.ap[0] == pytest.approx(6 / 11)  # precision 1 at recalls 0 to 0.5


def test_only_the_best_of_an_image_are_kept(tmp_path):
    records = annotations_of([("a.jpg", [(1, BOX, FAR)]), ("b.jpg", [(1, BOX, FAR)])])
    many = [pair(thing=BOX, score=0.9 - i / 100) for i in range(3)] + [pair(score=0.1)]
    predictions = [{"image": "a.jpg", "hois": many}, {"image": "b.jpg", "hois": [pair(score=0.05)]}]
    save_hico(tmp_path, predictions, records)
    test = read_hico(tmp_path / "test.json")
    found = read_detections(tmp_path / "P.jsonl", test)
    for most, expected in ((0, 5), (4, 5), (3, 4), (1, 2)):
        kept = keep_best(found, most)
        assert len(kept.score) == expected and (kept.score >= 0.05).all()
        assert (score(kept, truth(test)).recall[0] == 1.0) == (most in (0, 4))


def run(*arguments):
    return CliRunner().invoke(cli, ["evaluate", "hico", *map(str, arguments)])


def world(folder, seed=0):
    """Training and test annotations of all 600 interactions, with predictions for the test; the training counts."""
    rng = np.random.default_rng(seed)
    kinds = {h: (h % 117 + 1, 1 + h % 80) for h in range(1, 601)}
    counts = {h: int(rng.choice([1, 2, 5, 9, 10, 30])) for h in kinds}
    train = annotations_of([(f"t{h}.jpg", [(h, BOX, FAR)] * counts[h]) for h in kinds], kinds)
    test = annotations_of([(f"e{h}.jpg", [(h, BOX, FAR)]) for h in kinds], kinds)
    right = {h: bool(rng.random() < 0.4) for h in kinds}
    predictions = [{"image": f"e{h}.jpg", "hois": [pair(hoi=h, thing=FAR if right[h] else BOX)]} for h in kinds]
    save_hico(folder, predictions, test, train)
    return kinds, counts, right


def test_settings_by_the_command_line(tmp_path):
    kinds, counts, right = world(tmp_path)
    files = ("--predictions", tmp_path / "P.jsonl", "--annotations", tmp_path / "test.json")
    done = run(*files, "--train", tmp_path / "train.json", "--setting", "rf-uc", "--json", tmp_path / "out.json")
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "out.json").read_text())
    groups, hidden = report["groups"], set(report["unseen"])
    assert len(hidden) == 120 and max(counts[h] for h in hidden) <= min(9, sorted(counts.values())[200])

    def share(of):
        return sum(right[h] for h in of) / len(of)

    rare = {h for h, n in counts.items() if n < 10}
    for name, of in (("full", kinds), ("rare", rare), ("non-rare", kinds.keys() - rare), ("unseen", hidden),
                     ("seen", kinds.keys() - hidden)):
        assert groups[name]["map"] == pytest.approx(share(of)) and groups[name]["interactions"] == len(of)
        assert f"{100 * share(of):.2f}" in done.output
    assert groups["harmonic"]["map"] == pytest.approx(
        2 * share(hidden) * share(kinds.keys() - hidden) / (share(hidden) + share(kinds.keys() - hidden)))
    for number in (0, 1):  # every verb and object stays seen
        assert {kinds[h][number] for h in kinds.keys() - hidden} == {kinds[h][number] for h in kinds}


def test_listed_settings_by_the_command_line(tmp_path):
    kinds, _, right = world(tmp_path)
    files = ("--predictions", tmp_path / "P.jsonl", "--annotations", tmp_path / "test.json")
    objects = sorted(h for h, (_, thing) in kinds.items() if thing <= 13)[:100]
    by_object = [h for h, (_, thing) in kinds.items() if thing in {kinds[h][1] for h in objects}]
    assert len(by_object) != 100  # so that the size of the setting is what is refused first
    for listed, words in ((by_object, "the setting has 100"), (objects, "is seen in other interactions")):
        (tmp_path / "lists.json").write_text(json.dumps({"uo": [h - 1 for h in listed]}))
        done = run(*files, "--setting", "uo", "--lists", tmp_path / "lists.json")
        assert isinstance(done.exception, UserError) and words in str(done.exception)
    (tmp_path / "lists.json").write_text(json.dumps({"rare_first": {"unseen": list(range(0, 120))}}))
    done = run(*files, "--setting", "rf-uc", "--lists", tmp_path / "lists.json", "--json", "-")
    assert done.exit_code == 0, done.output
    report = json.loads(done.output)
    assert report["unseen"] == list(range(1, 121))
    assert report["groups"]["unseen"]["map"] == pytest.approx(sum(right[h] for h in range(1, 121)) / 120)
    assert "rare" not in report["groups"]  # nothing says how often an interaction was trained on


@pytest.mark.parametrize(("arguments", "words"), [
    (("--setting", "uo"), "--setting: the unseen interactions of 'uo' follow no rule\n  mend: give them with --lists"),
    (("--setting", "rf-uc"), "--setting: 'rf-uc' is made from training counts\n  mend: give the training annotations"),
    (("--setting", "nf-uc", "--train", "test.json"), "--train: 599 of 600 interactions have no training pair"),
    (("--setting", "uv", "--lists", "P.jsonl"), "P.jsonl: not JSON"),
    (("--setting", "uv", "--lists", "list.json"), "list.json: uv: must be a list of numbers from 0 to 599"),
    (("--annotations", "list.json"), "list.json: must be a list of"),
    (("--annotations", "nowhere.json"), "nowhere.json: cannot be read"),
])
def test_what_cannot_be_scored(arguments, words, tmp_path, monkeypatch):
    save_hico(tmp_path, [{"image": "a.jpg", "hois": []}] * 2, annotations_of([("a.jpg", [(1, BOX, FAR)])]))
    (tmp_path / "list.json").write_text('{"uv": [600]}')
    monkeypatch.chdir(tmp_path)
    (tmp_path / "P.jsonl").write_text('{"image": "a.jpg", "hois": []}\n{"image"\n')
    if "--annotations" not in arguments:
        arguments = ("--annotations", "test.json", *arguments)
    done = run("--predictions", "P.jsonl", *arguments)
    assert isinstance(done.exception, UserError), done.output
    assert words in str(done.exception)


FAULTS = {
    "line 1: a.jpg: hois[1]: 'score' is missing": lambda p: p[0]["hois"][1].pop("score"),
    "line 1: a.jpg: hois[0]: person: malformed box [1, 2]": lambda p: p[0]["hois"][0].update(person=[1, 2]),
    "line 1: a.jpg: hois: person: box [9.0, 2.0, 3.0, 4.0] has its corners":
        lambda p: p[0]["hois"][0].update(person=[9, 2, 3, 4]),
    "line 1: a.jpg: hois[0]: hoi_category_id: must be a number from 1 to 600, got '1'":
        lambda p: p[0]["hois"][0].update(hoi_category_id="1"),
    "line 1: a.jpg: hois: hoi_category_id: must be a number from 1 to 600, got 601":
        lambda p: p[0]["hois"][0].update(hoi_category_id=601),
    "line 1: a.jpg: hois[0]: score: must be a finite number, got 'high'":
        lambda p: p[0]["hois"][0].update(score="high"),
    "line 1: a.jpg: hois[1]: a detection must be an object": lambda p: p[0]["hois"].__setitem__(1, 3),
    "line 1: a.jpg: 'hois' must be a list": lambda p: p[0].update(hois={}),
    "line 1: a prediction must be an object": lambda p: p[0].pop("image"),
    "line 1: c.jpg: has no annotation": lambda p: p[0].update(image="c.jpg"),
    "line 3: a.jpg: predicted more than once, first in line 1": lambda p: p.append(p[0]),
    "P.jsonl: b.jpg: has no prediction (1 such images)": lambda p: p.pop() and None,
}


@pytest.mark.parametrize("message", FAULTS)
def test_a_fault_names_file_line_image_and_field(message, tmp_path):
    predictions = [{"image": name, "hois": [pair(), pair()]} for name in ("a.jpg", "b.jpg")]
    FAULTS[message](predictions)
    save_hico(tmp_path, predictions, annotations_of([("a.jpg", [(1, BOX, FAR)]), ("b.jpg", [(1, BOX, FAR)])]))
    with pytest.raises(UserError) as error:
        evaluate(Request(tmp_path / "P.jsonl", tmp_path / "test.json"))
    assert message in str(error.value)
