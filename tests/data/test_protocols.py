"""Protocols on published files: nothing unseen is trained on, a seed gives one split, and a run takes the folder."""

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hicos import save_mat
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from components.base.errors import UserError
from components.datasets import protocols
from components.datasets.doctor import examine
from components.datasets.hico import read_hico
from components.datasets.hico_situations import by_interactions, detections
from components.datasets.ingest import ingest
from components.datasets.leak import check_leaks
from components.datasets.splits import Splits, SplitSpec
from components.datasets.store import Dataset
from components.pipeline import published
from components.pipeline.plan import make
from components.registry import tracking
from flows.cli import cli

PUBLISHED = Path(__file__).parents[2] / "../shared/data/swig"
VERBS = {"running": 12, "walking": 9, "eating": 3, "rowing": 6, "reading": 5}  # training images
SPACE = {"nouns": {n: {"gloss": [n], "def": ""} for n in ("man", "dog", "road")},
         "verbs": {v: {"framenet": "", "abstract": "", "def": "", "order": ["agent", "place"],
                       "roles": {"agent": {}, "place": {}}} for v in VERBS}}


def entry(verb: str, agents: tuple[str, ...] = ("man",) * 3) -> dict:
    return {"verb": verb, "width": 24, "height": 20, "bb": {"agent": [1, 2, 12, 15], "place": [-1] * 4},
            "frames": [{"agent": a, "place": ""} for a in agents]}


def files(folder: Path, images: bool = False) -> Path:
    """SWiG files: training images as in VERBS, three of each verb in dev, four in test; the images on demand."""
    sizes = {"train": VERBS, "dev": dict.fromkeys(VERBS, 3), "test": dict.fromkeys(VERBS, 4)}
    folder.mkdir()
    number, rng = 0, np.random.default_rng(0)
    for split, counts in sizes.items():
        content = {}
        for verb, count in counts.items():
            for _ in range(count):
                name, number = f"{verb}_{number}.jpg", number + 1
                content[name] = entry(verb)
                if images:
                    (folder / "images").mkdir(exist_ok=True)
                    Image.fromarray(rng.integers(0, 256, (20, 24, 3), np.uint8)).save(folder / "images" / name)
        (folder / f"{split}.json").write_text(json.dumps(content))
    (folder / "imsitu_space.json").write_text(json.dumps(SPACE))
    return folder


def read(folder: Path) -> dict[str, dict]:
    return {split: json.loads((folder / f"{split}.json").read_text()) for split in protocols.SPLITS}


def run(*arguments: object):
    return CliRunner().invoke(cli, ["data", "split", *map(str, arguments)])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 99), unseen=st.sampled_from([0.0, 0.2, 0.4]), pseudo=st.sampled_from([0.0, 0.2]))
def test_no_image_of_an_unseen_verb_is_trained_or_tuned_on(seed, unseen, pseudo, tmp_path_factory) -> None:
    entries, space = protocols.read_files(files(tmp_path_factory.mktemp("p") / "swig"))
    spec = SplitSpec(seed, unseen_share=unseen, pseudo_unseen=None if pseudo else (), pseudo_share=pseudo)
    parts = protocols.by_verbs(entries, space, spec)
    hidden, tuned = (set(parts.splits.verbs[g]) for g in ("unseen", "pseudo_unseen"))
    assert (len(hidden), len(tuned)) == (round(unseen * 5), round(pseudo * 5))
    of = {split: {e["verb"] for e in part.values()} for split, part in parts.entries.items()}
    assert of == {"train": set(VERBS) - hidden - tuned, "dev": set(VERBS) - hidden, "test": set(VERBS) - tuned}
    for split, part in parts.entries.items():
        assert set(getattr(parts.splits, split)) == set(part) <= set(entries[split])
        assert parts.left_out[split] == len(entries[split]) - len(part)
    assert protocols.by_verbs(entries, space, spec).splits.sha256 == parts.splits.sha256


