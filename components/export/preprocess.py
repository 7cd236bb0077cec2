"""Images as the shipped graphs expect them, in numpy; the one place where the device's preprocessing is written."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components.datasets.images import fit


def pixels(images: Sequence[np.ndarray], preprocessing: Mapping[str, Any]) -> np.ndarray:
    """uint8 images [H, W, 3] of any sizes to float32 [B, 3, S, S]: squashed to S, then (x - mean) / std.

    `preprocessing` holds "size", "mean" and "std" (numbers, or one per channel), in units of 0..255.
    """
    size = preprocessing["size"]
    mean, std = (np.asarray(preprocessing[key], np.float32) for key in ("mean", "std"))
    stack = np.stack([fit(image, size) for image in images]).astype(np.float32)  # [B, S, S, 3]
    return np.ascontiguousarray(((stack - mean) / std).transpose(0, 3, 1, 2))
