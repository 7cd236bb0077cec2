"""Re-makes docs/results/near.*: NeaR against its baselines on drawn birds, in both regimes of a teacher's errors.

    python -m benchmarks.near_results [--seeds 0 1 2 3 4] [--ablate 2] [--out docs/results]

A seed draws its own birds, splits, teacher, initialisation and order. All methods of a seed share images, names after
merging, views, student, steps and learning rate; only the switches of `components.recipes.near.methods` differ.
Images and features are kept by their inputs, so a killed call goes on.
"""

import argparse
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.near_page import write
from components import recipes, teachers
from components.base.artifacts import code_version, produce
from components.base.config import override
from components.datasets.names.consolidate import consolidate
from components.datasets.names.evidence import Answer
from components.datasets.species.answers import REGIMES
from components.datasets.splits import Splits, split_dataset
from components.datasets.store import Dataset
from components.encoders import named, text
from components.encoders.cache import FeatureCache, dataset_features
from components.evaluation.clustering import NameScores, label_quality, right
from components.export.latency import measure
from components.pipeline.teaching import loaders
from components.recipes.near import naming
from components.recipes.near.config import Config
from components.recipes.near.methods import PRESETS, Method
from components.recipes.near.model import EncoderGraph, Student
from components.recipes.near.recording import record
from components.recipes.near.scoring import measured
from components.recipes.near.split import auroc
from components.recipes.near.targets import targets_of
from components.recipes.near.task import NearTask
from components.recipes.near.views import pooled_views
from components.recipes.pictures import view
from components.recipes.protocol import Stage
from components.teachers.protocol import View
from components.training import plain

METHODS: dict[str, Method] = PRESETS | {"near": Method()}
ABLATIONS: dict[str, tuple[str, ...]] = {
    "no neighbours (k = 0)": ("align.k=0",),
    "neighbours by features as they are": ("align.space=image",),
    "names never divided": ("distil.method.divide=false",),
    "every name counts": ("distil.method.support=1",),
    "no split": ("distil.method.split=none",),
    "no projection": ("distil.method.project=false",),
    "no sharpening": ("distil.method.sharpen=1.0",),
    "no mixing": ("distil.method.mixing=0",),
}


@dataclass(frozen=True)
class World:
    """A seed's birds: where they lie, views of training images [N, A, P] and the test's [M, P]."""

    stage: Stage
    data: Dataset
    splits: Splits
    views: np.ndarray
    shown: np.ndarray

    def classes(self, split: str) -> list[str]:
        return [self.data.labels[i] for i in getattr(self.splits, split)]


def world(config: Config, seed: int) -> World:
    recipe = recipes.get("near")
    inputs = {"draw": dataclasses.asdict(config.draw), "code": code_version("components.datasets.species")}
    path, _ = produce("near-results", inputs, lambda part: recipe.draw(config, part, lambda done, of: None))
    data = Dataset(path)
    folder, _ = produce("near-results-splits", inputs | {"seed": seed, "test": config.evaluate.test},
                        lambda part: split_dataset(path, part, recipe.split(data, config, seed, True)) and None)
    splits = Splits.load(folder / "splits.json")
    features = FeatureCache(dataset_features(path))
    stage = Stage(path, folder / "splits.json", config, seed)
    return World(stage, data, splits, pooled_views(features, splits.train, config.distil.views, seed),
                 pooled_views(features, splits.test, 1, 0)[:, 0])


def asked(here: World, config: Config, split: str) -> list[tuple[dict[str, Any], Any]]:
    """What the recorded teacher says of a split: (what was read, the answer with its cost)."""
    inputs = {"data": here.data.version, "ask": dataclasses.asdict(config.ask), "seed": config.draw.seed,
              "code": code_version("components.recipes.near", "components.datasets.species")}
    path, _ = produce("near-results-answers", inputs, lambda part: record(here.data, config, part / "answers.jsonl"))
    teacher = teachers.get(f"recorded:{path / 'answers.jsonl'}")
    samples = {s.id: s for s in here.data.samples(getattr(here.splits, split), images=False)}
    ids = getattr(here.splits, split)
    questions = [naming.questions(samples[i], config.ask.version, 1.0)[0] for i in ids]
    said = teacher.answer([view(here.data, i) for i in ids], questions)
    return [(naming.read(answer), answer) for answer in said]


def names_of(said: list[tuple[dict[str, Any], Any]], risk: float) -> list[str]:
    given = [Answer(found["labels"][0], tuple(found["labels"][1:]), found["response"]) for found, _ in said]
    return list(consolidate(given, risk=risk).names)


