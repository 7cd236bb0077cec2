"""Re-makes docs/results: the distilled student, both no-teacher baselines and the shuffled control, over seeds.

    python -m benchmarks.results [--seeds 0 1 2] [--fast] [--out docs/results]

A seed draws its own images, splits, initialisation and order; unseen verbs stay the same. All variants of a seed
share data, student, budget and calibration. Everything is kept by its inputs, so a killed call goes on.
"""

import argparse
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from components.base.artifacts import write_bytes, write_json
from components.evaluation import bootstrap, plots
from components.pipeline import alignment, evaluation, ingestion, rationales
from components.pipeline.distillation import STUDENT, distil, side_by_side
from components.pipeline.features import make_features
from components.pipeline.plan import make
from components.recipes.protocol import Report
from components.registry import tracking

BASELINE = "labels-only"
VARIANTS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "labels only": (BASELINE, ()),
    "distilled, shuffled rationales": (STUDENT, ("distil.shuffle=true",)),
    "labels and their nouns as text": (BASELINE, ("distil.label_text=true",)),
    "distilled": (STUDENT, ()),
}
NUMBERS = {
    "seen": "seen.top1_verb",
    "rare": "rare.top1_verb",
    "unseen": "unseen.top1_verb",
    "harmonic": "harmonic",
    "unseen top-5": "unseen.top5_verb",
    "seen among seen": "seen.among_seen_top1",
    "unseen among unseen": "unseen.among_unseen_top1",
    "seen value (true verb)": "seen.gt_value",
    "unseen value (true verb)": "unseen.gt_value",
    "seen boxes of tools and items": "seen.box.tool_and_item",
    "unseen boxes of tools and items": "unseen.box.tool_and_item",
}
"""Columns of the table, and the metric each shows."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--fast", action="store_true", help="the small run: checks the command, proves nothing")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    options = parser.parse_args()
    reports = {}
    for seed in options.seeds:
        reports[seed] = one_seed(seed, options.fast)
        write(reports, options.out, options.fast)


def one_seed(seed: int, fast: bool) -> dict[str, Report | dict[str, float]]:
    """Every variant's report, and the teacher's own figures, on this seed's data; shared with `foveate run --seed`."""
    plan = make(seed=seed, fast=fast)
    with tracking.run(f"results, seed {seed}", tags={"seed": seed}) as run:
        dataset = ingestion.make_dataset(plan, run.id)
        splits = ingestion.split(plan, run.id, dataset)
        known = make_features(run.id, dataset)
        asked = [
            rationales.ask_shard(plan, run.id, dataset, splits, known, first)
            for first in rationales.shards(dataset, splits)
        ]
        said = rationales.collect(plan, run.id, dataset, splits, known, asked)
        targets = alignment.align(plan, run.id, dataset, splits, known, said)
        out: dict[str, Any] = {}
        plans = {name: make(seed=seed, fast=fast, changes=changes) for name, (_, changes) in VARIANTS.items()}
        at_once = side_by_side(plan, len(VARIANTS))

        def train(name: str) -> str:
            return distil(plans[name], run.id, dataset, splits, targets, VARIANTS[name][0], at_once)

        with ThreadPoolExecutor(at_once) as pool:
            students = dict(zip(VARIANTS, pool.map(train, VARIANTS), strict=True))
        for name, student in students.items():
            changed, variant = plans[name], VARIANTS[name][0]
            out[name] = evaluation.report(evaluation.predict(changed, run.id, dataset, splits, student, variant))
            print(
                f"seed {seed}, {name}: "
                + ", ".join(
                    f"{k} {100 * out[name].metrics[m]:.1f}" for k, m in NUMBERS.items() if m in out[name].metrics
                ),
                flush=True,
            )
        scored = evaluation.score_teacher(plan, run.id, dataset, splits, known)
        out["teacher"] = json.loads((Path(scored) / "teacher.json").read_text())
    return out


