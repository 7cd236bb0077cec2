"""Takes a folder of images, annotated or not, into a dataset: all of it, or one error that lists every fault.

A source folder is either just images (in any sub-folders), or `images/` beside `annotations.json` (or SWiG's
`train.json`, `dev.json`, `test.json`) and `space.json` (or `imsitu_space.json`).
"""

import dataclasses
import difflib
import os
import re
import unicodedata
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from components.base.artifacts import file_digest
from components.base.errors import UserError
from components.base.reading import read_json
from components.datasets.images import load_image, near_pairs, perceptual_hash
from components.datasets.names.files import read_truth
from components.datasets.parallel import ordered_map
from components.datasets.schema import Sample, sample_id
from components.datasets.situation import Entry, Space, check, check_space, space_of
from components.datasets.store import Dataset, DatasetWriter

Progress = Callable[[int, int], None]  # (done, total)
Job = tuple[str, str, Entry | str | None]  # a file, its name in the dataset, its entry or its class
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
OTHER_IMAGES = (".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".tif", ".tiff")
LISTED = 20  # faults shown in one error
_ADDRESS = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://|//|data:")
NEAR = 3  # bits between the perceptual hashes of near duplicates, see leak.py
FEW = 64  # below this many images, starting processes costs more than it saves


@dataclass(frozen=True, slots=True)
class Report:
    """What ingestion made, and what it noticed without refusing it. `repeats`: images passed over as known."""

    dataset: Path
    version: str
    count: int
    labelled: int
    warnings: tuple[str, ...]
    repeats: int = 0


def ingest(source: Path, out: Path, annotations: Path | None = None, space: Path | None = None, workers: int = 2,
           progress: Progress | None = None, known: Collection[str] | None = None) -> Report:
    """Ingests a source folder of either form (see above); files given explicitly win over files found in it.

    With `known` (ids of samples), images that repeat one of those or another of the folder are passed over and counted.
    """
    if source.is_dir() and (source / "images").is_dir():
        entries = [source / name for name in ("annotations.json", "train.json", "dev.json", "test.json")
                   if (source / name).exists()]
        spaces = [source / name for name in ("space.json", "imsitu_space.json") if (source / name).exists()]
        if annotations or entries:
            return ingest_folder(source / "images", out, [annotations] if annotations else entries,
                                 space or next(iter(spaces), None), workers, progress, source.name, known)
    return ingest_folder(source, out, [annotations] if annotations else [], space, workers, progress, known=known)


def ingest_classes(folder: Path, out: Path, classes: Path | None = None, workers: int = 2,
                   progress: Progress | None = None) -> Report:
    """Writes the images below `folder` as a dataset without annotations; `classes` are JSON lines with `image` (its
    path relative to the folder) and `class_name`, the label of every image. Raises UserError as `ingest_folder`."""
    paths, warnings = find_images(folder)
    labels = dict(zip(paths, read_truth(classes, list(paths)), strict=True)) if classes else {}
    jobs = [(str(path), shown, labels.get(shown)) for shown, path in paths.items()]
    return _write(jobs, out, folder.absolute().name, None, warnings, folder, len(labels), workers, progress)


def ingest_folder(folder: Path, out: Path, annotations: list[Path], space: Path | None = None, workers: int = 2,
                  progress: Progress | None = None, name: str = "", known: Collection[str] | None = None) -> Report:
    """Writes the images below `folder`, annotated by SWiG files {image path relative to it: entry}, as a dataset.

    The space is made from the annotations where none is given; without annotations it is the embedded world's, so that
    there are names to choose from. Raises UserError listing every unreadable or duplicate
    image (the first 20 of them), or every wrong annotation; then nothing is written. With `known` a repeated image is
    no fault: it is passed over.
    """
    paths, warnings = find_images(folder)
    entries, lexicon = read_annotations(annotations, space)
    if lexicon is None:
        from components.datasets.scenes.lexicon import space as embedded

        lexicon = embedded()
    named = _match(entries, list(paths), annotations)
    found = len(paths)
    if known is not None:
        paths = _unknown(paths, known)
    jobs = [(str(path), shown, named.get(shown)) for shown, path in paths.items()]
    labelled = sum(shown in named for shown in paths)
    name = name or folder.absolute().name
    report = _write(jobs, out, name, lexicon, warnings, folder, labelled, workers, progress)
    return dataclasses.replace(report, repeats=found - len(paths))


def _write(jobs: list[Job], out: Path, name: str, lexicon: Space | None, warnings: list[str], folder: Path,
           labelled: int, workers: int, progress: Progress | None) -> Report:
    """Reads all images and writes the dataset, or raises UserError listing the faulty ones."""
    faults: list[str] = []
    seen: dict[str, str] = {}
    hashes: list[str] = []
    with DatasetWriter(out, name, lexicon) as writer:
        results = ordered_map(_read, jobs, workers if len(jobs) >= FEW else 1)
        for done, ((_, shown, _), sample) in enumerate(zip(jobs, results, strict=True), 1):
            if isinstance(sample, str):
                faults.append(sample)
            elif sample.id in seen:
                faults.append(f"{shown}: the same image as {seen[sample.id]}; keep one of the two")
            else:
                seen[sample.id] = shown
                hashes.append(sample.phash)
                if not faults:
                    writer.add(sample)
            if progress:
                progress(done, len(jobs))
        if faults:
            raise _listed(faults, "image", str(folder), "repair or remove these files and run again")
    names = list(seen.values())
    near = [f"{names[i]} and {names[j]} look almost the same" for i, j in near_pairs(hashes, hashes, NEAR) if i < j]
    warnings += near[:LISTED] + [f"and {len(near) - LISTED} more such pairs"] * (len(near) > LISTED)
    dataset = Dataset(out)
    return Report(out, dataset.version, len(dataset), labelled, tuple(warnings))


def _unknown(paths: dict[str, Path], known: Collection[str]) -> dict[str, Path]:
    """Images whose bytes are neither known nor those of an earlier image of the folder."""
    seen, out = set(known), {}
    for shown, path in paths.items():
        try:
            id = file_digest(path)
        except OSError:  # reading it will say what is wrong
            out[shown] = path
            continue
        if id not in seen:
            seen.add(id)
            out[shown] = path
    return out


def find_images(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """Images below a folder by relative posix path, in order, and warnings about what was passed over.

    Hidden files are ignored, linked files read, linked folders not entered. Raises UserError if there is no image.
    """
    if not folder.is_dir():
        raise UserError("not a folder", where=str(folder), mend="give the folder that holds the images")
    found: dict[str, Path] = {}
    warnings = []
    for parent, folders, files in os.walk(folder):
        linked = sorted(f for f in folders if Path(parent, f).is_symlink())
        warnings += [f"{Path(parent, f).relative_to(folder).as_posix()}: linked folder, not entered" for f in linked]
        folders[:] = [f for f in folders if not f.startswith(".")]
        for path in (Path(parent, f) for f in files if not f.startswith(".")):
            if path.suffix.lower() in SUFFIXES + OTHER_IMAGES:
                found[path.relative_to(folder).as_posix()] = path
    if not found:
        raise UserError("there is no JPEG, PNG or WebP image in this folder", where=str(folder),
                        mend="give the folder that holds the images; sub-folders are searched too")
    return dict(sorted(found.items())), warnings


def _read(job: Job) -> Sample | str:
    """One sample, or what is wrong with it."""
    path, shown = Path(job[0]), job[1]
    entry, label = (None, job[2]) if isinstance(job[2], str) else (job[2], job[2] and job[2]["verb"])
    try:
        data = path.read_bytes()
        image = load_image(data, shown)
        height, width = image.shape[:2]
        if entry is not None and (entry["width"], entry["height"]) != (width, height):
            raise UserError(f"the annotation is for {entry['width']} x {entry['height']} pixels, the upright image has "
                            f"{width} x {height}", where=shown, mend="scale the boxes to the image")
        return Sample(sample_id(data), shown, data, width, height, perceptual_hash(image), "folder", label, entry)
    except UserError as error:
        return f"{error.where}: {error.what}" + (f"; {error.mend}" if error.mend else "")
    except OSError as error:
        return f"{shown}: cannot be read ({error.strerror})"


def read_annotations(files: list[Path], space: Path | None) -> tuple[dict[str, Entry], Space | None]:
    """Checked SWiG entries by image name, with their space (derived where no file gives it; None without annotations).

    Raises UserError listing every faulty entry (the first 20).
    """
    lexicon = None if space is None else read_json(space)
    if lexicon is not None:
        check_space(lexicon, space.name)
    entries: dict[str, Entry] = {}
    places: dict[str, str] = {}
    for file in files:
        content = read_json(file)
        if not isinstance(content, dict):
            raise UserError("must be an object {image name: entry}", where=str(file), mend="see the SWiG format")
        for key, entry in content.items():
            if key in entries:
                raise UserError(f"'{key}' is annotated in {places[key]} already", where=str(file), mend="keep one")
            entries[key], places[key] = entry, file.name
    if files and lexicon is None:
        lexicon = space_of(entries.values())
    faults = [fault for key, entry in entries.items() if (fault := _fault(key, entry, lexicon, places[key]))]
    if faults:
        raise _listed(faults, "annotation", ", ".join(map(str, files)), "correct these entries and run again")
    return entries, lexicon


def _fault(key: str, entry: Any, lexicon: Space, file: str) -> str | None:
    if _ADDRESS.match(key):
        return f"{file}: {key!r}: is an address, and nothing is fetched; put the image into the folder"
    if leaves_folder(key):
        return f"{file}: {key!r}: names a path outside the folder"
    try:
        check(entry, lexicon, f"{file}: {key}")
    except UserError as error:
        return f"{error.where}: {error.what}" + (f"; {error.mend}" if error.mend else "")
    return None


def leaves_folder(key: str) -> bool:
    """Whether an image's name is no path below the folder of images."""
    path = PurePosixPath(key.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or not path.name


def _match(entries: dict[str, Entry], names: list[str], files: list[Path]) -> dict[str, Entry]:
    """Entries by the name of the file found; accents are compared composed, as file systems differ in spelling them."""
    composed = {unicodedata.normalize("NFC", name): name for name in names}
    matched: dict[str, Entry] = {}
    faults = []
    for key, entry in entries.items():
        name = composed.get(unicodedata.normalize("NFC", str(PurePosixPath(key))))
        if name is None:
            close = difflib.get_close_matches(key, names, n=1) if len(faults) < LISTED else []
            faults.append(f"{key}: there is no such image" + (f"; did you mean '{close[0]}'?" if close else ""))
        else:
            matched[name] = entry
    if faults:
        raise _listed(faults, "annotation", ", ".join(map(str, files)), "names are paths relative to the image folder")
    return matched


def _listed(faults: list[str], kind: str, where: str, mend: str) -> UserError:
    """One error for many faults."""
    lines = [f"  {fault}" for fault in faults[:LISTED]]
    if len(faults) > LISTED:
        lines.append(f"  and {len(faults) - LISTED} more")
    plural = kind if len(faults) == 1 else f"{kind}s"
    return UserError(f"{len(faults)} faulty {plural}:\n" + "\n".join(lines), where=where, mend=mend)

