"""A folder of photographs becomes a dataset, with or without annotations, whatever its files are called."""

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.base.errors import UserError
from components.datasets.draw import draw_folder, draw_scenes, scenes
from components.datasets.images import load_image
from components.datasets.ingest import ingest, ingest_classes
from components.datasets.scenes import lexicon
from components.datasets.scenes.spec import DrawSpec
from components.datasets.situation import check
from components.datasets.store import Dataset

SPACE = {"nouns": {"n1": {"gloss": ["man"], "def": ""}, "n2": {"gloss": ["road"], "def": ""}},
         "verbs": {"running": {"abstract": "AGENT runs in PLACE", "order": ["agent", "place"],
                               "roles": {"agent": {}, "place": {}}}}}


def save(path: Path, seed: int = 0, size: tuple[int, int] = (40, 30), **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), np.uint8)
    Image.fromarray(coarse).resize(size).save(path, **options)
    return path


def entry(width: int = 40, height: int = 30) -> dict:
    return {"verb": "running", "width": width, "height": height,
            "bb": {"agent": [1, 2, 20, 30], "place": [-1, -1, -1, -1]},
            "frames": [{"agent": "n1", "place": "n2"}, {"agent": "n1", "place": ""}, {"agent": "n1", "place": "n2"}]}


def write(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content, ensure_ascii=False), "utf-8")
    return path