def test_rare_verbs_are_those_with_the_fewest_training_images(tmp_path: Path) -> None:
    entries, space = protocols.read_files(files(tmp_path / "swig"))
    parts = protocols.by_verbs(entries, space, SplitSpec(0, ("reading",), ()), rare_share=0.4)
    assert parts.splits.verbs == {"common": ("running", "walking"), "rare": ("eating", "rowing"), "pseudo_unseen": (),
                                  "unseen": ("reading",)}
    groups = protocols.groups_of(parts.splits)
    assert groups["seen"] == ["eating", "rowing", "running", "walking"] and groups["unseen"] == ["reading"]


def test_a_verb_that_is_never_trained_on_is_unseen(tmp_path: Path) -> None:
    entries, space = protocols.read_files(files(tmp_path / "swig"))
    entries["train"] = {name: e for name, e in entries["train"].items() if e["verb"] != "eating"}
    verbs = protocols.by_verbs(entries, space, SplitSpec(0, ("reading",), ())).splits.verbs
    assert verbs["unseen"] == ("eating", "reading") and "eating" not in verbs["rare"]
    entries["test"] = {name: e for name, e in entries["test"].items() if e["verb"] != "eating"}
    parts = protocols.by_verbs(entries, space, SplitSpec(0, ("reading",), ()))
    assert parts.splits.verbs["unseen"] == ("reading",) and parts.left_out["verbs"] == 1


