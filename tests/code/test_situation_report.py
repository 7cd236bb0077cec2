"""`foveate evaluate situation`: every setting equals the slow scorer; faults name their line."""

import json
import tracemalloc

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from random_situations import SPACE, VOCABULARY, draw, slow

from components.base.errors import UserError
from components.evaluation.situation import NUMBERS, harmonic
from components.evaluation.situation_report import Request, collect, evaluate, table
from flows.cli import cli

NAMED = SPACE | {"nouns": {n: {"gloss": [n]} for n in VOCABULARY}}
GROUPS = {"seen": ["riding", "resting"], "rare": ["resting"], "unseen": ["feeding", "looking", "waving", "rowing"]}


def save(folder, predictions, annotations, space=NAMED, groups=None):
    """The files of a request in a folder, and the request."""
    (folder / "P.jsonl").write_text("".join(json.dumps(p) + "\n" for p in predictions))
    (folder / "dev.json").write_text(json.dumps(annotations))
    (folder / "space.json").write_text(json.dumps(space))
    if groups is not None:
        (folder / "groups.json").write_text(json.dumps(groups))
    return {"predictions": folder / "P.jsonl", "annotations": folder / "dev.json", "space": folder / "space.json",
            **({"groups": folder / "groups.json"} if groups is not None else {})}


def run(*arguments):
    return CliRunner().invoke(cli, ["evaluate", "situation", *map(str, arguments)])


def options(files):
    return [x for key, path in files.items() for x in (f"--{key}", str(path))]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 60))
def test_every_setting_and_group_equals_the_slow_scorer(seed, count, tmp_path_factory):
    predictions, annotations = draw(np.random.default_rng(seed), count)
    files = save(tmp_path_factory.mktemp("s"), predictions, annotations, groups=GROUPS)
    report = evaluate(Request(**files))
    assert [(s["convention"], s["average"]) for s in report["settings"]] == [
        (c, a) for c in ("jsl", "coformer") for a in ("verb", "image", "script")]
    members = GROUPS | {"all": list(SPACE["verbs"])}
    for setting in report["settings"]:
        for group, verbs in members.items():
            truth = {n: a for n, a in annotations.items() if a["verb"] in verbs}
            found = setting["groups"][group]
            if not truth:
                assert found is None
                continue
            expected = slow([p for p in predictions if p["image"] in truth], truth, setting["convention"],
                            setting["average"], VOCABULARY)
            assert {n: found[n] for n in NUMBERS} == pytest.approx(expected, abs=1e-9)
            eight = [expected[n] for n in NUMBERS if "grnd" not in n]
            assert found["mean"] == pytest.approx(sum(eight) / 8)
        sides = [setting["groups"][g] for g in ("seen", "unseen")]
        assert ("harmonic" in setting) == (None not in sides)
        for number in NUMBERS if None not in sides else ():
            assert setting["harmonic"][number] == pytest.approx(harmonic(*(s[number] for s in sides)))


def test_one_setting_by_the_command_line(tmp_path):
    predictions, annotations = draw(np.random.default_rng(1), 50)
    files = save(tmp_path, predictions, annotations, groups=GROUPS)
    out = tmp_path / "out.json"
    done = run(*options(files), "--convention", "jsl", "--average", "image", "--bootstrap", 50, "--json", out)
    assert done.exit_code == 0, done.output
    report = json.loads(out.read_text())
    assert [(s["convention"], s["average"]) for s in report["settings"]] == [("jsl", "image")]
    expected = slow(predictions, annotations, "jsl", "image", VOCABULARY)
    everything = report["settings"][0]["groups"]["all"]
    assert {n: everything[n] for n in NUMBERS} == pytest.approx(expected, abs=1e-9)
    assert f"{100 * expected['gt_grnd_value_all']:.2f}" in done.output and "harmonic" in done.output
    assert report["images"] == 50 and report["groups"]["all"]["images"] == 50
    assert sum(report["groups"][g]["images"] for g in ("seen", "unseen")) == 50
    assert report["outside_groups"]["in_several_groups"] == report["groups"]["rare"]["images"]


