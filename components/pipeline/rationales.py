"""The teacher's rationales of every training image: asked in shards through the answer cache, gated, versioned."""

import contextlib
import dataclasses
import json
import shutil
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components import recipes
from components.base import progress
from components.base.artifacts import code_version, digest, produce, replacing, write_bytes, write_json
from components.base.errors import PipelineError
from components.datasets import leak
from components.datasets.splits import Splits
from components.datasets.store import Dataset
from components.pipeline import ingestion
from components.pipeline.plan import Plan
from components.pipeline.steps import recipe_code, step
from components.pipeline.teaching import account, identity, judge, judge_name, loaders, teacher, training_ids
from components.recipes.protocol import Record
from components.teachers import ledger
from components.teachers.ask import AskCounts
from components.teachers.cache import AnswerCache
from components.teachers.judged import Asking, Judged, Reading, Subject
from components.teachers.prices import Price

SHARD = 512  # images a task at least: some seconds of a small teacher's work
TASKS = 256  # at most: what a server of flows shows and keeps well, however many images there are
NAME = "rationales"

stopping = threading.Event()  # set: shards under way in threads end at their next answer
_done: dict[str, dict[int, int]] = defaultdict(dict)  # samples done in this process, by run and shard


def shards(dataset: str, splits: str) -> list[int]:
    """The first index of each shard of the training images."""
    return firsts(len(training_ids(*_read_data(dataset, splits))))


def firsts(images: int) -> list[int]:
    """The first index of each shard of so many images: never more than TASKS shards."""
    return list(range(0, images, shard_size(images)))