def write(reports: Mapping[int, Mapping[str, Any]], out: Path, fast: bool) -> None:
    """scenes.json with every figure, scenes.md with the table, scenes.png with the chart."""
    out.mkdir(parents=True, exist_ok=True)
    seeds = list(reports)
    figures = {
        name: {column: [reports[s][name].metrics[metric] for s in seeds] for column, metric in NUMBERS.items()}
        for name in VARIANTS
    }
    teacher = {
        column: [reports[s]["teacher"][metric] for s in seeds]
        for column, metric in NUMBERS.items()
        if metric in reports[seeds[0]]["teacher"]
    }
    gains = {
        name: {group: paired(reports, seeds, name, f"{group}.top1_verb") for group in ("seen", "rare", "unseen")}
        for name in VARIANTS
        if name != "distilled"
    }
    write_json(
        out / "scenes.json",
        {
            "seeds": seeds,
            "students": figures,
            "teacher": teacher,
            "gain_of_distilled": gains,
            "protocol": reports[seeds[0]]["distilled"].protocol,
        },
    )
    write_bytes(out / "scenes.md", page(seeds, figures, teacher, gains, fast).encode())
    rows = {
        name: {
            g: [np.mean(v[g]), np.mean(v[g]) - np.std(v[g]), np.mean(v[g]) + np.std(v[g])]
            for g in ("seen", "rare", "unseen", "harmonic")
        }
        for name, v in figures.items()
    }
    rows["teacher"] = {g: [float(np.mean(v))] for g, v in teacher.items()}
    plots.headline(rows, out / "scenes.png")


def paired(reports: Mapping[int, Mapping[str, Any]], seeds: list[int], other: str, metric: str) -> list[float]:
    """Distilled minus another student: mean over all images of all seeds, with its 95 % interval (paired bootstrap)."""
    mine, theirs = (
        [v for s in seeds for v in reports[s][name].per_sample[metric].values()] for name in ("distilled", other)
    )
    return [round(float(x), 4) for x in bootstrap.paired(np.array(mine), np.array(theirs))]


def page(
    seeds: list[int], figures: Mapping[str, Any], teacher: Mapping[str, Any], gains: Mapping[str, Any], fast: bool
) -> str:
    """The table as Markdown."""

    def cell(values: list[float]) -> str:
        return (
            f"{100 * np.mean(values):.1f} ± {100 * np.std(values, ddof=1):.1f}"
            if len(values) > 1
            else f"{100 * values[0]:.1f}"
        )

    lines = [
        "# Does distillation work? Measured on `scenes`",
        "",
        f"Re-made by `python -m benchmarks.results --seeds {' '.join(map(str, seeds))}{' --fast' if fast else ''}`. "
        f"Verb top-1 in %, mean ± standard deviation over {len(seeds)} seeds; all seen and unseen names compete except "
        "where it says *among*. Every student has the same architecture, images, steps and calibration "
        "(on held-out images of seen and of pseudo-unseen verbs only).",
        "",
        "| | " + " | ".join(NUMBERS) + " |",
        "|---" * (len(NUMBERS) + 1) + "|",
    ]
    for name, columns in figures.items():
        lines.append(f"| {name} | " + " | ".join(cell(columns[c]) for c in NUMBERS) + " |")
    lines.append("| teacher | " + " | ".join(cell(teacher[c]) if c in teacher else "" for c in NUMBERS) + " |")
    lines += [
        "",
        "Distilled minus the others, points of verb top-1 on the same images, 95 % paired bootstrap interval:",
        "",
        "| distilled against | seen | rare | unseen |",
        "|---|---|---|---|",
    ]
    for name, groups in gains.items():
        lines.append(
            f"| {name} | "
            + " | ".join(f"{100 * d:+.1f} [{100 * a:+.1f}, {100 * b:+.1f}]" for d, a, b in groups.values())
            + " |"
        )
    return "\n".join([*lines, "", "![headline](scenes.png)", ""])


if __name__ == "__main__":
    main()
