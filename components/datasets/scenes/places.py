"""Backgrounds: every place is painted once in several variants with texture; images get flipped crops of them."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image

from . import scenery
from .scenery import MARGIN, Brush, Painter

VARIANTS = 12
HORIZON = .5  # height of the horizon in the variant, as a share of the image side above the crop's centre line


@dataclass(frozen=True, slots=True)
class Place:
    """How a place is painted, what its open water is like ("" = dry) and which clutter stands about."""

    paint: Painter
    water: str = ""
    clutter: tuple[str, ...] = ()


YARD = ("bucket", "basket", "rock", "log", "bush", "barrel", "wheelbarrow", "flower", "ball")
HOME = ("box", "vase", "book", "cup", "ball", "basket", "shirt", "suitcase", "hat", "picture")
TOWN = ("box", "bicycle", "barrel", "ball", "dog", "cat", "motor scooter", "paper", "bucket", "tree")
SAND = ("ball", "towel", "umbrella", "bucket", "surfboard", "hat", "rock")

PLACE_ART: dict[str, Place] = {
    "street": Place(scenery.street, "", TOWN), "road": Place(scenery.road, "",
                                                             ("bush", "rock", "tree", "fence", "flower", "cart",
        "dog")),
    "beach": Place(scenery.beach, "", SAND), "ocean": Place(scenery.ocean, "open", ("sailboat", "boat")),
    "lake": Place(scenery.lake, "banked", ("canoe", "boat", "sailboat")), "kitchen": Place(scenery.kitchen, "",
        (*HOME, "pot", "bowl", "bottle", "pitcher")),
    "field": Place(scenery.field, "", (*YARD, "sheep", "cow", "straw", "tree")),
    "mountain": Place(scenery.mountain, "", ("rock", "snow", "log", "ski", "sled")),
    "forest": Place(scenery.forest, "", ("log", "rock", "bush", "leaf", "basket", "axe")),
    "garden": Place(scenery.garden, "", (*YARD, "cat", "watering can")),
    "bedroom": Place(scenery.bedroom, "", (*HOME, "guitar", "laptop")), "library": Place(scenery.library, "",
        ("book", "newspaper", "paper", "box", "vase", "laptop")),
    "stage": Place(scenery.stage, "", ("drum", "guitar", "box", "harp", "hat", "flower")),
    "gymnasium": Place(scenery.gym, "", ("ball", "barbell", "box", "towel", "bottle", "racket")),
    "workshop": Place(scenery.workshop, "", ("box", "barrel", "bucket", "plank", "log", "saw", "ladder")),
    "swimming pool": Place(scenery.pool, "banked", ("ball", "towel", "bottle")),
    "desert": Place(scenery.desert, "", ("rock", "camel", "bush", "barrel")),
}


@lru_cache(maxsize=len(PLACE_ART) * VARIANTS)
def _variant(place: str, variant: int, side: int) -> Image.Image:
    """One finished background, MARGIN times the image side, smoothed by painting at twice that size."""
    rng = np.random.Generator(np.random.PCG64([sum(place.encode()), variant, 7]))
    brush = Brush(side * 2, rng)
    PLACE_ART[place].paint(brush, HORIZON + (MARGIN - 1) / 2)
    image = brush.image.reduce(2)
    grain = rng.integers(-6, 7, (image.height, image.width, 1))
    # Broad, soft blotches keep flat areas from looking machine-made.
    blotches = Image.fromarray(rng.integers(96, 160, (9, 9), dtype=np.uint8)).resize(image.size,
        Image.Resampling.BICUBIC)
    pixels = np.asarray(image).astype(np.int64) + grain + (np.asarray(blotches).astype(np.int64)[..., None] - 128) // 4
    rgbx = np.zeros((image.height, image.width, 4), dtype=np.uint8)
    rgbx[..., :3] = np.clip(pixels, 0, 255)
    return Image.frombuffer("RGBX", (image.width, image.height), rgbx.tobytes(), "raw", "RGBX", 0, 1)


def backdrop(place: str, side: int, rng: np.random.Generator) -> tuple[Image.Image, float]:
    """A fresh RGBX canvas of twice the image side, and where its horizon lies as a share of the height."""
    variant, left, top, flip = rng.integers(VARIANTS), float(rng.random()), float(rng.random()), rng.random() < .5
    image = _variant(place, int(variant), side)
    spare = image.width - side
    x, y = round(left * spare), round((.25 + .5 * top) * spare)
    crop = image.crop((x, y, x + side, y + side))
    if flip:
        crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return crop.resize((2 * side, 2 * side), Image.Resampling.NEAREST), HORIZON + (MARGIN - 1) / 2 - y / side