def test_a_plain_folder(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    save(folder / "b.PNG", 1)
    save(folder / "deep" / "er" / "a b ü.jpeg", 2)
    save(folder / "c.webp", 3)
    exif = Image.Exif()
    exif[0x0112] = 6
    save(folder / "turned.jpg", 4, exif=exif)
    (folder / "notes.txt").write_text("not an image")
    (folder / ".hidden.jpg").write_text("not an image")
    done: list[tuple[int, int]] = []
    report = ingest(folder, tmp_path / "out", progress=lambda *step: done.append(step))
    dataset = Dataset(tmp_path / "out")
    dataset.verify()
    assert [s.name for s in dataset] == ["b.PNG", "c.webp", "deep/er/a b ü.jpeg", "turned.jpg"]
    assert [(s.width, s.height) for s in dataset] == [(40, 30)] * 3 + [(30, 40)]
    assert done == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert (report.count, report.labelled, report.version) == (4, 0, dataset.version) and not report.warnings
    assert dataset.name == "photos" and "surfing" in dataset.space["verbs"]  # the embedded words, for want of others


def test_annotations_and_space(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    save(folder / "x" / "one.jpg", 1)
    save(folder / "two.jpg", 2)
    report = ingest(folder, tmp_path / "out", write(tmp_path / "a.json", {"x/one.jpg": entry()}),
                    write(tmp_path / "s.json", SPACE))
    dataset = Dataset(tmp_path / "out")
    assert [s.annotation for s in dataset] == [None, entry()] and [s.label for s in dataset] == [None, "running"]
    assert report.labelled == 1 and dataset.space == SPACE


def test_a_space_is_made_where_none_is_given(tmp_path: Path) -> None:
    save(tmp_path / "photos" / "one.jpg", 1)
    ingest(tmp_path / "photos", tmp_path / "out", write(tmp_path / "a.json", {"one.jpg": entry()}))
    space = Dataset(tmp_path / "out").space
    assert space["verbs"]["running"]["order"] == ["agent", "place"]
    assert space["nouns"] == {"n1": {"gloss": ["n1"], "def": ""}, "n2": {"gloss": ["n2"], "def": ""}}


def test_accents_are_matched_however_they_are_composed(tmp_path: Path) -> None:
    save(tmp_path / "photos" / unicodedata.normalize("NFD", "été.jpg"), 1)
    key = unicodedata.normalize("NFC", "été.jpg")
    ingest(tmp_path / "photos", tmp_path / "out", write(tmp_path / "a.json", {key: entry()}))
    assert [s.label for s in Dataset(tmp_path / "out")] == ["running"]


def test_links(tmp_path: Path) -> None:
    outside = save(tmp_path / "elsewhere" / "one.jpg", 1)
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "link.jpg").symlink_to(outside)
    (folder / "loop").symlink_to(folder)
    report = ingest(folder, tmp_path / "out")
    assert [s.name for s in Dataset(tmp_path / "out")] == ["link.jpg"]
    assert report.warnings == ("loop: linked folder, not entered",)
    outside.unlink()
    with pytest.raises(UserError, match=r"link\.jpg: cannot be read"):
        ingest(folder, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_near_duplicates_are_a_warning(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    image = Image.open(save(folder / "a.png", 1, (90, 90)))
    image.resize((60, 60)).save(folder / "smaller.jpg", quality=70)
    image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "mirrored.png")
    save(folder / "other.png", 2)
    report = ingest(folder, tmp_path / "out")
    assert report.count == 4
    assert "a.png and mirrored.png look almost the same" in report.warnings
    assert "a.png and smaller.jpg look almost the same" in report.warnings
    assert not any("other" in warning for warning in report.warnings)


def test_many_images_in_processes_are_the_same_as_in_one(tmp_path: Path) -> None:
    for number in range(70):
        save(tmp_path / "photos" / f"{number}.png", number, (8, 8))
    one = ingest(tmp_path / "photos", tmp_path / "one", workers=1)
    two = ingest(tmp_path / "photos", tmp_path / "two", workers=2)
    assert one.version == two.version
    assert (tmp_path / "one/manifest.json").read_bytes() == (tmp_path / "two/manifest.json").read_bytes()


def test_ingesting_again_replaces(tmp_path: Path) -> None:
    save(tmp_path / "photos" / "a.png", 1)
    first = ingest(tmp_path / "photos", tmp_path / "out")
    assert ingest(tmp_path / "photos", tmp_path / "out") == first
    save(tmp_path / "photos" / "b.png", 2)
    assert ingest(tmp_path / "photos", tmp_path / "out").count == 2


def test_a_relative_source_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "photos" / "a.png", 1)
    monkeypatch.chdir(tmp_path / "photos")
    ingest(Path(), tmp_path / "out")
    assert Dataset(tmp_path / "out").name == "photos"


def test_real_photographs(tmp_path: Path) -> None:
    photos = Path(__file__).parents[2] / "../shared/data/photos"
    if not photos.is_dir():
        pytest.skip("the shared photographs are not here")
    report = ingest(photos, tmp_path / "out")
    assert report.count == len([f for f in photos.iterdir() if f.suffix in (".jpg", ".png")]) == 7


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> DrawSpec:
    """A draw of twelve scenes."""
    monkeypatch.setattr(DrawSpec, "counts", lambda spec: {"walking": 11, "biking": 1})
    return DrawSpec(seed=5)


def test_scenes_have_the_same_bytes_whatever_the_number_of_workers(few: DrawSpec) -> None:
    one = list(scenes(few, workers=1))
    assert list(scenes(few, workers=2)) == one
    assert [s.name for s in one] == sorted(s.name for s in one) and len({s.id for s in one}) == 12
    assert all(load_image(s.image).shape == (s.height, s.width, 3) for s in one)
    for sample in one:
        check(sample.annotation, lexicon.space(), sample.name)


def test_growing_a_draw_keeps_what_was_drawn(few: DrawSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {s.name: s for s in scenes(few, workers=1)}
    monkeypatch.setattr(DrawSpec, "counts", lambda spec: {"walking": 12, "biking": 2})
    after = {s.name: s for s in scenes(few, workers=1)}
    assert len(after) == 14 and all(after[name] == sample for name, sample in before.items())
    other = {s.name: s for s in scenes(DrawSpec(seed=6), workers=1)}
    assert not {s.id for s in other.values()} & {s.id for s in after.values()}


def test_a_drawn_folder_ingests_to_what_is_drawn_directly(few: DrawSpec, tmp_path: Path) -> None:
    draw_folder(tmp_path / "scenes", few, workers=1)
    draw_folder(tmp_path / "scenes", few, workers=1)  # in place of the first
    assert sorted(p.name for p in (tmp_path / "scenes").iterdir()) == ["annotations.json", "images", "space.json"]
    report = ingest(tmp_path / "scenes", tmp_path / "ingested")
    direct = draw_scenes(tmp_path / "direct", few, workers=1)
    assert report.version == direct.version and Dataset(tmp_path / "ingested").ids == direct.ids


def test_a_draw_does_not_replace_other_files(few: DrawSpec, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="holds files that are not a draw"):
        draw_folder(tmp_path, few, workers=1)
    assert (tmp_path / "thesis.tex").exists()


def test_the_counts_of_a_draw() -> None:
    counts = DrawSpec().counts()
    assert set(counts) == set(lexicon.VERBS)
    held_out = 20 * len(lexicon.PSEUDO_UNSEEN) + 26 * len(lexicon.UNSEEN)
    assert sum(counts.values()) == 2200 + 24 * len(lexicon.SEEN) + held_out
    assert all(counts[verb] <= 5 + 24 for verb in lexicon.RARE)


def test_classes_label_images_without_annotations(tmp_path):
    for i, name in enumerate(("a.png", "sub/b.png")):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (40, 40, 3), np.uint8)).save(tmp_path / "in" / name)
    plain = ingest_classes(tmp_path / "in", tmp_path / "plain")
    assert plain.labelled == 0 and Dataset(tmp_path / "plain").space is None
    lines = [{"image": "a.png", "class_name": "Wren"}, {"image": "sub/b.png", "class_name": "Jay"}]
    (tmp_path / "classes.jsonl").write_text("\n".join(map(json.dumps, lines)))
    told = ingest_classes(tmp_path / "in", tmp_path / "told", tmp_path / "classes.jsonl")
    assert told.labelled == 2 and set(Dataset(tmp_path / "told").labels.values()) == {"Wren", "Jay"}
    (tmp_path / "classes.jsonl").write_text(json.dumps(lines[0]))
    with pytest.raises(UserError, match="no class for 1 images, among them sub/b.png"):
        ingest_classes(tmp_path / "in", tmp_path / "none", tmp_path / "classes.jsonl")
    assert not (tmp_path / "none").exists()
