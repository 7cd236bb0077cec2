"""HICO-DET as situations, so that a recipe for situations trains on it, and such predictions as detections again.

An interaction ("riding a horse") is a verb with two roles, the person (`agent`) and the object (`item`). A situation
has one verb, so an image stands for one of its interactions, the one with the fewest training pairs (which leaves the
tail its images), shown by its largest pair. Training knows nothing of unseen interactions: a pair that takes part in
one is left out altogether, as in GEN-VLKT (arXiv 2203.13954).
"""

from collections.abc import Collection, Mapping
from typing import Any

from components.base.errors import UserError
from components.datasets.hico import Hico, HoiImage, Pair
from components.datasets.protocols import Parts
from components.datasets.situation import Entry, Space
from components.datasets.splits import Splits, SplitSpec, make_splits, shuffled

ROLES = ("agent", "item")
PERSON = "person"
RARE = 10  # interactions with fewer training pairs are rare
NUMBER = "hoi_category_id"  # where the space keeps an interaction's number


def space_of(hico: Hico) -> Space:
    """The lexicon of all interactions; raises UserError for a file without words."""
    if not hico.words:
        raise UserError("the file has numbers only, and no names of verbs and objects", where=hico.file,
                        mend="give anno_bbox.mat, which has them")
    roles = {"agent": {"framenet": "", "def": "the person"}, "item": {"framenet": "", "def": "the object"}}
    things = [PERSON, *(str(kind[1]).replace("_", " ") for kind in hico.kinds.values())]
    return {"nouns": {thing: {"gloss": [thing], "def": ""} for thing in dict.fromkeys(things)},
            "verbs": {words: {"framenet": "", "abstract": "", "def": words, "order": list(ROLES), "roles": roles,
                              NUMBER: number} for number, words in hico.words.items()}}


def by_interactions(train: Hico, test: Hico, unseen: frozenset[int], seed: int, *, dev: float = 0.1,
                    pseudo_share: float = 0.0) -> Parts:
    """A zero-shot setting as splits of situations; dev is cut from train, as HICO-DET has none.

    Raises UserError for annotations without names.
    """
    space, counts = space_of(train), train.counts()
    words = train.words
    seen = _entries(train, counts, unseen, words.keys() - unseen)
    labels = {name: entry["verb"] for name, entry in seen.items()}
    rare = tuple(sorted(set(labels.values()) & {words[n] for n in words if counts[n] < RARE}))
    pseudo = None if pseudo_share else ()
    made = make_splits(labels, SplitSpec(seed, (), pseudo, rare, dev, 0, pseudo_share=pseudo_share))
    groups = {**made.verbs, "unseen": tuple(sorted(words[n] for n in unseen))}
    known = {*groups["common"], *groups["rare"], *groups["unseen"]}
    tested = _entries(test, counts, frozenset(), {n for n in words if words[n] in known})
    splits = Splits(seed, groups, made.train, made.dev, tuple(shuffled(list(tested), seed, "")))
    kept = {split: {name: of[name] for name in getattr(splits, split)}
            for split, of in (("train", seen), ("dev", seen), ("test", tested))}
    left = {"train": len(train.images) - len(kept["train"]) - len(kept["dev"]),
            "test": len(test.images) - len(kept["test"])}
    return Parts(kept, space, splits, left)


def _entries(hico: Hico, counts: Mapping[int, int], barred: frozenset[int], allowed: Collection[int]
             ) -> dict[str, Entry]:
    """The images that have a pair to show, as SWiG entries: of an allowed interaction, and none of a barred one."""
    out = {}
    for image in hico.images:
        if (shown := _shown(image, counts, barred, allowed)) is not None and image.size is not None:
            hoi, person, thing = shown
            noun = str(hico.kinds[hoi][1]).replace("_", " ")
            out[image.name] = {"verb": hico.words[hoi], "width": image.size[0], "height": image.size[1],
                               "bb": dict(zip(ROLES, (person, thing), strict=True)),
                               "frames": [dict(zip(ROLES, (PERSON, noun), strict=True)) for _ in range(3)]}
    return out


def _shown(image: HoiImage, counts: Mapping[int, int], barred: frozenset[int], allowed: Collection[int]
           ) -> tuple[int, list[float], list[float]] | None:
    """The interaction an image stands for, with the boxes of its largest pair; None where there is none to show."""
    hidden = {(pair.person, pair.thing) for pair in image.pairs if pair.hoi in barred}
    best: tuple[tuple[int, float, int], Pair] | None = None
    for pair in image.pairs:
        boxes = [_cut(box, image.size) for box in (pair.person, pair.thing)]
        if (pair.person, pair.thing) in hidden or pair.hoi not in allowed or None in boxes:
            continue
        key = (counts.get(pair.hoi, 0), -sum(_area(b) for b in boxes if b), pair.hoi)
        if best is None or key < best[0]:
            best = key, pair
    if best is None:
        return None
    pair = best[1]
    return pair.hoi, _cut(pair.person, image.size), _cut(pair.thing, image.size)


def _cut(box: tuple[float, ...], size: tuple[int, int] | None) -> list[float] | None:
    """A box cut to its image, with its far ends as the edges after the last pixel; None where nothing is left."""
    width, height = size or (0, 0)
    x1, y1 = max(box[0], 0), max(box[1], 0)
    x2, y2 = min(box[2] + 1, width), min(box[3] + 1, height)
    return [x1, y1, x2, y2] if x1 < x2 and y1 < y2 else None


def _area(box: list[float]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def detections(prediction: Any, space: Space) -> list[dict[str, Any]]:
    """A predicted situation as detections: one for each ranked verb whose person and object were both found.

    The frame of the true verb, which predictions carry for scoring, counts only if the verb was ranked. Raises
    UserError for anything but {"verbs", "scores", "frames"} of the space's verbs.
    """
    out = []
    try:
        for verb, score in zip(prediction["verbs"], prediction["scores"], strict=True):
            frame = prediction["frames"].get(verb, {})
            boxes = [frame[role]["box"] if role in frame else None for role in ROLES]
            if None not in boxes:
                person, thing = ([x1, y1, max(x2 - 1, x1), max(y2 - 1, y1)] for x1, y1, x2, y2 in boxes)  # to pixels
                out.append({NUMBER: space["verbs"][verb][NUMBER], "person": person, "object": thing, "score": score})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"not a predicted situation of this space ({type(error).__name__}: {error})",
                        mend="give predictions.jsonl of a run on the folder that has this space") from error
    return out