def test_a_run_takes_the_folder_of_a_protocol(tmp_path: Path) -> None:
    files(tmp_path / "swig", images=True)
    (tmp_path / "unseen.txt").write_text("reading\n\nrowing\n")
    done = run(tmp_path / "swig", "--protocol", "verbs", "--unseen", tmp_path / "unseen.txt", "--pseudo-share", 0.2,
               "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    out = tmp_path / "out"
    made = Splits.load(out / "splits.json")
    assert set(made.verbs["unseen"]) == {"reading", "rowing"} and len(made.verbs["pseudo_unseen"]) == 1
    assert f"{len(made.train)} train, {len(made.dev)} dev, {len(made.test)} test" in done.output
    assert "2 unseen" in done.output and made.sha256[:12] in done.output
    assert examine([out / f"{s}.json" for s in protocols.SPLITS], out / "imsitu_space.json").findings == []
    dataset = Dataset(ingest(out, tmp_path / "dataset").dataset)
    own = made.by_id(dataset.names, "splits.json")
    assert {dataset.names[i] for i in own.train} == set(made.train) == set(read(out)["train"])
    check_leaks(dataset, own)
    assert json.loads((out / "groups.json").read_text())["protocol"] == {"images": "unknown", "boxes": "unknown"}


def test_the_pipeline_keeps_the_splits_a_folder_brings(tmp_path: Path, own_home: Path) -> None:
    from components.pipeline.ingestion import make_dataset, split

    files(tmp_path / "swig", images=True)
    assert run(tmp_path / "swig", "--protocol", "verbs", "--out", tmp_path / "out", "--unseen-share", 0.4,
               "--seed", 3).exit_code == 0
    made = Splits.load(tmp_path / "out" / "splits.json")
    plan = make(data=str(tmp_path / "out"))
    with tracking.run("test") as here:
        dataset = make_dataset(plan, here.id)
        folder = Path(split(plan, here.id, dataset))
    found, names = Splits.load(folder / "splits.json"), Dataset(Path(dataset)).names
    assert found.verbs == made.verbs
    assert [[names[i] for i in part] for part in (found.train, found.dev, found.test)] == [
        list(part) for part in (made.train, made.dev, made.test)]


def test_splits_of_other_images_are_refused() -> None:
    made = Splits(0, dict.fromkeys(("common", "rare", "pseudo_unseen", "unseen"), ()), ("a.jpg", "b.jpg"), (), ())
    with pytest.raises(UserError, match=r"here: 'b\.jpg' of train is no image of the dataset \(1 such images\)"):
        made.by_id({"1": "a.jpg"}, "here")


def test_sparsity_by_hand(tmp_path: Path) -> None:
    train = {"running_1.jpg": entry("running", ("man", "man", "dog")), "running_2.jpg": entry("running"),
             "walking_1.jpg": entry("walking", ("dog",) * 3)}
    other = {"running_3.jpg": entry("running"),  # (running, agent, man) twice in training, (place, "") twice
             "running_4.jpg": entry("running", ("dog",) * 3),  # once
             "running_5.jpg": entry("running", ("dog", "road", "man")),  # the most frequent of the three counts: twice
             "walking_2.jpg": entry("walking"),  # nobody but a dog ever walked
             "eating_1.jpg": entry("eating")}
    assert protocols.sparsity(train, other) == {"running_3.jpg": 2, "running_4.jpg": 1, "running_5.jpg": 2,
                                                "walking_2.jpg": 0, "eating_1.jpg": 0}
    groups = protocols.by_triples({"train": train, "dev": other, "test": {}}, most=1)["dev"]
    assert groups == {"seen": ["running_3.jpg", "running_4.jpg", "running_5.jpg"],
                      "rare": ["running_4.jpg", "walking_2.jpg", "eating_1.jpg"],
                      "unseen": ["walking_2.jpg", "eating_1.jpg"]}


def test_groups_of_triples_are_taken_by_the_scorer(tmp_path: Path) -> None:
    source = files(tmp_path / "swig")
    dev = json.loads((source / "dev.json").read_text())
    first = next(iter(dev))
    dev[first]["frames"][0]["agent"] = dev[first]["frames"][1]["agent"] = dev[first]["frames"][2]["agent"] = "dog"
    (source / "dev.json").write_text(json.dumps(dev))
    done = run(source, "--protocol", "triples", "--sparsity", 3, "--out", tmp_path / "out")
    assert done.exit_code == 0 and "1 unseen" in done.output, done.output
    frame = {"agent": {"noun": "man", "box": [1, 2, 12, 15]}, "place": {"noun": "", "box": None}}
    lines = [{"image": n, "verbs": list(VERBS), "frames": {e["verb"]: frame}} for n, e in dev.items()]
    (tmp_path / "P.jsonl").write_text("".join(json.dumps(p) + "\n" for p in lines))
    scored = CliRunner().invoke(cli, ["evaluate", "situation", "--json", "-", "--groups",
                                      str(tmp_path / "out" / "groups-dev.json"), "--predictions",
                                      str(tmp_path / "P.jsonl"), "--annotations", str(source / "dev.json"), "--space",
                                      str(source / "imsitu_space.json")])
    report = json.loads(scored.output)
    assert {g: v["images"] for g, v in report["groups"].items()} == {"all": 15, "seen": 14, "rare": 4, "unseen": 1}
    groups = report["settings"][0]["groups"]
    assert (groups["seen"]["gt_value"], groups["unseen"]["gt_value"]) == (1.0, 0.5)


@pytest.mark.parametrize(("change", "arguments", "words"), [
    (lambda f: (f / "test.json").unlink(), (), "test.json: cannot be read"),
    (lambda f: (f / "dev.json").write_text("[]"), (), "dev.json: must be an object"),
    (lambda f: (f / "dev.json").write_text(json.dumps({"a.jpg": entry("flying")})), (), "a.jpg: verb: unknown verb"),
    (lambda f: (f / "list.json").write_text('["runing"]'), ("--unseen", "list.json"),
     "unknown verb 'runing'\n  mend: did you mean 'running'?"),
    (lambda f: (f / "list.json").write_text('{"verbs": 3}'), ("--rare", "list.json"), "must be a list of verbs"),
    (lambda f: (f / "list.json").write_text(json.dumps(list(VERBS))), ("--unseen", "list.json"), "no image is left"),
    (lambda f: None, ("--images", "."), "there is no image 'running_"),
    (lambda f: None, ("--dev", "3"), "--dev: the published files say"),
    (lambda f: None, ("--unseen-share", "1.5"), "must be a share below 1"),
])
def test_what_cannot_be_split(change, arguments, words, tmp_path: Path, monkeypatch) -> None:
    source = files(tmp_path / "swig")
    change(source)
    monkeypatch.chdir(source)
    before = sorted(tmp_path.rglob("*"))
    done = run(source, "--protocol", "verbs", "--out", tmp_path / "out", *arguments)
    assert isinstance(done.exception, UserError) and words in str(done.exception), (done.output, done.exception)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_full_folder_is_left_alone(tmp_path: Path) -> None:
    source = files(tmp_path / "swig")
    done = run(source, "--protocol", "verbs", "--out", source)
    assert "the folder is not empty" in str(done.exception)
    assert set(read(source)["train"]) == set(read(shutil.copytree(source, tmp_path / "copy"))["train"])


def test_l10_at_full_size() -> None:
    """Real names and the published list: 51 verbs of 504 are 2,550 of the 25,200 dev (or test) images."""
    if not PUBLISHED.is_dir():
        pytest.skip("the published names are not here")
    names = (PUBLISHED / "image_names.txt").read_text().split()
    space = {"nouns": {}, "verbs": {v: {"order": ["agent"], "roles": {"agent": {}}}
                                    for v in (PUBLISHED / "verb_indices.txt").read_text().split()}}
    entries = {name: {"verb": name.partition("_")[0], "frames": [{"agent": ""}] * 3} for name in names}
    train = {f"again {name}": e for name, e in entries.items() if int(name.partition("_")[2][:-4]) % 3}
    unseen = protocols.read_verbs(PUBLISHED / "unseen_verbs_L10.json")
    parts = protocols.by_verbs({"train": train, "dev": entries, "test": entries}, space, SplitSpec(0, unseen, ()))
    assert (len(parts.splits.verbs["unseen"]), len(parts.splits.verbs["rare"])) == (51, 101)
    assert parts.left_out["dev"] == 2550 and len(parts.splits.test) == 25_200
    drawn = protocols.by_verbs({"train": train, "dev": entries, "test": entries}, space,
                               SplitSpec(0, None, (), unseen_share=0.1)).splits.verbs
    assert len(drawn["unseen"]) == 50 and set(drawn["unseen"]) != set(unseen)
    counts = Counter(e["verb"] for e in train.values())
    assert max(counts[v] for v in drawn["rare"]) <= min(counts[v] for v in drawn["common"])


ACTIONS = [("ride", "horse"), ("hold", "dining_table"), ("no_interaction", "horse"), ("eat", "apple")]
MAN, TALL, THING = [1, 1, 10, 20], [1, 1, 12, 22], [5, 8, 30, 40]


def hico(folder: Path) -> Path:
    """anno_bbox.mat: interaction 1 often trained, 2 and 3 seldom, 4 once and unseen in the tests."""
    def image(name: str, *pairs: tuple[int, list[int]], invisible: int = 0) -> tuple:
        return name, (60, 50), [(h, invisible, [p], [THING], [[1, 1]]) for h, p in pairs]

    train = [*(image(f"one{i}.jpg", (1, MAN)) for i in range(11)), image("two.jpg", (1, MAN), (2, TALL)),
             image("three.jpg", (3, MAN)), image("four.jpg", (4, MAN)), image("both.jpg", (1, MAN), (4, MAN)),
             image("apart.jpg", (1, MAN), (4, TALL)), image("none.jpg", (1, MAN), invisible=1)]
    test = [image("e1.jpg", (1, MAN)), image("e2.jpg", (4, MAN), (1, MAN)), image("e3.jpg", (2, MAN), invisible=1)]
    save_mat(folder / "anno_bbox.mat", train, test, ACTIONS)
    return folder / "anno_bbox.mat"


def test_interactions_as_situations(tmp_path: Path) -> None:
    train, test = (read_hico(hico(tmp_path), split) for split in ("train", "test"))
    parts = by_interactions(train, test, frozenset({4}), seed=0, dev=0)
    assert list(parts.space["verbs"]) == ["riding a horse", "holding a dining table", "no interaction with a horse",
                                          "eating an apple"]
    assert parts.space["verbs"]["eating an apple"]["hoi_category_id"] == 4
    shown = {name: e["verb"] for name, e in parts.entries["train"].items()}
    assert shown["two.jpg"] == "holding a dining table"  # the rarer of two
    assert shown["apart.jpg"] == "riding a horse"  # an unseen pair beside it is not shown
    assert {"four.jpg", "both.jpg", "none.jpg"}.isdisjoint(shown)  # the pair of both.jpg is an unseen one too
    assert parts.entries["train"]["two.jpg"]["bb"] == {"agent": [0, 0, 12, 22], "item": [4, 7, 30, 40]}
    assert parts.entries["train"]["two.jpg"]["frames"][0] == {"agent": "person", "item": "dining table"}
    assert {n: e["verb"] for n, e in parts.entries["test"].items()} == {"e1.jpg": "riding a horse",
                                                                       "e2.jpg": "eating an apple"}
    assert parts.splits.verbs["unseen"] == ("eating an apple",) and parts.left_out == {"train": 3, "test": 1}
    assert set(parts.splits.verbs["rare"]) == {"holding a dining table", "no interaction with a horse"}
    assert examine_parts(parts, tmp_path / "out") == []


def examine_parts(parts: protocols.Parts, out: Path) -> list:
    protocols.write_folder(parts, out, {}, {})
    found = examine([out / f"{s}.json" for s in ("train", "test")], out / "imsitu_space.json")
    return found.findings


def test_a_predicted_situation_becomes_detections(tmp_path: Path) -> None:
    parts = by_interactions(*(read_hico(hico(tmp_path), s) for s in ("train", "test")), frozenset({4}), 0, dev=0)
    frame = {"agent": {"noun": "person", "box": [0, 0, 12, 22]}, "item": {"noun": "horse", "box": [4.5, 7, 30, 40]}}
    line = {"verbs": ["riding a horse", "eating an apple"], "scores": [0.7, 0.2],
            "frames": {"riding a horse": frame, "eating an apple": frame | {"item": {"noun": "", "box": None}},
                       "holding a dining table": frame}}  # the last is the true verb's, which was not ranked
    assert detections(line, parts.space) == [{"hoi_category_id": 1, "person": [0, 0, 11, 21],
                                              "object": [4.5, 7, 29, 39], "score": 0.7}]
    for broken in ({}, line | {"scores": [1.0]}, line | {"verbs": ["flying a kite", "x"], "frames": {
            "flying a kite": frame, "x": frame}}):
        with pytest.raises(UserError, match="not a predicted situation of this space"):
            detections(broken, parts.space)


def test_json_files_have_no_names_to_train_with(tmp_path: Path) -> None:
    from hicos import annotations_of

    (tmp_path / "train.json").write_text(json.dumps(annotations_of([("a.jpg", [(1, MAN, THING)])])))
    content = read_hico(tmp_path / "train.json")
    with pytest.raises(UserError, match=r"numbers only.*\n.*anno_bbox\.mat"):
        by_interactions(content, content, frozenset(), 0)


def test_hico_from_the_command_line_to_the_scorer(tmp_path: Path, own_home: Path) -> None:
    """All 600 interactions are trained on, 120 tested; the folder is made by rule, and perfect situations score 1."""
    actions = [(f"verb{h % 117}", f"object{h % 80}") for h in range(600)]
    source = tmp_path / "hico"
    (source / "images" / "train2015").mkdir(parents=True)
    splits = {}
    for split, step in (("train", 1), ("test", 5)):
        splits[split] = []
        for h in range(1, 601, step):
            name = f"{split}{h}.png"
            splits[split].append((name, (24, 20), [(h, 0, [[1, 1, 9, 19]], [[5, 3, 20, 18]],
                                                    [[1, 1]] * (1 + h % 7 if split == "train" else 1))]))
            (source / "images" / "train2015" / name).write_text(name)
    save_mat(source / "anno_bbox.mat", splits["train"], splits["test"], actions)
    done = run(source, "--protocol", "rf-uc", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    test = json.loads((tmp_path / "out" / "test.json").read_text())
    made = Splits.load(tmp_path / "out" / "splits.json")
    assert len(made.verbs["unseen"]) == 120 and len(test) == 120 and "120 unseen" in done.output
    assert len(list((tmp_path / "out" / "images").iterdir())) == len(made.train) + len(made.dev) + len(made.test)
    wrong = sorted(test)[:30]
    lines = [{"image": n, "verbs": [e["verb"]], "scores": [0.5], "frames": {e["verb"]: {
        "agent": {"noun": "person", "box": e["bb"]["agent"]},
        "item": {"noun": "", "box": None if n in wrong else e["bb"]["item"]}}}} for n, e in test.items()]
    (tmp_path / "P.jsonl").write_text("".join(json.dumps(p) + "\n" for p in lines[:-6]))
    scored = CliRunner().invoke(cli, [
        "evaluate", "hico", "--predictions", str(tmp_path / "P.jsonl"), "--annotations", str(source / "anno_bbox.mat"),
        "--setting", "rf-uc", "--space", str(tmp_path / "out" / "imsitu_space.json"), "--json", "-"])
    assert scored.exit_code == 0, scored.output
    report = json.loads(scored.output)
    lost = {p["image"] for p in lines[-6:]} | set(wrong)
    hidden = {f"test{h}.png" for h in report["unseen"]} & test.keys()
    assert report["detections"]["images_without"] == 6
    assert report["groups"]["full"]["map"] == pytest.approx(1 - len(lost) / 120)
    assert report["groups"]["unseen"]["map"] == pytest.approx(1 - len(lost & hidden) / len(hidden))
    assert {v for v, x in json.loads((tmp_path / "out" / "imsitu_space.json").read_text())["verbs"].items()
            if x["hoi_category_id"] in report["unseen"]} == set(made.verbs["unseen"])

    folder = published.folder(source, "rf-uc", images=source / "images")  # the same by one command
    assert {f.name: f.read_bytes() for f in folder.glob("*.json")} == {
        f.name: f.read_bytes() for f in (tmp_path / "out").glob("*.json")}
    assert published.folder(source, "rf-uc", images=source / "images") == folder
    (tmp_path / "scores").mkdir()
    shutil.copyfile(tmp_path / "P.jsonl", tmp_path / "scores" / "predictions.jsonl")
    with tracking.run("test") as here:
        scored_again = Path(published.score(make(data=str(folder)), here.id, str(tmp_path / "scores")))
    again = json.loads((scored_again / "report.json").read_text())
    assert (again["groups"], again["unseen"]) == (report["groups"], report["unseen"])
    assert "unseen" in (scored_again / "report.txt").read_text()
    assert published.told(make(data=str(source))) is None and published.told(make(recipe="near")) is None


def test_a_list_that_is_missing_is_not_passed_over(tmp_path: Path, own_home: Path) -> None:
    source = files(tmp_path / "swig", images=True)
    made = published.folder(source, "verbs")
    assert published.folder(source, "verbs") == made
    with pytest.raises(UserError, match=r"--unseen .*no such file"):
        published.folder(source, "verbs", unseen=tmp_path / "l10.txt")
    (tmp_path / "l10.txt").write_text("reading")
    listed = published.folder(source, "verbs", unseen=tmp_path / "l10.txt")
    assert listed != made and "reading" in Splits.load(listed / "splits.json").verbs["unseen"]


@pytest.mark.parametrize(("given", "says"), [
    (("--protocol", "rf-uc"), "--protocol rf-uc: splits published files"),
    (("--unseen", "l10.txt"), "--unseen: belongs to --protocol"),
    (("--data", ".", "--protocol", "verbs"), "images: no such folder of images"),
])
def test_a_protocol_wants_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given, says) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=says):
        CliRunner().invoke(cli, ["run", *given], catch_exceptions=False)
