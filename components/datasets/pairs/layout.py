"""Reads the published layout of attribute-object datasets, and takes it into a dataset.

    images/...
    compositional-split-natural/{train,val,test}_pairs.txt      a line a pair: "wet dog", or "wet+dog"
    metadata_compositional-split-natural.t7                     or metadata.json: [{image, attr, obj, set}, ...]

Words may hold "_", "." and "-". An image is of the set that its record names; whether that set's list holds its pair is
checked, never used to choose images. Records whose attribute or set is NA are passed over.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.base.errors import UserError
from components.base.reading import read_json
from components.datasets.images import load_image, perceptual_hash
from components.datasets.ingest import leaves_folder
from components.datasets.pairs.drawn import space_of
from components.datasets.pairs.pairing import SETS, Pair, label
from components.datasets.pairs.torch_lists import read_list
from components.datasets.schema import Sample, sample_id
from components.datasets.store import DatasetWriter

SPLIT = "compositional-split-natural"
FIELDS = ("image", "attr", "obj", "set")
# (attributes, objects) of a published dataset: its name and number of training pairs
PUBLISHED = {(16, 12): ("UT-Zappos", 83), (115, 245): ("MIT-States", 1262), (413, 674): ("C-GQA", 5592)}


@dataclass(frozen=True, slots=True)
class Item:
    """One image: its path below images/, its pair, its set."""

    image: str
    pair: Pair
    set: str


def read_pairs(root: Path) -> dict[str, list[Pair]]:
    """{set: its pairs} of the three lists; raises UserError naming file and line of what is no pair or is there twice.

    The number of training pairs of a published dataset (told by its numbers of words) is checked.
    """
    found = {name: list(_lines(root / SPLIT / f"{name}_pairs.txt")) for name in SETS}
    pairs = {pair for group in found.values() for pair in group}
    words = tuple(len({pair[column] for pair in pairs}) for column in (0, 1))
    if words in PUBLISHED and len(found["train"]) != PUBLISHED[words][1]:
        name, expected = PUBLISHED[words]
        raise UserError(f"{len(found['train'])} training pairs, {name} has {expected}",
                        where=str(root / SPLIT / "train_pairs.txt"), mend="take the natural split of the dataset")
    return found


def _lines(path: Path) -> Iterator[Pair]:
    try:
        text = path.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise UserError(f"cannot be read ({error})", where=str(path),
                        mend=f"give the folder that holds images/ and {SPLIT}/") from error
    seen: dict[Pair, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        parts = line.split("+") if "+" in line else line.split()
        if len(parts) != 2 or not all(p.strip() for p in parts):
            raise UserError(f"'{line.strip()[:60]}' is no pair", where=f"{path}: line {number}",
                            mend='write "attribute object", the words of a name joined by "_"')
        pair = (_word(parts[0]), _word(parts[1]))
        if pair in seen:
            raise UserError(f"'{label(pair)}' is in line {seen[pair]} already", where=f"{path}: line {number}",
                            mend="keep one")
        seen[pair] = number
        yield pair
    if not seen:
        raise UserError("holds no pair", where=str(path), mend='write "attribute object" a line')


def _word(name: str) -> str:
    """A name without spaces, so that a pair is two words."""
    return "_".join(name.split())


def read_items(root: Path, pairs: dict[str, list[Pair]]) -> tuple[list[Item], int]:
    """The images with their sets, and how many records were passed over as NA.

    Raises UserError naming the record whose fields do not fit, or whose pair is not in the list of its set.
    """
    plain, saved = root / "metadata.json", root / f"metadata_{SPLIT}.t7"
    source = plain if plain.is_file() else saved
    records = read_json(plain) if plain.is_file() else read_list(saved)
    if not isinstance(records, list):
        raise UserError("must be a list of records", where=str(source), mend="[{image, attr, obj, set}, ...]")
    allowed = {name: set(group) for name, group in pairs.items()}
    items, passed = [], 0
    for number, record in enumerate(records):
        where = f"{source}: record {number}"
        if not isinstance(record, dict) or not all(isinstance(record.get(f), str) for f in FIELDS):
            raise UserError("needs the texts image, attr, obj and set", where=where, mend="see docs/recipes/trident.md")
        image, of = record["image"], record["set"]
        attribute, thing = _word(record["attr"]), _word(record["obj"])
        if "NA" in (attribute, of):
            passed += 1
            continue
        if of not in allowed:
            raise UserError(f"set '{of}'", where=where, mend="train, val, test or NA")
        if (attribute, thing) not in allowed[of]:
            raise UserError(f"'{attribute} {thing}' is not in {of}_pairs.txt", where=where,
                            mend="take lists and metadata of one release")
        if leaves_folder(image):
            raise UserError(f"{image!r} names a path outside images/", where=where)
        items.append(Item(image, (attribute, thing), of))
    if not items:
        raise UserError("no record has a set", where=str(source), mend="take the metadata of the natural split")
    return items, passed


def ingest(root: Path, out: Path, progress: Callable[[int, int], None] | None = None) -> list[str]:
    """Writes the images of a published folder as a dataset; returns warnings (records without a set, images twice).

    Raises UserError for a missing or unreadable image; then nothing is written.
    """
    pairs = read_pairs(root)
    items, passed = read_items(root, pairs)
    warnings = [f"{passed:,} records without attribute or set were passed over"] if passed else []
    names = {name: [i.image for i in items if i.set == name] for name in SETS}
    used = {name: sorted({i.pair for i in items if i.set == name}) for name in SETS}
    seen: dict[str, str] = {}
    with DatasetWriter(out, root.absolute().name, space_of(used, names)) as writer:
        for done, item in enumerate(items, 1):
            sample = _sample(root / "images", item)
            if sample.id in seen:
                warnings.append(f"{item.image}: the same image as {seen[sample.id]}; left out")
            else:
                seen[sample.id] = item.image
                writer.add(sample)
            if progress:
                progress(done, len(items))
    return warnings


def _sample(folder: Path, item: Item) -> Sample:
    path = folder / item.image
    try:
        data: Any = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", where=str(path),
                        mend="put the images that the metadata name below images/") from error
    height, width = (image := load_image(data, item.image)).shape[:2]
    return Sample(sample_id(data), item.image, data, width, height, perceptual_hash(image), "folder", label(item.pair))