def test_json_to_standard_output_is_json_alone(tmp_path):
    done = run(*options(save(tmp_path, *draw(np.random.default_rng(2), 8))), "--json", "-")
    assert json.loads(done.output)["headline"] == {"convention": "coformer", "average": "verb"}


def test_the_self_test_runs_from_the_command_line():
    done = run("--self-test")
    assert done.exit_code == 0 and "WRONG" not in done.output
    assert "coformer: a noun outside the vocabulary said as oov" in done.output


def test_the_stage_still_runs_without_a_command_below_it(tmp_path):
    done = CliRunner().invoke(cli, ["evaluate", "--data", str(tmp_path / "nowhere")])
    assert isinstance(done.exception, UserError) and "no such folder" in str(done.exception)
    done = CliRunner().invoke(cli, ["evaluate", "situatoin"])
    assert "no command 'situatoin'. Did you mean 'situation'?" in done.output


def test_a_group_may_be_told_by_verb_by_group_or_by_image(tmp_path):
    predictions, annotations = draw(np.random.default_rng(3), 40)
    several = {"by group": {"seen": ["riding"], "rest": ["feeding"]},
               "by verb": {"riding": "seen", "feeding": "rest"},
               "by image": {"seen": [n for n, a in annotations.items() if a["verb"] == "riding"], "rest": ["feeding"]}}
    found = [evaluate(Request(**save(tmp_path, predictions, annotations, groups=g)))["settings"]
             for g in several.values()]
    assert found[0] == found[1] == found[2]


def test_what_training_knew_of_unseen_verbs_is_repeated(tmp_path):
    stated = {"names": "known", "images": "unknown"}
    files = save(tmp_path, *draw(np.random.default_rng(4), 9), groups={**GROUPS, "protocol": stated})
    report = evaluate(Request(**files))
    assert report["protocol"]["unseen_in_training"] == {**stated, "boxes": "not stated"}
    assert set(report["groups"]) == {"all", *GROUPS}


def test_averages_agree_where_verbs_have_equal_counts_and_differ_elsewhere(tmp_path):
    for balanced in (True, False):
        files = save(tmp_path, *draw(np.random.default_rng(5), 120, balanced=balanced))
        by = {(s["convention"], s["average"]): s["groups"]["all"] for s in evaluate(Request(**files))["settings"]}
        for convention in ("jsl", "coformer"):
            verb, image = ([by[convention, a][n] for n in NUMBERS] for a in ("verb", "image"))
            assert (verb == pytest.approx(image, abs=1e-9)) == balanced


def test_intervals_hold_their_means_and_the_seed_makes_them(tmp_path):
    files = save(tmp_path, *draw(np.random.default_rng(6), 150), groups=GROUPS)
    first, again, other = (evaluate(Request(**files, bootstrap=200, seed=s)) for s in (0, 0, 1))
    assert first == again != other
    for setting in first["settings"]:
        for numbers in [*setting["groups"].values(), setting["harmonic"]]:
            for number, (low, high) in numbers["intervals"].items():
                assert low <= numbers[number] <= high
                assert low < high or numbers[number] in (0, 1) or number.endswith("all"), number
    wide, narrow = (first["settings"][0]["groups"][g]["intervals"]["gt_value"] for g in ("rare", "all"))
    assert wide[1] - wide[0] > narrow[1] - narrow[0]


def test_frames_of_imsitu_have_no_boxes_to_score(tmp_path):
    predictions, annotations = draw(np.random.default_rng(7), 30)
    bare = {n: {"verb": a["verb"], "frames": a["frames"]} for n, a in annotations.items()}
    report = evaluate(Request(**save(tmp_path, predictions, bare), bootstrap=20))
    expected = slow(predictions, annotations, "jsl", "verb", VOCABULARY)
    found = report["settings"][0]["groups"]["all"]
    for number in NUMBERS:
        assert found[number] == (None if "grnd" in number else pytest.approx(expected[number]))
    assert "no boxes" in table(report) and not any("grnd" in n for n in found["intervals"])
    mixed = bare | {next(iter(annotations)): annotations[next(iter(annotations))]}
    with pytest.raises(UserError, match=r"dev\.json: "):
        evaluate(Request(**save(tmp_path, predictions, mixed)))


