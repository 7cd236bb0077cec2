"""Writes a dataset in the files of SWiG, and reads such files: split JSON, imsitu_space.json, images/<verb>_<n>.jpg."""

from pathlib import Path
from typing import Any

from components.base.artifacts import new_folder, write_json
from components.base.errors import UserError
from components.base.reading import read_json
from components.datasets.images import suffix
from components.datasets.ingest import read_annotations
from components.datasets.schema import Sample
from components.datasets.situation import Entry, Space, check_space
from components.datasets.splits import Splits
from components.datasets.store import Dataset

SPLITS = ("train", "dev", "test")


def export_swig(dataset: Path, splits: Path, out: Path) -> Path:
    """Writes `train.json`, `dev.json`, `test.json`, `imsitu_space.json` and `images/` into a new folder.

    Readers of SWiG take the verb from the file name, up to "_": raises UserError for a verb that has one, for a sample
    without annotation, and where `out` holds something already.
    """
    data, parts = Dataset(dataset), Splits.load(splits)
    if data.space is None:
        raise UserError("the dataset has no annotations", where=str(dataset), mend="ingest it with an annotation file")
    split_of = {id: split for split in SPLITS for id in getattr(parts, split)}
    entries: dict[str, dict[str, Entry]] = {split: {} for split in SPLITS}
    used: set[str] = set()
    with new_folder(out) as work:
        (work / "images").mkdir()
        for sample in data.samples(split_of):
            name = _file_name(sample, used)
            (work / "images" / name).write_bytes(sample.image)
            entries[split_of[sample.id]][name] = sample.annotation
        for split in SPLITS:
            write_json(work / f"{split}.json", entries[split])
        write_json(work / "imsitu_space.json", data.space)
    return out


def _file_name(sample: Sample, used: set[str]) -> str:
    """`<verb>_<n>` with the number it has already where its name is of this form, else the next free one."""
    verb = sample.label
    if sample.annotation is None or verb is None:
        raise UserError("the sample has no annotation", where=sample.name, mend="leave it out of the splits")
    if not verb or set(verb) & set("_/\\"):
        raise UserError(f"the verb '{verb}' cannot be told from a file name", where=sample.name,
                        mend="write verbs without '_' and '/'")
    stem = Path(sample.name).stem
    if stem.rpartition("_")[0] != verb or not stem.rpartition("_")[2].isdecimal() or stem in used:
        number = 0
        while f"{verb}_{number}" in used:
            number += 1
        stem = f"{verb}_{number}"
    used.add(stem)
    return stem + suffix(sample.image)


def read_swig(folder: Path) -> tuple[dict[str, dict[str, Entry]], Space]:
    """Per split the checked entries by image name, and the space, of a folder in the files of SWiG.

    Only the splits that are there are returned. Raises UserError listing faulty entries.
    """
    files = [folder / f"{split}.json" for split in SPLITS if (folder / f"{split}.json").exists()]
    if not files:
        raise UserError("there is no train.json, dev.json or test.json", where=str(folder), mend="give a SWiG folder")
    space: Any = read_json(folder / "imsitu_space.json")
    check_space(space, str(folder / "imsitu_space.json"))
    return {file.stem: read_annotations([file], folder / "imsitu_space.json")[0] for file in files}, space
