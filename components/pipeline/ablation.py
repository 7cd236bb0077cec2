"""An ablation: every variant of a declared grid over seeds, on shared data and rationales, to one table and one plot.

All is kept by its inputs, so a killed call goes on, and one with more seeds or variants only adds them.
"""

import json
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from components import recipes
from components.base.errors import UserError, nearest
from components.pipeline import ablation_table, alignment, evaluation, ingestion, rationales
from components.pipeline.distillation import STUDENT, distil, side_by_side, stopping
from components.pipeline.features import make_features
from components.pipeline.plan import Plan, make
from components.recipes.grids import Grid
from components.recipes.protocol import Report
from components.registry import tracking

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Request:
    """What to run: a recipe's grid (or `only` some of its variants), on `seeds`, with a budget ("": the default)."""

    recipe: str
    seeds: tuple[int, ...]
    budget: str = ""
    only: tuple[str, ...] = ()


def request(recipe: str, seeds: str, budget: str = "", only: tuple[str, ...] = ()) -> Request:
    """A request as it is typed, its seeds separated by commas; raises UserError where they are no whole numbers."""
    try:
        numbers = tuple(int(part) for part in seeds.replace(",", " ").split())
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 0 or len(set(numbers)) < len(numbers):
        raise UserError("expected different whole numbers", where=f"--seeds {seeds}", mend="for example --seeds 0,1,2")
    return Request(recipe, numbers, budget, tuple(only))


@dataclass(frozen=True, slots=True)
class Shared:
    """What all variants of a seed have in common."""

    dataset: str
    splits: str
    features: str
    rationales: str


def ablate(request: Request, out: Path, say: Say) -> Path:
    """Runs the grid variant by variant, each over all seeds, and writes table, figures and plot after each of them.

    Raises UserError for a recipe without a grid, and for an unknown budget or variant.
    """
    grid = recipes.grid(request.recipe)
    names, budget = _chosen(grid, request), request.budget or next(iter(grid.budgets))
    reports: dict[str, dict[int, Report]] = {}
    with tracking.run(f"ablation of {request.recipe}", key=f"ablation {request.recipe} {budget}") as run:
        seeds = {seed: _prepare(request, grid, budget, seed, run) for seed in request.seeds}
        teacher = {seed: _teacher(_plan(request, grid, budget, seed, grid.subject), run, shared)
                   for seed, shared in seeds.items()}
        for name in names:
            with tracking.run(name, parent=run, key=f"{run.id} {name}") as nested:
                plans = [_plan(request, grid, budget, seed, name) for seed in seeds]
                reports[name] = dict(zip(seeds, _students(plans, seeds.values(), nested), strict=True))
            for seed, found in reports[name].items():
                say(f"{name}, seed {seed}: " + ", ".join(
                    f"{column} {100 * found.metrics[metric]:.1f}" for column, metric in grid.columns.items()
                    if column in grid.compared and metric in found.metrics))
            table = ablation_table.Table(request.recipe, grid, budget, reports, teacher)
            run.log_metrics({f"{name}.{c}": sum(v) / len(v) for c in grid.columns if (v := table.values(name, c))})
            ablation_table.write(table, out)
        for path in sorted(out.glob("ablation.*")):
            run.log_figure(path, "ablation")
    return out / "ablation.md"


def _chosen(grid: Grid, request: Request) -> list[str]:
    """The variants to run, in the grid's order, the one that all are compared with always among them."""
    if request.budget and request.budget not in grid.budgets:
        raise UserError(f"no budget '{request.budget}'", where="--budget",
                        mend=nearest(request.budget, grid.budgets) or f"known: {', '.join(grid.budgets)}")
    for name in request.only:
        if name not in grid.variants:
            raise UserError(f"no variant '{name}'", where="--only",
                            mend=nearest(name, grid.variants) or f"known: {'; '.join(grid.variants)}")
    wanted = {grid.subject, *(request.only or grid.variants)}
    return [name for name in grid.variants if name in wanted]


def _plan(request: Request, grid: Grid, budget: str, seed: int, name: str) -> Plan:
    variant = grid.variants[name]
    return make(recipe=variant.recipe or request.recipe, seed=seed, changes=(*grid.budgets[budget], *variant.changes))


def _prepare(request: Request, grid: Grid, budget: str, seed: int, run: tracking.Run) -> Shared:
    """The data of a seed and what the teacher says of it."""
    plan = _plan(request, grid, budget, seed, grid.subject)
    with tracking.run(f"data, seed {seed}", parent=run, key=f"{run.id} data {seed}") as nested:
        dataset = ingestion.make_dataset(plan, nested.id)
        splits = ingestion.split(plan, nested.id, dataset)
        features = make_features(nested.id, dataset)
        parts = [rationales.ask_shard(plan, nested.id, dataset, splits, features, first)
                 for first in rationales.shards(dataset, splits)]
        said = rationales.collect(plan, nested.id, dataset, splits, features, parts)
    return Shared(dataset, splits, features, said)


def _teacher(plan: Plan, run: tracking.Run, shared: Shared) -> dict[str, float]:
    folder = evaluation.score_teacher(plan, run.id, shared.dataset, shared.splits, shared.features)
    return json.loads((Path(folder) / "teacher.json").read_text("utf-8"))


def _students(plans: Sequence[Plan], shared: Collection[Shared], run: tracking.Run) -> list[Report]:
    """The reports of one variant on all seeds, as many at once as the processor has cores."""
    at_once = side_by_side(plans[0], len(plans))
    # One after the other: torch's random numbers, which aligning draws, are those of the whole process.
    targets = [_targets(plan, of, run) for plan, of in zip(plans, shared, strict=True)]
    try:
        with ThreadPoolExecutor(at_once) as pool:
            try:
                return list(pool.map(lambda plan, of, to: _variant(plan, of, to, run, at_once), plans, shared, targets))
            except BaseException:  # those under way are not waited for to the end of their training
                stopping.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    finally:
        stopping.clear()


def _targets(plan: Plan, shared: Shared, run: tracking.Run) -> str:
    with tracking.run(f"targets, seed {plan.seed}", parent=run, key=f"{run.id} targets {plan.seed}") as nested:
        return alignment.align(plan, nested.id, shared.dataset, shared.splits, shared.features, shared.rationales)


def _variant(plan: Plan, shared: Shared, targets: str, run: tracking.Run, at_once: int) -> Report:
    """Student and scores of one variant on one seed; a variant that needs no training of its own has none."""
    with tracking.run(f"seed {plan.seed}", parent=run, key=f"{run.id} {plan.seed}", tags={"seed": plan.seed},
                      params={"recipe": plan.recipe}) as nested:
        student = distil(plan, nested.id, shared.dataset, shared.splits, targets, STUDENT, at_once)
        scored = evaluation.predict(plan, nested.id, shared.dataset, shared.splits, student, STUDENT)
        found = evaluation.report(scored)
        nested.log_metrics(found.metrics)
    return found
