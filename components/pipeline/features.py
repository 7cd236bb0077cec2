"""Frozen features of every image of a dataset, computed once for the teacher and the students alike."""

from pathlib import Path

from components.datasets.store import Dataset
from components.encoders.cache import dataset_features
from components.pipeline.steps import step


def make_features(run: str, dataset: str) -> str:
    """The folder of a `components.encoders.cache.FeatureCache` over all samples."""
    data = Dataset(Path(dataset))
    with step(run, "image features") as here:
        path = dataset_features(data.path, progress=lambda done: here.line.advance(done, len(data)))
        here.says(f"{len(data):,} images")
    return str(path)
