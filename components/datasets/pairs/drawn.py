"""Draws the world of pairs into a dataset; its space says which words make a pair and which set an image is of."""

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from components.base.artifacts import digest
from components.datasets.images import load_image, perceptual_hash
from components.datasets.pairs.pairing import SETS, Pair, PairsSpec, counts, label
from components.datasets.pairs.world import draw
from components.datasets.parallel import ordered_map
from components.datasets.schema import Sample, sample_id
from components.datasets.store import Dataset, DatasetWriter

Progress = Callable[[int, int], None]  # (done, total)
Job = tuple[PairsSpec, str, Pair, int]


def space_of(pairs: Mapping[str, Sequence[Pair]], sets: Mapping[str, Iterable[str]]) -> dict[str, Any]:
    """The space of a dataset of pairs: its labels, with the words of each, its pairs and image names by set.

    A label is a verb without roles to whatever reads situations.
    """
    everything = sorted({pair for group in pairs.values() for pair in group})
    return {
        "nouns": {},
        "verbs": {label(p): {"framenet": "", "abstract": f"{p[0]} {p[1]}".replace("_", " ").lower(), "def": "",
                             "order": [], "roles": {}} for p in everything},
        "pairs": {label(p): list(p) for p in everything},
        "pair_sets": {name: sorted(label(p) for p in group) for name, group in pairs.items()},
        "sets": {name: sorted(images) for name, images in sets.items()},
    }


def samples(spec: PairsSpec, workers: int = 1) -> Iterator[Sample]:
    """The pictures of all sets, mixed, under names that say nothing; `label` holds the pair."""
    yield from ordered_map(_sample, _jobs(spec), workers)


def draw_pairs(out: Path, spec: PairsSpec, workers: int = 2, progress: Progress | None = None) -> Dataset:
    """Draws straight into a dataset folder."""
    jobs = _jobs(spec)
    sets = {name: [_name(job) for job in jobs if job[1] == name] for name in SETS}
    with DatasetWriter(out, "pairs", space_of({name: list(of) for name, of in counts(spec).items()}, sets)) as writer:
        for done, sample in enumerate(ordered_map(_sample, jobs, workers), 1):
            writer.add(sample)
            if progress:
                progress(done, len(jobs))
    return Dataset(out)


def _jobs(spec: PairsSpec) -> list[Job]:
    jobs = [(spec, name, pair, i) for name, of in counts(spec).items() for pair, n in of.items() for i in range(n)]
    return sorted(jobs, key=_key)


def _key(job: Job) -> str:
    spec, name, pair, index = job
    return digest(["pairs", spec.seed, spec.side, name, list(pair), index])


def _name(job: Job) -> str:
    return f"{_key(job)[:16]}.jpg"


def _sample(job: Job) -> Sample:
    spec, _, pair, _ = job
    sink, name = io.BytesIO(), _name(job)
    picture: np.ndarray = draw(*pair, int(_key(job)[16:28], 16), spec.side)
    Image.fromarray(picture).save(sink, "JPEG", quality=90)
    image = sink.getvalue()
    return Sample(sample_id(image), name, image, spec.side, spec.side, perceptual_hash(load_image(image, name)),
                  f"pairs, seed {spec.seed}", label(pair))
