"""A bundle with its scores to a decision, acted on in the registry, and the written report of the whole run."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components import recipes
from components.base.artifacts import code_version, produce, write_json
from components.base.text import code
from components.datasets.schema import version_of
from components.datasets.splits import Splits
from components.datasets.store import Dataset
from components.evaluation import report
from components.evaluation.situation import NUMBERS
from components.pipeline import edge, evaluation, gallery, verdicts
from components.pipeline.plan import Plan
from components.pipeline.steps import step
from components.registry import models, promotion
from components.registry.comparison import Evaluation

GATED = ("dataset", "rationales", "predictions")


def promote(plan: Plan, run: str, made: Mapping[str, str]) -> str:
    """The folder of promotion.json: the version, the verdict and every reason. `made` {stage: folder} of this run."""
    with step(run, "promotion gate") as here:
        found = evaluation.report(made["scores_distilled"])
        bundle = Path(made["bundle"])
        facts = json.loads((bundle / "facts.json").read_text())["edge"]
        quality = {name: verdicts.read(made[f"{name}_quality"])["passed"] for name in GATED}
        # A harmonic mean has no score per image: the decision compares its two parts.
        columns = recipes.get(plan.recipe).headline
        parts = {f"harmonic.{side}": found.per_sample[columns[side]] for side in ("seen", "unseen")
                 if "harmonic" in columns and columns.get(side) in found.per_sample}
        test = list(Dataset(Path(made["dataset"])).samples(Splits.load(Path(made["splits"]) / "splits.json").test,
                                                           images=False))
        judged = Evaluation(found.metrics, found.per_sample | parts, facts, quality, version_of(test),
                            {s.name: s.label for s in test if s.label}, {s.name: s.source for s in test})
        version = models.register(plan.recipe, bundle / "bundle", judged, here.run, teacher=_teacher(plan, made),
                                  code=code_version("components", "flows")[:16], datasets=versions(made),
                                  summary=_summary(plan, made), headline=evaluation.headline_of(plan, found),
                                  reference=bundle / edge.REFERENCE)
        outcome = promotion.promote(models.model_name(plan.recipe), version.number,
                                    recipes.get(plan.recipe).gates(plan.config()), seed=plan.seed)
        told = {"model": models.model_name(plan.recipe), "version": outcome.version, "promoted": outcome.promoted,
                "former": outcome.former, "forced": outcome.forced, **outcome.decision.as_dict()}
        path, _ = produce("promotion", told | {"run": run}, lambda part: write_json(part / "promotion.json", told))
        here.run.set_tags({"verdict": "promoted" if outcome.promoted else "rejected", "version": outcome.version})
        here.run.log_figure(path / "promotion.json", "promotion")
        failed = [r.text for r in outcome.decision.failed]
        here.says(f"version {outcome.version} is champion" if outcome.promoted else
                  f"version {outcome.version} rejected: {'; '.join(failed[:2])}")
    return str(path)


def versions(made: Mapping[str, str]) -> dict[str, str]:
    """{set: DVC revision} of the dataset and the rationales."""
    read = [json.loads((Path(made[k]) / "version.json").read_text()) for k in ("dataset_version", "rationales_version")]
    return {v["name"]: v["revision"] for v in read}


def _teacher(plan: Plan, made: Mapping[str, str]) -> str:
    return json.loads((Path(made["rationales"]) / "teacher.json").read_text())["name"]


def _summary(plan: Plan, made: Mapping[str, str]) -> str:
    data = Dataset(Path(made["dataset"]))
    return (f"An edge student for open-vocabulary recognition, distilled by `{plan.recipe}` from the teacher "
            f"{code(plan.teacher)} on {len(data):,} images of {code(data.name)} (seed {plan.seed}).")


def write_report(plan: Plan, run: str, made: Mapping[str, str]) -> str:
    """The folder of report.html, the page that a stakeholder reads; also logged to MLflow."""
    with step(run, "report") as here:
        told = json.loads((Path(made["promotion"]) / "promotion.json").read_text())
        scores, recipe = evaluation.scores_of(made), recipes.get(plan.recipe)
        found, data = evaluation.report(scores["distilled"]), Dataset(Path(made["dataset"]))
        facts = json.loads((Path(made["bundle"]) / "facts.json").read_text())
        pictures = [report.Picture(Path(made["gallery"]) / name, title)
                    for name, title in gallery.titles(recipe).items() if (Path(made["gallery"]) / name).exists()]
        rows = evaluation.rows(plan, scores, made["teacher_scores"])
        reasons = told["reasons"] if told["promoted"] else [r for r in told["reasons"] if not r["passed"]]
        context = report.ReportContext(
            title=f"{told['model']}, version {told['version']}", subtitle=_summary(plan, made).replace("`", ""),
            verdict="promoted" if told["promoted"] else "rejected", reasons=[r["text"] for r in reasons],
            subject="distilled", measure=recipe.measure,
            headline=rows if any(rows.values()) else {}, numbers=_numbers(found.metrics),
            averaging=f"mean over {recipe.labels}",
            protocol=found.protocol, tables=[report.Table(**shown) for shown in found.tables.get("shown", ())],
            pictures=[p for p in pictures if p.path.suffix == ".jpg"],
            plots=[p for p in pictures if p.path.suffix == ".png"], edge=facts["shown"],
            data={"dataset": f"{data.name} {data.version[:12]}"} | {k: v[:12] for k, v in versions(made).items()},
            settings=plan.settings, made={"MLflow run": run, "code": code_version("components", "flows")[:16]})

        def work(part: Path) -> None:
            report.render(context, part / "report.html")

        key = {name: Path(folder).name for name, folder in made.items()}
        path, _ = produce("report", key | {"code": code_version("components.evaluation", "components.pipeline")}, work)
        here.run.log_figure(path / "report.html", "report")
        _tell_parent(plan, run, path, context, told, found)
    return str(path)


def _numbers(metrics: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """The scorer's numbers by slice, from names such as "seen.top1_verb"."""
    out: dict[str, dict[str, float]] = {}
    for name, value in metrics.items():
        group, _, number = name.partition(".")
        if number in NUMBERS:
            out.setdefault(group, {})[number] = value
    return out


