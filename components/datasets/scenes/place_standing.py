"""Placements of what stands about the figure: in front, behind, beneath, on a table or pushed along."""

import math
from dataclasses import replace

from .animals import ANIMALS
from .place_whole import mark
from .stage import ART, BULKY, LINE, MESH, STUMP, TABLE, Piece, Stage


def beside(
    s: Stage,
    role: str,
    name: str,
    gap: float,
    scale: float,
    layer: str = "behind",
    foot: float | None = None,
    flip: int = 0,
) -> Piece:
    """Stand a thing in front of the figure (behind it if `gap` < 0), `gap` body heights from the hip to its edge."""
    x0, _, x1, _ = ART[name].box
    half = (x1 - x0) / 2 * scale
    x = s.figure.joints["hip"][0] + s.f * (gap * s.h + math.copysign(half, gap))
    piece = s.stand(layer, role, name, x, s.ground if foot is None else foot, scale, flip)
    mark(s, role, piece)
    return piece


def _facing(s: Stage) -> int:
    """Things standing about face either way."""
    return s.f if s.rng.random() < 0.5 else -s.f


def front(s: Stage, role: str, name: str) -> None:
    scale = s.big(name)
    stooped = s.figure.pose.lean > 30 or s.figure.pose.rest in ("knees", "seat")
    low = name not in BULKY or name in ("picture", "bush")
    gap = 0.24 if not stooped else 0.42 if s.figure.pose.lean > 30 and low else 0.32
    if low and (not stooped or s.figure.pose.rest == "seat") and name != "drum":
        # Small things are raised to the hand on a stand of their own.
        x0, _, x1, _ = ART[name].box
        x = s.figure.joints["hip"][0] + s.f * (gap * s.h + 0.6 * scale * (x1 - x0))
        rise = s.u(0.3, 0.36) * s.h * (0.5 if stooped else 1)
        s.put("behind", "clutter", STUMP, x, s.ground - rise, rise)
        beside(s, role, name, gap, scale, foot=s.ground - rise + 2, flip=_facing(s))
    else:
        beside(s, role, name, gap, scale, flip=_facing(s) if name not in ANIMALS or s.rng.random() < 0.6 else -s.f)


def ahead(s: Stage, role: str, name: str) -> None:
    beside(s, role, name, 0.34, s.big(name, 0.34, 0.42), flip=s.f)


def trailing(s: Stage, role: str, name: str) -> None:
    back = (
        max(
            (abs(b[0] - s.figure.joints["hip"][0]) if s.f > 0 else abs(b[2] - s.figure.joints["hip"][0]))
            for b in s.boxes.values()
        )
        if s.boxes
        else 0.24 * s.h
    )
    piece = beside(s, role, name, -(back / s.h + 0.06), s.big(name, 0.32, 0.38), flip=s.f)
    if "vehicle" in s.boxes:
        x0, y0, x1, y1 = s.boxes["vehicle"]
        start = (x0 + 6 if s.f > 0 else x1 - 6, (y0 + y1) / 2)
        end = (piece.x + s.f * piece.art.box[2] * piece.scale * 0.8, piece.y)
        s.strands.append(("clutter", "rope", start, end))


def following(s: Stage, role: str, name: str) -> None:
    beside(s, role, name, -0.3, s.big(name, 0.4, 0.46), flip=s.f)


def below(s: Stage, role: str, name: str) -> None:
    scale = s.big(name, 0.3, 0.36)
    piece = s.stand("behind", role, name, s.figure.joints["hip"][0], s.ground, scale)
    s.figure.move(0, s.top(piece) - s.u(0.0, 0.06) * s.h - s.figure.lowest())
    mark(s, role, piece)


def backdrop(s: Stage, role: str, name: str) -> None:
    scale = min(s.u(0.56, 0.62) * (1.0 if name != "tree" else 1.15), 0.7) * s.side
    piece = s.stand("behind", role, name, s.figure.joints["hip"][0] + s.f * 0.16 * s.h, s.ground, scale)
    mark(s, role, piece)


def upright(s: Stage, role: str, name: str) -> None:
    x = s.figure.joints["hip"][0] + s.f * 0.2 * s.h
    scale = s.u(0.54, 0.6) * s.side
    art = {"ladder": ART["ladder"], "rope": LINE, "net": MESH}[name]
    low = art.box[3]
    piece = s.put("behind", role, art, x, s.ground - low * scale, scale, s.u(-3, 6))
    mark(s, role, piece)
    s.reach((x, s.figure.at("shoulder", 0, -0.24)[1]), (x, s.figure.at("shoulder", 0, -0.1)[1]))


