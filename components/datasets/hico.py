"""Reads annotations of HICO-DET: the published anno_bbox.mat, or the JSON files into which PPDM turned it.

The 600 interactions have the numbers 1 to 600 (`hoi_category_id`). Boxes are [x1, y1, x2, y2] in pixels counted from 0,
both ends inside, as in the JSON files; the .mat file counts from 1. Source: Chao et al., Learning to Detect
Human-Object Interactions (arXiv 1702.05448); Liao et al., PPDM (arXiv 1912.12898).
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from components.base.errors import UserError
from components.base.reading import read_json
from components.datasets.situation import Fault

CLASSES = 600
PERSON = 1  # the category of people in the JSON files: ids of COCO
SPLITS = ("train", "test")

Box = tuple[float, float, float, float]
Kind = tuple[Any, Any]  # verb and object of an interaction: numbers from JSON, words from .mat


@dataclass(frozen=True, slots=True)
class Pair:
    """A person and an object that interact."""

    hoi: int
    person: Box
    thing: Box


@dataclass(slots=True)
class HoiImage:
    """One image with its visible pairs; `size` is (width, height) in pixels where the file states it."""

    name: str
    pairs: list[Pair] = field(default_factory=list)
    invisible: int = 0
    size: tuple[int, int] | None = None
    faults: list[Fault] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Hico:
    """One split. `kinds` maps an interaction's number to its verb and object, for those the file tells of; `words` to
    its name as text ("riding a horse"), where the file has words (.mat)."""

    file: str
    images: list[HoiImage]
    kinds: dict[int, Kind]
    words: dict[int, str] = field(default_factory=dict)

    def counts(self) -> dict[int, int]:
        """Pairs of each interaction, the basis of "rare" (fewer than 10 in training) and of zero-shot settings."""
        return Counter(pair.hoi for image in self.images for pair in image.pairs)

    def faults(self) -> Iterator[tuple[str, Fault]]:
        """(image name, fault) of everything that is wrong; a faulty pair is in no image's `pairs`."""
        seen: set[str] = set()
        for image in self.images:
            for fault in image.faults:
                yield image.name, fault
            if image.name in seen:
                yield image.name, Fault("file_name", "the image is annotated twice", "join the two records")
            seen.add(image.name)
            times = Counter(image.pairs)
            for pair, count in times.items():
                if count > 1:
                    yield image.name, Fault("hoi_annotation", f"interaction {pair.hoi} of the same two boxes is listed "
                                            f"{count} times", "keep one; evaluators count every one", warning=True)

    def require_sound(self) -> "Hico":
        """Itself; raises UserError naming the first fault and how many there are."""
        found = [(name, fault) for name, fault in self.faults() if not fault.warning]
        if found:
            name, first = found[0]
            raise UserError(f"{first.what} ({len(found)} faults in the file)",
                            where=f"{self.file}: {name}: {first.field}",
                            mend="`foveate data doctor` lists them all")
        return self


def read_hico(file: Path, split: str | None = None) -> Hico:
    """Images, pairs and faults of a file; a .mat file holds both splits, so `split` ("train" or "test") says which.

    Raises UserError for a file that is not of either form; faults of single records are kept with their images.
    """
    if file.suffix.lower() == ".mat":
        return _read_mat(file, split or "test")
    content = read_json(file)
    if not is_hico(content):
        raise UserError('must be a list of {"file_name", "annotations", "hoi_annotation"}', where=str(file),
                        mend="give trainval_hico.json, test_hico.json or anno_bbox.mat")
    kinds: dict[int, Kind] = {}
    return Hico(str(file), [_image(record, number, kinds) for number, record in enumerate(content)], kinds)


def is_hico(content: Any) -> bool:
    """Whether parsed JSON has the form of PPDM's files."""
    return (isinstance(content, list) and bool(content)
            and all(isinstance(r, dict) and "hoi_annotation" in r for r in content[:3]))


def _image(record: Any, number: int, kinds: dict[int, Kind]) -> HoiImage:
    """One record of the JSON form."""
    name = record.get("file_name") if isinstance(record, dict) else None
    image = HoiImage(name if isinstance(name, str) and name else f"record {number}")
    if image.name != name:
        image.faults.append(Fault("file_name", "there is no file name", "add it"))
        return image
    things, pairs = record.get("annotations"), record.get("hoi_annotation")
    if not isinstance(things, list) or not isinstance(pairs, list):
        image.faults.append(Fault("annotations", '"annotations" and "hoi_annotation" must be lists', "repair them"))
        return image
    for place, hoi in enumerate(pairs):
        made = _pair(hoi, things, f"hoi_annotation[{place}]", kinds)
        if isinstance(made, Fault):
            image.faults.append(made)
            continue
        image.pairs.append(made)
        if _whole(things[hoi["subject_id"]].get("category_id")) != PERSON:
            image.faults.append(Fault(f"annotations[{hoi['subject_id']}].category_id", "the subject is no person",
                                      f"a person is {PERSON}", "person", warning=True))
    return image


