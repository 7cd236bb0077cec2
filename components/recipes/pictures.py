"""The images of a dataset as teachers take them, and as a student's graph takes them when it is calibrated."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from components.datasets.images import fit, load_image
from components.datasets.store import Dataset
from components.encoders.named import ImageEncoder
from components.teachers.protocol import View


def view(dataset: Dataset, name: str) -> View:
    """One image, decoded only when it is looked at."""
    return View(name, lambda: load_image(dataset.image(name), name))


Batches = Callable[[], Iterator[dict[str, np.ndarray]]]


def calibration(dataset: Dataset, ids: Sequence[str], eyes: ImageEncoder) -> Batches:
    """The images `ids`, one by one under "image", as the encoder takes them: float32 [1, 3, S, S]."""
    def pictures() -> Iterator[dict[str, np.ndarray]]:
        for sample in dataset.samples(ids):
            picture = fit(load_image(sample.image, sample.name), eyes.size)[None]
            yield {"image": eyes.pixels(picture).contiguous().numpy()}
    return pictures
