"""The teacher's rationales of every training image: asked in shards through the answer cache, gated, versioned."""

import dataclasses
import json
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Any

from components import recipes, teachers
from components.base import progress
from components.base.artifacts import code_version, digest, produce, write_bytes, write_json
from components.base.errors import PipelineError
from components.datasets import leak
from components.datasets.images import load_image
from components.datasets.splits import Splits
from components.datasets.store import Dataset
from components.encoders.cache import FeatureCache
from components.pipeline import ingestion
from components.pipeline.plan import Plan
from components.pipeline.steps import recipe_code, step
from components.recipes.protocol import Record
from components.teachers.ask import AskCounts, ask
from components.teachers.cache import AnswerCache

SHARD = 512  # images a task: some seconds of a small teacher's work
NAME = "rationales"


@lru_cache(maxsize=1)
def teacher(name: str, features: str) -> Any:
    """The teacher, loaded once a process."""
    return teachers.get(name, features=FeatureCache(Path(features)))


def shards(splits: str) -> list[int]:
    """The first index of each shard of the training images."""
    return list(range(0, len(Splits.load(Path(splits) / "splits.json").train), SHARD))


def ask_shard(plan: Plan, run: str, dataset: str, splits: str, features: str, first: int) -> str:
    """The folder with the records and rejections of one shard of training images."""
    data, recipe, config = Dataset(Path(dataset)), recipes.get(plan.recipe), plan.config()
    train = Splits.load(Path(splits) / "splits.json").train
    ids = train[first:first + SHARD]
    asked = teacher(plan.teacher, features)
    line = progress.Line(NAME)

    def work(part: Path) -> None:
        samples = {s.id: s for s in data.samples(ids)}
        items = [(i, lambda s=samples[i]: load_image(s.image, s.name), recipe.questions(samples[i], config))
                 for i in ids]
        records, rejections, counts = [], [], AskCounts()

        def tell(so_far: AskCounts) -> None:
            nonlocal counts
            counts = so_far
            line.advance(first + so_far.samples, len(train))

        for sample, answers in ask(asked, AnswerCache(), [i for i in items if i[2]], run_id=run, progress=tell):
            outcome = recipe.accept(samples[sample], answers, config)
            if isinstance(outcome, Record):
                records.append({"sample": outcome.sample, "content": outcome.content})
            else:
                rejections.append({"sample": outcome.sample, "reason": outcome.reason})
        _lines(part / "rationales.jsonl", records)
        _lines(part / "rejections.jsonl", rejections)
        write_json(part / "counts.json", dataclasses.asdict(counts) | {"accepted": len(records),
                                                                       "rejected": len(rejections)})

    inputs = {"dataset": data.version, "ids": digest(list(ids)), "teacher": _identity(asked), "run": plan.groups("ask"),
              "code": code_version(recipe_code(plan), "components.teachers")}
    path, _ = produce("answers", inputs, work)
    return str(path)


def collect(plan: Plan, run: str, dataset: str, splits: str, features: str, parts: list[str]) -> str:
    """The folder of all rationales; raises PipelineError where their gate fails or one of them leaks."""
    data, made = Dataset(Path(dataset)), Splits.load(Path(splits) / "splits.json")
    with step(run, NAME) as here:
        def work(part: Path) -> None:
            for name in ("rationales.jsonl", "rejections.jsonl"):
                write_bytes(part / name, b"".join((Path(p) / name).read_bytes() for p in parts))
            counts = Counter()
            for p in parts:
                counts.update(json.loads((Path(p) / "counts.json").read_text()))
            write_json(part / "counts.json", dict(counts))
            write_json(part / "teacher.json", _identity(teacher(plan.teacher, features)))

        path = here.produce({"parts": [Path(p).name for p in parts]}, work)
        records, rejections = (list(_read(path / f"{name}.jsonl")) for name in ("rationales", "rejections"))
        leak.check_leaks(data, made, [(r["sample"], r["content"]) for r in records])
        if not records:
            raise PipelineError(f"the teacher gave no usable rationale: {_reasons(rejections)}")
        here.run.log_params({"teacher": json.dumps(_identity(teacher(plan.teacher, features)))})
        here.run.log_metrics({"accepted": len(records), "rejected": len(rejections)})
        here.run.log_figure(path / "rationales.jsonl", "rationales")
        refused = f", {len(rejections)} rejected ({_reasons(rejections)})" if rejections else ""
        here.says(f"{len(records):,} accepted{refused}")
    return str(path)


def validate(plan: Plan, run: str, dataset: str, rationales: str) -> str:
    """The folder of the rationales' quality result; raises PipelineError where an error-level check fails."""
    data, recipe = Dataset(Path(dataset)), recipes.get(plan.recipe)
    with step(run, "rationale gate") as here:
        def work(part: Path) -> None:
            from components.quality import frames, gate

            rows = [row | {"sample": data.names[r["sample"]]} for r in _read(Path(rationales) / "rationales.jsonl")
                    for row in recipe.quality_rows(Record(**r), data.labels[r["sample"]] or "")]
            gate.check("rationales", frames.rationale_frame(rows), part)

        path = here.produce({"rationales": Path(rationales).name}, work, "components.quality", recipe_code(plan))
        ingestion.finish_gate(here, path)
    return str(path)


def version(plan: Plan, run: str, rationales: str) -> str:
    """The folder of the DVC version of the rationale set."""
    return ingestion.record_version(run, f"rationales-{plan.recipe}", rationales, Path(rationales).name)


def _identity(asked: Any) -> dict[str, str]:
    who = asked.identity
    return {"backend": who.backend, "name": who.name, "revision": who.revision}


def _reasons(rejections: list[dict[str, str]]) -> str:
    return ", ".join(f"{n} x {reason}" for reason, n in Counter(r["reason"] for r in rejections).most_common(3))


def _lines(path: Path, values: list[dict[str, Any]]) -> None:
    write_bytes(path, "".join(json.dumps(v, ensure_ascii=False) + "\n" for v in values).encode())


def _read(path: Path) -> Any:
    return map(json.loads, path.read_text("utf-8").splitlines())