def shard_size(images: int) -> int:
    return max(SHARD, -(-images // TASKS))


def ask_shard(plan: Plan, run: str, dataset: str, splits: str, features: str, first: int) -> str:
    """The folder with the records and rejections of one shard of training images.

    Every answer is kept as it arrives: a kill costs what was in flight. Raises PipelineError when the budget is spent.
    """
    data, made = _read_data(dataset, splits)
    train = training_ids(data, made)
    ids, line = train[first:first + shard_size(len(train))], progress.Line(NAME)
    asked, judging = teacher(plan.teacher, features), judge_name(plan)

    def tell(so_far: AskCounts) -> None:
        if stopping.is_set():
            raise PipelineError("another shard has stopped")
        _done[run][first] = so_far.samples
        line.advance(sum(tuple(_done[run].values())), len(train))  # a copy: other shards write their own

    def work(part: Path) -> None:
        payer = account(plan.config().spend, plan.teacher, run, data)
        recipe = recipes.get(plan.recipe)
        with contextlib.closing(AnswerCache()) as cache:
            asking = Asking(asked, cache, payer, Reading(recipe.statement, recipe.repair), progress=tell,
                            judge=judge(plan, cache, run, data, made, features), again=plan.config().ask.again)
            _write_shard(part, plan, data, ids, asking)

    inputs = {"dataset": data.version, "ids": digest(ids), "teacher": identity(asked), "run": plan.groups("ask"),
              "judge": [identity(teacher(judging, features)), sorted(made.held_out())] if judging else None,
              "code": code_version(*recipe_code(plan), "components.teachers")}
    path, _ = produce("answers", inputs, work)
    _done[run][first] = len(ids)
    return str(path)


def _write_shard(part: Path, plan: Plan, data: Dataset, ids: list[str], asking: Asking) -> None:
    """Asks about the samples `ids` and writes what came of it."""
    recipe, config, pixels = recipes.get(plan.recipe), plan.config(), loaders(data, ids)
    samples = {s.id: dataclasses.replace(s, label=None, annotation=None) if recipe.blind else s
               for s in data.samples(ids, images=False)}
    subjects = [Subject(i, pixels[i], samples[i].label or "", recipe.questions(samples[i], config)) for i in ids]
    records, rejections, verdicts = [], [], Counter()
    for sample, judged in asking.about(s for s in subjects if s.questions):
        verdicts.update(j.verdict.decision for j in judged)
        outcome = recipe.accept(samples[sample], [j.entry.answer for j in judged], config)
        told = {"provenance": provenance(judged, asking.account.price)}
        if isinstance(outcome, Record):
            records.append({"sample": outcome.sample, "content": outcome.content} | told)
        else:
            rejections.append({"sample": outcome.sample, "reason": outcome.reason} | told)
    _lines(part / "rationales.jsonl", records)
    _lines(part / "rejections.jsonl", rejections)
    write_json(part / "counts.json", dataclasses.asdict(asking.counts) | {
        "accepted": len(records), "rejected": len(rejections),
        **{f"answers_{name}": verdicts[name] for name in ("accepted", "repaired", "rejected")}})


def provenance(judged: list[Judged], price: Price) -> dict[str, Any]:
    """Whence a record comes: teacher and decoding, and of each answer its question, judge, time, cost and run."""
    first = judged[0].entry
    return {"teacher": dataclasses.asdict(first.teacher), "decoding": dict(first.decoding), "answers": [
        {"question": j.entry.question.version, "attempts": j.attempts,
         "verdict": {name: value for name, value in dataclasses.asdict(j.verdict).items() if value},
         "asked": datetime.fromtimestamp(j.entry.asked, UTC).isoformat(), "run": j.entry.run,
         "seconds": round(j.entry.answer.seconds, 6), "tokens_in": j.entry.answer.tokens_in,
         "tokens_out": j.entry.answer.tokens_out, "dollars": price.of(j.entry.answer)} for j in judged]}


def collect(plan: Plan, run: str, dataset: str, splits: str, features: str, parts: list[str]) -> str:
    """The folder of all rationales; raises PipelineError where their gate fails or one of them leaks."""
    data, made = _read_data(dataset, splits)
    who = identity(teacher(plan.teacher, features))
    with step(run, NAME) as here:
        def work(part: Path) -> None:
            for name in ("rationales.jsonl", "rejections.jsonl"):
                with replacing(part / name) as joined:
                    for p in parts:
                        with open(Path(p) / name, "rb") as lines:
                            shutil.copyfileobj(lines, joined)
            counts = Counter()
            for p in parts:
                counts.update(json.loads((Path(p) / "counts.json").read_text()))
            write_json(part / "counts.json", dict(counts))
            write_json(part / "teacher.json", who)

        path = here.produce({"parts": [Path(p).name for p in parts]}, work)
        counts = json.loads((path / "counts.json").read_text())
        leak.check_leaks(data, made, ((r["sample"], None) for r in _read(path / "rationales.jsonl")))
        if not counts["accepted"]:
            raise PipelineError(f"the teacher gave no usable rationale: {_reasons(path)}")
        here.run.log_params({"teacher": json.dumps(who)})
        here.run.log_metrics({name: counts[name] for name in ("accepted", "rejected", "cached", "answers_repaired")})
        here.run.log_figure(path / "rationales.jsonl", "rationales")
        refused = f", {counts['rejected']} rejected ({_reasons(path)})" if counts["rejected"] else ""
        here.says(f"{counts['accepted']:,} accepted{refused}{log_cost(here.run, run)}")
    return str(path)


def log_cost(to: Any, run: str) -> str:
    """Logs what a run has spent so far, whole and by teacher; says it in words ("" where nothing was asked)."""
    with contextlib.closing(AnswerCache()) as cache:
        by_teacher = ledger.totals(cache, "teacher", run=run)
    spent = sum(by_teacher.values(), ledger.Spent())
    to.log_metrics({f"spent.{name}": value for name, value in dataclasses.asdict(spent).items()})
    if len(by_teacher) > 1:
        to.log_metrics({f"spent.{who}.{name}": value for who, sums in by_teacher.items()
                        for name, value in dataclasses.asdict(sums).items()})
    if not spent.requests:
        return ""
    return f"; {spent.requests:,} questions asked" + (f" for ${spent.dollars:,.2f}" if spent.dollars else "")


def validate(plan: Plan, run: str, dataset: str, rationales: str) -> str:
    """The folder of the rationales' quality result; raises PipelineError where an error-level check fails."""
    data, recipe = Dataset(Path(dataset)), recipes.get(plan.recipe)
    with step(run, "rationale gate") as here:
        def work(part: Path) -> None:
            from components.quality import frames, gate

            rows = [row | {"sample": data.names[r["sample"]]} for r in _read(Path(rationales) / "rationales.jsonl")
                    for row in recipe.quality_rows(Record(r["sample"], r["content"]), data.labels[r["sample"]] or "")]
            gate.check(recipe.suite, frames.RATIONALES[recipe.suite](rows), part)

        path = here.produce({"rationales": Path(rationales).name}, work, "components.quality", *recipe_code(plan))
        ingestion.finish_gate(here, path)
    return str(path)


def version(plan: Plan, run: str, rationales: str) -> str:
    """The folder of the DVC version of the rationale set."""
    return ingestion.record_version(run, f"rationales-{plan.recipe}", rationales, Path(rationales).name)


def _read_data(dataset: str, splits: str) -> tuple[Dataset, Splits]:
    return Dataset(Path(dataset)), Splits.load(Path(splits) / "splits.json")


def _reasons(folder: Path) -> str:
    counted = Counter(r["reason"] for r in _read(folder / "rejections.jsonl"))
    return ", ".join(f"{n} x {reason}" for reason, n in counted.most_common(3))


def _lines(path: Path, values: list[dict[str, Any]]) -> None:
    write_bytes(path, "".join(json.dumps(v, ensure_ascii=False) + "\n" for v in values).encode())


def _read(path: Path) -> Iterator[dict[str, Any]]:
    with open(path, encoding="utf-8") as lines:
        yield from map(json.loads, lines)
