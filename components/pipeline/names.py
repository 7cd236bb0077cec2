"""Merging a teacher's names, as a command: files in, files and a report of its effect out."""

from pathlib import Path
from typing import Any


def consolidate_file(labels: Path, out: Path, truth: Path | None, risk: float) -> dict[str, Any]:
    """Merges names in JSON lines (`components.datasets.names.files`) and reports what that did.

    The report holds the size of the vocabulary before and after and the merges by reason; with `truth` also cluster
    accuracy and purity before and after, and the paired change of cluster accuracy with its 95 % interval.
    """
    from collections import Counter

    from components.base.errors import UserError
    from components.datasets.names import files
    from components.datasets.names.consolidate import consolidate
    from components.datasets.names.spelling import normalise

    if not 0 <= risk <= 1:
        raise UserError(f"must lie in 0..1, got {risk}", where="--risk", mend="a share of all images, such as 0.01")
    _own_file(out, labels, truth)
    given = files.read_labels(labels)
    classes = files.read_truth(truth, given.images) if truth else None
    made = consolidate(given.answers, risk=risk)
    report: dict[str, Any] = {
        "images": len(given.images), "images_with_several_labels": given.several,
        "names": {"before": len({normalise(n) for n in given.first}), "after": len({normalise(n) for n in made.names})},
        "merges": dict(sorted(Counter(m.because for m in made.merges).items())),
    }
    if classes:
        report |= _effect(given.images, given.first, made.names, classes)
    files.write(out, given, made)
    return report


def _own_file(out: Path, *others: Path | None) -> None:
    from components.base.errors import UserError

    if any(other and out.resolve() == other.resolve() for other in others):
        raise UserError("would overwrite what it is made from", where=f"--out {out}", mend="name another file")
    if not out.absolute().parent.is_dir():
        raise UserError("no such folder", where=str(out.absolute().parent), mend="make it first")


def _effect(images: tuple[str, ...], before: list[str], after: tuple[str, ...],
            classes: tuple[str, ...]) -> dict[str, Any]:
    from components.evaluation.clustering import score

    raw, merged = (score(images, names, classes) for names in (before, after))
    change, low, high = merged.better(raw)
    effect = {name: {"before": raw.numbers[name], "after": merged.numbers[name]}
              for name in ("cluster_accuracy", "purity", "nmi", "ari")}
    return effect | {"cluster_accuracy_change": {"points": 100 * change, "low": 100 * low, "high": 100 * high}}


def report_text(report: dict[str, Any]) -> str:
    """The report for a reader; scores in percent."""
    names, lines = report["names"], []
    lines.append(f"{report['images']:,} images: {names['before']:,} names before, {names['after']:,} after")
    lines += [f"  {count:>5} merged: {because}" for because, count in report["merges"].items()]
    for name in ("cluster_accuracy", "purity", "nmi", "ari"):
        if name in report:
            lines.append(f"  {name.replace('_', ' '):<17}{100 * report[name]['before']:6.2f} before, "
                         f"{100 * report[name]['after']:6.2f} after")
    if "cluster_accuracy_change" in report:
        change = report["cluster_accuracy_change"]
        lines.append(f"  change of cluster accuracy {change['points']:+.2f} points "
                     f"(95 % interval {change['low']:+.2f} to {change['high']:+.2f})")
    return "\n".join(lines)


def undo_file(names: Path, way_back: Path | None, out: Path, only: tuple[str, ...]) -> str:
    from components.datasets.names import files

    _own_file(out, names)
    changed = files.undo(names, way_back or files.undo_path(names), out, only)
    return f"{changed:,} images have their first label back, in {out}"
