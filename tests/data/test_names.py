"""Names that mean the same become one, others do not, in any order of the images, and all of it can be taken back."""

import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.base.errors import UserError
from components.datasets.names import evidence, files
from components.datasets.names.consolidate import RISK, Consolidation, consolidate
from components.datasets.names.spelling import key, normalise, one_slip, words
from components.evaluation.clustering import label_quality
from components.pipeline.names import consolidate_file

REAL = Path(__file__).parents[2] / "../shared/data/finegrained"
SETS = ("birds_qwen", "birds_gemini", "dogs_qwen")
recorded = pytest.mark.skipif(not REAL.is_dir(), reason="../shared/data/finegrained is missing")


def rows(name: str) -> list[dict]:
    return [json.loads(line) for line in (REAL / f"{name}.jsonl").read_text().splitlines()]


def made_of(names: list[str], said: list[str] | None = None, risk: float = RISK) -> Consolidation:
    """The consolidation of one name an image, with what the teacher wrote."""
    return consolidate([evidence.Answer(n, (), r) for n, r in zip(names, said or [""] * len(names), strict=True)],
                       risk=risk)


def merged(*names: str, risk: float = 1.0) -> list[set[str]]:
    """The groups of more than one name that a vocabulary falls into, each name used once."""
    made = made_of(names, risk=risk)
    return [{n for n, o in zip(names, made.names, strict=True) if o == one} for one in sorted(set(made.names))
            if made.names.count(one) > 1]


@pytest.mark.parametrize("one, other", [
    ("Steller's Jay", "steller jay"), ("Steller’S Jay", "Stellers' Jay"), ("Franklin S Gull", "Franklin's Gull"),
    ("Blue-footed Booby", "Blue Footed Booby"), ("Rock  Wren", "Rock-wren"), ("Bull Mastiff", "Bullmastiff"),
    ("Oxeye Daisies", "Oxeye Daisy"), ("Löwchen", "Lowchen"), ("Salt & Pepper Moth", "Salt and Pepper Moth"),
    ("Whip Poor Wil", "Whip-poor-will"), ("The Duke of Burgundy", "Duke Burgundy"), ("Madame Rosse", "Madame Rose"),
])
def test_spellings_of_one_name_have_one_key(one, other):
    assert key(words(one)) == key(words(other))
    assert len(set(made_of([one, other, other], risk=0).names)) == 1  # merged even where no risk is taken


@pytest.mark.parametrize("one, other", [
    ("Harris Hawk", "Harri Hawk"), ("BMW X5", "BMW X6"), ("Boeing 737", "Boeing 747"), ("犬", "猫"), ("Iris", "Iri")])
def test_other_names_keep_other_keys(one, other):
    assert key(words(one)) != key(words(other))


def test_slips_of_the_pen():
    for one, other in (("dickcissel", "dicksissel"), ("gray", "grey"), ("pharaoh", "pharoah"), ("hound", "hounds"),
                       ("terrier", "terier"), ("setter", "seter")):
        assert one_slip(one, other) and one_slip(other, one)
    for one, other in (("parrot", "carrot"), ("bird", "bard2"), ("x5", "x6"), ("cat", "cut"), ("bank", "barn"),
                       ("pied", "pine"), ("sooty", "snowy"), ("same", "same"), ("lark", "larks")):
        assert not one_slip(one, other) and not one_slip(other, one)


@pytest.mark.parametrize("names, groups", [
    (("Golden Plover", "Goldan Plover"), [{"Golden Plover", "Goldan Plover"}]),
    (("Marsh Tit", "Willow Tit"), []),
    (("Beaver", "Beaker"), []),  # single short words have true neighbours
    (("Smooth Collie", "Collie Smooth"), [{"Smooth Collie", "Collie Smooth"}]),
    (("Spotted Crake", "Juvenile Spotted Crake"), [{"Spotted Crake", "Juvenile Spotted Crake"}]),
    (("Crake", "Spotted Crake"), []),  # one word may be the kind of all
    (("Leonberger", "Leonberger Dog"), [{"Leonberger", "Leonberger Dog"}]),
    (("Ram 1500", "Ram 1500 Crew", "Ram 1500 Quad"), []),  # what comes after tells them apart
    (("Fox Terrier", "Toy Fox Terrier", "Wire Fox Terrier", "Smooth Fox Terrier"), []),
    (("Audi A6 2011", "2012 Audi A6"), [{"Audi A6 2011", "2012 Audi A6"}]),
    (("Audi A6 1996", "2012 Audi A6"), []),
    (("Audi A6", "Audi A6 2010-2012"), [{"Audi A6", "Audi A6 2010-2012"}]),
    (("Audi A6", "Audi A6 2012", "Audi A6 1996"), []),  # of which year is not known
    (("Sea Holly (Eryngium maritimum)", "Sea Holly"), [{"Sea Holly (Eryngium maritimum)", "Sea Holly"}]),
    (("Sea Holly (Eryngium maritimum)", "Eryngium Maritimum"),
     [{"Sea Holly (Eryngium maritimum)", "Eryngium Maritimum"}]),
])
def test_names_that_mean_the_same_by_their_words(names, groups):
    assert merged(*names) == groups


