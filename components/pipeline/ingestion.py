"""Images to a dataset that passed its quality gate, with its splits and its version."""

from pathlib import Path
from typing import Any

from components import recipes
from components.base.artifacts import write_json
from components.datasets import leak, splits, versions
from components.datasets.store import Dataset
from components.pipeline.plan import Plan, is_dataset, source
from components.pipeline.steps import step
from components.recipes.protocol import Source


def make_dataset(plan: Plan, run: str) -> str:
    """The folder of the dataset: drawn, ingested from the user's folder, or that folder where it is a dataset."""
    recipe = recipes.get(plan.recipe)
    with step(run, "ingest") as here:
        def work(part: Path) -> None:
            bar = here.line.advance
            if plan.data:
                given = [Path(p) if p else None for p in (plan.annotations, plan.space)]
                write_json(part / "warnings.json", list(recipe.ingest(Source(Path(plan.data), *given), part, bar)))
            else:
                recipe.draw(plan.config(), part, bar)

        path = (Path(plan.data) if is_dataset(plan)
                else here.produce(source(plan) | {"recipe": plan.recipe}, work, "components.datasets"))
        dataset = Dataset(path)
        here.run.log_dataset(dataset.name, dataset.version, context="ingestion")
        labels = len(dataset.manifest["labels"])
        here.run.log_metrics({"images": len(dataset), recipe.labels: labels})
        here.says(f"{len(dataset):,} images, " + (f"{labels} {recipe.labels}" if labels else
                  "without annotations: the teacher alone teaches, and nothing can be promoted"))
    return str(path)


def split(plan: Plan, run: str, dataset: str) -> str:
    """The folder of splits.json; refuses splits through which a held-out verb would leak into training.

    A folder that brings its own splits (`foveate data split --protocol`) keeps them.
    """
    data = Dataset(Path(dataset))
    with step(run, "split") as here:
        own = Path(plan.data) / "splits.json" if plan.data else None
        if own is not None and own.is_file():
            given = splits.Splits.load(own)
            given = given if is_dataset(plan) else given.by_id(data.names, str(own))
        else:
            given = recipes.get(plan.recipe).split(data, plan.config(), plan.seed, drawn=not plan.data)
            if isinstance(given, splits.SplitSpec):
                given = splits.make_splits(data.labels, given)
        path = here.produce({"dataset": data.version, "splits": given.sha256},
                            lambda part: given.save(part / "splits.json"), "components.datasets")
        made = splits.Splits.load(path / "splits.json")
        leak.check_leaks(data, made)
        counts = {name: len(getattr(made, name)) for name in ("train", "dev", "test")}
        here.run.log_metrics(counts | {f"verbs.{group}": len(verbs) for group, verbs in made.verbs.items()})
        here.says(f"{counts['train']:,} train, {counts['dev']:,} dev, {counts['test']:,} test; no leak")
    return str(path)


def validate(plan: Plan, run: str, dataset: str, split_folder: str) -> str:
    """The folder of the dataset's quality result; raises PipelineError where an error-level check fails."""
    data = Dataset(Path(dataset))
    made = splits.Splits.load(Path(split_folder) / "splits.json")
    with step(run, "quality gate") as here:
        def work(part: Path) -> None:
            from components.quality import frames, gate  # Great Expectations takes seconds to import: only when needed

            gate.check("dataset", frames.dataset_frame(data, data.space, made.content()), part)

        path = here.produce({"dataset": data.version, "splits": made.sha256}, work, "components.quality")
        finish_gate(here, path)
    return str(path)


def finish_gate(here: Any, path: Path) -> None:
    """Records a quality result with its pages, and stops the pipeline if it has failed."""
    from components.pipeline.verdicts import read, require

    result = read(path)
    here.run.log_folder(path / "data_docs", "data_docs")
    here.run.log_figure(path / "result.json", "quality")
    here.run.log_metrics({"errors": len(result["errors"]), "warnings": len(result["warnings"])})
    here.says("passed" + "".join(f"; warning: {w['check']} ({w['unexpected']})" for w in result["warnings"][:3]))
    require(result, str(path / "data_docs" / "index.html"))


def record_dataset(run: str, dataset: str) -> str:
    """The folder of the DVC version of a dataset."""
    data = Dataset(Path(dataset))
    return record_version(run, data.name, dataset, data.version)


def record_version(run: str, name: str, folder: str, content: str) -> str:
    """The folder of version.json: the DVC version under which a folder was kept."""
    with step(run, f"version of {name}") as here:
        def work(part: Path) -> None:
            made = versions.version(name, Path(folder))
            write_json(part / "version.json", {"name": made.name, "revision": made.revision, "md5": made.md5,
                                               "content": content})

        path = here.produce({"name": name, "content": content}, work, "components.datasets.versions")
        here.run.log_figure(path / "version.json", "versions")
    return str(path)
