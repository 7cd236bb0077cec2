"""Turns samples, rationales and predictions into the tidy tables that the quality suites run on, one fact a column.

Every row carries `sample`, the name by which a finding points at it. Coordinates are pixels, statistics are in 0..1.
"""

import io
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from components.base import english
from components.datasets.schema import Sample

Tables = dict[str, pd.DataFrame]

BOX = ("x1", "y1", "x2", "y2")
COLUMNS: dict[str, dict[str, tuple[str, ...]]] = {
    "dataset": {
        "images": ("sample", "id", "verb", "known", "split", "width", "height", "annotated_width", "annotated_height",
                   "annotators", "agreement", "brightness", "contrast"),
        "roles": ("sample", "verb", "role", "status", "unknown_noun", "box", *BOX, "width", "height"),
        "verbs": ("sample", "group", "images", "needed_images", "train_images"),
    },
    "rationales": {
        "rationales": ("sample", "row", "kind", "role", "label", "positive", "negative", "positive_words",
                       "negative_words", "differs", "repeats_label", "ascii", "function_words", "refusal"),
    },
    "short": {"rationales": ("sample", "row", "kind", "text", "words", "ascii", "refusal")},
    "predictions": {
        "images": ("sample", "verbs", "distinct", "unframed"),
        "ranks": ("sample", "rank", "verb", "known", "score", "drop"),
        "roles": ("sample", "verb", "role", "status", "score", "box", *BOX, "width", "height"),
    },
}
SEEN_GROUPS = ("common", "rare")
RANKED = 5  # so many verbs are ranked and framed in every prediction


def dataset_frame(samples: Iterable[Sample], space: Mapping[str, Any] | None,
                  splits: Mapping[str, Any] | None = None) -> Tables:
    """Tables "images" (a row per sample), "roles" (per sample and role) and "verbs" (per verb) of a labelled dataset.

    `samples` is read once, as a stream; `space` is the lexicon (schema of imsitu_space.json; None: labels are any
    words); without `splits` the verbs are those of the samples. Unlabelled samples have no verb and no roles. An
    undecodable image has no brightness (mean grey level) and no contrast (its standard deviation), both 0..1.
    """
    split_of = {i: name for name in ("train", "dev", "test") for i in (splits or {}).get(name, ())}
    images, roles = [], []
    total: Counter[str] = Counter()
    trained: Counter[str] = Counter()
    for sample, (brightness, contrast) in _with_statistics(samples):
        entry = sample.annotation or {}
        verb = entry.get("verb", sample.label)
        frames = [f for f in entry.get("frames", ()) if isinstance(f, Mapping)]
        split = split_of.get(sample.id)
        if verb is not None:
            total[verb] += 1
            trained[verb] += split == "train"
        images.append((sample.name, sample.id, verb, verb is None or _knows(space, verb), split, sample.width,
                       sample.height, entry.get("width", math.nan), entry.get("height", math.nan),
                       len(frames) if entry else math.nan, _agreement(frames), brightness, contrast))
        if entry and space and verb in space["verbs"]:
            roles += _annotated_roles(sample, verb, entry, frames, space)
    groups = {verb: group for group, verbs in (splits or {}).get("verbs", {}).items() for verb in verbs}
    verbs = []
    for verb in sorted(groups.keys() | total.keys()):
        group = groups.get(verb)  # an unseen verb without images competes at test all the same
        verbs.append((verb, group, total[verb], math.nan if group == "unseen" else total[verb],
                      trained[verb] if group in SEEN_GROUPS else math.nan))
    return _tables("dataset", images=images, roles=roles, verbs=verbs)


def rationale_frame(records: Iterable[Mapping[str, Any]]) -> Tables:
    """Table "rationales", a row per record {"sample", "kind", "role", "positive", "negative", "label"}.

    `repeats_label` holds where the positive text has no content word beyond those of the label; `ascii` is the share of
    ASCII among the letters of both texts, `function_words` the share of English function words among their words.
    """
    rows = []
    for record in records:
        positive, negative, label = (_text(record.get(k)) for k in ("positive", "negative", "label"))
        said, denied = english.words(positive), english.words(negative)
        kind, role = record.get("kind"), _text(record.get("role"))
        rows.append((record.get("sample"), f"{record.get('sample')} {kind} {role}".strip(), kind, role, label, positive,
                     negative, len(said), len(denied), said != denied,
                     english.repeats(positive, label),
                     english.ascii_share(positive + negative),
                     english.share(said + denied), english.refuses(f"{positive}\n{negative}")))
    return _tables("rationales", rationales=rows)


def short_frame(records: Iterable[Mapping[str, Any]]) -> Tables:
    """Table "rationales", a row per record {"sample", "kind", "text"}: short answers such as names."""
    rows = []
    for record in records:
        text = _text(record.get("text"))
        rows.append((record.get("sample"), f"{record.get('sample')} {record.get('kind')}", record.get("kind"), text,
                     len(text.split()), english.ascii_share(text), english.refuses(text)))
    return _tables("short", rationales=rows)


RATIONALES = {"rationales": rationale_frame, "short": short_frame}  # the tables of what teachers say, by suite


