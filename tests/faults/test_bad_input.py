"""Every bad input of the data rooms: one clear error that names file, field and mend, and nothing half-written."""

import json
import os
import resource
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.base.errors import PipelineError, UserError
from components.datasets.ingest import ingest
from components.datasets.parallel import ordered_map
from components.datasets.scenes.spec import DrawSpec
from components.datasets.situation import check, check_space
from components.datasets.splits import SplitSpec, make_splits
from components.datasets.store import Dataset

ROOT = Path(__file__).parents[2]
SPACE = {"nouns": {"n10287213": {"gloss": ["man"], "def": ""}, "n04096066": {"gloss": ["road"], "def": ""}},
         "verbs": {"running": {"order": ["agent", "place"], "roles": {"agent": {}, "place": {}}}}}


def save(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (30, 40, 3), np.uint8)).save(path)
    return path


def entry(**changes: object) -> dict:
    frame = {"agent": "n10287213", "place": "n04096066"}
    good = {"verb": "running", "width": 40, "height": 30, "frames": [dict(frame) for _ in range(3)],
            "bb": {"agent": [1, 2, 20, 30], "place": [-1, -1, -1, -1]}}
    return good | changes


def refused(source: Path, *arguments: Path) -> str:
    """The one error of ingesting `source`; asserts that nothing was written."""
    before = sorted(source.parent.rglob("*"))
    with pytest.raises(UserError) as caught:
        ingest(source, source.parent / "out", *arguments)
    assert sorted(source.parent.rglob("*")) == before
    return str(caught.value)


def test_empty_and_missing_folders(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "readme.txt").write_text("no image")
    message = refused(tmp_path / "photos")
    assert "photos: there is no JPEG, PNG or WebP image" in message and "mend: give the folder" in message
    assert "nowhere: not a folder" in refused(tmp_path / "nowhere")
    assert "readme.txt: not a folder" in refused(tmp_path / "photos" / "readme.txt")


def test_all_bad_images_are_listed_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    save(folder / "good.png")
    (folder / "cut.jpg").write_bytes(save(folder / "whole.jpg", 1).read_bytes()[:-300])
    (folder / "text.jpg").write_text("I am no picture")
    (folder / "empty.png").write_bytes(b"")
    save(folder / "film.gif", 2)
    bomb = bytearray(save(folder / "bomb.png", 3).read_bytes())
    bomb[16:24] = (50_000).to_bytes(4, "big") * 2
    bomb[29:33] = zlib.crc32(bytes(bomb[12:29])).to_bytes(4, "big")
    (folder / "bomb.png").write_bytes(bomb)
    save(folder / "sub" / "copy.png")
    message = refused(folder)
    for words in ("6 faulty images", "cut.jpg: truncated", "text.jpg: not a JPEG", "empty.png: the file is empty",
                  "film.gif: not a JPEG", "bomb.png: too large to decode",
                  "sub/copy.png: the same image as good.png", "mend: repair or remove these files"):
        assert words in message, message