def test_the_vocabulary_may_come_from_a_file(tmp_path):
    predictions, annotations = draw(np.random.default_rng(8), 60)
    (tmp_path / "classes.csv").write_text("blank,0\nn1,1\nn2,2\noov,3\nPad,4\n")
    files = save(tmp_path, predictions, annotations) | {"vocabulary": tmp_path / "classes.csv"}
    report = evaluate(Request(**files))
    for setting in report["settings"]:
        expected = slow(predictions, annotations, setting["convention"], setting["average"], {"n1", "n2"})
        assert {n: setting["groups"]["all"][n] for n in NUMBERS} == pytest.approx(expected, abs=1e-9)
    said = [r["noun"] for p in predictions for r in p["frames"][annotations[p["image"]]["verb"]].values()]
    assert report["nouns"]["predicted_outside"] == sum(n not in ("", "n1", "n2") for n in said)
    assert report["nouns"]["count"] == 2 and "outside the vocabulary" in table(report)


def changed(change):
    predictions, annotations = draw(np.random.default_rng(9), 3, balanced=True)
    lines = sorted(predictions, key=lambda p: p["image"])  # feeding_2, resting_1, riding_0
    text = change(lines, annotations)
    return text if isinstance(text, str) else "".join(json.dumps(p) + "\n" for p in lines), annotations


def frame(lines, role):
    return lines[0]["frames"]["feeding"][role]


FAULTS = {
    "line 2: not JSON: ": lambda p, a: json.dumps(p[0]) + "\n{\"image\": \n",
    "line 1: not JSON text in UTF-8": lambda p, a: "\udcff",
    "line 1: a prediction must be an object": lambda p, a: "[]\n",
    "line 1: feeding_2.jpg: 'verbs' must be a list": lambda p, a: p[0].update(verbs="feeding"),
    "line 1: feeding_2.jpg: 3 verbs are ranked": lambda p, a: p[0].update(verbs=p[0]["verbs"][:3]),
    "line 1: feeding_2.jpg: verbs: 'feedin' is not in the lexicon\n  mend: did you mean 'feeding'?":
        lambda p, a: p[0]["verbs"].insert(0, "feedin"),
    "line 1: feeding_2.jpg: verbs: 'riding' is ranked twice":
        lambda p, a: p[0].update(verbs=["riding", "riding", "resting", "looking", "waving"]),
    "line 4: feeding_2.jpg: predicted more than once, first in line 1": lambda p, a: p.append(p[0]),
    "line 1: feeding_3.jpg: has no annotation": lambda p, a: p[0].update(image="feeding_3.jpg"),
    "P.jsonl: riding_0.jpg: has no prediction (1 such images)": lambda p, a: p.pop(),
    "line 1: feeding_2.jpg: no frame for the true verb 'feeding'": lambda p, a: p[0]["frames"].clear(),
    "line 1: feeding_2.jpg: role 'tool' of verb 'feeding' is missing":
        lambda p, a: p[0]["frames"]["feeding"].pop("tool"),
    "line 1: feeding_2.jpg: verb 'feeding' has no role 'tol'\n  mend: did you mean 'tool'?":
        lambda p, a: p[0]["frames"]["feeding"].update(tol=p[0]["frames"]["feeding"].pop("tool")),
    "line 1: feeding_2.jpg: frames.feeding.food.noun must be text": lambda p, a: frame(p, "food").update(noun=None),
    "line 1: feeding_2.jpg: frames.feeding.food.noun is 'blank'": lambda p, a: frame(p, "food").update(noun="blank"),
    "line 1: feeding_2.jpg: box [1, 2, 3] of role 'food'": lambda p, a: frame(p, "food").update(box=[1, 2, 3]),
    "line 1: feeding_2.jpg: box '1234' of role 'food'": lambda p, a: frame(p, "food").update(box="1234"),
    "line 1: feeding_2.jpg: box [9.0, 2.0, 3.0, 4.0] of role": lambda p, a: frame(p, "food").update(box=[9, 2, 3, 4]),
    "line 1: feeding_2.jpg: frames.feeding.food.exists must be a logit":
        lambda p, a: frame(p, "food").update(box=[1, 2, 3, 4], exists="yes"),
    "dev.json: feeding_2.jpg: role or field 'food' of verb 'feeding' is missing":
        lambda p, a: a["feeding_2.jpg"]["frames"][0].pop("food"),
    "dev.json: feeding_2.jpg: box [9.0, 2.0, 3.0, 4.0] of role 'food'":
        lambda p, a: a["feeding_2.jpg"]["bb"].update(food=[9, 2, 3, 4]),
}