def _tell_parent(plan: Plan, run: str, path: Path, context: report.ReportContext, told: Mapping[str, Any],
                 found: Any) -> None:
    """The run's own page in MLflow says all that matters: verdict, scores, pictures, report."""
    from components.registry import tracking

    parent = tracking.Run(run, tracking.connect())
    parent.log_metrics(evaluation.headline_of(plan, found))
    parent.log_figure(path / "report.html", "report")
    for picture in [*context.plots, *context.pictures]:
        parent.log_figure(picture.path)
    parent.set_tags({"verdict": context.verdict, "version": told["version"], "mlflow.note.content": _note(context)})


def _note(context: report.ReportContext) -> str:
    """The run's description as Markdown: the verdict, why, how good, where to look."""
    groups = list(context.headline.get("distilled", ()))
    lines = [f"## {context.title}: {context.verdict}", context.subtitle, ""]
    if groups:  # unlabelled images have no score
        lines += [f"| {context.measure}, per cent | " + " | ".join(groups) + " |", "|---" * (len(groups) + 1) + "|"]
        lines += [f"| {name} | " + " | ".join(f"{100 * row[g][0]:.1f}" if g in row else "" for g in groups) + " |"
                  for name, row in context.headline.items()]
    lines += ["", "The whole report and its pictures: *Artifacts*, `report/report.html` and `pictures`.", "",
              *(f"- {reason}" for reason in context.reasons), "", "Protocol:", "",
              *(f"- {question}: {answer}" for question, answer in context.protocol.items())]
    return "\n".join(lines)[:5000]


def summary(plan: Plan, run: str, made: Mapping[str, str]) -> dict[str, Any]:
    """What `foveate run --json` writes: all that was made so far, as plain JSON."""
    out: dict[str, Any] = {"recipe": plan.recipe, "teacher": plan.teacher, "seed": plan.seed, "fast": plan.fast,
                           "mlflow_run": run, "outputs": dict(made), "settings": plan.settings}
    if "dataset" in made:
        data = Dataset(Path(made["dataset"]))
        split = json.loads((Path(made["splits"]) / "splits.json").read_text())
        out["dataset"] = {"name": data.name, "version": data.version, "images": len(data)}
        out["counts"] = {name: len(split[name]) for name in ("train", "dev", "test")}
        out[recipes.get(plan.recipe).labels] = {group: len(of) for group, of in split["verbs"].items()}
    if "rationales_version" in made:
        out["versions"] = versions(made)
        out["rationales"] = json.loads((Path(made["rationales"]) / "counts.json").read_text())
    if "teacher_scores" in made:
        scores = evaluation.scores_of(made)
        out["measure"] = recipes.get(plan.recipe).measure
        out["headline"] = evaluation.rows(plan, scores, made["teacher_scores"])
        parts = ("metrics", "intervals", "protocol")
        out["scores"] = {v: {k: dataclasses.asdict(evaluation.report(f))[k] for k in parts} for v, f in scores.items()}
    if "published" in made:
        out["published"] = json.loads((Path(made["published"]) / "report.json").read_text("utf-8"))
    if "bundle" in made:
        out["bundle"] = str(Path(made["bundle"]) / "bundle")
        out["edge"] = json.loads((Path(made["bundle"]) / "facts.json").read_text())
    if "promotion" in made:
        out["promotion"] = json.loads((Path(made["promotion"]) / "promotion.json").read_text())
    if "promotion_report" in made:
        out["promotion_page"] = str(Path(made["promotion_report"]) / "promotion.html")
    if "report" in made:
        out["report"] = str(Path(made["report"]) / "report.html")
    return out
