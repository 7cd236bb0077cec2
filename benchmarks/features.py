"""An epoch of training from cached features over one with the live encoder: the same student, images and steps.

    python -m benchmarks.features [--images 256] [--encoder embedded]

Both epochs read the same decoded pictures from memory, so that only the encoder differs: the live one encodes each
batch, and its composites' other halves, before the student learns from it.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from components.encoders import named
from components.encoders.cache import FeatureCache, write_features
from components.encoders.image import GRID
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
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        write_features(((str(i), p) for i, p in enumerate(pictures)), encoder.features, Path(folder),
                       revision=encoder.revision)
        filled, cache = time.perf_counter() - began, FeatureCache(Path(folder))

        def cached(rows: np.ndarray) -> np.ndarray:
            return cache.rows([str(i) for i in rows])

        def live(rows: np.ndarray) -> np.ndarray:
            return encoder.features(pictures[rows])

        epoch(cached, encoder.channels, 2 * BATCH)  # warm
        from_cache, from_live = (epoch(source, encoder.channels, given.images) for source in (cached, live))
    print(f"{given.images} images, {encoder.name}: {from_cache:.1f} s an epoch from the cache, {from_live:.1f} s with "
          f"the live encoder; the cache was filled once in {filled:.1f} s")
    print(f"live over cached: {from_live / from_cache:.1f}   (target: at least 3)")


def epoch(source, channels: int, count: int) -> float:
    """Seconds of one epoch: features of a batch and of the partners of its composites, forward, backward, step."""
    torch.manual_seed(0)
    student, rng = Student(Architecture(), channels), np.random.default_rng(0)
    optimizer = torch.optim.AdamW(student.parameters(), 1e-3)
    text = torch.nn.functional.normalize(torch.randn(BATCH, 384), dim=-1)
    roles, present = torch.randn(BATCH, ROLES, 384), torch.ones(BATCH, ROLES, dtype=torch.bool)
    boxes = torch.full((BATCH, ROLES, 4), 0.5)
    order, began = rng.permutation(count), time.perf_counter()
    for start in range(0, count - BATCH + 1, BATCH):
        rows = order[start:start + BATCH]
        features, others = (torch.from_numpy(source(r)).float() for r in (rows, rng.choice(order, BATCH // 2)))
        composites = features[:BATCH // 2].clone()
        composites[:, : GRID * GRID // 2] = others[:, : GRID * GRID // 2]
        out = student(features, text, roles, present, boxes, composites)
        loss = (1 - (out["scene"] * text).sum(1)).mean() + out["box"].square().mean() + out["composite"].square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