def test_words_used_without_effect_are_learnt_from_the_vocabulary():
    with_effect = ["Alpha Lily", "Beta Lily", "Alpha Rose", "Gamma Tulip"]
    assert merged(*with_effect) == []
    pairs = ["Blue Wren", "Female Blue Wren", "Great Knot", "Female Great Knot", "Female Smew", "Smew"]
    groups = merged(*pairs)
    assert {"Smew", "Female Smew"} in groups and len(groups) == 3
    assert merged("Female Smew", "Smew") == []  # nothing tells yet that the word is without effect


def test_names_in_frequent_use_stand_for_themselves():
    names = ["Spotted Crake"] * 3 + ["Little Spotted Crake"] * 3
    assert len(set(made_of(names, risk=1).names)) == 2
    assert set(made_of(names[1:], risk=1).names) == {"Little Spotted Crake"}


@pytest.mark.parametrize("response, same", [
    ("This is a **Yellowhammer** (*Emberiza citrinella*), a bunting.", True),
    ("*Emberiza citrinella* (Yellowhammer) it is.", True),
    ("It is no Corn Bunting (*Emberiza calandra*).", False),
    ("Yellowhammers look alike. Emberiza citrinella.", False),
])
def test_one_scientific_name_makes_one_name(response, same):
    made = made_of(["Golden Bunting", "Yellowhammer"], ["The Golden Bunting (Emberiza citrinella).", response], risk=1)
    assert (len(set(made.names)) == 1) == same


@pytest.mark.parametrize("label, response, same", [
    ("Emberiza citrinella", "", True), ("Emberiza Citrinella", "It is Emberiza citrinella.", True),
    ("Emberiza Citrinella", "", False), ("Golden retriever", "", False), ("Corn bunting", "", False),
])
def test_a_scientific_name_among_the_labels(label, response, same):
    answers = [evidence.Answer(n, (label,), response) for n in ("Yellowhammer", "Golden Bunting")]
    answers.append(evidence.Answer(label, (), response))
    assert len(set(consolidate(answers, risk=1).names)) == (1 if same else 3)


def test_a_scientific_name_of_all_is_no_evidence():
    names = [f"Breed{i} Hound" for i in range(9)]
    said = [f"A {n} (*Canis familiaris*)." for n in names]
    assert len(set(made_of(names, said, risk=1).names)) == 9


def test_what_a_name_is_said_to_be_also_known_as():
    said = ["The Foothill Daisy, also known as the Bride's Star, grows on walls.", ""]
    assert len(set(made_of(["Foothill Daisy", "Bride's Star"], said, 1).names)) == 1
    assert len(set(made_of(["Foothill Daisy", "Groom's Star"], said, 1).names)) == 2


def test_chains_of_evidence_are_trusted_less():
    chain = ["Kite", "Kite Bird", "Kite Bird Flying", "Kite Bird Flying High"]
    assert sorted(map(len, merged(*chain))) == [2, 2]


def test_merging_stops_at_the_risk_accepted():
    names = [f"Species{chr(97 + i) * 3} Crake" for i in range(20)]
    names += [f"Little {n}" for n in names] + [f"Filler number{chr(97 + i) * 2}" for i in range(20)]
    found = {risk: made_of(names, risk=risk) for risk in (0, 0.01, 0.02, 0.03, 1)}
    counts = [len(made.merges) for made in found.values()]
    assert counts[0] == 0 and counts == sorted(counts) and counts[1] < counts[3] < counts[4] == 20
    for risk, made in found.items():
        assert sum((1 - m.reliability) * m.images for m in made.merges) <= risk * len(names) + 1e-9


WORDS = st.sampled_from(["red", "rad", "reds", "wren", "house", "dog", "2011", "2012", "(male)", "male", "X5", "é"])
NAMES = st.lists(WORDS, min_size=1, max_size=4).map(" ".join)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(NAMES, st.sampled_from(["", "A wren (Wrenus rubrus).", "dog, also known as red wren"])),
                min_size=1, max_size=25), st.randoms(use_true_random=False), st.sampled_from([0, 0.02, 1.0]))
