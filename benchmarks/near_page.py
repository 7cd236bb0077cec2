"""Writes what `benchmarks.near_results` found: near.json with every figure, near.md with the tables, near.png."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from components.base.artifacts import write_bytes, write_json
from components.evaluation import bootstrap, plots
from components.evaluation.clustering import break_even
from components.teachers.prices import Price

COLUMNS = {"cluster accuracy": "cluster_accuracy", "semantic": "semantic_accuracy", "NMI": "nmi", "ARI": "ari",
           "purity": "purity", "names said": "names"}
PRICE = Price(tokens_in=0.15, tokens_out=0.6)  # dollars a million, as small hosted models cost; to be set by the reader


def write(found: Mapping[int, Any], speed: Mapping[str, float], out: Path) -> None:
    """`found` {seed: {regime: ...}} as `near_results.one_seed` gives it, `speed` as `near_results.speed`."""
    out.mkdir(parents=True, exist_ok=True)
    regimes, first = list(next(iter(found.values()))), found[min(found)]
    figures = {regime: {
        "methods": _figures([found[s][regime]["scores"] for s in found]),
        "ablations": _figures([of for s in found if (of := found[s][regime]["ablations"])]),
        "gain_of_near": {name: gain(found, regime, name) for name in first[regime]["scores"]
                         if name not in ("near", "teacher")},
        "auroc": {name: [found[s][regime]["auroc"][name] for s in found] for name in first[regime]["auroc"]},
        "labels": {kind: {k: float(np.mean([found[s][regime]["labels"][kind][k] for s in found]))
                          for k in ("distinct_names", "cluster_accuracy", "purity", "exact_name")}
                   for kind in ("raw", "merged")},
        "cost": cost(found, regime)} for regime in regimes}
    write_json(out / "near.json", {"seeds": list(found), "regimes": figures, "student_ms": speed})
    write_bytes(out / "near.md", page(list(found), figures, speed).encode())
    rows: dict[str, dict[str, list[float]]] = {}
    for regime in regimes:
        for name, columns in figures[regime]["methods"].items():
            values = np.array(columns["cluster_accuracy"])
            rows.setdefault(name, {})[f"regime {regime}"] = [
                float(v) for v in (values.mean(), values.mean() - values.std(), values.mean() + values.std())]
    plots.headline(rows, out / "near.png", title="Cluster accuracy on held-out birds")


def _figures(scores: list[Mapping[str, Any]]) -> dict[str, dict[str, list[float]]]:
    """{method: {measure: a figure for each seed}}"""
    return {name: {metric: [float(s[name].numbers[metric]) for s in scores] for metric in COLUMNS.values()}
            for name in (scores[0] if scores else ())}


def gain(found: Mapping[int, Any], regime: str, other: str) -> dict[str, list[float]]:
    """Near minus another method in cluster accuracy: over all images of all seeds with the paired interval, and the
    differences of the seeds."""
    pairs = [(found[s][regime]["scores"]["near"], found[s][regime]["scores"][other]) for s in found]
    for ours, theirs in pairs:
        ours.better(theirs)  # refuses what was not measured alike
    mine, them = (np.concatenate([pair[k].per_image["cluster_accuracy"] for pair in pairs]) for k in (0, 1))
    return {"all": [float(v) for v in bootstrap.paired(mine, them)],
            "seeds": [float(a.numbers["cluster_accuracy"] - b.numbers["cluster_accuracy"]) for a, b in pairs]}


def cost(found: Mapping[int, Any], regime: str) -> dict[str, float | None]:
    """What naming the training images cost, and from how many images on the student is cheaper."""
    answers = [answer for s in found for answer in found[s][regime]["answers"]]
    each = float(np.mean([PRICE.of(a) for a in answers]))
    labels = each * len(answers) / len(found)
    return {"images_named": len(answers) / len(found), "dollars": labels, "dollars_an_image": each,
            "teacher_ms": 1e3 * float(np.mean([a.seconds for a in answers])), "break_even": break_even(labels, each)}


def page(seeds: list[int], figures: Mapping[str, Any], speed: Mapping[str, float]) -> str:
    lines = ["# NeaR against its baselines, on drawn birds", "",
             f"Re-made by `make results-near` (seeds {', '.join(map(str, seeds))}). In percent, mean ± standard "
             f"deviation over {len(seeds)} seeds. Every method of a seed has the same images, names (after merging), "
             "views, student, steps and learning rate; DivideMix trains two students.", ""]
    for regime, of in figures.items():
        raw, merged = of["labels"]["raw"], of["labels"]["merged"]
        lines += [f"## Regime `{regime}`", "",
                  f"The teacher's names of the training images: {raw['distinct_names']:.0f} distinct, cluster accuracy "
                  f"{100 * raw['cluster_accuracy']:.1f}, purity {100 * raw['purity']:.1f}; after merging "
                  f"{merged['distinct_names']:.0f}, {100 * merged['cluster_accuracy']:.1f}, "
                  f"{100 * merged['purity']:.1f}.",
                  "", *table(of["methods"]), "",
                  "| near against | cluster accuracy, points (95 % paired interval) | per seed |", "|---|---|---|"]
        for name, found in of["gain_of_near"].items():
            d, low, high = (100 * v for v in found["all"])
            lines.append(f"| {name} | {d:+.1f} [{low:+.1f}, {high:+.1f}] | "
                         + ", ".join(f"{100 * v:+.1f}" for v in found["seeds"]) + " |")
        told = [f"{name} {np.mean(known):.2f}" for name, values in of["auroc"].items()
                if (known := [v for v in values if v is not None])]
        lines += ["", "How well weights order right names before wrong ones (AUROC): " + ", ".join(told) + ".", ""]
        if of["ablations"]:
            of_seeds = len(next(iter(of["ablations"].values()))["cluster_accuracy"])
            near = {k: v[:of_seeds] for k, v in of["methods"]["near"].items()}
            lines += [f"One switch changed at a time, first {of_seeds} seeds:", "",
                      *table({"near": near} | of["ablations"]), ""]
    return "\n".join([*lines, *_costs(figures, speed), "", "![cluster accuracy](near.png)", ""])


def table(methods: Mapping[str, Mapping[str, list[float]]]) -> list[str]:
    lines = ["| | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, columns in methods.items():
        cells = [_cell(columns[metric], 1 if metric == "names" else 100) for metric in COLUMNS.values()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def _cell(values: list[float], factor: int) -> str:
    spread = f" ± {factor * np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{factor * np.mean(values):.{0 if factor == 1 else 1}f}{spread}"


def _costs(figures: Mapping[str, Any], speed: Mapping[str, float]) -> list[str]:
    lines = ["## Cost", "", f"At ${PRICE.tokens_in} and ${PRICE.tokens_out} a million tokens in and out, by the "
             "recorded tokens and seconds; the student runs on the device and pays nothing an image. On one core of "
             f"the machine that made this page it takes {speed['batch_1']:.0f} ms for one image, "
             f"{speed['batch_64']:.0f} ms an image in batches of 64 (torch, float32).", "",
             "| regime | images named | dollars once | dollars an image asked | teacher, ms an image | break-even |",
             "|---|---|---|---|---|---|"]
    for regime, of in figures.items():
        c = of["cost"]
        lines.append(f"| {regime} | {c['images_named']:.0f} | {c['dollars']:.3f} | {c['dollars_an_image']:.6f} | "
                     f"{c['teacher_ms']:.0f} | {c['break_even']} |")
    return lines
