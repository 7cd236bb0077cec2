"""The recipe: a method from the literature told in the pipeline's five steps. The pipeline knows only this protocol."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from components.datasets.schema import Sample
from components.teachers.judge import Statement
from components.teachers.protocol import Answer, Question, Teacher


@dataclass(frozen=True, slots=True)
class Record:
    """An accepted rationale: what the teacher said of one sample, read into the recipe's own JSON."""

    sample: str
    content: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rejection:
    """A sample whose answers cannot be used, and why."""

    sample: str
    reason: str


@dataclass(frozen=True, slots=True)
class Stage:
    """What every later step is given: folders of finished earlier steps, and settings.

    `dataset` is a dataset folder (`components.datasets.store.Dataset`), `splits` the splits file,
    `rationales` and `targets` the folders made by the steps before (None where a step runs without them).
    """

    dataset: Path
    splits: Path
    config: Any
    seed: int
    rationales: Path | None = None
    targets: Path | None = None


@dataclass(frozen=True, slots=True)
class Graph:
    """One network of the exported student.

    `module` is a torch module called with `example` (a tuple of tensors); `inputs`, `outputs` name them; `dynamic` maps
    an input's name to {axis: axis name}; `quantize` is "static" (convolutions, calibrated), "dynamic" or None;
    `calibration` yields input dictionaries of numpy arrays drawn from real samples.
    """

    name: str
    module: Any
    example: tuple[Any, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    dynamic: dict[str, dict[int, str]]
    quantize: str | None = "static"
    calibration: Any = None


@dataclass(frozen=True, slots=True)
class ExportSpec:
    """Everything that ships: graphs, text tables (float32 arrays), the vocabulary and decoding constants as JSON.

    `preprocessing` holds {"size", "mean", "std"}; `tables` are written as safetensors.
    """

    recipe: str
    graphs: tuple[Graph, ...]
    tables: dict[str, np.ndarray]
    vocabulary: dict[str, Any]
    decoding: dict[str, Any]
    preprocessing: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Gates:
    """What promotion looks at; names are dotted paths into the evaluation report's "metrics".

    `headline` is the metric that decides against a champion; `minimum` {metric: bar} holds with or without one;
    `protected` {slice metric: margin} may not fall below the champion by more than the margin; `budgets` {name: limit}
    are upper limits on "parity", "int8_loss", "latency_ms" and "size_mb".
    """

    headline: str
    minimum: dict[str, float]
    protected: dict[str, float]
    budgets: dict[str, float]
    higher_is_better: bool = True


@dataclass(frozen=True, slots=True)
class Report:
    """An evaluation: `metrics` {name: value}, `intervals` {name: [low, high]} (95 %, bootstrap over images),
    `per_sample` {metric: {image name: score}} for paired comparison, `tables` and `pictures` for the written report,
    `protocol` the zero-shot protocol in words (names, images, boxes of unseen classes known or not).
    """

    metrics: dict[str, float]
    intervals: dict[str, list[float]]
    per_sample: dict[str, dict[str, float]]
    protocol: dict[str, Any]
    tables: dict[str, Any] = field(default_factory=dict)


class Recipe(Protocol):
    """One method. Pure where it says so; the pipeline owns loops, caches, retries, checkpoints, plots and registry."""

    name: str

    def config(self, *, fast: bool = False) -> Any:
        """The complete nested settings (frozen dataclasses); `fast` the smaller ones for a quick run.

        The pipeline reads these groups: `draw` (`components.datasets.draw.DrawSpec`), `ask` with `judge` ("", "same" or
        a teacher's name) and `again`, and `spend` (`components.teachers.prices.Spend`).
        """

    def questions(self, sample: Sample, config: Any) -> list[Question]:
        """What to ask the teacher about one training sample. Pure; empty where the recipe asks nothing of it."""

    def statement(self, question: Question, answer: Answer) -> Statement | str:
        """What one answer says that can be judged, or in words why it cannot be used. Pure; validates as `accept`."""

    def repair(self, question: Question, answer: Answer, mended: Statement) -> Answer:
        """The answer with the two sentences of `mended` in place of its own; with `failure` where that cannot be."""

    def accept(self, sample: Sample, answers: Sequence[Answer], config: Any) -> Record | Rejection:
        """Reads the answers, in the order of `questions`. Pure. Teacher text is untrusted: validate all of it.

        An answer that was refused, rejected or cannot be read has `failure`: why, in words.
        """

    def quality_rows(self, record: Record, label: str) -> list[dict[str, Any]]:
        """The record as rows of the rationale quality suite: sample, kind, role, positive, negative, label."""

    def align(self, stage: Stage, teacher: Teacher, out: Path) -> dict[str, float]:
        """Writes the targets of training, keyed by sample id, below `out`; returns figures worth logging."""

    def training_task(self, stage: Stage) -> dict[str, Any]:
        """The JSON spec of `components.training.task.Task` for this stage: {"task": "module:function", ...}."""

    def baseline(self, config: Any) -> Any:
        """The settings of the honest baseline: the same student, data and budget without a teacher."""

    def predict(self, student: Path, stage: Stage, split: str) -> Iterator[dict[str, Any]]:
        """One prediction (plain JSON) per sample of a split, in the split's order, decoded as in the shipped bundle."""

    def score(self, predictions: Sequence[dict[str, Any]], stage: Stage, split: str) -> Report:
        """Predictions against annotations, with slices and intervals."""

    def reference(self, teacher: Teacher, stage: Stage, split: str) -> dict[str, float]:
        """The teacher's own figures on a split, under the names that `score` uses: the ceiling of distillation."""

    def export(self, student: Path, stage: Stage) -> ExportSpec:
        """What ships to the edge."""

    def gates(self, config: Any) -> Gates:
        """What promotion demands."""