def trained(here: World, names: list[str], config: Config, seed: int) -> tuple[NameScores, float | None]:
    """Scores of a student on the test images, and the AUROC of its weights where it splits."""
    targets = targets_of(list(here.splits.train), names, here.views, config.align)
    task = NearTask(targets, here.views, config, seed)
    plain.train(task, recipes.get("near").training_task(dataclasses.replace(here.stage, config=config)))
    with torch.no_grad():
        chance = task.model(torch.from_numpy(here.shown)).mean(0)
    said = [task.targets.vocabulary[c] for c in chance.argmax(-1).tolist()]
    weight, clean = task.model.beliefs.weight[0].numpy(), right(names, here.classes("train"))
    found = auroc(weight, clean) if len(set(clean)) == 2 and np.ptp(weight) > 0 else None
    return measured([here.data.names[i] for i in here.splits.test], said, here.classes("test")), found


def zero_shot(here: World, vocabulary: list[str], scenes: np.ndarray) -> NameScores:
    """The nearest name in the embedded teacher's image-text space; `scenes` [M, E] are the test images there."""
    said = [vocabulary[i] for i in (scenes @ text.embed(vocabulary).T).argmax(1)]
    return measured([here.data.names[i] for i in here.splits.test], said, here.classes("test"))


def one_seed(seed: int, ablate: bool) -> dict[str, dict[str, Any]]:
    """{regime: {"scores": {method: NameScores}, "ablations": the same, "auroc", "labels", "answers"}}."""
    base = override(Config(), f"draw.seed={seed}")
    here = world(base, seed)
    looking = teachers.get("embedded", features=FeatureCache(dataset_features(here.data.path)))
    pixels = loaders(here.data, here.splits.test)
    scenes = looking.grid([View(i, pixels[i]) for i in here.splits.test])[:, 0]
    out = {}
    for regime in REGIMES:
        config = override(base, f"ask.regime={regime}")
        said = asked(here, config, "train")
        names = names_of(said, config.align.risk)
        scores = {"zero-shot": zero_shot(here, sorted(set(names)), scenes)}
        found, weights = {}, {}
        for name, method in METHODS.items():
            chosen = dataclasses.replace(config, distil=dataclasses.replace(config.distil, method=method))
            scores[name], weights[name] = trained(here, names, chosen, seed)
            tell(seed, regime, name, scores[name])
        for name, changes in ABLATIONS.items() if ablate else ():
            chosen = config
            for change in changes:
                chosen = override(chosen, change)
            found[name], _ = trained(here, names_of(said, chosen.align.risk), chosen, seed)
            tell(seed, regime, name, found[name])
        held = [read["labels"][0] for read, _ in asked(here, config, "test")]
        scores["teacher"] = measured([here.data.names[i] for i in here.splits.test], held, here.classes("test"))
        raw = label_quality([read["labels"][0] for read, _ in said], here.classes("train"))
        out[regime] = {"scores": scores, "ablations": found, "auroc": weights,
                       "labels": {"raw": raw, "merged": label_quality(names, here.classes("train"))},
                       "answers": [answer for _, answer in said]}
    return out


def speed(config: Config) -> dict[str, float]:
    """Milliseconds of one core that the student takes for an image, alone and as one of 64, from pixels to names."""
    eyes, torch_threads = named.get("embedded"), torch.get_num_threads()
    graph = EncoderGraph(eyes.network, Student(config.student.width, 64)).eval()
    images = {count: torch.randn(count, 3, eyes.size, eyes.size) for count in (1, 64)}
    torch.set_num_threads(1)
    with torch.inference_mode():
        found = measure({str(count): partial(graph, pixels) for count, pixels in images.items()}, seconds=9, rounds=5)
    torch.set_num_threads(torch_threads)
    return {f"batch_{count}": found[str(count)]["median_ms"] / count for count in images}


def tell(seed: int, regime: str, name: str, scores: NameScores) -> None:
    shown = ("cluster_accuracy", "semantic_accuracy", "nmi", "ari")
    told = ", ".join(f"{k} {100 * scores.numbers[k]:.1f}" for k in shown)
    print(f"seed {seed}, {regime}, {name}: {told}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--ablate", type=int, default=2, help="on so many of the seeds the ablations are run")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    options = parser.parse_args()
    found: Mapping[int, Any] = {}
    for place, seed in enumerate(options.seeds):
        found |= {seed: one_seed(seed, place < options.ablate)}
        write(found, speed(Config()), options.out)


if __name__ == "__main__":
    main()