def prediction_frame(predictions: Iterable[Mapping[str, Any]], space: Mapping[str, Any] | None,
                     sizes: Mapping[str, tuple[int, int]], labels: str = "verbs") -> Tables:
    """Tables "images", "ranks" (a row per ranked verb) and "roles" (per framed verb and role) of predictions.

    `sizes` maps a sample id to its (width, height) in pixels, against which boxes are checked; `labels` is what is
    ranked. Where there is no `space` nothing has a frame, and any name is known. `drop` is by how much
    a score lies below the one ranked before it; `unframed` names the first ranked verb that has roles and no frame.
    """
    images, ranks, roles = [], [], []
    for item in predictions:
        name, verbs, scores, frames = item["image"], list(item[labels]), list(item["scores"]), item.get("frames", {})
        scores += [math.nan] * (len(verbs) - len(scores))
        unframed = next((v for v in verbs[:RANKED] if space and v not in frames and _has_roles(space, v)), "")
        images.append((name, len(verbs), len(set(verbs)) == len(verbs), unframed))
        before = math.inf
        for rank, (verb, score) in enumerate(zip(verbs, map(_number, scores), strict=False)):
            ranks.append((name, rank + 1, verb, _knows(space, verb), score, before - score))
            before = score
        width, height = sizes[item["id"]]
        for verb, frame in frames.items():
            order = space["verbs"][verb]["order"] if space and verb in space["verbs"] else list(frame)
            for role in dict.fromkeys([*order, *frame]):
                value = frame.get(role)
                filled = isinstance(value, Mapping) and isinstance(value.get("noun"), str)
                status = "unknown" if role not in order else "ok" if filled else "missing"
                score = _number(value.get("score")) if filled else 0.0
                box = _box(value.get("box") if filled else None)
                roles.append((name, verb, role, status, score, *box, width, height))
    return _tables("predictions", images=images, ranks=ranks, roles=roles)


def _knows(space: Mapping[str, Any] | None, verb: str) -> bool:
    return space is None or verb in space["verbs"]


def _has_roles(space: Mapping[str, Any], verb: str) -> bool:
    return not _knows(space, verb) or bool(space["verbs"][verb]["order"])


def _tables(suite: str, **rows: Sequence[tuple[Any, ...]]) -> Tables:
    return {name: pd.DataFrame(values, columns=list(COLUMNS[suite][name])) for name, values in rows.items()}


def _annotated_roles(sample: Sample, verb: str, entry: Mapping[str, Any], frames: list[Mapping[str, Any]],
                     space: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    order, boxes = space["verbs"][verb]["order"], entry.get("bb") or {}
    for role in dict.fromkeys([*order, *boxes, *(r for f in frames for r in f)]):
        status = "unknown" if role not in order else "ok" if all(role in f for f in frames) else "missing"
        strange = next((n for f in frames if (n := f.get(role)) and n not in space["nouns"]), "")
        yield sample.name, verb, role, status, strange, *_box(boxes.get(role)), sample.width, sample.height


def _with_statistics(samples: Iterable[Sample]) -> Iterator[tuple[Sample, tuple[float, float]]]:
    """Samples with (brightness, contrast), a bounded number in flight: Pillow decodes outside the interpreter lock."""
    with ThreadPoolExecutor(2) as pool:
        chunk: list[Sample] = []
        for sample in samples:
            chunk.append(sample)
            if len(chunk) == 256:
                yield from zip(chunk, pool.map(_statistics, [s.image for s in chunk]), strict=True)
                chunk = []
        yield from zip(chunk, pool.map(_statistics, [s.image for s in chunk]), strict=True)


def _statistics(image: bytes) -> tuple[float, float]:
    try:
        with Image.open(io.BytesIO(image)) as picture:
            picture.draft("L", (48, 48))  # JPEG decodes at an eighth of the size; other formats ignore this
            grey = np.asarray(picture.convert("L").resize((48, 48), Image.Resampling.BOX), np.float32) / 255
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return math.nan, math.nan
    return float(grey.mean()), float(grey.std())


def _agreement(frames: Sequence[Mapping[str, Any]]) -> float:
    """Share of annotator pairs that give a role the same noun, averaged over roles; NaN with fewer than two frames."""
    roles = sorted({role for frame in frames for role in frame})
    pairs = [a.get(r) == b.get(r) for r in roles for a, b in combinations(frames, 2)]
    return sum(pairs) / len(pairs) if pairs else math.nan


def _box(box: Any) -> tuple[Any, ...]:
    """("grounded", x1, y1, x2, y2), or "none" or "malformed" and no coordinates. Hundredths of a pixel are kept."""
    nothing = (math.nan,) * 4
    if box is None or (isinstance(box, Sequence) and list(box) == [-1, -1, -1, -1]):
        return "none", *nothing
    if isinstance(box, str) or not isinstance(box, Sequence) or len(box) != 4:
        return "malformed", *nothing
    values = [_number(v) for v in box]
    return ("grounded", *(round(v, 2) for v in values)) if all(map(math.isfinite, values)) else ("malformed", *nothing)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""
