"""The sixteen attributes as changes of a thing's surface; each looks otherwise on another material.

Shapes: S pixels a side. A surface is what the painter knows of a thing before its attribute: colours in 0..255, whether
a pixel belongs to it, and where the pixel lies on the thing.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from components.datasets.pairs.catalogue import Wear

Pixels = np.ndarray


@dataclass(slots=True)
class Surface:
    """A thing before and after its attribute."""

    colour: Pixels  # [S, S, 3] float32
    inside: Pixels  # [S, S] bool
    x: Pixels  # [S, S] float32, -1 at the thing's left edge, 1 at its right
    y: Pixels  # [S, S] float32, -1 at its top
    wear: Wear
    rng: np.random.Generator

    def along(self) -> Pixels:
        """Place across the material's lines; one unit is half the thing."""
        angle = np.radians(self.wear.angle + self.rng.uniform(-7, 7))
        return self.x * np.cos(angle) + self.y * np.sin(angle)

    def across(self) -> Pixels:
        angle = np.radians(self.wear.angle + self.rng.uniform(-7, 7))
        return self.y * np.cos(angle) - self.x * np.sin(angle)

    def noise(self, cells: int) -> Pixels:
        """Smooth noise in 0..1 with so many cells a side."""
        small = Image.fromarray((self.rng.random((cells, cells)) * 255).astype(np.uint8))
        return np.asarray(small.resize(self.inside.shape[::-1], Image.Resampling.BICUBIC), np.float32) / 255

    def body(self) -> Pixels:
        """1 deep inside, 0.5 at the outline, 0 far outside."""
        mask = Image.fromarray((self.inside * 255).astype(np.uint8))
        return np.asarray(mask.filter(ImageFilter.GaussianBlur(self.inside.shape[0] * .045)), np.float32) / 255

    def edge(self) -> Pixels:
        """0 deep inside, towards 1 at the rim."""
        return np.clip(2 - 2 * self.body(), 0, 1)

    def growth(self, rough: int) -> Pixels:
        """Where something that comes from one end has got to: above 0, falling away from that end."""
        away = (self.y if self.wear.from_top else -self.y) + 1  # 0 at the end it comes from, 2 at the other
        return self.noise(rough) * .9 + self.noise(rough * 3) * .5 + self.wear.cover * 1.1 - away * .75

    def accent(self) -> Pixels:
        return np.array(self.wear.accents[int(self.rng.random() < .3)], np.float32)

    def mix(self, colour: Pixels, share: Pixels) -> None:
        """Lays a colour over the surface, `share` [S, S] of it in 0..1."""
        share = np.clip(share, 0, 1)[..., None]
        self.colour = self.colour * (1 - share) + np.asarray(colour, np.float32) * share


def _lines(s: Surface, draw: Callable[[ImageDraw.ImageDraw, int], None]) -> Pixels:
    """What a pen leaves on the thing, 0..1."""
    side = s.inside.shape[0]
    sheet = Image.new("L", (side, side))
    draw(ImageDraw.Draw(sheet), side)
    return np.asarray(sheet, np.float32) / 255


def burnt(s: Surface) -> None:
    s.mix(np.array((34, 28, 26)), np.clip(s.growth(5) * 1.7, 0, .95))
    s.mix(np.array((120, 60, 24)), np.clip(.28 - np.abs(s.growth(6) - .1), 0, .5))


def checked(s: Surface) -> None:
    period = .3 * s.wear.size
    a, b = (np.floor(t / period).astype(int) % 2 for t in (s.along(), s.across()))
    s.mix(s.accent(), .45 * a + .45 * b)


def cracked(s: Surface) -> None:
    def crack(pen: ImageDraw.ImageDraw, side: int) -> None:
        for _ in range(int(s.rng.integers(4, 8) / s.wear.size)):
            x, y = s.rng.uniform(.2, .8, 2) * side
            heading = np.radians(s.wear.angle + 90 + s.rng.normal(0, 22))
            for _ in range(int(s.rng.integers(5, 10))):
                heading += s.rng.normal(0, .55)
                step = side * .05 * s.wear.size
                nx, ny = x + np.cos(heading) * step, y + np.sin(heading) * step
                pen.line((x, y, nx, ny), fill=255, width=max(2, int(side * .011 * s.wear.size)))
                x, y = nx, ny

    marks = _lines(s, crack)
    s.mix(np.array((28, 24, 24)), marks * .92)


def dusty(s: Surface) -> None:
    s.mix(np.array((164, 156, 142)), np.clip(s.growth(9) * .8 + .35, .25, .8))
    s.colour += (s.noise(60) - .5)[..., None] * 26


