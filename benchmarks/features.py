"""An epoch of training from cached features over one with the live encoder: the same student, images and steps.

    python -m benchmarks.features [--images 256] [--side 192] [--encoder embedded]

The live one reads the pictures of each batch, and of its composites' other halves, as they were stored (JPEG, `--side`
pixels high and wide: 192 as scenes are drawn, 512 as the published photographs), and encodes them before the student
learns; the cached one reads their features. They take turns, a step each, so that what else the machine does falls on
both; the student learns as in training, in bfloat16 products where the processor has them.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # as `foveate` does, before torch is loaded
import torch

from components.datasets.images import fit, load_image
from components.datasets.scenes import lexicon, world
from components.encoders import named
from components.encoders.cache import FeatureCache, write_features
from components.encoders.image import GRID
from components.encoders.text import WIDTH
from components.recipes.mipd.config import Architecture
from components.recipes.mipd.model import Student

BATCH, ROLES = 16, 4


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--images", type=int, default=256)
    options.add_argument("--side", type=int, default=192, help="of the stored pictures, in pixels")
    options.add_argument("--encoder", default="embedded", help="as encoder.image: a checkpoint's name or folder")
    given = options.parse_args()
    encoder, verbs = named.get(given.encoder), sorted(lexicon.VERBS)
    stored = [world.encode(world.draw(verbs[i % len(verbs)], i, given.side).image) for i in range(given.images)]

    def read(rows: Iterable[int]) -> np.ndarray:
        return np.stack([fit(load_image(stored[i]), encoder.size) for i in rows])

    if torch.cpu._is_avx512_bf16_supported():  # as `components.training.worker`
        torch.backends.mkldnn.matmul.fp32_precision = "bf16"
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        write_features(((str(i), read([i])[0]) for i in range(given.images)), encoder.features, Path(folder),
                       revision=encoder.revision)
        filled, cache = time.perf_counter() - began, FeatureCache(Path(folder))
        ways = {"cache": (lambda rows: [str(i) for i in rows], cache.rows), "live": (read, encoder.features)}
        epochs(ways, encoder.channels, BATCH)  # warm
        spent = epochs(ways, encoder.channels, given.images)
    for name, (reading, encoding, learning) in spent.items():
        print(f"{given.images} images of {given.side} pixels, {encoder.name}, {name}: {reading:.1f} s an epoch for "
              f"pictures, {encoding:.1f} s for their features, {learning:.1f} s for learning")
    print(f"the cache was filled once in {filled:.1f} s")
    live, cached = sum(spent["live"]), sum(spent["cache"])
    print(f"live over cached: {live / cached:.2f}   (target: at least 3); "
          f"{(live - spent['live'][0]) / cached:.2f} if pictures cost nothing to read")


Way = tuple[Callable[[np.ndarray], Any], Callable[[Any], np.ndarray]]


def epochs(ways: Mapping[str, Way], channels: int, count: int) -> dict[str, list[float]]:
    """Seconds of one epoch by the way to features (what rows are read as, and what that is in features): until a
    batch's and its composites' partners' pictures are read, until their features are there, and for the step."""
    torch.manual_seed(0)
    student, rng = Student(Architecture(), channels, WIDTH), np.random.default_rng(0)
    optimizer = torch.optim.AdamW(student.parameters(), 1e-3)
    spent = {name: [0.0, 0.0, 0.0] for name in ways}
    order = rng.permutation(count)
    for start in range(0, count - BATCH + 1, BATCH):
        rows = np.concatenate([order[start:start + BATCH], rng.choice(order, BATCH // 2)])
        for name, (read, encode) in ways.items():
            times = [time.perf_counter()]
            pictures = read(rows)
            times.append(time.perf_counter())
            features = torch.from_numpy(encode(pictures)).float()
            times.append(time.perf_counter())
            learn(student, optimizer, features[:BATCH], features[BATCH:])
            times.append(time.perf_counter())
            spent[name] = [s + after - before for s, before, after in zip(spent[name], times, times[1:], strict=False)]
    return spent


def learn(student: Student, optimizer: torch.optim.Optimizer, features: torch.Tensor, others: torch.Tensor) -> None:
    """One step on features [B, T, C] and on composites of their first half with `others` [B/2, T, C]."""
    text = torch.nn.functional.normalize(torch.randn(BATCH, WIDTH), dim=-1)
    roles, present = torch.randn(BATCH, ROLES, WIDTH), torch.ones(BATCH, ROLES, dtype=torch.bool)
    boxes = torch.full((BATCH, ROLES, 4), 0.5)
    composites = features[:BATCH // 2].clone()
    composites[:, : GRID * GRID // 2] = others[:, : GRID * GRID // 2]
    out = student(features, text, roles, present, boxes, composites)
    loss = (1 - (out["scene"] * text).sum(1)).mean() + out["box"].square().mean() + out["composite"].square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


if __name__ == "__main__":
    main()
