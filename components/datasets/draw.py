"""Draws the embedded world `scenes`: into a dataset at once, or into a SWiG-form folder of images to look at."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from components.base.artifacts import digest, write_json
from components.base.errors import UserError
from components.datasets.images import load_image, perceptual_hash, suffix
from components.datasets.parallel import ordered_map
from components.datasets.scenes import lexicon, world
from components.datasets.scenes.spec import DrawSpec
from components.datasets.schema import Sample, sample_id
from components.datasets.situation import UNGROUNDED
from components.datasets.store import Dataset, DatasetWriter

Progress = Callable[[int, int], None]  # (done, total)
SOON = 500  # scenes that are drawn in the time in which a process starts


def scene_seed(seed: int, verb: str, index: int) -> int:
    """The seed of one scene: depends on nothing but the three."""
    return int(digest([seed, verb, index])[:12], 16)


@cache
def _space() -> dict[str, Any]:
    return lexicon.space()


def _draw(job: tuple[int, str, int]) -> Sample:
    seed, verb, index = job
    scene = world.draw(verb, scene_seed(seed, verb, index))
    image, (height, width) = world.encode(scene.image), scene.image.shape[:2]
    entry = {"verb": verb, "height": height, "width": width,
             "bb": {role: _box(scene.boxes.get(role), width, height) for role in _space()["verbs"][verb]["order"]},
             "frames": [dict(frame) for frame in scene.frames]}
    name = f"{verb}_{index}{suffix(image)}"
    return Sample(sample_id(image), name, image, width, height, perceptual_hash(load_image(image, name)),
                  f"scenes, seed {seed}", verb, entry)


def _box(box: tuple[float, ...] | None, width: int, height: int) -> list[int]:
    """Whole pixels inside the image and at least one wide, as in SWiG."""
    if box is None:
        return list(UNGROUNDED)
    x1, y1 = (min(max(int(v), 0), limit - 1) for v, limit in zip(box[:2], (width, height), strict=True))
    x2, y2 = (min(max(round(v), low + 1), limit)
              for v, low, limit in zip(box[2:], (x1, y1), (width, height), strict=True))
    return [x1, y1, x2, y2]


def scenes(spec: DrawSpec, workers: int | None = None, progress: Progress | None = None) -> Iterator[Sample]:
    """The scenes of a draw in the order of their names: the same bytes whatever the number of workers (None: as many
    as are worth their start)."""
    jobs = [(spec.seed, verb, index) for verb, count in spec.counts().items() for index in range(count)]
    jobs.sort(key=lambda job: f"{job[1]}_{job[2]}.")  # by file name, the order in which a folder is ingested
    workers = workers or min(2, 1 + len(jobs) // SOON)
    for done, sample in enumerate(ordered_map(_draw, jobs, workers), 1):
        yield sample
        if progress:
            progress(done, len(jobs))


def draw_scenes(out: Path, spec: DrawSpec, workers: int | None = None, progress: Progress | None = None) -> Dataset:
    """Draws straight into a dataset folder; has the version that ingesting `draw_folder` of the same spec gives."""
    with DatasetWriter(out, "scenes", _space()) as writer:
        for sample in scenes(spec, workers, progress):
            writer.add(sample)
    return Dataset(out)


def draw_folder(out: Path, spec: DrawSpec, workers: int | None = None, progress: Progress | None = None) -> Path:
    """Draws into `images/`, `annotations.json` (SWiG entries by image name) and `space.json`, the input of ingestion.

    The folder appears when all is drawn, in place of an earlier draw; raises UserError if something else is there.
    """
    if out.exists() and any(out.iterdir()) and not (out / "annotations.json").exists():
        raise UserError("holds files that are not a draw", where=str(out), mend="choose an empty or a new folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as temporary:
        work = Path(temporary) / "draw"
        (work / "images").mkdir(parents=True)
        entries = {}
        try:
            for sample in scenes(spec, workers, progress):
                (work / "images" / sample.name).write_bytes(sample.image)
                entries[sample.name] = sample.annotation
            write_json(work / "annotations.json", entries)
            write_json(work / "space.json", _space())
        except OSError as error:
            raise UserError(f"cannot be written ({error.strerror})", where=str(out),
                            mend="free some disk space and run again; nothing was left behind") from error
        shutil.rmtree(out, ignore_errors=True)
        work.rename(out)
    return out
