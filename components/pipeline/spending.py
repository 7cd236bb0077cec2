"""What the questions of a run will cost, before they are asked; and the limits that a run is given."""

import contextlib
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components import recipes
from components.datasets.splits import Splits
from components.datasets.store import Dataset
from components.pipeline.plan import Plan
from components.pipeline.teaching import judge_name, paid, teacher, training_ids
from components.teachers.budget import Budget
from components.teachers.cache import AnswerCache, answer_key
from components.teachers.judge import PROMPT, SCHEMA, VERSION
from components.teachers.ledger import Expectation, Spent
from components.teachers.prices import Price, require
from components.teachers.protocol import Question

BLOCK = 512  # samples whose keys are looked up together


def limit(plan: Plan, run: str, requests: int | None, dollars: float | None) -> None:
    """Gives the run its limits (None: none); raises UserError for a limit in dollars where a price is not known."""
    if dollars is not None:
        for name in filter(None, (plan.teacher, judge_name(plan))):
            require(plan.config().spend.price(name), name)
    with contextlib.closing(AnswerCache()) as cache:
        Budget(cache, run).limit(requests, dollars)


def estimate(plan: Plan, made: Mapping[str, str], until: str = "rationales") -> dict[str, Any]:
    """What asking would cost on the way to the stage `until`, as plain JSON; asks nothing.

    Each kind of question has `questions`, `cached`, `to_ask`, expected tokens, seconds and dollars (None: no price is
    known), and the `basis` of these. Questions to a judge are counted one a sample, and the choices of a paid teacher
    (to score it) one a test image, as if none was cached. Answers that will be asked for again are not foreseen.
    """
    judging = judge_name(plan)
    with contextlib.closing(AnswerCache()) as cache:
        kinds, samples = _kinds(plan, made, cache)
        if judging and teacher(judging, made["features"]).decoding:
            kinds["judge"] = _repeated(plan, judging, made, cache, Question("judge", PROMPT, VERSION, SCHEMA), samples)
        if paid(plan.teacher) and until not in ("rationales", "align", "distil"):
            splits = Splits.load(Path(made["splits"]) / "splits.json")
            if asked := recipes.get(plan.recipe).compared_by(splits):
                kinds[asked.kind] = _repeated(plan, plan.teacher, made, cache, asked, len(splits.test))
    spent = sum((Spent(r["to_ask"], 0, r["tokens_in"], r["tokens_out"], r["seconds"], r["dollars"] or 0.0)
                 for r in kinds.values()), Spent())
    known = all(r["dollars"] is not None for r in kinds.values())
    return {"teacher": plan.teacher, "judge": judging, "kinds": kinds, "to_ask": spent.requests,
            "cached": sum(r["cached"] for r in kinds.values()), "tokens_in": spent.tokens_in,
            "tokens_out": spent.tokens_out, "seconds": spent.seconds, "dollars": spent.dollars if known else None}


def told(found: Mapping[str, Any]) -> str:
    """An estimate in a few lines."""
    lines = [f"{name:>10}: {row['to_ask']:,} to ask, {row['cached']:,} cached; {_cost(row)}; {row['basis']}"
             for name, row in found["kinds"].items()]
    return "\n".join([*lines, f"{'all':>10}: {found['to_ask']:,} to ask, {found['cached']:,} cached; {_cost(found)}"])


def _kinds(plan: Plan, made: Mapping[str, str], cache: AnswerCache) -> tuple[dict[str, dict[str, Any]], int]:
    """The rows of the teacher's kinds of questions, and the number of samples that are asked about."""
    data, splits = Dataset(Path(made["dataset"])), Splits.load(Path(made["splits"]) / "splits.json")
    recipe, config, asked = recipes.get(plan.recipe), plan.config(), teacher(plan.teacher, made["features"])
    expected = _expectation(plan, plan.teacher, made, cache)
    total, present, cost, samples = defaultdict(int), defaultdict(int), defaultdict(Spent), 0
    ids = training_ids(data, splits)
    for start in range(0, len(ids), BLOCK):
        keys = {}
        for sample in data.samples(ids[start:start + BLOCK], images=False):
            questions = recipe.questions(sample, config)
            samples += bool(questions)
            keys |= {answer_key(sample.id, q, asked.identity, asked.decoding): q for q in questions}
        here = cache.present(keys)
        for key, question in keys.items():
            total[question.kind] += 1
            if key in here:
                present[question.kind] += 1
            else:
                cost[question.kind] += expected.of(question)
    price = config.spend.price(plan.teacher)
    return {kind: _row(total[kind], present[kind], cost[kind], expected, kind, price) for kind in total}, samples


def _row(total: int, cached: int, cost: Spent, expected: Expectation, kind: str, price: Price | None) -> dict[str, Any]:
    return {"questions": total, "cached": cached, "to_ask": total - cached, "tokens_in": cost.tokens_in,
            "tokens_out": cost.tokens_out, "seconds": cost.seconds, "basis": expected.basis(kind),
            "dollars": cost.dollars if price else None}


def _expectation(plan: Plan, name: str, made: Mapping[str, str], cache: AnswerCache) -> Expectation:
    spend = plan.config().spend
    return Expectation(cache, teacher(name, made["features"]).identity, spend, spend.price(name) or Price())


def _repeated(plan: Plan, name: str, made: Mapping[str, str], cache: AnswerCache, question: Question,
              count: int) -> dict[str, Any]:
    """The row of a question of which `count` are asked, none of them cached."""
    expected = _expectation(plan, name, made, cache)
    one = expected.of(question)
    cost = Spent(count, 0, one.tokens_in * count, one.tokens_out * count, one.seconds * count, one.dollars * count)
    return _row(count, 0, cost, expected, question.kind, plan.config().spend.price(name))


def _cost(row: Mapping[str, Any]) -> str:
    money = "no price known" if row["dollars"] is None else f"${row['dollars']:,.2f}"
    return f"{row['tokens_in']:,} tokens in, {row['tokens_out']:,} out, {row['seconds'] / 3600:,.2f} hours, {money}"
