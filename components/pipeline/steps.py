"""One step of a run: shown as a line of progress, recorded as a nested MLflow run, its output kept by its inputs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components import recipes
from components.base import progress
from components.base.artifacts import code_version, produce
from components.pipeline.plan import Plan
from components.recipes.protocol import Stage
from components.registry import tracking


@dataclass(slots=True)
class Step:
    """A step under way. `line` is its progress, `run` its nested MLflow run."""

    name: str
    line: progress.Line
    run: tracking.Run

    def produce(self, inputs: dict[str, Any], work: Callable[[Path], None], *code: str) -> Path:
        """The output folder for `inputs` and the sources of `code`; says "cached" where nothing had to be done."""
        path, cached = produce(self.name.replace(" ", "-"), inputs | {"code": code_version(*code)}, work)
        self.line.result = "cached" if cached else ""
        self.run.set_tags({"cached": cached, "output": path.name})
        return path

    def says(self, text: str) -> None:
        """What the step's line ends with."""
        self.line.result = f"{text} (cached)" if self.line.result.startswith("cached") else text


@contextmanager
def step(run_id: str, name: str) -> Iterator[Step]:
    """A step of the MLflow run `run_id`."""
    parent = tracking.Run(run_id, tracking.connect())
    with progress.stage(name) as line, tracking.run(name, parent=parent, key=f"{run_id}.{name}") as run:
        yield Step(name, line, run)


def stage_of(plan: Plan, dataset: str, splits: str, *, rationales: str | None = None, targets: str | None = None,
             config: Any = None) -> Stage:
    """What a recipe is given."""
    return Stage(Path(dataset), Path(splits) / "splits.json", config or plan.config(), plan.seed,
                 Path(rationales) if rationales else None, Path(targets) if targets else None)


def encoders(config: Any, *kinds: str) -> dict[str, str]:
    """What the frozen encoders of these kinds are made of, where the recipe lets them be chosen: part of keys."""
    if not hasattr(config, "encoder"):
        return {}
    from components.encoders import named, text  # torch, which most steps do without

    revision = {"image": named.revision, "text": lambda name: text.get(name).revision}
    return {kind: revision[kind](getattr(config.encoder, kind)) for kind in kinds}


def recipe_code(plan: Plan) -> tuple[str, ...]:
    """The packages of the plan's recipe, whose sources are part of the keys of what it makes."""
    return (*recipes.packages(plan.recipe), "components.recipes.common")
