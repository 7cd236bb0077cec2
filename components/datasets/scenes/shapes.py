"""The little drawing language of the world: shapes in unit coordinates, compiled to polygons and painted with labels.

A sprite is a list of shapes (x right, y down, facing right). Every shape becomes one closed polygon, so painting is one
affine map of all points followed by plain polygon fills. The canvas has a fourth channel that keeps, per pixel, the
number of the outline group drawn there last: it gives both the dark contours and the exact visible boxes.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw

Point = tuple[float, float]
Colour = tuple[int, int, int]

COLOURS: dict[str, Colour] = {
    "black": (38, 36, 40),
    "rubber": (52, 50, 56),
    "white": (246, 246, 242),
    "grey": (142, 144, 150),
    "steel": (186, 192, 202),
    "shine": (226, 231, 238),
    "wood": (166, 116, 66),
    "darkwood": (112, 74, 42),
    "palewood": (214, 174, 118),
    "gold": (226, 178, 58),
    "green": (72, 142, 62),
    "darkgreen": (44, 98, 48),
    "red": (204, 52, 48),
    "pink": (236, 150, 160),
    "cream": (244, 226, 186),
    "water": (96, 170, 224),
    "straw": (222, 190, 92),
    "ink": (70, 70, 80),
    "glass": (150, 205, 225),
    "orange": (236, 130, 40),
    "brown": (120, 78, 48),
}


@dataclass(frozen=True, slots=True)
class Shape:
    """A closed polygon. `colour` is a name in COLOURS or a role: m(ain), d(ark), l(ight), a(ccent), b (dark accent)."""

    colour: str
    points: tuple[Point, ...]
    inner: bool = False  # an inner shape belongs to the outline group of the shape before it: no contour around it


def inner(shape: Shape) -> Shape:
    """The same shape without a contour of its own."""
    return Shape(shape.colour, shape.points, True)


def poly(colour: str, *points: Point) -> Shape:
    return Shape(colour, points)


def rect(colour: str, x0: float, y0: float, x1: float, y1: float) -> Shape:
    return Shape(colour, ((x0, y0), (x1, y0), (x1, y1), (x0, y1)))


def oval(
    colour: str, x: float, y: float, rx: float, ry: float | None = None, tilt: float = 0.0, steps: int = 18
) -> Shape:
    """An ellipse with half axes rx, ry, turned by `tilt` degrees."""
    ry = rx if ry is None else ry
    cos, sin = math.cos(math.radians(tilt)), math.sin(math.radians(tilt))
    points = []
    for k in range(steps):
        u, v = rx * math.cos(2 * math.pi * k / steps), ry * math.sin(2 * math.pi * k / steps)
        points.append((x + u * cos - v * sin, y + u * sin + v * cos))
    return Shape(colour, tuple(points))


def ring(colour: str, x: float, y: float, r: float, width: float, ry: float | None = None, steps: int = 20) -> Shape:
    """An open hoop: outer and inner circle joined by a seam, which the even-odd fill leaves hollow."""
    ry = r if ry is None else ry
    outer = oval(colour, x, y, r, ry, steps=steps).points
    hole = oval(colour, x, y, r - width, ry - width, steps=steps).points
    return Shape(colour, outer + (outer[0], hole[0]) + tuple(reversed(hole)))


def smooth(colour: str, *points: Point, steps: int = 4) -> Shape:
    """A closed Catmull-Rom curve through the points: for bodies and other soft outlines."""
    n, out = len(points), []
    for i in range(n):
        p0, p1, p2, p3 = points[i - 1], points[i], points[(i + 1) % n], points[(i + 2) % n]
        for k in range(steps):
            t = k / steps
            out.append(
                tuple(
                    0.5
                    * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t * t + (3 * b - a - 3 * c + d) * t * t * t)
                    for a, b, c, d in zip(p0, p1, p2, p3, strict=True)
                )
            )
    return Shape(colour, tuple(out))


def stroke(colour: str, width: float, *points: Point) -> Shape:
    """A thick polyline as one polygon."""
    left, right, half = [], [], width / 2
    last = len(points) - 1
    for i, (x, y) in enumerate(points):
        x0, y0 = points[max(i - 1, 0)]
        x1, y1 = points[min(i + 1, last)]
        length = math.hypot(x1 - x0, y1 - y0) or 1.0
        nx, ny = -(y1 - y0) / length * half, (x1 - x0) / length * half
        left.append((x + nx, y + ny))
        right.append((x - nx, y - ny))
    return Shape(colour, tuple(left + right[::-1]))


def curve(colour: str, width: float, *points: Point, steps: int = 5) -> Shape:
    """A thick line bent smoothly through the points."""
    out: list[Point] = []
    ends = (points[0], *points, points[-1])
    for i in range(1, len(ends) - 2):
        p0, p1, p2, p3 = ends[i - 1 : i + 3]
        for k in range(steps):
            t = k / steps
            out.append(
                tuple(
                    0.5
                    * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t * t + (3 * b - a - 3 * c + d) * t * t * t)
                    for a, b, c, d in zip(p0, p1, p2, p3, strict=True)
                )
            )
    return stroke(colour, width, *out, points[-1])


@dataclass(frozen=True)
class Sprite:
    """A compiled drawing. Points are scaled so that the longer side of its box is 1; the grip stays at the origin."""

    hues: tuple[Colour, ...]
    accents: tuple[Colour, ...]
    xs: np.ndarray
    ys: np.ndarray
    shapes: tuple[tuple[str, int, int, bool], ...]  # colour, first and last offset into the flat x,y list, inner
    box: tuple[float, float, float, float]
    spots: dict[str, Point] = field(default_factory=dict)
    size: float = 1.0
    unit: float = 1.0  # how many of the drawing's own units the longer side measures


BRIGHT: tuple[Colour, ...] = (
    (206, 58, 52),
    (52, 104, 186),
    (58, 150, 84),
    (232, 160, 44),
    (130, 76, 160),
    (40, 152, 160),
    (226, 110, 150),
    (94, 100, 116),
)
ACCENTS: tuple[Colour, ...] = ((244, 214, 90), (240, 240, 236), (60, 66, 84), (226, 92, 70), (112, 190, 214))


def sprite(
    *shapes: Shape,
    hues: tuple[Colour, ...] = BRIGHT,
    accents: tuple[Colour, ...] = ACCENTS,
    size: float = 1.0,
    **spots: Point,
) -> Sprite:
    """Compile shapes. `size` scales the thing against others of its kind; `spots` name points such as seat or hull."""
    xs = [x for shape in shapes for x, _ in shape.points]
    ys = [y for shape in shapes for _, y in shape.points]
    scale = 1.0 / max(max(xs) - min(xs), max(ys) - min(ys))
    table, start = [], 0
    for shape in shapes:
        stop = start + 2 * len(shape.points)
        table.append((shape.colour, start, stop, shape.inner))
        start = stop
    return Sprite(
        hues,
        accents,
        np.array(xs) * scale,
        np.array(ys) * scale,
        tuple(table),
        (min(xs) * scale, min(ys) * scale, max(xs) * scale, max(ys) * scale),
        {name: (x * scale, y * scale) for name, (x, y) in spots.items()},
        size,
        1.0 / scale,
    )


def shade(colour: Colour, factor: float) -> Colour:
    """Darken (factor below 1) or lighten towards white (above 1)."""
    r, g, b = colour
    if factor <= 1:
        return int(r * factor), int(g * factor), int(b * factor)
    t = factor - 1
    return int(r + (255 - r) * t), int(g + (255 - g) * t), int(b + (255 - b) * t)


_SHADOW = Image.new("L", (64, 16))
ImageDraw.Draw(_SHADOW).ellipse((0, 0, 63, 15), fill=60)
ImageDraw.Draw(_SHADOW).ellipse((8, 2, 55, 13), fill=110)


class Canvas:
    """A four-channel picture at twice the final size: red, green, blue and the outline group of each pixel.

    `label(name)` opens a group range for a named thing; what is painted until the next call belongs to it. Group 0 is
    the background; what is labelled "-" is painted as background. Groups run out at 255, far above what a scene needs.
    """

    def __init__(self, image: Image.Image) -> None:
        self.image = image
        self.pen = ImageDraw.Draw(image)
        self.side = image.width
        self.group = 0
        self.owners: list[str] = [""]
        self.owner = ""
        self.extent: dict[str, list[float]] = {}

    def colour_around(self, x: int, y: int) -> Colour:
        """The average background colour around a spot; call it before anything is painted there."""
        r = self.side // 32
        box = max(x - r, 0), max(y - r, 0), min(x + r, self.side), min(y + r, self.side)
        return tuple(int(v) for v in np.asarray(self.image.crop(box))[..., :3].mean(axis=(0, 1), dtype=np.float64))

    def shadow(self, x0: float, y0: float, x1: float, y1: float) -> None:
        """Darken an oval of the ground; not part of any thing."""
        box = round(x0), round(y0), round(x1), round(y1)
        if box[2] - box[0] > 3 and box[3] - box[1] > 3:
            mask = _SHADOW.resize((box[2] - box[0], box[3] - box[1]), Image.Resampling.NEAREST)
            self.image.paste((30, 30, 40, 0), box, mask)

    def label(self, owner: str) -> None:
        self.owner = owner

    def next_group(self) -> None:
        if self.group < 255:
            self.group += 1
            self.owners.append(self.owner)

    def ranges(self, owner: str) -> list[tuple[int, int]]:
        """First and last group of every run of groups that belongs to a thing."""
        runs: list[tuple[int, int]] = []
        for group, name in enumerate(self.owners):
            if name == owner:
                if runs and runs[-1][1] == group - 1:
                    runs[-1] = runs[-1][0], group
                else:
                    runs.append((group, group))
        return runs

    def fill(self, flat: list[float], colour: Colour, same_group: bool = False) -> None:
        """Fill one polygon given as [x0, y0, x1, y1, ...] in canvas pixels."""
        if not same_group or not self.group:
            self.next_group()
        self.pen.polygon(flat, fill=(*colour, self.group if self.owner != "-" else 0))

    def paint(
        self, art: Sprite, x: float, y: float, scale: float, flip: int, turn: float, colours: dict[str, Colour]
    ) -> None:
        """Paint a sprite with its origin at (x, y), `scale` pixels long, facing `flip`, turned by `turn` radians."""
        cos, sin = math.cos(turn) * scale, math.sin(turn) * scale
        px = x + flip * (art.xs * cos - art.ys * sin)
        py = y + (art.xs * sin + art.ys * cos)
        flat = np.empty(2 * len(px))
        flat[0::2] = px
        flat[1::2] = py
        self.note(float(px.min()), float(py.min()), float(px.max()), float(py.max()))
        coords = flat.tolist()
        for colour, start, stop, same_group in art.shapes:
            self.fill(coords[start:stop], colours.get(colour) or COLOURS[colour], same_group)

    def note(self, x0: float, y0: float, x1: float, y1: float) -> None:
        """Remember how far the current thing reaches, clipped or not."""
        box = self.extent.get(self.owner)
        if box is None:
            self.extent[self.owner] = [x0, y0, x1, y1]
        else:
            box[0], box[1], box[2], box[3] = min(box[0], x0), min(box[1], y0), max(box[2], x1), max(box[3], y1)


def sprite_colours(art: Sprite, rng: np.random.Generator, tint: int = 16) -> dict[str, Colour]:
    """Pick one main and one accent colour of a sprite, a little off the chart, with their dark and light shades."""
    main = art.hues[rng.integers(len(art.hues))]
    accent = art.accents[rng.integers(len(art.accents))]
    off = rng.integers(-tint, tint + 1, 3).tolist()
    main = tuple(min(255, max(0, c + o)) for c, o in zip(main, off, strict=True))
    return {"m": main, "d": shade(main, 0.66), "l": shade(main, 1.38), "a": accent, "b": shade(accent, 0.68)}
