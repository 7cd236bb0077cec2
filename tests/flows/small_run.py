"""A recipe's whole way through the stages of the pipeline, in this process: what ranks, servers and versions add is
tested with the main job (`test_end_to_end.py`)."""

import importlib
import json
from pathlib import Path

from safetensors.torch import save_file

from components import recipes
from components.base.artifacts import write_json
from components.pipeline import alignment, edge, evaluation, ingestion, rationales
from components.pipeline.distillation import STUDENT
from components.pipeline.features import make_features
from components.pipeline.plan import Plan
from components.pipeline.recording import settle
from components.pipeline.steps import stage_of
from components.registry import tracking
from components.registry.decision import Decision, Evaluation, decide
from components.training import plain


def small_run(plan: Plan, folder: Path) -> tuple[dict[str, Path], Decision]:
    """{stage: its output} of everything up to the bundle, and what the gate decides; the state folder is the test's."""
    with tracking.run("small") as run:
        dataset = ingestion.make_dataset(plan, run.id)
        plan = settle(plan, {"dataset": dataset})
        splits = ingestion.split(plan, run.id, dataset)
        drawn = ingestion.validate(plan, run.id, dataset, splits)
        data = (dataset, splits, make_features(run.id, dataset))
        parts = [rationales.ask_shard(plan, run.id, *data, first) for first in rationales.shards(dataset, splits)]
        said = rationales.collect(plan, run.id, *data, parts)
        checked = rationales.validate(plan, run.id, dataset, said)
        targets = alignment.align(plan, run.id, *data, said)
        student = trained(plan, dataset, splits, targets, folder)
        scores = evaluation.predict(plan, run.id, dataset, splits, student, STUDENT)
        predicted = evaluation.validate(plan, run.id, dataset, scores)
        teacher = evaluation.score_teacher(plan, run.id, *data)
        bundle = edge.export(plan, run.id, dataset, splits, student)
    made = {"dataset": dataset, "splits": splits, "rationales": said, "targets": targets, "student": student,
            "scores": scores, "teacher": teacher, "bundle": bundle}
    found, facts = evaluation.report(scores), edge.read_facts(bundle)["edge"]
    quality = {name: json.loads((Path(of) / "result.json").read_text())["passed"]
               for name, of in (("dataset", drawn), ("rationales", checked), ("predictions", predicted))}
    gates = recipes.get(plan.recipe).gates(plan.config())
    return ({name: Path(of) for name, of in made.items()},
            decide(Evaluation(found.metrics, found.per_sample, facts, quality), None, gates))


def trained(plan: Plan, dataset: str, splits: str, targets: str, out: Path) -> str:
    """The student as the spec of training says, from the loop on plain torch."""
    spec = recipes.get(plan.recipe).training_task(stage_of(plan, dataset, splits, targets=targets))
    module, _, function = spec["task"].partition(":")
    task = getattr(importlib.import_module(module), function)(**spec["arguments"])
    plain.train(task, spec)
    out.mkdir()
    save_file(task.model.state_dict(), out / "student.safetensors")
    write_json(out / "config.json", task.artifacts())
    return str(out)
