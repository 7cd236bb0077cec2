"""The distilled student to a bundle for the edge, with its measured facts and what it answers on its test images."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from components import recipes
from components.base.artifacts import write_bytes, write_json
from components.datasets.images import load_image
from components.datasets.splits import Splits
from components.datasets.store import Dataset
from components.monitoring.log import encoded, rows
from components.pipeline.plan import Plan
from components.pipeline.steps import recipe_code, stage_of, step
from components.recipes.protocol import Recipe

PROBED = 256  # test images on which int8 is compared with fp32
REFERRED = 256  # test images whose answers are the reference of drift
REFERENCE = "reference.parquet"
BATCH = 32


def export(plan: Plan, run: str, dataset: str, splits: str, student: str) -> str:
    """A folder with `bundle/`, facts.json {"edge": what promotion looks at, "shown": the same in words, ...} and the
    reference that drift is told by: the bundle's answers on test images, as rows of the prediction log.
    """
    recipe = recipes.get(plan.recipe)
    with step(run, "edge export") as here:
        def work(part: Path) -> None:
            from components.export.edge import export as write  # torch's exporter takes seconds to import

            data = Dataset(Path(dataset))
            stage = stage_of(plan, dataset, splits)
            provenance = {"dataset": f"{data.name} {data.version}", "splits": Splits.load(stage.splits).sha256,
                          "student": Path(student).name, "teacher": plan.teacher, "seed": plan.seed}
            facts = write(recipe.export(Path(student), stage), part / "bundle", provenance,
                          evaluate=accuracy_on(recipe, data, stage.splits), seconds=stage.config.edge.timing,
                          progress=here.line)
            write_bytes(part / REFERENCE, encoded(reference_of(part / "bundle", data, stage.splits)))
            edge = {name: facts[name] for name in ("parity", "int8_loss", "latency_ms", "size_mb")}
            write_json(part / "facts.json", {"edge": edge, "shown": shown(edge), "details": facts["details"]})

        inputs = {"student": Path(student).name, "splits": Path(splits).name, "edge": asdict(plan.config().edge)}
        path = here.produce(inputs, work, *recipe_code(plan), "components.export", "components.serving",
                            "components.monitoring.log")
        facts = read_facts(path)
        here.run.log_metrics(facts["edge"])
        here.run.log_figure(path / "facts.json", "edge")
        here.run.log_figure(path / "bundle" / "MODEL_CARD.md", "edge")
        here.says(", ".join(f"{k} {v}" for k, v in facts["shown"].items()))
    return str(path)


def read_facts(folder: str | Path) -> dict[str, Any]:
    """The facts beside a bundle."""
    import json

    return json.loads((Path(folder) / "facts.json").read_text("utf-8"))


def shown(edge: Mapping[str, float]) -> dict[str, str]:
    """The facts as a person reads them."""
    return {"latency": f"{edge['latency_ms']:.1f} ms", "size": f"{edge['size_mb']:.1f} MB",
            "int8 loss": f"{100 * edge['int8_loss']:.1f} points", "parity": f"{edge['parity']:.1e}"}


def reference_of(bundle: Path, data: Dataset, splits: Path) -> pa.Table:
    """Some test images, evenly over the split, as the bundle sees and answers them."""
    from components.serving.predictor import Predictor

    test, tables = Splits.load(splits).test, []
    ids = test[:: max(1, len(test) // REFERRED)][:REFERRED]
    predictor = Predictor(bundle, observe=lambda _, embeddings, found: tables.append(
        rows(embeddings, found, labels=predictor.labels)))
    for start in range(0, len(ids), BATCH):
        predictor.predict([load_image(s.image, s.name) for s in data.samples(ids[start:start + BATCH])], top=1)
    return pa.concat_tables(tables)


def accuracy_on(recipe: Recipe, data: Dataset, splits: Path) -> Callable[[Path, str], float]:
    """(bundle, precision) to the share of some held-out images whose label is right, run as on the device."""
    test = Splits.load(splits).test
    ids = test[:: max(1, len(test) // PROBED)][:PROBED]

    def accuracy(bundle: Path, precision: str) -> float:
        from components.serving.predictor import Predictor

        predictor, names = Predictor(bundle, precision), {}
        for start in range(0, len(ids), BATCH):
            samples = list(data.samples(ids[start:start + BATCH]))
            found = predictor.predict([load_image(s.image, s.name) for s in samples], top=1)
            names |= {s.id: p[recipe.labels][0] for p, s in zip(found, samples, strict=True)}
        return recipe.right(list(names.values()), [data.labels[i] for i in names])

    return accuracy