@pytest.mark.parametrize("message", FAULTS)
def test_a_fault_is_one_error_with_file_line_field_and_nothing_is_written(message, tmp_path):
    text, annotations = changed(FAULTS[message])
    files = save(tmp_path, [], annotations)
    files["predictions"].write_text(text, errors="surrogateescape")
    done = run(*options(files), "--json", tmp_path / "out.json")
    assert isinstance(done.exception, UserError), done.output
    assert message in str(done.exception)
    assert str(tmp_path) in str(done.exception) and not (tmp_path / "out.json").exists()


@pytest.mark.parametrize(("groups", "message"), [
    ([], "groups.json: must be an object of groups"),
    ({}, "groups.json: there is no group"),
    ({"seen": 3}, "groups.json: seen: must be a list"),
    ({"all": ["riding"]}, "groups.json: all: the name is taken"),
    ({"seen": ["ridin"]}, "groups.json: seen: 'ridin' is neither a verb of the space nor an annotated image\n"
                          "  mend: did you mean 'riding'?"),
    ({"seen": ["riding"], "protocol": "all known"}, "groups.json: protocol: must be an object of words"),
])
def test_groups_that_do_not_fit(groups, message, tmp_path):
    files = save(tmp_path, *draw(np.random.default_rng(10), 6), groups=groups)
    with pytest.raises(UserError) as error:
        evaluate(Request(**files))
    assert message in str(error.value)


@pytest.mark.parametrize("space", [[], {"nouns": {}}, {"verbs": {"riding": {}}}, {"verbs": {"riding": {"order": []}}}])
def test_a_space_that_is_none(space, tmp_path):
    with pytest.raises(UserError, match=r"space\.json: must be an object with \"verbs\""):
        evaluate(Request(**save(tmp_path, *draw(np.random.default_rng(11), 2), space=space)))


def test_files_are_needed_and_named():
    done = run("--predictions", "P.jsonl", "--annotations", "a.json")
    assert "--space: is needed" in str(done.exception)
    done = run("--predictions", "P.jsonl", "--annotations", "a.json", "--space", "nowhere.json")
    assert "nowhere.json: cannot be read" in str(done.exception)


def test_memory_does_not_grow_with_what_predictions_say(tmp_path):
    """A frame for every verb of long rankings makes the file many times larger, the peak of memory hardly."""
    predictions, annotations = draw(np.random.default_rng(12), 400)
    peaks = []
    for copies in (0, 60):
        for p in predictions:
            p["frames"] |= {f"verb{i}": dict.fromkeys(("agent", "tool"), {"noun": "n1", "box": [1, 2, 3, 4]})
                            for i in range(copies)}
        files = save(tmp_path, predictions, annotations)
        tracemalloc.start()
        collect(files["predictions"], files["annotations"], NAMED)
        peaks.append((files["predictions"].stat().st_size, tracemalloc.get_traced_memory()[1]))
        tracemalloc.stop()
    (small, before), (large, after) = peaks
    assert large > 10 * small
    assert after - before < 0.02 * (large - small)
