"""Scores a file of predicted situations under every setting at once: conventions, averages, groups, intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.base.errors import UserError
from components.base.reading import read_json, read_lines
from components.datasets.official import identify
from components.evaluation import groups as grouping
from components.evaluation.bootstrap import harmonic_means, resampled_means
from components.evaluation.groups import EVERYTHING, HARMONIC
from components.evaluation.situation import (
    AVERAGES,
    CONVENTIONS,
    NUMBERS,
    Average,
    Convention,
    SituationScores,
    score_rows,
)
from components.evaluation.situation_rows import TOP, Collector, Rows

_WITHOUT_BOXES = [n for n in NUMBERS if "grnd" not in n]


@dataclass(frozen=True, slots=True)
class Request:
    """What to score and how. None for `convention` or `average` is every one of them; `bootstrap` counts resamples."""

    predictions: Path
    annotations: Path
    space: Path
    convention: Convention | None = None
    average: Average | None = None
    groups: Path | None = None
    vocabulary: Path | None = None
    bootstrap: int = 0
    seed: int = 0


def evaluate(request: Request) -> dict[str, Any]:
    """The whole report as JSON; see docs/evaluation.md for its fields. Raises UserError naming file, line and field."""
    files = {"predictions": request.predictions, "annotations": request.annotations, "space": request.space}
    space = _space(request.space)
    rows = collect(request.predictions, request.annotations, space)
    vocabulary = _vocabulary(request.vocabulary, space)
    conventions = [request.convention] if request.convention else list(CONVENTIONS)
    averages = [request.average] if request.average else list(AVERAGES)
    scores = [score_rows(rows, convention=c, vocabulary=vocabulary) for c in conventions]
    members, stated, masks = {}, dict.fromkeys(grouping.STATED, grouping.UNSTATED), {}
    if request.groups:
        members, stated = grouping.read_groups(request.groups)
        masks = grouping.masks(members, rows.verbs, rows.images, space["verbs"].keys(), str(request.groups))
    masks = {EVERYTHING: np.ones(len(rows.images), bool)} | masks
    draws = _draws(scores, masks, request.bootstrap, request.seed)
    return {
        "files": {key: {"file": str(path), **identify(path)} for key, path in files.items()},
        "images": len(rows.images),
        "verbs": len(np.unique(rows.verbs)),
        "roles": len(rows.role),
        "boxes": "annotated" if rows.boxed else "not annotated: numbers with boxes are null",
        "nouns": _nouns(rows, vocabulary, request.vocabulary),
        "protocol": {"unseen_in_training": stated, "verb_given": "in the gt_ numbers only"},
        "groups": {name: {"images": int(mask.sum()), "verbs": len(np.unique(rows.verbs[mask]))}
                   for name, mask in masks.items()},
        **({"outside_groups": grouping.counts({k: m for k, m in masks.items() if k != EVERYTHING}, len(rows.images))}
           if members else {}),
        "headline": {"convention": request.convention or "coformer", "average": request.average or "verb"},
        "bootstrap": {"resamples": request.bootstrap, "seed": request.seed, "level": 0.95},
        "settings": [_setting(one, average, masks, draws) for one in scores for average in averages],
    }


def collect(predictions: Path, annotations: Path, space: dict[str, Any]) -> Rows:
    """Predictions (JSON Lines, read one by one) beside their annotations."""
    entries = read_json(annotations)
    if not isinstance(entries, dict):
        raise UserError("must be an object {image name: entry}", where=str(annotations), mend="see the SWiG format")
    collector = Collector(entries, space, truth=str(annotations), source=str(predictions))
    del entries  # what is needed of them lies in the arrays
    least = min(TOP, len(space["verbs"]))
    for number, prediction in read_lines(predictions):
        collector.add(prediction, number)
        if len(prediction["verbs"]) < least:
            raise UserError(f"{len(prediction['verbs'])} verbs are ranked", mend=f"rank at least {least}, best first",
                            where=f"{predictions} line {number}: {prediction['image']}")
    return collector.rows()


def _space(file: Path) -> dict[str, Any]:
    space = read_json(file)
    if not isinstance(space, dict) or not isinstance(space.get("verbs"), dict) or not all(
            isinstance(v, dict) and isinstance(v.get("order"), list) and v["order"] for v in space["verbs"].values()):
        raise UserError('must be an object with "verbs", each with its roles in "order"', where=str(file),
                        mend="give imsitu_space.json; `foveate data doctor` lists its faults")
    return space


def _vocabulary(file: Path | None, space: dict[str, Any]) -> set[str] | None:
    """The nouns a model may say: those of a file (a noun a line, or `noun,id` as in train_classes.csv), else of the
    space; None, which is no limit, where the space lists none."""
    if file is None:
        return set(space.get("nouns") or ()) or None
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot be read ({error})", where=str(file), mend="give a text file, a noun a line") from error
    nouns = {line.partition(",")[0].strip() for line in lines} - {"", "blank", "oov", "Pad"}
    if not nouns:
        raise UserError("there is no noun in this file", where=str(file), mend="write a noun a line")
    return nouns


def _nouns(rows: Rows, vocabulary: set[str] | None, file: Path | None) -> dict[str, Any]:
    """How many nouns are outside the vocabulary, in roles of predictions and of annotations."""
    if vocabulary is None:
        return {"vocabulary": "without limit: the space lists no nouns"}
    outside = np.array([bool(n) and n not in vocabulary for n in rows.names])
    return {"vocabulary": str(file) if file else "the nouns of the space", "count": len(vocabulary),
            "predicted_outside": int(outside[rows.noun].sum()),
            "annotated_outside": int(outside[rows.true_noun].any(1).sum())}


def _draws(scores: Sequence[SituationScores], masks: dict[str, np.ndarray], resamples: int, seed: int
           ) -> dict[tuple[str, str], dict[str, np.ndarray]]:
    """{(group, convention): {"image" | "verb": [resamples, 14]}}: the same images are drawn for all conventions."""
    out: dict[tuple[str, str], dict[str, np.ndarray]] = {}
    for number, (group, mask) in enumerate(masks.items() if resamples else ()):
        if not mask.any():
            continue
        values = np.concatenate([one.per_image[mask] for one in scores], -1)
        for kind, strata in (("image", None), ("verb", scores[0].verbs[mask])):
            drawn = resampled_means(values, groups=strata, n=resamples, seed=seed + number)
            for i, one in enumerate(scores):
                out.setdefault((group, one.convention), {})[kind] = drawn[:, len(NUMBERS) * i:len(NUMBERS) * (i + 1)]
    return out


def _setting(scores: SituationScores, average: Average, masks: dict[str, np.ndarray], draws: dict) -> dict[str, Any]:
    """The numbers of one convention and average for every group, and the harmonic mean of seen and unseen."""
    out: dict[str, Any] = {"convention": scores.convention, "average": average, "groups": {}}
    means, resampled = {}, {}
    for group, mask in masks.items():
        if not mask.any():
            out["groups"][group] = None
            continue
        part = scores if mask.all() else scores.select(mask)
        means[group] = np.array(list(part.averaged(average).values()))
        resampled[group] = _of_average(draws.get((group, scores.convention)), average, scores)
        out["groups"][group] = _numbers(means[group], resampled[group])
    if sides := grouping.harmonic_sides(means):
        both = None if resampled["seen"] is None else harmonic_means(*(resampled[s] for s in sides))
        out[HARMONIC] = _numbers(harmonic_means(*(means[s] for s in sides)), both)
    return out


def _of_average(kinds: dict[str, np.ndarray] | None, average: Average, scores: SituationScores) -> np.ndarray | None:
    if kinds is None or average != "script":
        return None if kinds is None else kinds[average]
    return np.where(scores.over_images, kinds["image"], kinds["verb"])


def _numbers(means: np.ndarray, resampled: np.ndarray | None) -> dict[str, Any]:
    """The 14 numbers, the mean of the 8 that need no box, and intervals; None for what cannot be said."""
    def plain(values: np.ndarray) -> list[float | None]:
        return [None if np.isnan(v) else float(v) for v in values]

    out: dict[str, Any] = dict(zip(NUMBERS, plain(means), strict=True))
    out["mean"] = float(np.mean([out[n] for n in _WITHOUT_BOXES]))
    if resampled is not None:
        low, high = (plain(np.quantile(resampled, q, axis=0)) for q in (0.025, 0.975))
        out["intervals"] = {n: [a, b] for n, a, b in zip(NUMBERS, low, high, strict=True) if a is not None}
    return out


_HEADS = ("verb", "value", "v-all", "grnd", "g-all")


def table(report: dict[str, Any]) -> str:
    """The report for people, in %: one row a setting and group, the headline marked with *."""
    head = report["headline"]
    width = max(len(g) for g in (*report["groups"], HARMONIC)) + 1
    left = " " * (18 + width)
    lines = [f"{report['images']:,} images, {report['verbs']} verbs, {report['roles']:,} roles; in %, * the headline",
             "", f"{left}   {'top-1':<35}{'top-5':<35}true verb",
             left + "".join(f"{h:>7}" for h in (*_HEADS, *_HEADS, *_HEADS[1:]))]
    for setting in report["settings"]:
        if (setting["convention"], setting["average"]) == ("coformer", "script") and head["average"] != "script":
            continue  # its script averages over images: these rows are there already
        mark = "*" if all(setting[k] == head[k] for k in head) else " "
        rows = dict(setting["groups"]) | ({HARMONIC: setting[HARMONIC]} if HARMONIC in setting else {})
        for i, (group, numbers) in enumerate(rows.items()):
            name = f"{mark} {setting['convention']:<9}{setting['average']:<7}" if i == 0 else " " * 18
            cells = ["   no image"] if numbers is None else [_cell(numbers[n]) for n in NUMBERS]
            lines.append(f"{name}{group:<{width}}" + "".join(cells))
    return "\n".join([*lines, *_notes(report)])


def _cell(value: float | None) -> str:
    return f"{'-':>7}" if value is None else f"{100 * value:7.2f}"


def _notes(report: dict[str, Any]) -> list[str]:
    notes = []
    nouns = report["nouns"]
    if nouns.get("predicted_outside") or nouns.get("annotated_outside"):
        notes.append(f"nouns outside the vocabulary, counted as oov: {nouns['predicted_outside']:,} roles predicted, "
                     f"{nouns['annotated_outside']:,} roles annotated")
    outside = report.get("outside_groups", {})
    if outside.get("in_no_group"):
        notes.append(f"{outside['in_no_group']:,} images are in no group: they count under `{EVERYTHING}` only")
    if report["boxes"] != "annotated":
        notes.append("the annotations have no boxes")
    if report["bootstrap"]["resamples"]:
        head = next(s for s in report["settings"] if all(s[k] == v for k, v in report["headline"].items()))
        for group, numbers in {**head["groups"], HARMONIC: head.get(HARMONIC)}.items():
            if numbers:
                low, high = numbers["intervals"]["top1_verb"]
                notes.append(f"top-1 verb, {group}: {100 * numbers['top1_verb']:.2f} "
                             f"[{100 * low:.2f}, {100 * high:.2f}], 95 % of resampled images")
    return ["", *notes] if notes else []
