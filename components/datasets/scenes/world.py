"""Draws one scene of the world from a verb and a seed, the same bytes for the same pair, and encodes it as JPEG."""

import io
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any

import numpy as np
from PIL import Image

from .annotators import annotators
from .figure import paint_arm, paint_head, paint_leg, paint_trunk, pose_figure, random_person
from .lexicon import AGENTS, NOUNS, Verb, check_verb
from .placements import PLACEMENTS, RANK
from .places import PLACE_ART, backdrop
from .poses import POSES
from .scenery import SHORE
from .shapes import Canvas, sprite_colours
from .stage import ART, CHAIR, STOOL, Stage

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Scene:
    """A drawn situation.

    image: uint8 [H, W, 3]. frames: three annotators' role -> synset ("" = open). boxes: role -> tight (x1, y1, x2, y2)
    in pixels, x2 and y2 exclusive, of what can be seen of it, or None (places, empty slots, things hardly in view).
    parts: the truth, {"pose": phrase, "nouns": {role: synset or ""}}; for tests and teachers, not for the data set.
    """

    image: np.ndarray
    verb: str
    frames: tuple[dict[str, str], ...]
    boxes: dict[str, Box | None]
    parts: dict[str, Any]


def _generator(verb: str, seed: int) -> np.random.Generator:
    """The random stream of a verb and a seed, the same on every machine and in every process."""
    digest = sha256(f"scenes/1/{verb}/{seed}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))


def _choose_parts(verb: Verb, rng: np.random.Generator) -> tuple[str, dict[str, str]]:
    """A pose and a noun for every role, each drawn evenly from what the verb allows."""
    pose = verb.poses[rng.integers(len(verb.poses))]
    nouns = {"agent": AGENTS[rng.integers(len(AGENTS))]}
    for slot in verb.slots:
        nouns[slot.role] = slot.nouns[rng.integers(len(slot.nouns))]
    nouns["place"] = verb.places[rng.integers(len(verb.places))]
    return pose, {role: nouns[role] for role in verb.order}


def draw(verb: str, seed: int, size: int = 192) -> Scene:
    """Draw a scene. `size` is the side in pixels, at least 64. Raises ValueError for an unknown verb or a bad size."""
    entry = check_verb(verb)
    if size < 64:
        raise ValueError(f"size must be at least 64 pixels, not {size}")
    rng = _generator(verb, seed)
    pose, nouns = _choose_parts(entry, rng)
    frames = annotators(nouns, rng)
    place = NOUNS[nouns["place"]].name
    image, horizon = backdrop(place, size, rng)
    canvas = Canvas(image)
    stage = _compose(canvas, entry, pose, nouns, place, horizon, rng)
    _background_life(canvas, nouns, place, horizon, rng)
    stage.paint()
    _foreground(canvas, stage, place, rng)
    groups = np.asarray(canvas.image.getchannel(3))
    boxes = _visible_boxes(canvas, groups, entry.order)
    return Scene(_develop(canvas, groups, rng), verb, frames, boxes, {"pose": pose, "nouns": nouns})


WATERBORNE = frozenset({"aboard", "underfoot", "bed"})
# How far from the middle the figure stands (shares of the side along its facing), to leave room for the other things.
SHIFT = {
    "front": -0.22,
    "flank": -0.24,
    "ahead": -0.24,
    "pushed": -0.2,
    "hauled": -0.18,
    "table": -0.16,
    "trailing": 0.24,
    "following": 0.26,
    "ground": -0.13,
    "struck": -0.16,
    "lap": -0.05,
    "kicked": -0.14,
    "incoming": -0.12,
    "tray": -0.1,
    "offered": -0.08,
    "thrown": 0.06,
    "cast": -0.08,
    "strummed": -0.06,
    "hung": -0.1,
    "toeyes": -0.08,
    "aboard": -0.02,
}


def _compose(
    canvas: Canvas,
    entry: Verb,
    pose_name: str,
    nouns: dict[str, str],
    place: str,
    horizon: float,
    rng: np.random.Generator,
) -> Stage:
    """Set up the figure and all things of the verb."""
    side, pose = canvas.side, POSES[pose_name]
    u = rng.random(6).tolist()
    placements = {slot.placement for slot in entry.slots if nouns[slot.role]}
    flip = 1 if u[0] < 0.5 else -1
    water = PLACE_ART[place].water
    afloat = bool(water) and (bool(placements & WATERBORNE) or pose.rest == "front")
    if afloat:
        low, high = (horizon + 0.2, horizon + SHORE - 0.04) if water == "banked" else (0.68, 0.8)
        ground = low + (min(high, 0.82) - low) * u[1]
    else:
        ground = max(0.82 + 0.11 * u[1], horizon + SHORE + 0.06 if water else 0)
    height = 0.52 + 0.14 * u[2]
    if (
        placements
        & {
            "astride",
            "aboard",
            "backdrop",
            "aloft",
            "overhead",
            "incoming",
            "arc",
            "brandished",
            "below",
            "trailing",
            "following",
        }
        or pose.near_arm[0] > 130
    ):
        height = 0.46 + 0.09 * u[2]
    if afloat:
        height *= 0.9 if placements else 1.25  # a swimmer is seen from nearer
    shift = sum(SHIFT.get(p, 0.0) for p in placements if p != "ground" or not placements & {"front"})
    centre = 0.5 + flip * max(-0.26, min(0.26, shift)) + (u[3] - 0.5) * 0.1
    person = random_person(NOUNS[nouns["agent"]].name, rng)
    figure = pose_figure(person, pose, height * side, flip, rng)
    low = figure.lowest()
    figure.move(centre * side, ground * side - low)
    stage = Stage(canvas, figure, ground * side, water if afloat else "", rng)
    if pose.rest == "air" and "below" not in placements:
        figure.move(0, -(0.1 + 0.08 * u[4]) * side)
    if pose.rest == "wall":
        figure.move(0, -(0.06 + 0.1 * u[4]) * side)
    if pose.rest == "front" and not placements & WATERBORNE:
        figure.move(0, -0.005 * side)
        stage.waterline = (centre * side, (ground + 0.002) * side, figure.height * 1.25)
    if pose.rest == "seat" and not placements & {"astride", "aboard", "seated"}:
        x, y = figure.joints["hip"]
        seat = CHAIR if place in ("library", "kitchen", "bedroom", "workshop") else STOOL
        tall = (ground * side - y - 0.05 * figure.height) / (seat.box[3])
        stage.put("prop", "clutter", seat, x, y + 0.06 * figure.height, tall)
    stage.nouns = {role: NOUNS[noun].name for role, noun in nouns.items()}
    for slot in sorted(entry.slots, key=lambda slot: RANK[slot.placement]):
        if nouns[slot.role]:
            PLACEMENTS[slot.placement](stage, slot.role, NOUNS[nouns[slot.role]].name)
    _keep_in_view(stage)
    return stage


def _keep_in_view(stage: Stage) -> None:
    """Slide the whole group sideways or down if its head or main things would leave the image."""
    side = stage.side
    xs, ys = [], []
    for piece in (p for pieces in stage.layers.values() for p in pieces if p.owner not in ("clutter", "effect")):
        x0, y0, x1, _ = piece.art.box
        ends = piece.x + piece.flip * x0 * piece.scale, piece.x + piece.flip * x1 * piece.scale
        if abs(piece.turn) < 0.5:
            xs += ends
            ys.append(piece.y + y0 * piece.scale)
        else:
            xs.append(piece.x)
    xs += [p[0] for p in stage.figure.joints.values()]
    ys.append(stage.figure.joints["head"][1] - 0.1 * stage.h)
    left, right, top = min(xs), max(xs), min(ys)
    margin = 0.03 * side
    dx = 0.0
    if right - left > side - 2 * margin:
        dx = side / 2 - (left + right) / 2
    elif left < margin:
        dx = margin - left
    elif right > side - margin:
        dx = side - margin - right
    dy = min(max(0.0, margin / 2 - top), 0.05 * side) if not stage.water else 0.0
    if not dx and not dy:
        return
    stage.figure.move(dx, dy)
    stage.figure.goals = {name: (x + dx, y + dy) for name, (x, y) in stage.figure.goals.items()}
    for pieces in stage.layers.values():
        for piece in pieces:
            piece.x += dx
            piece.y += dy
    stage.strands = [(o, n, (a[0] + dx, a[1] + dy), (b[0] + dx, b[1] + dy)) for o, n, a, b in stage.strands]
    stage.drops = [((a[0] + dx, a[1] + dy), (b[0] + dx, b[1] + dy)) for a, b in stage.drops]
    if stage.waterline:
        x, y, width = stage.waterline
        stage.waterline = x + dx, y + dy, width
    stage.ground += dy


def _background_life(
    canvas: Canvas, nouns: dict[str, str], place: str, horizon: float, rng: np.random.Generator
) -> None:
    """Clutter that belongs to the place and, now and then, a bystander, both smaller and further away."""
    side = canvas.side
    count, bystander = int(rng.integers(0, 3)), rng.random() < 0.25
    taken = {NOUNS[noun].name for noun in nouns.values()}
    for _ in range(count):
        choices = PLACE_ART[place].clutter
        name = choices[rng.integers(len(choices))]
        spot, size, flip = float(rng.random()), float(rng.random()), 1 if rng.random() < 0.5 else -1
        if name in taken:
            continue  # a second one would make the box ambiguous
        art = ART[name]
        scale = (0.1 + 0.07 * size) * min(art.size, 1.3) * side
        foot = horizon + (0.1 if PLACE_ART[place].water == "" else 0.06) + 0.08 * size
        canvas.label("clutter")
        canvas.paint(
            art,
            (0.06 + 0.88 * spot) * side,
            foot * side - art.box[3] * scale,
            scale,
            flip,
            0.0,
            sprite_colours(art, rng),
        )
    if bystander and PLACE_ART[place].water != "open":
        person = random_person(("man", "woman", "boy", "girl")[rng.integers(4)], rng)
        pose = POSES[("standing upright", "walking with a stride")[rng.integers(2)]]
        figure = pose_figure(
            person, pose, (0.26 + 0.06 * float(rng.random())) * side, 1 if rng.random() < 0.5 else -1, rng
        )
        x = 0.05 + 0.2 * float(rng.random())
        x = x if rng.random() < 0.5 else 1 - x
        foot = horizon + (0.16 if PLACE_ART[place].water == "" else SHORE + 0.04)
        figure.move(x * side, foot * side - figure.lowest())
        canvas.label("clutter")
        paint_arm(canvas, figure, "far")
        paint_leg(canvas, figure, "far")
        paint_leg(canvas, figure, "near")
        paint_trunk(canvas, figure)
        paint_head(canvas, figure)
        paint_arm(canvas, figure, "near")


NEARBY = {
    "street": "box",
    "kitchen": "vase",
    "bedroom": "vase",
    "library": "book",
    "stage": "drum",
    "gymnasium": "ball",
    "workshop": "barrel",
    "mountain": "snow",
    "desert": "rock",
    "beach": "rock",
    "road": "rock",
}


def _foreground(canvas: Canvas, stage: Stage, place: str, rng: np.random.Generator) -> None:
    """In some images something close to the viewer hides a little of the scene."""
    roll, spot, size = float(rng.random()), float(rng.random()), float(rng.random())
    if roll > 0.12 or stage.water:
        return
    side = canvas.side
    name = NEARBY.get(place, "bush")
    art = ART[name]
    scale = (0.22 + 0.1 * size) * side
    x = (0.02 + 0.14 * spot) if stage.f > 0 else (0.98 - 0.14 * spot)
    canvas.label("clutter")
    canvas.paint(art, x * side, 1.03 * side - art.box[3] * scale * 0.8, scale, 1, 0.0, sprite_colours(art, rng))


@lru_cache(maxsize=4)
def _grain(size: int) -> np.ndarray:
    """A sheet of noise, float32 [size + 64, 3 (size + 64)], with unit spread; images take it from different corners."""
    rng = np.random.Generator(np.random.PCG64(20))
    return rng.normal(0, 1, (size + 64, 3 * (size + 64))).astype(np.float32)


@lru_cache(maxsize=32)
def _light(size: int, kind: int) -> np.ndarray:
    """A field of light, float32 [size, 3 size], three equal channels: brighter on one side, darker at the corners."""
    x = np.linspace(-1, 1, size)[None, :]
    y = np.linspace(-1, 1, size)[:, None]
    field = 1.05 + (kind % 4 - 1.5) * 0.09 * x - 0.05 * y - 0.05 * (kind // 4) * (x * x + y * y)
    return np.repeat(field.astype(np.float32), 3, axis=1)


def _contours(groups: np.ndarray) -> np.ndarray:
    """How much ink each final pixel gets, uint8 [size, size], from the outline groups [2 size, 2 size]."""
    a, b, c, d = (np.ascontiguousarray(groups[i::2, j::2]) for i in (0, 1) for j in (0, 1))
    size = a.shape[0]
    ink = ((a != d) | (b != c)).view(np.uint8) * np.uint8(130)
    across = (b[:, :-1] != a[:, 1:]).view(np.uint8) * np.uint8(62)
    along = (c[:-1] != a[1:]).view(np.uint8) * np.uint8(62)
    for part, target in (
        (across, ink[:, 1:]),
        (across, ink[:, : size - 1]),
        (along, ink[1:]),
        (along, ink[: size - 1]),
    ):
        np.maximum(target, part * np.uint8(2), out=target)
    return ink


def _develop(canvas: Canvas, groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Half size, contours, light, colour cast and noise: uint8 [size, size, 3]."""
    size = canvas.side // 2
    small = canvas.image.reduce(2)
    picture = np.asarray(small.convert("RGB")).reshape(size, 3 * size)
    kind, left, top = int(rng.integers(16)), int(rng.integers(64)), int(rng.integers(64))
    warm, bright, spread = rng.random(3).tolist()
    level = 0.82 + 0.3 * bright
    gain = np.array([(1 + 0.12 * (warm - 0.5)) * level, level, (1 - 0.14 * (warm - 0.5)) * level], dtype=np.float32)
    # Rows of interleaved channels keep numpy's inner loops long.
    pixels = _light(size, kind) * np.tile(gain, size)
    pixels *= picture
    pixels *= np.repeat(np.float32(1) - _contours(groups) * np.float32(.0062), 3, axis=1)
    pixels += _grain(size)[top : top + size, 3 * left : 3 * (left + size)] * np.float32(1.2 + 4.0 * spread * spread)
    np.clip(pixels, 0, 255, out=pixels)
    return pixels.astype(np.uint8).reshape(size, size, 3)


def _visible_boxes(canvas: Canvas, groups: np.ndarray, roles: tuple[str, ...]) -> dict[str, Box | None]:
    """Tight box of the visible pixels of every role, or None for one that can hardly be seen."""
    boxes: dict[str, Box | None] = dict.fromkeys(roles)
    for role in roles:
        extent = canvas.extent.get(role)
        if extent is None:
            continue
        x0, y0 = max(int(extent[0]) - 2, 0), max(int(extent[1]) - 2, 0)
        x1, y1 = min(int(extent[2]) + 3, canvas.side), min(int(extent[3]) + 3, canvas.side)
        if x1 <= x0 or y1 <= y0:
            continue
        window = groups[y0:y1, x0:x1]
        mask = np.zeros(window.shape, dtype=bool)
        for first, last in canvas.ranges(role):
            # One comparison for both ends: bytes below the first wrap around to large ones.
            mask |= (window - np.uint8(first)) <= np.uint8(last - first)
        if np.count_nonzero(mask) < 0.0012 * canvas.side**2:
            continue
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box = (
            int(x0 + columns[0]) // 2,
            int(y0 + rows[0]) // 2,
            int(x0 + columns[-1]) // 2 + 1,
            int(y0 + rows[-1]) // 2 + 1,
        )
        whole = (extent[2] - extent[0]) * (extent[3] - extent[1]) / 4
        if (box[2] - box[0]) * (box[3] - box[1]) >= 0.25 * whole:
            boxes[role] = box
    return boxes


def encode(image: np.ndarray) -> bytes:
    """JPEG bytes (quality 90) of a uint8 [H, W, 3] image."""
    sink = io.BytesIO()
    Image.fromarray(image).save(sink, "JPEG", quality=90)
    return sink.getvalue()