def test_the_order_of_images_does_not_matter_and_provenance_is_whole(answers, rng, risk):
    shuffled = rng.sample(answers, len(answers))
    one, other = (made_of([n for n, _ in a], [r for _, r in a], risk) for a in (answers, shuffled))
    assert dict(zip(answers, one.names, strict=True)) == dict(zip(shuffled, other.names, strict=True))
    assert one.merges == other.merges and one.merged_from == other.merged_from
    for (given_name, _), name in zip(answers, one.names, strict=True):
        assert given_name == name or given_name in one.merged_from[name]
    assert set().union(*one.merged_from.values(), one.merged_from) == {n for n, _ in answers}
    again = made_of(one.names, risk=0)
    assert again.names == one.names


@recorded
@pytest.mark.parametrize("name", SETS)
def test_raw_figures_of_recorded_teachers_are_reproduced(name):
    expected = json.loads((REAL / "expected.json").read_text())[name]
    given_rows = rows(name)
    found = label_quality([r["labels"][0] for r in given_rows], [r["class_name"] for r in given_rows])
    assert found["hungarian_correct"] == expected["hungarian_correct"]
    for ours, theirs in (("images", "images"), ("classes", "classes"), ("distinct_names", "distinct_names"),
                         ("cluster_accuracy", "cacc"), ("purity", "purity"), ("exact_name", "exact_name"),
                         ("true_name_in_vocabulary",) * 2, ("all_same", "all_three_same"),
                         ("all_different", "all_three_different")):
        assert round(found[ours], 4) == expected[theirs], ours
    assert files.read_labels(REAL / f"{name}.jsonl").several == expected["rows_with_several_labels"]


@recorded
@pytest.mark.parametrize("with_response", [True, False])
@pytest.mark.parametrize("name", SETS)
def test_merging_helps_recorded_teachers(name, with_response):
    given_rows = rows(name)
    labels, classes = [r["labels"][0] for r in given_rows], [r["class_name"] for r in given_rows]
    made = consolidate([evidence.Answer(r["labels"][0], tuple(r["labels"][1:]), r["response"] if with_response else "")
                        for r in given_rows])
    raw, after = label_quality(labels, classes), label_quality(made.names, classes)
    assert after["cluster_accuracy"] > raw["cluster_accuracy"]
    assert after["purity"] >= raw["purity"] - 0.01  # half of what is allowed
    assert after["distinct_names"] < raw["distinct_names"]


@recorded
def test_true_class_names_are_all_kept_apart():
    for each in json.loads((REAL / "class_names.json").read_text()).values():
        for uses in (1, 3):
            assert made_of(each["names"] * uses, risk=1).merges == ()


@recorded
def test_nothing_but_the_named_fields_is_read(tmp_path):
    given_rows = rows("birds_gemini")[:200]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(r) + "\n" for r in given_rows))
    random.Random(0).shuffle(given_rows)
    ids = {r["image"]: f"{i}.jpg" for i, r in enumerate(given_rows)}
    blind = [{"image": ids[r["image"]], "labels": r["labels"], "response": r["response"], "class_id": "no", "x": {}}
             for r in given_rows]
    (tmp_path / "blind.jsonl").write_text("".join(json.dumps(r) + "\n" for r in blind))
    for name in ("in", "blind"):
        consolidate_file(tmp_path / f"{name}.jsonl", tmp_path / f"{name}.out.jsonl", None, RISK)
    seen, unseen = ([json.loads(x) for x in (tmp_path / f"{n}.out.jsonl").read_text().splitlines()]
                    for n in ("in", "blind"))
    assert {ids[r["image"]]: (r["name"], r["merged_from"]) for r in seen} == {
        r["image"]: (r["name"], r["merged_from"]) for r in unseen}
    assert all(list(r) == ["image", "name", "merged_from"] for r in seen)
    assert [r["image"] for r in seen] == [r["image"] for r in rows("birds_gemini")[:200]]


def write(path: Path, *given_rows: object) -> Path:
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in given_rows))
    return path


