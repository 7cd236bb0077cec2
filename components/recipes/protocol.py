"""The recipe: a method from the literature told in the pipeline's five steps. The pipeline knows only this protocol."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from components.datasets.schema import Sample
from components.datasets.splits import Splits, SplitSpec
from components.datasets.store import Dataset
from components.encoders.checkpoint import EMBEDDED
from components.teachers.judge import Statement
from components.teachers.protocol import Answer, Question, Teacher

DRAWN = "drawn"  # the teacher whose answers the drawn world brings along
Progress = Callable[[int, int], None]  # (done, total)


@dataclass(frozen=True, slots=True)
class Record:
    """An accepted rationale: what the teacher said of one sample, read into the recipe's own JSON."""

    sample: str
    content: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Source:
    """The user's images: a folder, what belongs to it (None: look in the folder), whatever the recipe reads of it."""

    folder: Path
    annotations: Path | None = None
    space: Path | None = None


@dataclass(frozen=True, slots=True)
class Baseline:
    """A student to compare with, under the same data and budget: its settings, and whether the teacher's targets are
    among what it learns from (`taught`)."""

    config: Any
    taught: bool = False


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

    `preprocessing` holds {"size", "mean", "std"}; `tables` are written as safetensors; what is ranked comes first in
    the vocabulary; `text` names the text encoder that ships too, so that names never listed may be given (None: none).
    """

    recipe: str
    graphs: tuple[Graph, ...]
    tables: dict[str, np.ndarray]
    vocabulary: dict[str, Any]
    decoding: dict[str, Any]
    preprocessing: dict[str, Any]
    text: str | None = EMBEDDED


@dataclass(frozen=True, slots=True)
class Gates:
    """What promotion looks at; names are dotted paths into the evaluation report's "metrics".

    `headline` is the metric that decides against a champion; `minimum` {metric: bar} holds with or without one;
    `protected` {slice metric: margin} may not fall below the champion by more than the margin; `budgets` {name: limit}
    are upper limits on "parity", "int8_loss", "latency_ms" and "size_mb"; `per_source` {metric: margin} is protected on
    the images of each source apart, where a metric has a score per image.
    """

    headline: str
    minimum: dict[str, float]
    protected: dict[str, float]
    budgets: dict[str, float]
    higher_is_better: bool = True
    per_source: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Report:
    """An evaluation: `metrics` {name: value}, `intervals` {name: [low, high]} (95 %, bootstrap over images),
    `per_sample` {metric: {image name: score}} for paired comparison, `protocol` the conditions in words (what of
    held-out classes was known, what competes). `tables` is what pictures are drawn from, of the scored images: "labels"
    {true label: {"group", "top1", "count"}}, "confusion" {"truth", "predicted": true labels or names [N]} and
    "reliability" {"images": names, "confidence", "right" [N]}, and "shown", further tables of the written report
    (fields of `components.evaluation.report.Table`); empty where nothing could be scored.
    """

    metrics: dict[str, float]
    intervals: dict[str, list[float]]
    per_sample: dict[str, dict[str, float]]
    protocol: dict[str, Any]
    tables: dict[str, Any] = field(default_factory=dict)


class Recipe(Protocol):
    """One method. Pure where it says so; the pipeline owns loops, caches, retries, checkpoints, plots and registry.

    A prediction is {"image", "id", `labels`: ranked names, "scores": theirs, "confident": bool, ...}, with "frames"
    where there are roles to fill; a bundle's vocabulary and tables hold the names under the same key.
    """

    name: str
    world: str  # what is drawn where no images are given, in a word or two ("scenes")
    teacher: str  # who is asked unless told otherwise: a SPEC, or DRAWN for the recording of the drawn world (`record`)
    labels: str  # what is ranked, as the key of predictions and vocabulary ("verbs"); in words its singular `label`
    label: str
    measure: str  # what `headline` shares of, in words
    headline: Mapping[str, str]  # {column of the headline: metric of the report}
    suite: str  # the quality suite of what the teacher said
    blind: bool  # true labels are met in scoring alone: samples are asked about and read without theirs

    def config(self, *, fast: bool = False) -> Any:
        """The complete nested settings (frozen dataclasses); `fast` the smaller ones for a quick run.

        The pipeline reads these groups: `draw` (`components.datasets.draw.DrawSpec`), `ask` with `judge` ("", "same" or
        a teacher's name) and `again`, and `spend` (`components.teachers.prices.Spend`).
        """

    def draw(self, config: Any, out: Path, progress: Progress) -> None:
        """Draws the embedded world into the dataset folder `out`."""

    def record(self, dataset: Dataset, config: Any, out: Path) -> None:
        """Writes what the drawn world's own teacher says of its images, as lines of `components.teachers.exchange`."""

    def ingest(self, source: Source, out: Path, progress: Progress) -> Sequence[str]:
        """Takes the user's images into the dataset folder `out`, whole or not at all; returns warnings."""

    def split(self, dataset: Dataset, config: Any, seed: int, drawn: bool) -> SplitSpec | Splits:
        """How to split a dataset that brings no splits of its own, or its splits where its records name them. Pure."""

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
        """The record as rows of its quality suite (`components.quality.frames`), each with its "sample"."""

    def align(self, stage: Stage, teacher: Teacher, out: Path) -> dict[str, float]:
        """Writes the targets of training, keyed by sample id, below `out`; returns figures worth logging."""

    def training_task(self, stage: Stage) -> dict[str, Any]:
        """The JSON spec of `components.training.task.Task` for this stage: {"task": "module:function", ...}."""

    def baselines(self, config: Any) -> dict[str, Baseline]:
        """The honest baselines that are trained beside the student, by name."""

    def predict(self, student: Path, stage: Stage, split: str) -> Iterator[dict[str, Any]]:
        """One prediction (plain JSON) per sample of a split, in the split's order, decoded as in the shipped bundle."""

    def score(self, predictions: Sequence[dict[str, Any]], stage: Stage, split: str) -> Report:
        """Predictions against annotations, with slices and intervals."""

    def reference(self, teacher: Teacher, stage: Stage, split: str) -> dict[str, float]:
        """The teacher's own figures on a split, under the names that `score` uses: the ceiling of distillation."""

    def compared_by(self, splits: Splits) -> Question | None:
        """What `reference` asks a teacher that is paid by the request about each test image (None: nothing). Pure."""

    def right(self, predicted: Sequence[str], truth: Sequence[str | None]) -> float:
        """The share of images whose first name is right; what int8 is compared with fp32 by. Pure."""

    def export(self, student: Path, stage: Stage) -> ExportSpec:
        """What ships to the edge."""

    def gates(self, config: Any) -> Gates:
        """What promotion demands."""
