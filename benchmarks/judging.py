"""Re-makes docs/results/judging.md: what a judge of the teacher's answers changes in the student, over seeds.

    python -m benchmarks.judging [--seeds 0 1 2] [--judge same] [--set distil.epochs=3] [--out docs/results]

Both students of a seed share images, splits, teacher, initialisation, order and number of steps; they differ in the
setting `ask.judge` alone. Everything is kept by its inputs, so a killed call goes on.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from components.base.artifacts import write_bytes, write_json
from components.evaluation import bootstrap
from components.pipeline import alignment, evaluation, ingestion, rationales
from components.pipeline.distillation import STUDENT, distil, side_by_side
from components.pipeline.features import make_features
from components.pipeline.plan import Plan, make
from components.registry import tracking

BUDGET = ("draw.total_train=700", "draw.dev_per_verb=6", "draw.test_per_verb=12", "draw.pseudo_per_verb=12",
          "draw.unseen_per_verb=16", "distil.epochs=4")
VARIANTS = ("not judged", "judged")
COLUMNS = {"seen": "seen.top1_verb", "rare": "rare.top1_verb", "unseen": "unseen.top1_verb", "harmonic": "harmonic",
           "seen value (true verb)": "seen.gt_value", "unseen value (true verb)": "unseen.gt_value"}
PAIRED = ("seen.top1_verb", "rare.top1_verb", "unseen.top1_verb")
COUNTS = ("accepted", "rejected", "answers_accepted", "answers_repaired", "answers_rejected")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--judge", default="same", help="as ask.judge: same, or another teacher")
    parser.add_argument("--set", dest="changes", nargs="*", default=list(BUDGET), help="the declared budget")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    options = parser.parse_args()
    found = {}
    for seed in options.seeds:
        found[seed] = one_seed(seed, options.judge, tuple(options.changes))
        write(found, options)


def one_seed(seed: int, judge: str, changes: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """{variant: {"counts" of what the teacher said, "metrics", "per_sample"}} on this seed's images."""
    plans = {name: make(seed=seed, changes=(*changes, f"ask.judge='{judge if name == 'judged' else ''}'"))
             for name in VARIANTS}
    plan = plans["not judged"]
    with tracking.run(f"judging, seed {seed}", tags={"seed": seed}) as run:
        dataset = ingestion.make_dataset(plan, run.id)
        splits = ingestion.split(plan, run.id, dataset)
        features = make_features(run.id, dataset)
        said = {name: _ask(plans[name], run.id, dataset, splits, features) for name in VARIANTS}
        targets = {name: alignment.align(plans[name], run.id, dataset, splits, features, said[name])
                   for name in VARIANTS}
        at_once = side_by_side(plan, len(VARIANTS))

        def train(name: str) -> str:
            return distil(plans[name], run.id, dataset, splits, targets[name], STUDENT, at_once)

        with ThreadPoolExecutor(at_once) as pool:
            students = dict(zip(VARIANTS, pool.map(train, VARIANTS), strict=True))
        reports = {name: evaluation.report(evaluation.predict(plans[name], run.id, dataset, splits, students[name],
                                                              name)) for name in VARIANTS}
    return {name: {"counts": json.loads((Path(said[name]) / "counts.json").read_text()), "metrics": report.metrics,
                   "per_sample": report.per_sample} for name, report in reports.items()}


def _ask(plan: Plan, run: str, dataset: str, splits: str, features: str) -> str:
    parts = [rationales.ask_shard(plan, run, dataset, splits, features, first)
             for first in rationales.shards(dataset, splits)]
    return rationales.collect(plan, run, dataset, splits, features, parts)


def write(found: Mapping[int, Mapping[str, Mapping[str, Any]]], options: argparse.Namespace) -> None:
    """judging.json with every figure, judging.md with the tables."""
    seeds = list(found)
    scores = {name: {column: [found[s][name]["metrics"][metric] for s in seeds] for column, metric in COLUMNS.items()}
              for name in VARIANTS}
    change = {column: (np.array(scores["judged"][column]) - scores["not judged"][column]).tolist()
              for column in COLUMNS}
    counts = {name: {column: [found[s][name]["counts"][column] for s in seeds] for column in COUNTS}
              for name in VARIANTS}
    content = {"seeds": seeds, "judge": options.judge, "budget": options.changes, "scores": scores, "change": change,
               "paired": {metric: _paired(found, metric) for metric in PAIRED}, "answers": counts}
    options.out.mkdir(parents=True, exist_ok=True)
    write_json(options.out.absolute() / "judging.json", content)
    write_bytes(options.out.absolute() / "judging.md", page(content).encode())


def _paired(found: Mapping[int, Mapping[str, Mapping[str, Any]]], metric: str) -> list[float]:
    """Judged minus not judged: mean over all images of all seeds, with its 95 % interval (paired bootstrap)."""
    def values(name: str) -> np.ndarray:
        return np.array([value for one in found.values()
                         for _, value in sorted(one[name]["per_sample"][metric].items())])

    return list(bootstrap.paired(values("judged"), values("not judged")))


def page(content: Mapping[str, Any]) -> str:
    """The tables as Markdown."""
    seeds, judge = content["seeds"], content["judge"]
    lines = [
        "# What does judging change? Measured on `scenes`", "",
        f"Re-made by `python -m benchmarks.judging --seeds {' '.join(map(str, seeds))} --judge {judge}`, with "
        f"{', '.join(f'`{change}`' for change in content['budget'])} and all else as in a default run. The budget is "
        "smaller than that of `full/ablation.md`: compare the rows of this page with one another only. All seen and "
        "unseen "
        f"names compete; %, mean ± standard deviation over {len(seeds)} seeds.", "",
        "| | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, columns in content["scores"].items():
        lines.append(f"| {name} | " + " | ".join(_spread(columns[c]) for c in COLUMNS) + " |")
    lines.append("| difference | " + " | ".join(_spread(content["change"][c], "+") for c in COLUMNS) + " |")
    lines += ["", "Judged minus not judged, points of verb top-1 on the same images, 95 % paired bootstrap interval "
              "over the images of all seeds:", ""]
    lines += [f"- {metric.split('.')[0]}: {100 * d:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
              for metric, (d, low, high) in content["paired"].items()]
    lines += ["", "What the students learnt from, mean over seeds (a rationale is one image's; each holds several "
              "answers):", "",
              "| | rationales | left out | answers accepted | repaired | rejected |", "|---|---|---|---|---|---|"]
    lines += [f"| {name} | " + " | ".join(f"{np.mean(columns[c]):,.0f}" for c in COUNTS) + " |"
              for name, columns in content["answers"].items()]
    return "\n".join([*lines, ""])


def _spread(values: Sequence[float], sign: str = "") -> str:
    spread = f" ± {100 * np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{100 * np.mean(values):{sign}.1f}{spread}"


if __name__ == "__main__":
    main()
