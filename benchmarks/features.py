"""An epoch of training from cached features over one with the live encoder: the same student, images and steps.

    python -m benchmarks.features [--images 256] [--encoder embedded]

Both epochs read the same decoded pictures from memory, so that only the encoder differs: the live one encodes each
batch, and its composites' other halves, before the student learns from it. They take turns, a step each, so that what
else the machine does falls on both; the student learns as in training, in bfloat16 products where the processor has
them.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch

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
    options.add_argument("--encoder", default="embedded", help="as encoder.image: a checkpoint's name or folder")
    given = options.parse_args()
    encoder, rng = named.get(given.encoder), np.random.default_rng(0)
    pictures = rng.integers(0, 256, (given.images, encoder.size, encoder.size, 3), dtype=np.uint8)
    if torch.cpu._is_avx512_bf16_supported():  # as `components.training.worker`
        torch.backends.mkldnn.matmul.fp32_precision = "bf16"
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        write_features(((str(i), p) for i, p in enumerate(pictures)), encoder.features, Path(folder),
                       revision=encoder.revision)
        filled, cache = time.perf_counter() - began, FeatureCache(Path(folder))
        sources = {"cache": lambda rows: cache.rows([str(i) for i in rows]),
                   "live": lambda rows: encoder.features(pictures[rows])}
        epochs(sources, encoder.channels, BATCH)  # warm
        spent = epochs(sources, encoder.channels, given.images)
    for name, (reading, learning) in spent.items():
        print(f"{given.images} images, {encoder.name}, {name}: {reading + learning:.1f} s an epoch, {reading:.1f} s of "
              f"it for features, {learning:.1f} s for learning")
    print(f"the cache was filled once in {filled:.1f} s")
    print(f"live over cached: {sum(spent['live']) / sum(spent['cache']):.1f}   (target: at least 3)")


def epochs(sources: Mapping[str, Callable[[np.ndarray], np.ndarray]], channels: int,
           count: int) -> dict[str, tuple[float, float]]:
    """Seconds of one epoch by where features come from: until they are there (a batch's, and those of the partners of
    its composites), and for the forward and backward pass and the step that follow."""
    torch.manual_seed(0)
    student, rng = Student(Architecture(), channels, WIDTH), np.random.default_rng(0)
    optimizer = torch.optim.AdamW(student.parameters(), 1e-3)
    spent = {name: [0.0, 0.0] for name in sources}
    order = rng.permutation(count)
    for start in range(0, count - BATCH + 1, BATCH):
        rows, partners = order[start:start + BATCH], rng.choice(order, BATCH // 2)
        for name, source in sources.items():
            began = time.perf_counter()
            features, others = (torch.from_numpy(source(r)).float() for r in (rows, partners))
            there = time.perf_counter()
            learn(student, optimizer, features, others)
            spent[name][0] += there - began
            spent[name][1] += time.perf_counter() - there
    return {name: (reading, learning) for name, (reading, learning) in spent.items()}


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