def _pair(hoi: Any, things: list[Any], where: str, kinds: dict[int, Kind]) -> Pair | Fault:
    if not isinstance(hoi, dict):
        return Fault(where, "must be an object", "see hoi_annotation in PPDM's files")
    number, verb = _whole(hoi.get("hoi_category_id")), _whole(hoi.get("category_id"))
    if number is None or not 1 <= number <= CLASSES:
        return Fault(f"{where}.hoi_category_id", f"must be 1 to {CLASSES}, got {hoi.get('hoi_category_id')!r}",
                     "give the interaction's number")
    ends: list[Box] = []
    category: int | None = None
    for key, role in (("subject_id", "person"), ("object_id", "object")):
        index = hoi.get(key)
        if type(index) is not int or not 0 <= index < len(things):
            return Fault(f"{where}.{key}", f"there is no box {index!r} among {len(things)}",
                         "add the box, or leave the pair out", role)
        thing = things[index]
        box = thing.get("bbox") if isinstance(thing, dict) else None
        if fault := box_fault(box):
            return Fault(f"annotations[{index}].bbox", *fault, role)
        category = _whole(thing.get("category_id"))
        ends.append(tuple(map(float, box)))
    kind = (verb, category)
    if verb is None or category is None or kinds.setdefault(number, kind) != kind:
        return Fault(where, f"interaction {number} is of verb and object {kinds.get(number)} elsewhere, here of {kind}",
                     "make hoi_category_id, category_id and the object's category_id agree")
    return Pair(number, ends[0], ends[1])


def _whole(value: Any) -> int | None:
    """A whole number, also one given as text with blanks around, as some copies of the files do."""
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    return value if type(value) is int else None


def box_fault(box: Any) -> tuple[str, str] | None:
    """(what, mend) if a box is not four finite numbers with the first corner not beyond the second."""
    if not isinstance(box, list) or len(box) != 4 or not all(
            type(v) in (int, float) and np.isfinite(v) for v in box):
        return f"malformed box {box!r:.80}", "a box is [x1, y1, x2, y2] in pixels"
    if box[0] > box[2] or box[1] > box[3]:
        return f"box {box} has its corners the wrong way round", "write x1 <= x2, y1 <= y2"
    return None


def _read_mat(file: Path, split: str) -> Hico:
    """One split of anno_bbox.mat: `bbox_train` or `bbox_test`, and the names in `list_action`."""
    from scipy.io import loadmat  # takes half a second to import

    key = f"bbox_{split}"
    try:
        content = loadmat(str(file), variable_names=[key, "list_action"], simplify_cells=True)
        records, actions = _many(content[key]), _many(content["list_action"])
        kinds = {i: (str(a["vname"]), str(a["nname"])) for i, a in enumerate(actions, 1)}
        words = {i: _words(str(a["vname"]), str(a["vname_ing"]), str(a["nname"])) for i, a in enumerate(actions, 1)}
        return Hico(str(file), [_mat_image(record) for record in records], kinds, words)
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror or error})", where=str(file), mend="check it") from error
    except Exception as error:  # of a broken file loadmat raises what it likes
        raise UserError(f"not the annotations of HICO-DET ({type(error).__name__}: {error})", where=str(file),
                        mend="give anno_bbox.mat as published") from error


def _mat_image(record: dict[str, Any]) -> HoiImage:
    size = record["size"]
    image = HoiImage(str(record["filename"]), size=(int(size["width"]), int(size["height"])))
    for place, hoi in enumerate(_many(record["hoi"])):
        number, where = int(hoi["id"]), f"hoi({place + 1})"
        if int(hoi["invis"]):
            image.invisible += 1
            continue
        people, things = _many(hoi["bboxhuman"]), _many(hoi["bboxobject"])
        for i, j in np.asarray(hoi["connection"], int).reshape(-1, 2):
            if not (1 <= number <= CLASSES and 1 <= i <= len(people) and 1 <= j <= len(things)):
                image.faults.append(Fault(f"{where}.connection", f"[{i}, {j}] of interaction {number} joins no boxes",
                                          "leave the pair out"))
                continue
            ends = [[float(box[c]) - 1 for c in ("x1", "y1", "x2", "y2")] for box in (people[i - 1], things[j - 1])]
            bad = [(role, fault) for role, box in zip(("person", "object"), ends, strict=True)
                   if (fault := box_fault(box))]
            if bad:
                image.faults.append(Fault(where, *bad[0][1], bad[0][0]))
            else:
                image.pairs.append(Pair(number, tuple(ends[0]), tuple(ends[1])))
    return image


def _words(verb: str, participle: str, thing: str) -> str:
    """An interaction as text: "riding a horse"."""
    doing = "no interaction with" if verb == "no_interaction" else participle
    return f"{doing} {'an' if thing[0] in 'aeiou' else 'a'} {thing}".replace("_", " ")


def _many(value: Any) -> list[Any]:
    """A MATLAB struct array as a list: of one element it comes as the element itself, of none as an empty array."""
    if isinstance(value, dict):
        return [value]
    return list(np.atleast_1d(value))