def pushed(s: Stage, role: str, name: str) -> None:
    piece = beside(s, role, name, 0.42, s.big(name, 0.36, 0.44), flip=s.f)
    x0, y0, x1, y1 = s.boxes[role]
    edge = (x0 if s.f > 0 else x1, y0 + 0.22 * (y1 - y0))
    grip = s.spot(piece, "handle") if "handle" in piece.art.spots else edge
    shoulder = s.figure.joints["shoulder"]
    drop = min(abs(grip[1] - shoulder[1]) / s.h, 0.3)
    shift = shoulder[0] + s.f * math.sqrt(0.31**2 - drop**2) * s.h - grip[0]
    piece.x += shift
    mark(s, role, piece)
    s.reach((grip[0] + shift, grip[1]), (grip[0] + shift + s.f * 5, grip[1] - 5))


def hauled(s: Stage, role: str, name: str) -> None:
    beside(s, role, name, 0.42, s.big(name, 0.34, 0.42), flip=-s.f)


def ground(s: Stage, role: str, name: str) -> None:
    gap = 0.2 if s.figure.pose.lean > 30 else 0.26
    loose = name in ("soil", "snow", "sand", "straw", "leaf")
    piece = beside(
        s,
        role,
        name,
        gap,
        s.length(name, 0.26, 0.36, 0.22),
        layer="over" if loose else "behind",
        foot=s.ground + s.u(0.0, 0.03) * s.h,
    )
    if name == "paper":
        piece.turn = math.radians(s.u(70, 80))  # a sheet lies on the ground
        piece.y += 0.16 * piece.scale


def table(s: Stage, role: str, name: str) -> None:
    seat = s.figure.pose.rest == "seat"
    scale = s.length(name, 0.26, 0.34)
    x = s.figure.joints["hip"][0] + s.f * (0.5 if seat else 0.42) * s.h
    rise = (0.4 if seat else 0.43) * s.h
    wide = max(0.44 * s.h, scale * 0.9)
    s.table_top = s.ground - rise
    s.put(
        "behind" if not seat else "over",
        "clutter",
        replace(TABLE, ys=TABLE.ys * (rise / (0.776 * wide))),
        x,
        s.table_top,
        wide,
    )
    layer = "behind" if not seat else "over"
    thing = s.stand(layer, role, name, x, s.table_top + 3, scale)
    if name in ("paper", "newspaper", "map"):
        # Lies flat, seen at a slant.
        x0, y0, x1, y1 = thing.art.box
        thing.y += (y1 - 0.5 * y1) * scale
        thing.art = replace(thing.art, ys=thing.art.ys * 0.5, box=(x0, y0 * 0.5, x1, y1 * 0.5))
    mark(s, role, thing)
    if name in ("laptop", "typewriter", "keyboard", "cell phone"):
        s.reach((x - s.f * 0.08 * s.h, s.table_top - 0.02 * s.h), (x - s.f * 0.02 * s.h, s.table_top - 0.04 * s.h))


def flank(s: Stage, role: str, name: str) -> None:
    """An animal with its side to a seated figure, tail end first, close enough to reach under it."""
    beside(s, role, name, 0.2, s.big(name, 0.42, 0.48), flip=s.f)
    x0, y0, x1, y1 = s.boxes[role]
    near = x0 if s.f > 0 else x1
    goal = near + s.f * 0.2 * (x1 - x0), y0 + 0.62 * (y1 - y0)
    s.reach(goal, (goal[0] + s.f * 0.05 * s.h, goal[1]))


def beneath(s: Stage, role: str, name: str) -> None:
    """Under the belly of the animal."""
    x0, _, x1, _ = s.boxes["item"]
    near = x0 if s.f > 0 else x1
    scale = s.length(name, 0.22, 0.27)
    mark(s, role, s.stand("over", role, name, near + s.f * 0.3 * (x1 - x0), s.ground + 0.02 * s.h, scale))


def struck(s: Stage, role: str, name: str) -> None:
    scale = s.length(name, 0.26, 0.34)
    rise = s.u(0.3, 0.4) * s.h
    x = s.figure.joints["hip"][0] + s.f * 0.46 * s.h
    if name == "ball":
        s.centre("over", role, name, x, s.figure.at("shoulder", 0, 0.0)[1], scale)
        s.boxes[role] = (x - scale / 2, s.ground - 0.8 * s.h, x + scale / 2, s.ground - 0.5 * s.h)
    else:
        s.put("behind", "clutter", STUMP, x, s.ground - rise, rise)
        mark(s, role, s.stand("behind", role, name, x, s.ground - rise + 4, scale))