def test_only_the_first_twenty_are_listed(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for number in range(25):
        (tmp_path / "photos" / f"{number:02}.jpg").write_text(str(number))
    message = refused(tmp_path / "photos")
    assert "25 faulty images" in message and "19.jpg" in message and "20.jpg" not in message and "and 5 more" in message


ENTRIES = [
    ([], "must be an object", "an entry is"),
    ({"verb": "running"}, "'height' is missing", "an entry is"),
    (entry(verb="runing"), "verb: unknown verb 'runing'", "did you mean 'running'?"),
    (entry(verb=["running"]), "verb: unknown verb ['running']", "did you mean"),
    (entry(width=0), "width: must be a positive whole number", ""),
    (entry(bb=[]), "bb: must be an object", ""),
    (entry(bb={"agnt": [1, 2, 3, 4]}), "bb: verb 'running' has no role 'agnt'", "did you mean 'agent'?"),
    (entry(bb={"agent": [1, 2, 3, 4]}), "bb: role 'place' of verb 'running' is missing", "[-1, -1, -1, -1]"),
    (entry(bb={"agent": [1, 2, 41, 30], "place": [-1] * 4}), "bb.agent: box [1, 2, 41, 30] lies outside", "40 x 30"),
    (entry(bb={"agent": [-1, 2, 4, 30], "place": [-1] * 4}), "bb.agent: box [-1, 2, 4, 30] lies outside", "clip"),
    (entry(bb={"agent": [9, 2, 4, 30], "place": [-1] * 4}), "bb.agent: box [9, 2, 4, 30] has no area", "x1 < x2"),
    (entry(bb={"agent": [1, 2, 3], "place": [-1] * 4}), "bb.agent: malformed box [1, 2, 3]", "[x1, y1, x2, y2]"),
    (entry(bb={"agent": "1 2 3 4", "place": [-1] * 4}), "bb.agent: malformed box", "[x1, y1, x2, y2]"),
    (entry(bb={"agent": [1, 2, 3, float("nan")], "place": [-1] * 4}), "bb.agent: malformed box", "pixels"),
    (entry(frames=entry()["frames"][:2]), "frames: expected 3 frames, one an annotator, got 2", "repeat the frame"),
    (entry(frames=None), "frames: expected 3 frames, one an annotator, got None", "repeat the frame"),
    (entry(frames=[{"agent": 3, "place": ""}] * 3), "frames[0].agent: a noun must be text", 'write ""'),
    (entry(frames=[{"agent": "n10287214", "place": ""}] * 3), "frames[0].agent: unknown noun", "n10287213"),
    (entry(frames=[{"agent": "n10287213"}] * 3), "frames[0]: role 'place' of verb 'running' is missing", 'write ""'),
]


@pytest.mark.parametrize(("bad", "what", "mend"), ENTRIES, ids=[case[1][:30] for case in ENTRIES])
def test_bad_annotations_name_file_image_field_and_mend(bad: object, what: str, mend: str, tmp_path: Path) -> None:
    save(tmp_path / "photos" / "one.png")
    save(tmp_path / "photos" / "two.png", 1)
    (tmp_path / "a.json").write_text(json.dumps({"one.png": entry(), "two.png": bad}))
    (tmp_path / "s.json").write_text(json.dumps(SPACE))
    message = refused(tmp_path / "photos", tmp_path / "a.json", tmp_path / "s.json")
    assert "1 faulty annotation" in message and "a.json: two.png: " in message and "one.png" not in message
    assert what in message and mend in message


def test_good_annotations_pass() -> None:
    check(entry(), SPACE, "good")
    check(entry(bb={"agent": [0, 0, 40, 30.0], "place": [-1] * 4}), SPACE, "good")
    check(entry(frames=[{"agent": "anyone", "place": ""}] * 3), SPACE | {"nouns": {}}, "no nouns listed")


@pytest.mark.parametrize("key", ["../one.png", "/etc/one.png", "a/../../one.png", "..\\one.png", ""])
def test_annotation_keys_that_leave_the_folder(key: str, tmp_path: Path) -> None:
    save(tmp_path / "photos" / "one.png")
    (tmp_path / "a.json").write_text(json.dumps({key: entry()}))
    assert "names a path outside the folder" in refused(tmp_path / "photos", tmp_path / "a.json")


def test_annotation_files_that_do_not_fit(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    save(photos / "one.png")
    file = tmp_path / "a.json"
    file.write_text(json.dumps({"on.png": entry()}))
    message = refused(photos, file)
    assert "on.png: there is no such image; did you mean 'one.png'?" in message and "a.json" in message
    file.write_text(json.dumps({"one.png": entry(width=41)}))
    assert "one.png: the annotation is for 41 x 30 pixels, the upright image has 40 x 30" in refused(photos, file)
    file.write_text('{"one.png": {,')
    assert "a.json: not JSON: " in refused(photos, file) and "line 1" in refused(photos, file)
    file.write_bytes(b'{"one.png": "\xff"}')
    assert "a.json: not JSON text in UTF-8" in refused(photos, file)
    file.write_text("[]")
    assert "a.json: must be an object {image name: entry}" in refused(photos, file)
    assert "none.json: cannot be read" in refused(photos, tmp_path / "none.json")


def test_the_same_image_annotated_in_two_files(tmp_path: Path) -> None:
    save(tmp_path / "swig" / "images" / "one.png")
    for name in ("train.json", "dev.json"):
        (tmp_path / "swig" / name).write_text(json.dumps({"one.png": entry()}))
    assert "dev.json: 'one.png' is annotated in train.json already" in refused(tmp_path / "swig")


@pytest.mark.parametrize(("space", "words"), [
    ([], 'must be an object with "nouns" and "verbs"'),
    ({"nouns": {"n1": {}}, "verbs": {}}, 'nouns.n1: "gloss" must be a list'),
    ({"nouns": {}, "verbs": {"running": {"order": "agent"}}}, 'verbs.running: "order" must be a list'),
    ({"nouns": {}, "verbs": {"running": {"order": ["agent"], "roles": {}}}}, 'verbs.running: "order" and "roles"'),
])
def test_bad_space_files(space: object, words: str) -> None:
    with pytest.raises(UserError) as caught:
        check_space(space, "space.json")
    assert words in str(caught.value) and str(caught.value).startswith("space.json")


def test_disk_full_during_a_shard_leaves_nothing(tmp_path: Path) -> None:
    """A real failing write: the process may not make a file of more than 20 kB."""
    for number in range(12):
        save(tmp_path / "photos" / f"{number}.png", number)
    code = f"""
import resource, signal, sys
from pathlib import Path
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
from components.base.errors import UserError
from components.datasets.ingest import ingest
try:
    ingest(Path({str(tmp_path / "photos")!r}), Path({str(tmp_path / "out")!r}))
except UserError as error:
    sys.exit(str(error))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "shards/00000.parquet: cannot be written (File too large)" in done.stderr
    assert "mend: free some disk space" in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["photos"]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 20_000


def test_a_kill_while_writing_leaves_no_dataset_and_the_next_run_succeeds(tmp_path: Path) -> None:
    for number in range(12):
        save(tmp_path / "photos" / f"{number}.png", number)
    code = f"""
import os, signal
from pathlib import Path
from components.datasets.ingest import ingest
def stop(done, total):
    if done == 6:
        os.kill(os.getpid(), signal.SIGKILL)
ingest(Path({str(tmp_path / "photos")!r}), Path({str(tmp_path / "out")!r}), progress=stop)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == -9
    with pytest.raises(UserError, match="not a dataset"):
        Dataset(tmp_path / "out")
    assert ingest(tmp_path / "photos", tmp_path / "out").count == 12
    Dataset(tmp_path / "out").verify()
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["manifest.json", "shards", "space.json"]


def die(number: int) -> int:
    """A job that takes its worker with it."""
    os._exit(number)
    return number


def test_a_dying_worker_is_said() -> None:
    with pytest.raises(PipelineError, match="a worker process died"):
        list(ordered_map(die, [1, 2], 2))


def test_workers_leave_with_a_killed_parent(tmp_path: Path) -> None:
    code = f"""
import os, signal
from pathlib import Path
from components.datasets.draw import draw_scenes
from components.datasets.scenes.spec import DrawSpec
import multiprocessing
def stop(done, total):
    if done == 3:
        print(*[child.pid for child in multiprocessing.active_children()], flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
draw_scenes(Path({str(tmp_path / "out")!r}), DrawSpec(), progress=stop)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    workers = [int(pid) for pid in done.stdout.split()]
    assert len(workers) == 2, done.stderr
    deadline = time.time() + 10
    while any(alive(pid) for pid in workers) and time.time() < deadline:
        time.sleep(0.1)
    assert not any(alive(pid) for pid in workers)


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_unknown_and_doubled_verbs_in_a_split() -> None:
    labels = {str(number): ("running", "walking", "jumping")[number % 3] for number in range(30)}
    with pytest.raises(UserError, match=r"(?s)splits: unseen: unknown verb 'runing'.*did you mean 'running'\?"):
        make_splits(labels, SplitSpec(unseen=("runing",)))
    with pytest.raises(UserError, match="splits: pseudo_unseen: verb 'walking' is in unseen already"):
        make_splits(labels, SplitSpec(unseen=("walking",), pseudo_unseen=("walking",)))


@pytest.mark.parametrize("change", [{"test": -0.1}, {"dev": 1.5}, {"unseen_share": 1.0}])
def test_split_sizes_out_of_range(change: dict) -> None:
    with pytest.raises(UserError, match=f"splits: {next(iter(change))}: must be a share below 1 or a whole count"):
        make_splits({"a": "running"}, SplitSpec(**change))


def test_splits_that_leave_nothing_to_train_on() -> None:
    with pytest.raises(UserError, match="no image is left for training"):
        make_splits({str(number): "running" for number in range(10)}, SplitSpec(unseen=(), pseudo_unseen=(), test=10))


def test_a_draw_of_nothing() -> None:
    with pytest.raises(UserError, match="test_per_verb: must be at least 1"):
        DrawSpec(test_per_verb=0).counts()
    with pytest.raises(UserError, match="total_train: 5 images are too few"):
        DrawSpec(total_train=5).counts()
