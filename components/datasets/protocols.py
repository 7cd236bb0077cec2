"""Splits the field's own files by the field's protocols, into a folder that ingestion and a run take as it is.

`verbs` is verb-level, as L10 and L20 of Ov-SWiG: a tenth of all verbs is unseen (no image in train or dev), a fifth
rare. `triples` leaves the files alone and groups images by how often training holds their rarest verb, role and noun
together, as imSitu's sparsity (Yatskar et al., Commonly Uncommon, arXiv 1612.00901).
"""

import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from components.base.artifacts import new_folder, write_json
from components.base.errors import UserError
from components.base.reading import read_json
from components.datasets.situation import Entry, Space, check_space, faults
from components.datasets.splits import Splits, SplitSpec, check_lists, held_out_labels, shuffled

SPLITS = ("train", "dev", "test")
PROTOCOL = "protocol.json"  # in a folder that a protocol made: which one, and what scores it
SPARSE = 10  # training images of a triple up to which an image is called sparse, as in imSitu's evaluation
Entries = dict[str, dict[str, Entry]]  # by split, by image name


@dataclass(frozen=True, slots=True)
class Parts:
    """A protocol applied: entries by split, their lexicon, splits that tell samples by name, and what was left out."""

    entries: Entries
    space: Space
    splits: Splits
    left_out: dict[str, int]


def shares(protocol: str, **given: float | None) -> dict[str, float]:
    """The shares of verbs that are unseen, rare and pseudo-unseen: those given, else the protocol's own."""
    own = {"unseen": 0.1, "rare": 0.2, "pseudo": 0.1 if protocol == "verbs" else 0.0}
    return own | {name: share for name, share in given.items() if share is not None}


def read_files(source: Path) -> tuple[Entries, Space]:
    """The entries of train.json, dev.json and test.json and the space of a folder, of SWiG or of imSitu.

    Raises UserError for a file that is missing, and for the first faulty entry.
    """
    space = read_json(source / "imsitu_space.json")
    check_space(space, str(source / "imsitu_space.json"))
    entries: Entries = {}
    for split in SPLITS:
        file = source / f"{split}.json"
        content = read_json(file)
        if not isinstance(content, dict) or not content:
            raise UserError("must be an object {image name: entry}", where=str(file), mend="give SWiG's file")
        boxed = any(isinstance(e, dict) and "bb" in e for e in content.values())
        for name, entry in content.items():
            for fault in faults(entry, space, boxed):
                raise replace(fault, mend="`foveate data doctor` lists every fault").error(f"{file}: {name}")
        entries[split] = content
    return entries, space


def read_verbs(file: Path) -> tuple[str, ...]:
    """A list of verbs: JSON (a list, or an object with "verbs"), or a verb a line."""
    if file.suffix.lower() == ".json":
        content = read_json(file)
        verbs = content.get("verbs") if isinstance(content, dict) else content
    else:
        try:
            verbs = [line.strip() for line in file.read_text("utf-8").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"cannot be read ({error})", where=str(file), mend="give a verb a line") from error
    if not isinstance(verbs, list) or not verbs or not all(isinstance(v, str) for v in verbs):
        raise UserError("must be a list of verbs", where=str(file), mend='["running", ...] or a verb a line')
    return tuple(dict.fromkeys(verbs))


def by_verbs(entries: Entries, space: Space, spec: SplitSpec, rare_share: float = 0.2) -> Parts:
    """The verb-level protocol: unseen, pseudo-unseen and rare verbs are those of `spec`, or drawn from its seed.

    Train keeps the images of seen verbs, dev also those of pseudo-unseen verbs (for tuning), test everything but those.
    A verb without training image is unseen, drawn or not; one that no image is left of is in no group. Rare verbs,
    where none are listed, are the share `rare_share` of all verbs that has the fewest training images.
    Raises UserError for lists that do not fit.
    """
    verbs = sorted({entry["verb"] for part in entries.values() for entry in part.values()})
    check_lists(spec, verbs)
    trained = Counter(entry["verb"] for entry in entries["train"].values())
    unseen, pseudo = held_out_labels(verbs, spec)
    unseen |= {v for v in verbs if not trained[v]} - pseudo
    seen = [v for v in verbs if v not in unseen | pseudo]
    rare = set(spec.rare if spec.rare is not None else sorted(
        shuffled(seen, spec.seed, "rare"), key=lambda v: trained[v])[:round(rare_share * len(verbs))])
    barred = {"train": unseen | pseudo, "dev": unseen, "test": pseudo}
    kept = {split: {name: entry for name, entry in part.items() if entry["verb"] not in barred[split]}
            for split, part in entries.items()}
    if not kept["train"]:
        raise UserError("no image is left for training", where="--unseen", mend="leave some verbs seen")
    shown = {entry["verb"] for part in kept.values() for entry in part.values()}
    listed = {"common": set(seen) - rare, "rare": rare, "pseudo_unseen": pseudo, "unseen": unseen}
    groups = {group: tuple(sorted(of & shown)) for group, of in listed.items()}
    names = (tuple(shuffled(list(kept[split]), spec.seed, "")) for split in SPLITS)
    return Parts(kept, space, Splits(spec.seed, groups, *names),
                 {split: len(entries[split]) - len(kept[split]) for split in SPLITS}
                 | {"verbs": len(set(verbs) - shown)})


