"""Looks through annotation files of SWiG, imSitu and HICO-DET and lists everything that is wrong, with its mend."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from components.base.errors import UserError, nearest
from components.base.reading import read_json
from components.datasets.hico import SPLITS, Hico, is_hico, read_hico
from components.datasets.images import load_image
from components.datasets.ingest import FEW, find_images, leaves_folder
from components.datasets.official import identify
from components.datasets.parallel import ordered_map
from components.datasets.situation import Fault, Space, faults, space_faults, space_of

LISTED = 3  # names given of many images without annotation
Progress = Callable[[int, int], None]  # (images done, total)


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault: in which file, at which image ("" is the file itself), field and role, and what to do about it."""

    level: str  # "error" or "warning"
    file: str
    image: str
    field: str
    role: str
    what: str
    mend: str

    def __str__(self) -> str:
        place = ": ".join(p for p in (self.file, self.image, self.field) if p)
        role = f" (role {self.role})" if self.role and not self.field.endswith(self.role) else ""
        return f"{self.level}: {place}{role}: {self.what}" + (f"\n  mend: {self.mend}" if self.mend else "")


@dataclass(slots=True)
class Diagnosis:
    """What was looked at, and what was found."""

    files: list[dict[str, Any]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def errors(self) -> int:
        return sum(f.level == "error" for f in self.findings)

    def add(self, file: str, image: str, fault: Fault) -> None:
        level = "warning" if fault.warning else "error"
        self.findings.append(Finding(level, file, image, fault.field, fault.role, fault.what, fault.mend))

    def record(self) -> dict[str, Any]:
        """As JSON."""
        return {"files": self.files, "errors": self.errors, "warnings": len(self.findings) - self.errors,
                "findings": [asdict(f) for f in self.findings]}


def examine(files: Iterable[Path], space: Path | None = None, images: Path | None = None, *, workers: int = 2,
            progress: Progress | None = None) -> Diagnosis:
    """Looks through annotation files, the space, and the images that belong to them (each whole image is decoded).

    A file is what its content says it is. Nothing stops at the first fault, and a broken file is a finding like others.
    """
    found = Diagnosis()
    lexicon, unusable = (None, set()) if space is None else _space(found, space)
    sizes: dict[str, tuple[int, int] | None] = {}  # by image name, as the annotations say
    homes: dict[str, str] = {}
    for file in files:
        try:
            named = _file(found, file, lexicon, unusable, space is not None)
        except UserError as error:
            found.add(error.where or str(file), "", Fault("", error.what, error.mend))
            continue
        for name, size in named.items():
            if name in homes:
                found.add(str(file), name, Fault("", f"is annotated in {homes[name]} too",
                                                 "keep it in one file: a split must not know another's images"))
            homes[name], sizes[name] = str(file), size
    if images is not None:
        _images(found, images, sizes, homes, workers, progress)
    return found


def _space(found: Diagnosis, file: Path) -> tuple[Space | None, set[str]]:
    """The usable part of the lexicon (None if it cannot be used at all), and the verbs that had to be left out."""
    try:
        content = _read(found, file)
    except UserError as error:
        found.add(str(file), "", Fault("", error.what, error.mend))
        return None, set()
    listed = list(space_faults(content))
    for fault in listed:
        found.add(str(file), "", fault)
    shaped = not any(fault.field == "" for fault in listed)
    found.files.append({"file": str(file), "form": "space" if shaped else "unknown", **identify(file),
                        "verbs": len(content["verbs"]) if shaped else 0,
                        "nouns": len(content["nouns"]) if shaped else 0})
    if not shaped:
        return None, set()
    unusable = {fault.field.partition(".")[2] for fault in listed if fault.field.startswith("verbs.")}
    usable = {verb: value for verb, value in content["verbs"].items() if verb not in unusable}
    for verb, value in usable.items():
        sentence = value.get("abstract") or ""
        for role in value["order"] if isinstance(sentence, str) and sentence else ():
            if role.upper() not in sentence:
                found.add(str(file), "", Fault(f"verbs.{verb}.abstract", "the sentence does not name the role",
                                               f"write {role.upper()} where it belongs", role, warning=True))
    return {**content, "verbs": usable}, unusable


def _file(found: Diagnosis, file: Path, space: Space | None, unusable: set[str], given: bool
          ) -> dict[str, tuple[int, int] | None]:
    """Looks through one annotation file; its images by name, with the size it states."""
    identity = identify(file)
    if file.suffix.lower() == ".mat":
        return {name: size for split in SPLITS
                for name, size in _hico(found, read_hico(file, split), identity, f" {split}").items()}
    content = _read(found, file)
    if is_hico(content):
        return _hico(found, read_hico(file), identity, "")
    if not isinstance(content, dict) or not content:
        raise UserError("neither SWiG or imSitu ({image name: entry}) nor HICO-DET annotations", where=str(file),
                        mend="give train.json, dev.json, test.json, trainval_hico.json or anno_bbox.mat")
    boxed = any(isinstance(e, dict) and "bb" in e for e in content.values())
    if space is None:
        space = space_of(content.values())
        if not given:
            found.add(str(file), "", Fault("", "verbs, roles and nouns are checked against nothing but themselves",
                                           "give the lexicon with --space FILE", warning=True))
    for name, entry in content.items():
        for fault in _entry(name, entry, space, unusable, boxed):
            found.add(str(file), name, fault)
    verbs = Counter(str(e.get("verb")) for e in content.values() if isinstance(e, dict))
    found.files.append({"file": str(file), "form": "SWiG" if boxed else "imSitu", **identity, "images": len(content),
                        "verbs": len(verbs), "images_a_verb": [min(verbs.values()), max(verbs.values())]
                        if verbs else []})
    return {name: _size(entry) for name, entry in content.items()}


def _entry(name: str, entry: Any, space: Space, unusable: set[str], boxed: bool) -> Iterator[Fault]:
    if leaves_folder(name):
        yield Fault("", "names a path outside the folder of images", "write a path relative to that folder")
    verb = entry.get("verb") if isinstance(entry, dict) else None
    if isinstance(verb, str) and verb in unusable:
        yield Fault("verb", f"the space says nothing usable of verb '{verb}'", "repair the verb in the space")
        return
    yield from faults(entry, space, boxed)
    told = Path(name).name.partition("_")[0]
    if isinstance(verb, str) and verb in space["verbs"] and told != verb and told in space["verbs"]:
        yield Fault("verb", f"the file name says '{told}', the field '{verb}'",
                    "rename the image: some readers of SWiG go by the name", warning=True)


def _hico(found: Diagnosis, content: Hico, identity: Mapping[str, str | None], split: str
          ) -> dict[str, tuple[int, int] | None]:
    file = content.file + split
    for name, fault in content.faults():
        found.add(file, name, fault)
    for image in content.images:
        for place, pair in enumerate(image.pairs) if image.size else ():
            width, height = image.size
            for role, (x1, y1, x2, y2) in (("person", pair.person), ("object", pair.thing)):
                if x1 < 0 or y1 < 0 or x2 >= width or y2 >= height:
                    what = f"box {[x1, y1, x2, y2]} lies outside the image of {width} x {height} pixels"
                    found.add(file, image.name, Fault(f"pair {place + 1}", what, "clip it, as training does; scoring "
                                                      "takes it as it is", role, warning=True))
    counts = content.counts()
    found.files.append({"file": file, "form": "HICO-DET", **identity, "images": len(content.images),
                        "pairs": sum(counts.values()), "interactions": len(counts),
                        "invisible": sum(i.invisible for i in content.images)})
    return {image.name: image.size for image in content.images}


def _images(found: Diagnosis, folder: Path, sizes: Mapping[str, tuple[int, int] | None], homes: Mapping[str, str],
            workers: int, progress: Progress | None) -> None:
    """Every annotated image is there, whole and of the size stated."""
    try:
        paths, _ = find_images(folder)
    except UserError as error:
        found.add(error.where, "", Fault("", error.what, error.mend))
        return
    by_name = {Path(shown).name: shown for shown in paths}
    used: dict[str, str] = {}  # annotated name: path below the folder
    for name in sizes:
        shown = name if name in paths else by_name.get(Path(name).name)
        if shown is None:
            hint = nearest(name, by_name) if len(by_name) < 5000 else ""
            found.add(homes[name], name, Fault("", f"there is no such image below {folder}",
                                               hint or "add the image, or leave its annotation out"))
        else:
            used[name] = shown
    jobs = [paths[shown] for shown in used.values()]
    results = ordered_map(_pixels, jobs, workers if len(jobs) >= FEW else 1)
    for done, (name, seen) in enumerate(zip(used, results, strict=True), 1):
        if isinstance(seen, Fault):
            found.add(homes[name], name, seen)
        elif sizes[name] and seen != sizes[name]:
            found.add(homes[name], name, Fault("", "the annotation is for {} x {} pixels, the upright image has {} x {}"
                                               .format(*sizes[name], *seen), "scale the boxes to the image"))
        if progress:
            progress(done, len(jobs))
    if spare := sorted(paths.keys() - set(used.values())):
        found.add(str(folder), "", Fault("", f"{len(spare)} images without annotation in these files: "
                                         f"{', '.join(spare[:LISTED])}{', ...' if len(spare) > LISTED else ''}",
                                         "nothing to mend if other files annotate them", warning=True))


def _pixels(path: Path) -> tuple[int, int] | Fault:
    """(width, height) of a whole, upright image."""
    try:
        height, width = load_image(path).shape[:2]
        return width, height
    except UserError as error:
        return Fault("", f"the image cannot be used: {error.what}", error.mend)


def _size(entry: Any) -> tuple[int, int] | None:
    found = (entry.get("width"), entry.get("height")) if isinstance(entry, dict) else (None, None)
    return found if all(type(v) is int for v in found) else None


def _read(found: Diagnosis, file: Path) -> Any:
    """The content of a JSON file; a key that an object has twice, of which readers keep the last, is a finding."""
    content = read_json(file)
    twice: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(items)
        if len(made) < len(items):
            twice.extend(key for key, count in Counter(k for k, _ in items).items() if count > 1)
        return made

    json.loads(file.read_bytes(), object_pairs_hook=pairs)
    for key in twice:
        of_image = isinstance(content, dict) and key in content
        found.add(str(file), key if of_image else "", Fault("" if of_image else key, "stands twice in its object; "
                  "readers keep the last", "keep one"))
    return content