def test_merging_can_be_taken_back_whole_or_by_name(tmp_path):
    labels = ["Grey Plover", "Gray Plover", "Gray Plover", "Corn Bunting", "Corn-bunting", "Smew"]
    source = write(tmp_path / "in.jsonl", *({"image": f"{i}.png", "labels": [n]} for i, n in enumerate(labels)))
    report = consolidate_file(source, tmp_path / "out.jsonl", None, 0.2)
    assert report["names"] == {"before": 4, "after": 3} and report["images_with_several_labels"] == 0

    def names(path: Path) -> list[str]:
        return [json.loads(line)["name"] for line in path.read_text().splitlines()]

    assert names(tmp_path / "out.jsonl") == ["Gray Plover"] * 3 + ["Corn Bunting"] * 2 + ["Smew"]
    way_back = files.undo_path(tmp_path / "out.jsonl")
    assert files.undo(tmp_path / "out.jsonl", way_back, tmp_path / "part.jsonl", ["Gray Plover"]) == 1
    assert names(tmp_path / "part.jsonl") == labels[:3] + ["Corn Bunting"] * 2 + ["Smew"]
    assert files.undo(tmp_path / "out.jsonl", way_back, tmp_path / "back.jsonl") == 2
    assert names(tmp_path / "back.jsonl") == labels
    assert all(json.loads(line)["merged_from"] == [] for line in (tmp_path / "back.jsonl").read_text().splitlines())
    with pytest.raises(UserError, match="no image is named 'Ruff'"):
        files.undo(tmp_path / "out.jsonl", way_back, tmp_path / "none.jsonl", ["Ruff"])


GOOD = {"image": "a.png", "labels": ["Smew"]}


@pytest.mark.parametrize("bad, says", [
    ("{", "line 2: is not JSON"), ("[" * 100_000, "line 2: is not JSON"), ("3", "line 2: is not a JSON object"),
    ({"labels": ["x"]}, "line 2: 'image' must be a text"), ({"image": 4, "labels": ["x"]}, "'image' must be a text"),
    ({"image": "b", "labels": "x"}, "'labels' must be a list"), ({"image": "b", "labels": [3]}, "'labels' must be a"),
    ({"image": "b", "labels": []}, "'labels' holds no name"), ({"image": "b", "labels": [" ", "?"]}, "holds no name"),
    ({"image": "b"}, "'labels' must be a list"), (GOOD, "names a.png twice"),
    ({"image": "b", "labels": ["x"], "response": 3}, "'response' must be a text"),
    ('{"image": "b", "labels": ["\\ud800"]}', "'labels' must be a list of texts"),
])
def test_bad_labels_are_one_clear_error_and_write_nothing(tmp_path, bad, says):
    source = write(tmp_path / "in.jsonl", GOOD, bad)
    with pytest.raises(UserError) as caught:
        consolidate_file(source, tmp_path / "out.jsonl", None, RISK)
    assert says in str(caught.value) and "in.jsonl" in str(caught.value) and "mend:" in str(caught.value)
    assert list(tmp_path.iterdir()) == [source]


def test_bad_truth_and_options_are_refused(tmp_path):
    source = write(tmp_path / "in.jsonl", GOOD, {"image": "b.png", "labels": ["Ruff"]})
    cases = [
        (write(tmp_path / "t1", {"image": "a.png", "class_id": 1}), "out", RISK, "no class for 1 images, .* b.png"),
        (write(tmp_path / "t2", {"image": "a.png"}), "out", RISK, "no 'class_name' and no 'class_id'"),
        (None, "in.jsonl", RISK, "would overwrite"), (None, "no/out", RISK, "no such folder"),
        (None, "out", 1.5, "0..1"), (None, "out", float("nan"), "0..1"),
    ]
    for truth, out, risk, says in cases:
        with pytest.raises(UserError, match=says):
            consolidate_file(source, tmp_path / out, truth, risk)
        assert not (tmp_path / "out").exists()
    (tmp_path / "empty").write_text("\n")
    for path, says in ((tmp_path / "empty", "holds no line"), (tmp_path / "absent", "cannot be read")):
        with pytest.raises(UserError, match=says):
            files.read_labels(path)
    with pytest.raises(UserError, match="no way back"):
        files.undo(source, write(tmp_path / "u", {"format": 2}), tmp_path / "out")


def test_normalise_is_the_published_rule():
    assert normalise("Anna's  Hummingbird (male)!") == "anna s hummingbird male "
    assert normalise("犬") == "犬"


def test_vocabulary_counts_images_and_keeps_the_usual_spelling():
    made = evidence.vocabulary(["Corn bunting", "Corn Bunting", "Corn Bunting", "CORN-BUNTING", "Smew"])
    assert [(n.text, n.images) for n in made.values()] == [("Corn Bunting", 4), ("Smew", 1)]