def faded(s: Surface) -> None:
    grey = s.colour.mean(-1, keepdims=True)
    share = np.clip(.45 + .9 * (s.noise(4) - .4) + .3 * s.wear.cover, .2, .9)[..., None]
    s.colour = s.colour * (1 - share) + (grey * .35 + 255 * .6) * share


def frosty(s: Surface) -> None:
    rim = s.edge() * (1.3 if s.wear.size < 1 else .9)
    s.mix(np.array((236, 244, 252)), np.clip(rim + s.noise(26) * .8 - .35, 0, .95))


def furry(s: Surface) -> None:
    base = np.where(s.inside[..., None], s.colour, s.colour[s.inside].mean(0))  # hairs reach beyond the outline
    strand = np.sin((s.along() * 3 + s.noise(14) * 2.4) * 16 / s.wear.size)
    s.colour = base * (1 + .3 * strand[..., None]) + (s.noise(70) - .5)[..., None] * 50


def gilded(s: Surface) -> None:
    bands = np.abs(np.abs(s.along()) - .5) < .09 * s.wear.size
    rim = s.edge() > .62
    share = np.where(bands | rim, .93, 0)
    s.mix(np.array((222, 176, 58)), share * (.75 + .3 * s.noise(12)))


def mossy(s: Surface) -> None:
    share = np.clip(s.growth(7) * 1.5, 0, .95)
    s.mix(np.array((78, 118, 44)), share)
    s.colour += ((s.noise(50) - .5) * share)[..., None] * np.array((40, 70, 20))


def patched(s: Surface) -> None:
    for _ in range(int(s.rng.integers(3, 6))):
        cx, cy = s.rng.uniform(-.6, .6, 2)
        w, h = s.rng.uniform(.16, .3, 2) * (.7 + .5 * s.wear.size)
        u, v = np.abs(s.x - cx) / w, np.abs(s.y - cy) / h
        far = np.maximum(u, v)
        hue = s.wear.hues[int(s.rng.integers(len(s.wear.hues)))] if s.rng.random() < .6 else s.wear.accents[0]
        s.mix(np.array(hue), (far < 1) * .95)
        s.mix(np.array((40, 36, 36)), ((far > .86) & (far < 1)) * (np.sin((s.x + s.y) * 60) > 0) * .8)


def rusty(s: Surface) -> None:
    blotch = np.clip((s.noise(8) + .6 * s.noise(22) + .55 * s.growth(5) - 1.05 + .5 * s.wear.cover) * 2.4, 0, .92)
    s.mix(np.array((166, 78, 30)), blotch)
    s.mix(np.array((92, 44, 26)), blotch * (s.noise(30) > .55) * .8)


def shiny(s: Surface) -> None:
    s.colour = s.colour * 1.06 + (s.colour - s.colour.mean(-1, keepdims=True)) * .35
    at = s.rng.uniform(-.5, .1)
    streak = np.exp(-((s.along() - at) / (.11 * s.wear.size)) ** 2) + .6 * np.exp(-((s.along() - at - .5) / .05) ** 2)
    s.mix(np.array((255, 255, 255)), np.clip(streak, 0, .92))


def spotted(s: Surface) -> None:
    period = .36 * s.wear.size
    u, v = s.along() / period, s.across() / period
    v = v + .5 * (np.floor(u) % 2)
    s.mix(s.accent(), (((u % 1 - .5) ** 2 + (v % 1 - .5) ** 2) < .085 + .1 * s.wear.cover) * .92)


def striped(s: Surface) -> None:
    s.mix(s.accent(), ((s.along() / (.34 * s.wear.size)) % 1 < s.wear.cover) * .92)


def wet(s: Surface) -> None:
    s.colour *= .66

    def drops(pen: ImageDraw.ImageDraw, side: int) -> None:
        for _ in range(int(60 / s.wear.size)):
            x, y = s.rng.uniform(0, side, 2)
            r = s.rng.uniform(.006, .017) * side * s.wear.size
            pen.ellipse((x - r, y - r, x + r, y + r * s.rng.uniform(1, 2.6)), fill=int(s.rng.integers(150, 255)))

    s.mix(np.array((226, 240, 250)), _lines(s, drops) * .85)


def woven(s: Surface) -> None:
    period = .15 * s.wear.size
    u, v = s.along() / period, s.across() / period
    over = (np.floor(u) + np.floor(v)) % 2
    strand = np.where(over == 0, np.sin(np.pi * (u % 1)), np.sin(np.pi * (v % 1)))
    s.colour = s.colour * (.45 + .65 * strand[..., None])


PAINT: dict[str, Callable[[Surface], None]] = {
    f.__name__: f for f in (burnt, checked, cracked, dusty, faded, frosty, furry, gilded, mossy, patched, rusty, shiny,
                            spotted, striped, wet, woven)
}