def sparsity(train: Mapping[str, Entry], entries: Mapping[str, Entry]) -> dict[str, int]:
    """Per image how often training holds its rarest triple: over roles the least, over annotators' nouns the most, of
    the number of training images with that verb, role and noun in any frame."""
    held: Counter[tuple[str, str, str]] = Counter()
    for entry in train.values():
        held.update({(entry["verb"], role, noun) for frame in entry["frames"] for role, noun in frame.items()})
    return {name: min(max(held[entry["verb"], role, frame[role]] for frame in entry["frames"])
                      for role in entry["frames"][0]) for name, entry in entries.items()}


def by_triples(entries: Entries, most: int = SPARSE) -> dict[str, dict[str, list[str]]]:
    """Per split (dev, test) groups of image names: seen, unseen (a triple never trained on), rare (at most `most`)."""
    out = {}
    for split in ("dev", "test"):
        found = sparsity(entries["train"], entries[split])
        groups: dict[str, list[str]] = defaultdict(list)
        for name, times in found.items():
            groups["seen" if times else "unseen"].append(name)
            if times <= most:
                groups["rare"].append(name)
        out[split] = {name: groups[name] for name in ("seen", "rare", "unseen")}
    return out


def groups_of(splits: Splits) -> dict[str, Any]:
    """groups.json of a verb-level protocol: what `foveate evaluate situation --groups` takes."""
    verbs = splits.verbs
    named = {"seen": sorted([*verbs["common"], *verbs["rare"]]), "rare": list(verbs["rare"]),
             "pseudo_unseen": list(verbs["pseudo_unseen"]), "unseen": list(verbs["unseen"])}
    return {name: of for name, of in named.items() if of} | {
        "protocol": {"images": "unknown", "boxes": "unknown"}}


def write_folder(parts: Parts, out: Path, images: Mapping[str, Path], told: Mapping[str, str | None]) -> None:
    """Writes the files of SWiG with `splits.json`, `groups.json` and, where they are known, the images.

    `told` is written too: the "protocol", and of HICO-DET the "annotations" and "lists" that score it. Images are
    linked, not copied, where the file system can. Raises UserError where `out` is not empty.
    """
    with new_folder(out) as work:
        for split in SPLITS:
            write_json(work / f"{split}.json", parts.entries[split])
        write_json(work / "imsitu_space.json", parts.space)
        write_json(work / "groups.json", groups_of(parts.splits))
        write_json(work / PROTOCOL, told)
        parts.splits.save(work / "splits.json")
        if images:
            _link(((name, images[name]) for part in parts.entries.values() for name in part), work / "images")


def find(folder: Path | None, names: Iterable[str]) -> dict[str, Path]:
    """The images of `names` below a folder, by relative path or by file name; empty where no folder is given.

    Raises UserError for the first image that is not there.
    """
    if folder is None:
        return {}
    if not folder.is_dir():
        raise UserError("not a folder", where=str(folder), mend="give the folder of the images")
    by_name = {name: Path(parent, name) for parent, _, files in os.walk(folder) for name in files}
    found = {name: folder / name if (folder / name).is_file() else by_name.get(Path(name).name) for name in names}
    if lost := [name for name, path in found.items() if path is None]:
        raise UserError(f"there is no image '{lost[0]}' ({len(lost)} such images)", where=str(folder),
                        mend="`foveate data doctor --images` lists them")
    return {name: path for name, path in found.items() if path is not None}


def _link(images: Iterable[tuple[str, Path]], folder: Path) -> None:
    for name, path in images:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path.resolve(), target)
        except OSError:  # another file system, or one without links
            shutil.copyfile(path, target)


def summary(parts: Parts, out: Path) -> str:
    """What a person wants to know of a split."""
    verbs, counts = parts.splits.verbs, {split: len(getattr(parts.splits, split)) for split in SPLITS}
    groups = ", ".join(f"{len(of)} {name.replace('_', '-')}" for name, of in verbs.items())
    left: Sequence[str] = [f"{n:,} of {split}" for split, n in parts.left_out.items() if n]
    return "\n".join([
        f"{', '.join(f'{n:,} {split}' for split, n in counts.items())} in {out}",
        f"verbs: {groups}", *([f"left out: {', '.join(left)}"] if left else []),
        f"splits {parts.splits.sha256[:12]}"])
