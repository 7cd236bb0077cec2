"""The distilled student to a bundle for the edge, with its measured facts and what it answers on its test images."""

from collections.abc import Mapping
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

PROBED = 256  # test images on which int8 is compared with fp32, and whose answers are the reference of drift
REFERENCE = "reference.parquet"
BATCH = 32
SHIPPED = "int8"  # the precision that devices run


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
            probe = Probe(recipe, data, stage.splits)
            provenance = {"dataset": f"{data.name} {data.version}", "splits": Splits.load(stage.splits).sha256,
                          "student": Path(student).name, "teacher": plan.teacher, "seed": plan.seed}
            facts = write(recipe.export(Path(student), stage), part / "bundle", provenance,
                          evaluate=probe, precision=SHIPPED, seconds=stage.config.edge.timing, progress=here.line)
            write_bytes(part / REFERENCE, encoded(probe.answers(SHIPPED)))
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


class Probe:
    """Some test images, evenly over the split, put to a bundle as on a device: is it right, and what does it see and
    say?"""

    def __init__(self, recipe: Recipe, data: Dataset, splits: Path):
        test = Splits.load(splits).test
        self.recipe, self.data, self.ids = recipe, data, test[:: max(1, len(test) // PROBED)][:PROBED]
        self._answers: dict[str, list[pa.Table]] = {}

    def __call__(self, bundle: Path, precision: str) -> float:
        """The share of the images whose label is right."""
        from components.serving.predictor import Predictor

        told, names = self._answers.setdefault(precision, []), {}
        told.clear()
        predictor = Predictor(bundle, precision, observe=lambda _, embeddings, found: told.append(
            rows(embeddings, found, labels=self.recipe.labels)))
        for start in range(0, len(self.ids), BATCH):
            samples = list(self.data.samples(self.ids[start:start + BATCH]))
            found = predictor.predict([load_image(s.image, s.name) for s in samples], top=1)
            names |= {s.id: p[self.recipe.labels][0] for p, s in zip(found, samples, strict=True)}
        return self.recipe.right(list(names.values()), [self.data.labels[i] for i in names])

    def answers(self, precision: str) -> pa.Table:
        """What the bundle saw and said at the last call with that precision, as rows of the prediction log."""
        return pa.concat_tables(self._answers[precision])
