"""The data doctor: sound files pass; every fault is listed with file, image, role and mend, and none hides another."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hicos import annotations_of, save_mat
from PIL import Image

from components.datasets.doctor import Finding, examine
from components.datasets.official import git_blob, identify
from flows.cli import cli

PUBLISHED = Path(__file__).parents[2] / "../shared/data/swig"
SPACE = {"nouns": {"n1": {"gloss": ["man"], "def": ""}, "n2": {"gloss": ["road"], "def": ""}},
         "verbs": {"running": {"order": ["agent", "place"], "roles": {"agent": {}, "place": {}},
                               "abstract": "AGENT runs in PLACE"},
                   "resting": {"order": ["agent"], "roles": {"agent": {}}, "abstract": ""}}}


def entries(**changes: object) -> dict:
    frame = {"agent": "n1", "place": ""}
    good = {"verb": "running", "width": 40, "height": 30, "frames": [dict(frame) for _ in range(3)],
            "bb": {"agent": [1, 2, 20, 30], "place": [-1, -1, -1, -1]}}
    return {"running_1.jpg": copy.deepcopy(good), "running_2.jpg": {**copy.deepcopy(good), **changes}}


def write(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def findings(folder: Path, content: object, space: object = SPACE, **options: object) -> list[Finding]:
    found = examine([write(folder / "dev.json", content)], write(folder / "space.json", space), **options)
    assert found.errors == sum(f.level == "error" for f in found.findings)
    return found.findings


def test_sound_files_have_no_finding(tmp_path: Path) -> None:
    assert findings(tmp_path, entries()) == []
    bare = {name: {"verb": e["verb"], "frames": e["frames"]} for name, e in entries().items()}
    assert findings(tmp_path, bare) == []
    found = examine([write(tmp_path / "imsitu.json", bare)], tmp_path / "space.json")
    assert [f["form"] for f in found.files] == ["space", "imSitu"] and found.files[1]["images"] == 2


FAULTS = [  # change of the second entry, field, role, what, mend
    ({"verb": "runing"}, "verb", "", "unknown verb 'runing'", "did you mean 'running'?"),
    ({"width": 0}, "width", "", "must be a positive whole number", "size"),
    ({"bb": {"agent": [1, 2, 41, 30], "place": [-1] * 4}}, "bb.agent", "agent", "outside the image of 40 x 30", "clip"),
    ({"bb": {"agent": [9, 2, 4, 30], "place": [-1] * 4}}, "bb.agent", "agent", "has no area", "x1 < x2"),
    ({"bb": {"agent": [1, 2, 3], "place": [-1] * 4}}, "bb.agent", "agent", "malformed", "[x1, y1, x2, y2]"),
    ({"bb": {"agent": [1, 2, 3, 4]}}, "bb", "place", "'place' of verb 'running' is missing", "[-1, -1, -1, -1]"),
    ({"frames": [{"agent": "n1", "place": ""}] * 2}, "frames", "", "expected 3 frames", "repeat"),
    ({"frames": [{"agent": "n1", "place": ""}] * 2 + [{"agent": "n3", "place": ""}]}, "frames[2].agent", "agent",
     "unknown noun 'n3'", "did you mean"),
]


@pytest.mark.parametrize(("change", "field", "role", "what", "mend"), FAULTS, ids=[f[3] for f in FAULTS])
def test_a_fault_is_listed_with_file_image_role_and_mend(change, field, role, what, mend, tmp_path: Path) -> None:
    (finding,) = findings(tmp_path, entries(**change))
    assert (finding.level, finding.image, finding.field, finding.role) == ("error", "running_2.jpg", field, role)
    assert finding.file == str(tmp_path / "dev.json") and what in finding.what and mend in finding.mend
    for part in ("dev.json", "running_2.jpg", field, mend):
        assert part in str(finding)


def test_all_faults_of_all_entries_are_listed(tmp_path: Path) -> None:
    bad = {"bb": {"agent": [9, 2, 4, 30], "place": [0, 0, 99, 9]}, "frames": [{"agent": "n8", "place": "n9"}] * 3}
    content = entries(**bad) | {"running_3.jpg": None, "../running_4.jpg": entries()["running_1.jpg"]}
    found = findings(tmp_path, content)
    assert [f.image for f in found] == ["running_2.jpg"] * 8 + ["running_3.jpg", "../running_4.jpg"]
    assert [f.role for f in found[:8]] == ["agent", "place"] * 4
    assert "outside the folder" in found[-1].what and "must be an object" in found[-2].what


def test_a_name_that_contradicts_its_verb_is_a_warning(tmp_path: Path) -> None:
    content = {"resting_1.jpg": entries()["running_1.jpg"], "holiday_1.jpg": entries()["running_1.jpg"]}
    (finding,) = findings(tmp_path, content)
    assert (finding.level, finding.image) == ("warning", "resting_1.jpg") and "'resting'" in finding.what


def test_what_json_readers_hide_is_found(tmp_path: Path) -> None:
    text = json.dumps(entries())
    twice = text[:-1] + ', "running_1.jpg": ' + json.dumps(entries()["running_1.jpg"]) + "}"
    (finding,) = findings(tmp_path, twice)
    assert finding.image == "running_1.jpg" and "twice" in finding.what
    (finding,) = findings(tmp_path, text.replace("[1, 2, 20, 30]", "[1, 2, NaN, 30]", 1))
    assert (finding.image, finding.role) == ("running_1.jpg", "agent") and "malformed" in finding.what


def test_an_image_in_two_files_is_found(tmp_path: Path) -> None:
    train, dev = (write(tmp_path / n, entries()) for n in ("train.json", "dev.json"))
    found = examine([train, dev], write(tmp_path / "space.json", SPACE)).findings
    assert [(f.file, f.image) for f in found] == [(str(dev), n) for n in entries()]
    assert all(str(train) in f.what for f in found)


def test_a_faulty_space_is_listed_and_the_rest_still_checked(tmp_path: Path) -> None:
    space = copy.deepcopy(SPACE)
    space["nouns"]["n2"]["gloss"] = []
    space["verbs"]["resting"]["order"] = []
    space["verbs"]["running"]["abstract"] = "AGENT runs"
    resting = {"verb": "resting", "width": 9, "height": 9, "bb": {}, "frames": [{}] * 3}
    found = findings(tmp_path, entries(width=0) | {"resting_1.jpg": resting}, space)
    assert [(f.level, f.image, f.field) for f in found] == [
        ("error", "", "nouns.n2"), ("error", "", "verbs.resting"), ("warning", "", "verbs.running.abstract"),
        ("error", "running_2.jpg", "width"), ("error", "resting_1.jpg", "verb")]


@pytest.mark.parametrize("space", ["{", [], {"verbs": {}}])
def test_a_space_that_is_none_hides_no_fault(space: object, tmp_path: Path) -> None:
    found = findings(tmp_path, entries(width=0), space)
    assert [Path(f.file).name for f in found] == ["space.json", "dev.json"]


def test_a_file_that_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    files = [tmp_path / "nowhere.json", write(tmp_path / "a.json", "{"), write(tmp_path / "b.json", [1]),
             write(tmp_path / "c.mat", "MATLAB"), write(tmp_path / "d.json", entries(width=0))]
    found = examine(files, write(tmp_path / "space.json", SPACE)).findings
    assert [Path(f.file).name for f in found] == ["nowhere.json", "a.json", "b.json", "c.mat", "d.json"]
    assert all(f.mend for f in found)


def test_without_a_space_one_warning_says_what_is_not_checked(tmp_path: Path) -> None:
    (finding,) = examine([write(tmp_path / "a.json", entries())]).findings
    assert finding.level == "warning" and "--space" in finding.mend


def photo(path: Path, size: tuple[int, int] = (40, 30)) -> None:
    path.parent.mkdir(exist_ok=True)
    rng = np.random.default_rng(sum(map(ord, path.name)))
    Image.fromarray(rng.integers(0, 256, (*size[::-1], 3), np.uint8)).save(path)


def test_images_that_are_missing_broken_or_of_another_size(tmp_path: Path) -> None:
    one = entries()["running_1.jpg"]
    content = {f"running_{n}.jpg": one for n in range(1, 5)}
    photo(tmp_path / "images" / "running_1.jpg")
    photo(tmp_path / "images" / "running_2.jpg", (40, 31))
    (tmp_path / "images" / "running_3.jpg").write_bytes((tmp_path / "images" / "running_1.jpg").read_bytes()[:-200])
    photo(tmp_path / "images" / "spare.png")
    told = []
    found = findings(tmp_path, content, images=tmp_path / "images", progress=lambda *at: told.append(at))
    assert [(f.level, f.image) for f in found] == [("error", f"running_{n}.jpg") for n in (4, 2, 3)] + [("warning", "")]
    for finding, words in zip(found, ("no such image", "40 x 30 pixels, the upright image has 40 x 31", "truncated",
                                      "1 images without annotation in these files: spare.png"), strict=True):
        assert words in finding.what and finding.mend
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_both_forms_of_hico(tmp_path: Path) -> None:
    records = annotations_of([("a.jpg", [(1, [0, 0, 9, 9], [2, 2, 8, 8])]), ("b.jpg", [])])
    records[0]["hoi_annotation"][0]["object_id"] = 7
    found = examine([write(tmp_path / "test_hico.json", records)])
    ((finding,), (file,)) = found.findings, found.files
    assert (finding.image, finding.role, finding.level) == ("a.jpg", "object", "error")
    assert (file["form"], file["images"], file["pairs"]) == ("HICO-DET", 2, 0)
    split = [("t.jpg", (20, 20), [(1, 0, [[1, 1, 21, 9]], [[1, 1, 2, 2]], [[1, 1]])])]
    save_mat(tmp_path / "anno_bbox.mat", split, [], [("ride", "horse"), ("hold", "cup")])
    found = examine([tmp_path / "anno_bbox.mat"])
    assert [(f.file.split()[-1], f.image, f.role, f.level) for f in found.findings] == [
        ("train", "t.jpg", "person", "warning")]
    assert "outside the image of 20 x 20" in found.findings[0].what


def run(*arguments: object):
    return CliRunner().invoke(cli, ["data", "doctor", *map(str, arguments)])


def test_the_command_ends_with_1_where_there_are_errors(tmp_path: Path) -> None:
    space = write(tmp_path / "space.json", SPACE)
    good, bad = write(tmp_path / "good.json", entries()), write(tmp_path / "bad.json", entries(width=0))
    done = run(good, "--space", space)
    assert done.exit_code == 0 and "0 errors, 0 warnings" in done.output and "SWiG, 2 images, 1 verbs" in done.output
    done = run(bad, "--space", space, "--json", tmp_path / "out.json")
    assert done.exit_code == 1 and "running_2.jpg: width: must be" in done.output
    record = json.loads((tmp_path / "out.json").read_text())
    assert record["errors"] == 1 and record["findings"][0]["image"] == "running_2.jpg"
    assert json.loads(run(bad, "--space", space, "--json", "-").output) == record


def test_mended_copies_are_sound_and_list_every_change(tmp_path: Path) -> None:
    boxes = {"agent": [30, -4, 5, 99], "place": [7, 7, 7, 9]}
    content = entries(bb=boxes) | {"running_3.jpg": entries(frames=None)["running_2.jpg"],
                                   "running_4.jpg": entries(bb={"agent": "box", "place": [-1] * 4})["running_2.jpg"]}
    train, space = write(tmp_path / "train.json", content), write(tmp_path / "space.json", SPACE)
    done = run(train, "--space", space, "--mended", tmp_path / "sound", "--json", tmp_path / "out.json")
    assert done.exit_code == 1 and "agent: box [30, -4, 5, 99] -> [5, 0, 30, 30]" in done.output
    changes = json.loads((tmp_path / "out.json").read_text())["changes"]
    assert [(c["image"], c["role"], c["now"]) for c in changes] == [
        ("running_2.jpg", "agent", [5, 0, 30, 30]), ("running_2.jpg", "place", None), ("running_3.jpg", "", None),
        ("running_4.jpg", "agent", None)]
    made = json.loads((tmp_path / "sound" / "train.json").read_text())
    assert made["running_1.jpg"] == content["running_1.jpg"] and "running_3.jpg" not in made
    assert made["running_2.jpg"]["bb"] == {"agent": [5, 0, 30, 30], "place": [-1] * 4}
    assert run(tmp_path / "sound" / "train.json", "--space", space).exit_code == 0
    assert json.loads(train.read_text()) == content


@pytest.mark.parametrize(("arguments", "words"), [
    (("a.json", "--mended", "sound"), "--space: is needed"),
    (("a.json", "sub/a.json", "--space", "space.json", "--mended", "sound"), "two files of this name"),
    (("list.json", "--space", "space.json", "--mended", "sound"), "list.json: not annotations of SWiG"),
    (("a.json", "--space", "space.json", "--mended", "sub"), "the folder is not empty"),
])
def test_what_cannot_be_mended(arguments, words, tmp_path: Path, monkeypatch) -> None:
    for name, content in (("a.json", entries()), ("sub/a.json", entries()), ("space.json", SPACE), ("list.json", [1])):
        write(tmp_path / name, content)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    done = run(*arguments)
    assert words in str(done.exception) and sorted(tmp_path.rglob("*")) == before


def test_git_blob_ids(tmp_path: Path) -> None:
    file = tmp_path / "file"
    for content, blob in ((b"", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"),
                          (b"hello\n", "ce013625030ba8dba906f756967f9e9ca394464a")):  # what `git hash-object` prints
        file.write_bytes(content)
        assert git_blob(file) == blob
        assert identify(file) == {"git_blob": blob, "known_as": None}


def test_published_files_are_recognised() -> None:
    if not PUBLISHED.is_dir():
        pytest.skip("the published files are not here")
    stated = json.loads((PUBLISHED / "official_blobs.json").read_text())
    for name in stated["present_here"]:
        assert identify(PUBLISHED / name) == {"git_blob": stated["swig"][name], "known_as": f"SWiG {name}"}
    assert identify(PUBLISHED / "space.json")["known_as"] is None
    from components.datasets.official import _BLOBS

    assert _BLOBS.keys() == set(stated["swig"].values()) | set(stated["imsitu_without_boxes"].values())


def test_published_rows_and_space(tmp_path: Path) -> None:
    if not PUBLISHED.is_dir():
        pytest.skip("the published annotations are not here")
    rows = json.loads((PUBLISHED / "examples.json").read_text())
    found = findings(tmp_path, rows["annotations"], rows["imsitu_space"])
    assert {(f.image, f.role) for f in found} == {("hitchhiking_238.jpg", ""), ("drinking_235.jpg", "agent")}
    assert all("hitchhiking" in f.what or "n10129825" in f.what for f in found)
    found = examine([], PUBLISHED / "space.json")
    assert found.files[0]["verbs"] == 407 and not any(f.field.startswith("nouns.") for f in found.findings)
