"""Frozen image encoders by name: the embedded one, or the vision tower of any checkpoint that transformers knows.

Whatever the network, a recipe gets its tokens on one grid of GRID x GRID cells, since boxes and composites are laid on
that. An image is squashed to a square whose patches fill the cells evenly, at the size nearest to the network's own.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from components.base.errors import UserError
from components.encoders import image
from components.encoders.checkpoint import EMBEDDED, find, first_line, model
from components.encoders.image import GRID

SUCH = "use a CLIP, SigLIP, DINOv2 or DINOv3 checkpoint"


@dataclass(frozen=True)
class ImageEncoder:
    """`network` maps pixels [B, 3, S, S] to tokens [B, T, C]; `mean` and `std` are in units of 0..255, S is `size`."""

    name: str
    revision: str
    size: int
    channels: int
    mean: float | tuple[float, ...]
    std: float | tuple[float, ...]
    network: nn.Module

    def pixels(self, images: np.ndarray) -> Tensor:
        """uint8 [B, S, S, 3] to normalised float32 [B, 3, S, S]."""
        mean, std = (torch.tensor(v, dtype=torch.float32).reshape(1, -1, 1, 1) for v in (self.mean, self.std))
        return (torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float() - mean) / std

    @torch.inference_mode()
    def features(self, images: np.ndarray) -> np.ndarray:
        """Tokens float16 [B, T, C] of uint8 images [B, S, S, 3]."""
        if self.name == EMBEDDED:
            return image.features(images)
        with image.native_autocast():
            return self.network(self.pixels(images)).half().numpy()


def get(name: str) -> ImageEncoder:
    """The encoder: "embedded", or NAME[@REVISION] on the hub, or the folder of a checkpoint; loaded once.

    Raises UserError where there is no such checkpoint, it cannot be loaded safely, or has no square grid of patches.
    """
    return _load(name or EMBEDDED)


def revision(name: str) -> str:
    """What an encoder is made of, without loading it: part of the key of whatever is learnt on its features."""
    return image.REVISION if (name or EMBEDDED) == EMBEDDED else find(name, "encoder.image=")[2]


@lru_cache(maxsize=2)
def _load(name: str) -> ImageEncoder:
    if name == EMBEDDED:
        return ImageEncoder(EMBEDDED, image.REVISION, image.SIZE, image.CHANNELS, image.MEAN, image.STD,
                            image.grid_encoder())
    folder, _, weights = find(name, "encoder.image=")
    tower, config = _tower(folder)
    cells = max(1, round(config.image_size / (GRID * config.patch_size)))
    size = GRID * config.patch_size * cells
    mean, std = _normalisation(folder)
    network = PatchGrid(tower, cells).eval().requires_grad_(False)
    try:
        with torch.inference_mode():
            shape = network(torch.zeros(1, 3, size, size)).shape
    except (RuntimeError, ValueError, TypeError) as error:
        raise UserError(f"gives no {GRID * cells} x {GRID * cells} patches ({first_line(error)})",
                        where=f"encoder.image={name}", mend=SUCH) from error
    return ImageEncoder(name, f"{weights}/{size}", size, shape[-1], mean, std, network)


class PatchGrid(nn.Module):
    """A vision transformer's patches, averaged within each of GRID x GRID cells of `cells` x `cells` patches."""

    def __init__(self, tower: nn.Module, cells: int):
        super().__init__()
        self.tower, self.cells = tower, cells
        self.options: dict[str, Any] = {}
        if "interpolate_pos_encoding" in _arguments(tower):
            self.options["interpolate_pos_encoding"] = True

    def forward(self, pixels: Tensor) -> Tensor:  # [B, 3, S, S] -> [B, T, C]
        states = self.tower(pixel_values=pixels, **self.options).last_hidden_state
        side, cells = GRID * self.cells, self.cells
        patches = states[:, states.shape[1] - side * side:]  # class and register tokens come first
        # x.shape[0], as an exporter takes other ways of naming the batch for a constant
        laid = patches.reshape(pixels.shape[0], GRID, cells, GRID, cells, patches.shape[-1])
        return laid.mean((2, 4)).reshape(pixels.shape[0], GRID * GRID, patches.shape[-1])


def _arguments(tower: nn.Module) -> set[str]:
    from inspect import signature

    return set(signature(tower.forward).parameters)


def _tower(folder: Any) -> tuple[nn.Module, Any]:
    """The vision half of a checkpoint and its configuration, in float32 on the processor."""
    whole = model(folder, f"encoder.image={folder}")
    tower = getattr(whole, "vision_model", whole)
    config = getattr(whole.config, "vision_config", whole.config)
    if not (isinstance(getattr(config, "patch_size", None), int) and isinstance(config.image_size, int)):
        raise UserError("is no vision transformer over square patches", where=f"encoder.image={folder}",
                        mend=SUCH)
    return tower, config


def _normalisation(folder: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel in units of 0..255, as its image processor's file says."""
    import json

    file = folder / "preprocessor_config.json"
    try:
        told = json.loads(file.read_text("utf-8"))
        mean, std = (tuple(255 * float(v) for v in told[key]) for key in ("image_mean", "image_std"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError("does not say how images are normalised", where=str(file),
                        mend="keep preprocessor_config.json beside the weights") from error
    if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
        raise UserError("image_mean and image_std need three numbers each", where=str(file),
                        mend="take the file that belongs to the checkpoint")
    return mean, std
