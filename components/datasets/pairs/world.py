"""A picture of a thing in a state: pose, distance, colour, light and background vary, the pair does not.

A thing shows its attribute more or less, and another one less still, as real things are seldom in one state alone; now
and then something stands before it, and no picture is quite sharp. Without that, frozen features alone would tell all.
"""

from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from components.datasets.pairs.catalogue import ATTRIBUTES, OBJECTS, WEAR, Colour
from components.datasets.pairs.surfaces import PAINT, Surface
from components.datasets.pairs.things import parts
from components.datasets.scenes.shapes import shade

SIDE = 128
VIVID, BESIDE = (.3, .8), (.1, .6)  # how much of its attribute a thing shows; how much of another, as a share of that
HIDDEN = .4  # share of pictures in which something stands before the thing
_DETAIL = 2  # drawn so many times larger, then shrunk

# wall, ground, what lies about
PLACES: tuple[tuple[Colour, Colour, Colour], ...] = (
    ((212, 206, 196), (168, 150, 128), (190, 176, 156)), ((150, 172, 188), (110, 120, 128), (134, 150, 164)),
    ((186, 200, 170), (122, 140, 96), (150, 168, 124)), ((120, 112, 118), (86, 78, 82), (104, 98, 108)),
    ((226, 216, 224), (196, 180, 190), (206, 198, 214)), ((176, 150, 120), (132, 104, 78), (158, 130, 100)),
)


def draw(attribute: str, thing: str, seed: int, side: int = SIDE, *, clear: bool = False) -> np.ndarray:
    """One picture uint8 [side, side, 3], the same for the same arguments; `clear`: sharp, the attribute in full."""
    rng = np.random.default_rng(seed)
    scene = np.asarray(_background(rng, side * _DETAIL), np.float32)
    surface = _plain(thing, rng, scene)
    shares = {attribute: 1.0} if clear else _shares(attribute, rng)
    _paint(surface, shares)
    found = _rim(surface, attribute)
    scene = np.where(found[..., None], surface.colour, scene)
    picture = Image.fromarray(scene.clip(0, 255).astype(np.uint8))
    if not clear:
        if rng.random() < HIDDEN:
            _hide(picture, rng)
        picture = picture.filter(ImageFilter.GaussianBlur(_DETAIL * rng.uniform(0, .012) * side))
    pixels = np.asarray(picture.resize((side, side), Image.Resampling.BOX), np.float32)
    light = pixels * rng.uniform(.76, 1.16) * rng.uniform(.93, 1.07, 3) + rng.normal(0, rng.uniform(2, 8), pixels.shape)
    return light.clip(0, 255).astype(np.uint8)


def _shares(attribute: str, rng: np.random.Generator) -> dict[str, float]:
    """How much of its attribute a thing shows, and of another."""
    vivid = rng.uniform(*VIVID)
    others = [a for a in ATTRIBUTES if a != attribute]
    return {attribute: vivid, others[rng.integers(len(others))]: vivid * rng.uniform(*BESIDE)}


def _paint(surface: Surface, shares: Mapping[str, float]) -> None:
    """Lays attributes over the surface, each by its share."""
    bare = surface.colour
    change = np.zeros_like(bare)
    for name, share in shares.items():
        surface.colour = bare.copy()
        PAINT[name](surface)
        change += share * (surface.colour - bare)
    surface.colour = bare + change


def _hide(picture: Image.Image, rng: np.random.Generator) -> None:
    """Something of a place's clutter before the thing, to a side of its middle."""
    side = picture.width
    colour = shade(PLACES[rng.integers(len(PLACES))][2], rng.uniform(.6, 1.2))
    angle, far, r = rng.uniform(0, 2 * np.pi), side * rng.uniform(.14, .28), side * rng.uniform(.08, .16)
    x, y = side / 2 + far * np.cos(angle), side / 2 + far * np.sin(angle)
    pen, box = ImageDraw.Draw(picture), (x - r, y - r * rng.uniform(.7, 1.3), x + r, y + r)
    (pen.ellipse if rng.random() < .5 else pen.rectangle)(box, fill=colour, outline=shade(colour, .7))


def _background(rng: np.random.Generator, side: int) -> Image.Image:
    wall, ground, clutter = PLACES[rng.integers(len(PLACES))]
    small = Image.new("RGB", (32, 32), wall)
    pen = ImageDraw.Draw(small)
    pen.rectangle((0, int(rng.integers(16, 28)), 32, 32), fill=ground)
    for _ in range(int(rng.integers(2, 10))):
        x, y, r = rng.uniform(0, 32), rng.uniform(0, 32), rng.uniform(1, 5)
        box = (x - r, y - r * rng.uniform(.4, 1.4), x + r, y + r)
        (pen.ellipse if rng.random() < .5 else pen.rectangle)(box, fill=shade(clutter, rng.uniform(.7, 1.3)))
    return small.filter(ImageFilter.GaussianBlur(.8)).resize((side, side), Image.Resampling.BICUBIC)


def _plain(thing: str, rng: np.random.Generator, scene: np.ndarray) -> Surface:
    """The thing in its own colour, placed in the scene [S, S, 3]."""
    side, wear = scene.shape[0], WEAR[OBJECTS[thing]]
    scale = side * rng.uniform(.18, .4)
    middle = side * rng.uniform(.4, .6, 2)
    flip, turn, squeeze = rng.choice((-1, 1)), rng.uniform(-.2, .2), rng.uniform(.88, 1.12)
    cos, sin = np.cos(turn), np.sin(turn)
    there = np.array([[cos, -sin], [sin, cos]]) * scale @ np.diag([flip * squeeze, 1])
    hue = np.array(wear.hues[rng.choice(len(wear.hues), p=(.5, .25, .15, .1))], np.float32) + rng.normal(0, 9, 3)
    canvas = Image.new("RGB", (side, side))
    mask = Image.new("L", (side, side))
    pen, inside = ImageDraw.Draw(canvas), ImageDraw.Draw(mask)
    for light, points in parts(thing):
        at = [tuple(p) for p in (np.array(points) @ there.T + middle).tolist()]
        colour = tuple(int(c) for c in (hue * light).clip(0, 255))
        pen.polygon(at, fill=colour, outline=shade(colour, .6))
        inside.polygon(at, fill=255)
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1) - middle
    x, y = np.moveaxis((grid @ np.linalg.inv(there).T).astype(np.float32), -1, 0)
    lit = np.asarray(canvas, np.float32) * (1.08 - .22 * x[..., None])
    return Surface(lit, np.asarray(mask) > 127, x, y, wear, rng)


def _rim(surface: Surface, attribute: str) -> np.ndarray:
    """Which pixels show the thing; fur stands off its outline, and cloth that is torn shows what lies behind."""
    if attribute == "furry":
        return surface.body() + .5 * (surface.noise(60) - .5) > .3
    if attribute == "cracked" and surface.wear.size > 1.2:
        return surface.inside & (surface.colour.max(-1) > 60)
    return surface.inside
