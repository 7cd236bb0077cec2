"""Scores a file of HICO-DET detections: full, rare and non-rare, and unseen and seen of a zero-shot setting."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.base.reading import read_json
from components.datasets.hico import CLASSES, Hico, read_hico
from components.datasets.hico_settings import unseen
from components.datasets.official import identify
from components.datasets.situation import check_space
from components.evaluation import hico as scorer
from components.evaluation.groups import STATED, UNSTATED
from components.evaluation.situation import harmonic


@dataclass(frozen=True, slots=True)
class Request:
    """What to score. `train` gives "rare" and the UC settings their counts; `lists` the unseen of a setting; `space`
    says that predictions are situations of a run on a folder of `foveate data split --protocol`."""

    predictions: Path
    annotations: Path
    train: Path | None = None
    setting: str | None = None
    lists: Path | None = None
    space: Path | None = None
    per_image: int = 100


def evaluate(request: Request) -> dict[str, Any]:
    """The report as JSON; see docs/evaluation.md for its fields. Raises UserError naming file, line and field."""
    test = read_hico(request.annotations, "test").require_sound()
    train = _train(request)
    kinds = train.kinds if train else test.kinds
    unknown = unseen(request.setting, train, request.lists, kinds) if request.setting else frozenset()
    space = None
    if request.space is not None:
        space = read_json(request.space)
        check_space(space, str(request.space))
    found = scorer.read_detections(request.predictions, test, space)
    kept = scorer.keep_best(found, request.per_image)
    scores = scorer.score(kept, scorer.truth(test))
    files = {"predictions": request.predictions, "annotations": request.annotations, "train": request.train,
             "lists": request.lists, "space": request.space}
    return {
        "files": {key: {"file": str(path), **identify(path)} for key, path in files.items() if path},
        "images": len(test.images),
        "pairs": int(scores.pairs.sum()),
        "detections": {"read": len(found.score), "kept": len(kept.score), "per_image": request.per_image or None,
                       "images_without": found.silent},
        "interactions_without_pair": int((scores.pairs == 0).sum()),
        "setting": request.setting,
        "protocol": {"mode": "default: every image is searched for every interaction",
                     "unseen_in_training": dict.fromkeys(STATED, UNSTATED)},
        "train": None if train is None else {"pairs": sum(train.counts().values()),
                                             "faulty_records": sum(not f.warning for _, f in train.faults())},
        "groups": _groups(scores, train, unknown),
        "per_interaction": {str(i + 1): {"ap": float(scores.ap[i]), "pairs": int(scores.pairs[i])}
                            for i in np.flatnonzero(scores.pairs)},
        "unseen": sorted(unknown),
    }


def _train(request: Request) -> Hico | None:
    """The training annotations: the file given, or the other split of a .mat file."""
    if request.train is not None:
        return read_hico(request.train, "train")
    return read_hico(request.annotations, "train") if request.annotations.suffix.lower() == ".mat" else None


def _groups(scores: scorer.HicoScores, train: Hico | None, unknown: frozenset[int]) -> dict[str, Any]:
    out: dict[str, Any] = {"full": scores.mean()}
    numbers = np.arange(1, CLASSES + 1)
    if train is not None:
        counts = train.counts()
        rare = np.array([counts.get(int(n), 0) < scorer.RARE for n in numbers])
        out |= {"rare": scores.mean(rare), "non-rare": scores.mean(~rare)}
    if unknown:
        hidden = np.isin(numbers, list(unknown))
        out |= {"unseen": scores.mean(hidden), "seen": scores.mean(~hidden)}
        sides = [out[name]["map"] for name in ("seen", "unseen")]
        out["harmonic"] = {"map": None if None in sides else harmonic(*sides)}
    return out


def table(report: dict[str, Any]) -> str:
    """The report for people, in %."""
    found = report["detections"]
    best = "all" if found["per_image"] is None else f"the best {found['per_image']}"
    lines = [f"{report['images']:,} images, {report['pairs']:,} pairs; {found['kept']:,} of {found['read']:,} "
             f"detections, {best} of an image; in %", "",
             f"{report['setting'] or '':<10}{'mAP':>8}{'recall':>8}  interactions"]
    for name, group in report["groups"].items():
        cells = [f"{'-':>8}" if group.get(k) is None else f"{100 * group[k]:8.2f}" for k in ("map", "recall")]
        lines.append(f"{name:<10}{''.join(cells)}  {group.get('interactions', '')}".rstrip())
    if found["images_without"]:
        lines += ["", f"{found['images_without']:,} annotated images are not in the predictions and count as empty"]
    if report["interactions_without_pair"]:
        lines += ["", f"{report['interactions_without_pair']} interactions have no pair in these annotations "
                      "and count nowhere"]
    if report["train"] and report["train"]["faulty_records"]:
        lines += ["", f"{report['train']['faulty_records']} faults in the training annotations: those pairs are not "
                      "counted; `foveate data doctor` lists them"]
    return "\n".join(lines)
