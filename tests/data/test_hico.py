"""HICO-DET annotations: both forms read to the same pairs, faults are named, and the published settings come out."""

import csv
import json
from pathlib import Path

import pytest
from hicos import annotations_of, save_mat

from components.base.errors import UserError
from components.datasets.hico import read_hico
from components.datasets.hico_settings import SIZES, by_rule, unseen

PUBLISHED = Path(__file__).parents[2] / "../shared/data/hico"
ACTIONS = [("ride", "horse"), ("hold", "cup")]
MAN, HORSE, CUP = [1, 1, 10, 20], [5, 8, 30, 40], [3, 3, 4, 4]


def published():
    if not PUBLISHED.is_dir():
        pytest.skip("the published lists are not here")
    rows = list(csv.DictReader((PUBLISHED / "hois.csv").open()))
    counts = {int(r["id"]) + 1: int(r["train_instances"]) for r in rows}
    return counts, {int(r["id"]) + 1: (r["verb"], r["object"]) for r in rows}, PUBLISHED / "unseen.json"


def write(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_both_forms_read_to_the_same_pairs(tmp_path: Path) -> None:
    train = [("t.jpg", (60, 50), [(1, 0, [MAN, MAN], [HORSE], [[1, 1], [2, 1]]), (2, 1, [], [], [])]),
             ("none.jpg", (9, 9), [(2, 1, [], [], [])])]
    test = [("e.jpg", (60, 50), [(2, 0, [MAN], [HORSE, CUP], [[1, 2]])])]
    save_mat(tmp_path / "anno_bbox.mat", train, test, ACTIONS)

    def less(box: list[int]) -> list[int]:  # JSON counts pixels from 0
        return [v - 1 for v in box]

    for split, listed in (("train", [("t.jpg", [(1, less(MAN), less(HORSE))] * 2), ("none.jpg", [])]),
                          ("test", [("e.jpg", [(2, less(MAN), less(CUP))])])):
        found = read_hico(tmp_path / "anno_bbox.mat", split)
        other = read_hico(write(tmp_path / "a.json", annotations_of(listed)))
        assert [(i.name, i.pairs) for i in found.images] == [(i.name, i.pairs) for i in other.images]
        assert found.counts() == other.counts()
        assert found.kinds == {1: ("ride", "horse"), 2: ("hold", "cup")}
    first, second = read_hico(tmp_path / "anno_bbox.mat", "train").images
    assert (first.size, first.invisible, second.invisible) == ((60, 50), 1, 1)


def test_numbers_given_as_text_are_read(tmp_path: Path) -> None:
    records = annotations_of([("a.jpg", [(1, MAN, HORSE)])])
    plain = read_hico(write(tmp_path / "a.json", records))
    records[0]["annotations"][1]["category_id"] = "2\n"
    assert read_hico(write(tmp_path / "b.json", records)).images == plain.images


def faulty(change: object) -> list[dict]:
    records = annotations_of([("a.jpg", [(1, MAN, HORSE)]), ("b.jpg", [(1, MAN, HORSE), (2, MAN, CUP)])])
    change(records)
    return records


FAULTS = [  # change, what is found with which image, whether it is a warning
    (lambda r: r[0].pop("file_name"), "record 0", "file_name", "no file name", False),
    (lambda r: r[0].update(annotations=None), "a.jpg", "annotations", "must be lists", False),
    (lambda r: r[1]["hoi_annotation"][1].update(object_id=-1), "b.jpg", "hoi_annotation[1].object_id", "box -1", False),
    (lambda r: r[1]["hoi_annotation"][1].update(subject_id=9), "b.jpg", "hoi_annotation[1].subject_id", "box 9", False),
    (lambda r: r[1]["hoi_annotation"][0].update(hoi_category_id=601), "b.jpg", "hoi_annotation[0].hoi_category_id",
     "must be 1 to 600", False),
    (lambda r: r[1]["hoi_annotation"][0].update(category_id=7), "b.jpg", "hoi_annotation[0]", "elsewhere", False),
    (lambda r: r[0]["annotations"][0].update(bbox=[9, 1, 3, 4]), "a.jpg", "annotations[0].bbox", "wrong way", False),
    (lambda r: r[0]["annotations"][1].update(bbox=[1, 2, 3]), "a.jpg", "annotations[1].bbox", "malformed", False),
    (lambda r: r[1].update(file_name="a.jpg"), "a.jpg", "file_name", "annotated twice", False),
    (lambda r: r[0]["annotations"][0].update(category_id=5), "a.jpg", "annotations[0].category_id", "no person", True),
    (lambda r: r[0]["hoi_annotation"].append(r[0]["hoi_annotation"][0]), "a.jpg", "hoi_annotation", "2 times", True),
]


@pytest.mark.parametrize(("change", "image", "field", "words", "warning"), FAULTS, ids=[f[2] for f in FAULTS])
def test_a_fault_is_kept_with_its_image(change, image, field, words, warning, tmp_path: Path) -> None:
    found = read_hico(write(tmp_path / "a.json", faulty(change)))
    (name, fault), = found.faults()
    assert (name, fault.field, fault.warning) == (image, field, warning)
    assert words in fault.what and fault.mend
    if warning:
        assert found.require_sound() is found and sum(found.counts().values()) == 3 + (words == "2 times")
    else:
        with pytest.raises(UserError, match=r"a\.json: .*\(1 faults in the file\)"):
            found.require_sound()


def test_joins_of_a_mat_file_that_join_nothing(tmp_path: Path) -> None:
    save_mat(tmp_path / "a.mat", [], [("e.jpg", (60, 50), [(2, 0, [MAN], [CUP], [[1, 1], [1, 2], [2, 1]])])], ACTIONS)
    found = read_hico(tmp_path / "a.mat", "test")
    assert len(found.images[0].pairs) == 1
    assert [f.what for _, f in found.faults()] == ["[1, 2] of interaction 2 joins no boxes",
                                                   "[2, 1] of interaction 2 joins no boxes"]


@pytest.mark.parametrize(("name", "content", "words"), [
    ("a.json", b"{}", "must be a list"), ("a.json", b"[]", "must be a list"), ("a.json", b"[1]", "must be a list"),
    ("a.mat", b"MATLAB 5.0", "not the annotations of HICO-DET"), ("a.mat", None, "cannot be read"),
])
def test_a_file_that_is_something_else(name: str, content: bytes | None, words: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"{name}: {words}"):
        read_hico(tmp_path / name)


@pytest.mark.parametrize(("setting", "key"), [("rf-uc", "rare_first"), ("nf-uc", "non_rare_first")])
def test_the_rule_gives_the_published_lists(setting: str, key: str) -> None:
    counts, kinds, lists = published()
    listed = json.loads(lists.read_text())[key]
    made = by_rule(counts, kinds, rare_first=setting == "rf-uc")
    assert made == {i + 1 for i in listed["unseen"]}
    assert sum(n for hoi, n in counts.items() if hoi not in made) == listed["train_instances_kept"]


@pytest.mark.parametrize("setting", SIZES)
def test_the_published_lists_are_taken_and_shifted_ones_refused(setting: str, tmp_path: Path) -> None:
    _, kinds, lists = published()
    taken = unseen(setting, None, lists, kinds)
    assert len(taken) == SIZES[setting]
    shifted = write(tmp_path / "from_one.json", {setting: [h for h in sorted(taken) if h < 600][:SIZES[setting]]})
    with pytest.raises(UserError, match="numbers count from 0|interactions, the setting has"):
        unseen(setting, None, shifted, kinds)
