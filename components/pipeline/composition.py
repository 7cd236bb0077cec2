"""Scoring a file of pair scores, as a command: closed or open world, both modes, intervals, feasibility."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from components.evaluation.composition import Mode, Ranked
    from components.evaluation.composition_files import Pairs, Scores

TRIALS = 50


def score_file(scores: Path, pairs: Path, *, mode: "Mode", world: str, top_k: int, validation: Path | None = None,
               threshold: float | None = None, draws: int = 1000, seed: int = 0) -> dict[str, Any]:
    """The report on a score file (`components.evaluation.composition_files`); all scores in 0..1.

    In the open world all pairs are candidates. Where the pair file says how feasible they are, unseen pairs below
    `threshold` are not; without one it is chosen on `validation`, another score file over the same pairs: the one of
    50 even steps with the best area there. Raises UserError for anything that does not fit.
    """
    import numpy as np

    from components.base.errors import UserError
    from components.evaluation import composition
    from components.evaluation.composition_files import Scores, read_pairs

    if top_k < 1:
        raise UserError(f"must be 1 or more, got {top_k}", where="--top-k", mend="1 is usual; 3 and 5 are reported too")
    known = read_pairs(pairs)
    opened = Scores(scores, known)
    candidates = known.candidates if world == "closed" else np.ones_like(known.seen)
    seen, unseen = known.seen & candidates, ~known.seen & candidates
    _both_sides(opened, known, candidates, scores)
    feasible = _feasibility(known, world, mode, top_k, validation, threshold)
    if feasible["threshold"] is not None:
        unseen = unseen & (known.feasibility >= feasible["threshold"])
    ranked, = composition.rank(opened.blocks(), opened.labels, seen, [np.flatnonzero(unseen)], top_k)
    return {
        "mode": mode, "world": world, "top_k": top_k, "images": len(opened.labels),
        "seen_images": int((~ranked.unseen).sum()), "unseen_images": int(ranked.unseen.sum()),
        "pairs": len(known.seen), "seen_candidates": int(seen.sum()), "unseen_candidates": int(unseen.sum()),
        "ties": "a tie with the true pair is an error", "unit": "0..1",
        **_numbers(ranked, known.parts, mode, draws, seed), "feasibility": feasible,
    }


def _numbers(ranked: "Ranked", parts: "np.ndarray", mode: "Mode", draws: int, seed: int) -> dict[str, Any]:
    """The selected mode's numbers on top, then intervals, both modes and their difference, averages over pairs."""
    from components.evaluation import composition

    steps = {m: composition.Steps(ranked, m) for m in composition.MODES}
    found = {m: _finite(steps[m].curve().numbers()) for m in composition.MODES}
    unbiased = composition.primitives(ranked, parts, 0.0)
    return {
        **found[mode], "attribute_accuracy": unbiased["attribute_accuracy"],
        "object_accuracy": unbiased["object_accuracy"],
        "intervals": composition.intervals(steps[mode], n=draws, seed=seed) if draws else {},
        "modes": found,
        "difference": {n: found["exact"][n] - found["reference"][n] for n in composition.NUMBERS},
        "per_class": _finite(steps[mode].curve(composition.per_class(ranked)).numbers()),
        "accuracy_at_bias": {"0": unbiased, f"{composition.FAR:.0f}": composition.primitives(
            ranked, parts, composition.FAR)},
    }


def _finite(numbers: dict[str, float]) -> dict[str, float | None]:
    """JSON knows no infinity: a bias without bound is null."""
    return {k: v if abs(v) != float("inf") else None for k, v in numbers.items()}


def _both_sides(opened: "Scores", known: "Pairs", candidates: "np.ndarray", path: Path) -> None:
    from components.base.errors import UserError

    of_images = known.seen[opened.labels]
    if of_images.all() or not of_images.any():
        kind = "unseen" if of_images.all() else "seen"
        raise UserError(f"no image has a {kind} pair", where=str(path), mend="score images of both kinds together")
    if not candidates[opened.labels].all():
        raise UserError("an image has a pair that is no candidate", where=str(path),
                        mend="filter images by their set, or mark the pair in 'candidates'")


def _feasibility(known: "Pairs", world: str, mode: "Mode", k: int, validation: Path | None,
                 threshold: float | None) -> dict[str, Any]:
    """The threshold that holds, and how it was come by."""
    from components.base.errors import UserError

    if validation is None and threshold is None:
        return {"threshold": None, "chosen_on": None}
    if world != "open" or known.feasibility is None:
        raise UserError("a threshold needs the open world and 'feasibility' in the pair file",
                        where="--threshold" if validation is None else "--validation", mend="add --world open")
    if validation is not None and threshold is not None:
        raise UserError("the threshold is given already", where="--validation", mend="leave one of the two out")
    if threshold is not None:
        if not -float("inf") < threshold < float("inf"):
            raise UserError(f"must be a finite number, got {threshold}", where="--threshold", mend="for example 0.4")
        return {"threshold": threshold, "chosen_on": "given"}
    return _choose(known, validation, mode, k)


def _choose(known: "Pairs", validation: Path, mode: "Mode", k: int) -> dict[str, Any]:
    """The threshold with the best area on validation, all tried in one pass over the file; the lower of equals."""
    import numpy as np

    from components.evaluation import composition
    from components.evaluation.composition_files import Scores

    opened = Scores(validation, known)
    _both_sides(opened, known, np.ones_like(known.seen), validation)
    unseen = np.flatnonzero(~known.seen)
    value = known.feasibility[unseen]
    tried = np.linspace(value.max(), value.min(), TRIALS)  # falling: each lets more pairs in
    tried[-1] = value.min()
    first = np.searchsorted(-tried, -value)  # the first trial that lets a pair in
    groups = [unseen[first == t] for t in range(TRIALS)]
    ranked = composition.rank(opened.blocks(), opened.labels, known.seen, groups, k)
    areas = [composition.Steps(r, mode).curve().numbers()["auc"] for r in ranked]
    best = max(range(TRIALS), key=lambda t: (areas[t], t))
    return {"threshold": float(tried[best]), "chosen_on": "validation", "validation_auc": areas[best],
            "trials": [[float(t), a] for t, a in zip(tried, areas, strict=True)]}


def report_text(report: dict[str, Any]) -> str:
    """The report for a reader; scores in percent."""
    lines = [f"{report['images']:,} images ({report['unseen_images']:,} of unseen pairs), {report['world']} world: "
             f"{report['seen_candidates']:,} seen and {report['unseen_candidates']:,} unseen candidates, "
             f"top {report['top_k']}, {report['mode']} mode"]
    if report["feasibility"]["threshold"] is not None:
        lines.append(f"  feasibility threshold {report['feasibility']['threshold']:.4f}, "
                     f"{report['feasibility']['chosen_on'].replace('validation', 'chosen on validation')}")
    for name, title in (("auc", "AUC"), ("best_hm", "best harmonic mean"), ("best_seen", "best seen"),
                        ("best_unseen", "best unseen")):
        low, high = report["intervals"].get(name, (None, None))
        spread = f"   ({100 * low:.2f} to {100 * high:.2f})" if low is not None else ""
        lines.append(f"  {title:<20}{100 * report[name]:6.2f}{spread}")
    for name in ("attribute", "object"):
        lines.append(f"  {name + ' accuracy':<20}{100 * report[f'{name}_accuracy']:6.2f}   without bias")
    change = ", ".join(f"{n.replace('_', ' ')} {100 * v:+.2f}" for n, v in report["difference"].items())
    lines.append(f"  exact less reference: {change}")
    return "\n".join(lines)
