"""Placements that carry the body: mounts, boards, boats and beds; they run first and move the figure."""

import math

from .animals import ANIMALS
from .stage import ART, WAVE, Piece, Stage

Point = tuple[float, float]


def mark(s: Stage, role: str, piece: Piece) -> None:
    """Remember a role's box on the canvas, for placements that refer to it."""
    x0, y0, x1, y1 = piece.art.box
    xs = sorted((piece.x + piece.flip * x0 * piece.scale, piece.x + piece.flip * x1 * piece.scale))
    s.boxes[role] = (xs[0], piece.y + y0 * piece.scale, xs[1], piece.y + y1 * piece.scale)


def astride(s: Stage, role: str, name: str) -> None:
    scale = min(max(s.u(0.46, 0.54) * ART[name].size, 0.42), 0.6) * s.side
    piece = s.stand("between", role, name, s.figure.joints["hip"][0], s.ground, scale)
    seat = s.spot(piece, "back" if name in ANIMALS else "seat")
    hip = s.figure.joints["hip"]
    s.figure.move(seat[0] - hip[0], seat[1] - 0.03 * s.h - hip[1])
    if name in ANIMALS:
        s.figure.goals["near_foot"] = s.figure.at("hip", 0.1, 0.4)
        s.figure.goals["far_foot"] = s.figure.at("hip", 0.16, 0.38)
        neck = s.spot(piece, "neck")
        goal = s.figure.at("shoulder", 0.26, 0.14)
        s.reach((goal[0], min(goal[1], neck[1])), s.figure.at("shoulder", 0.29, 0.12))
    else:
        x, y = s.spot(piece, "pedal")
        s.figure.goals["near_foot"], s.figure.goals["far_foot"] = (x, y), (x + s.f * 0.05 * s.h, y - 0.1 * s.h)
        bars = s.spot(piece, "bars")
        s.reach(bars, (bars[0] + s.f * 4, bars[1] - 3))
    mark(s, role, piece)


def underfoot(s: Stage, role: str, name: str) -> None:
    art = ART[name]
    scale = min(max(s.u(0.42, 0.5) * art.size, 0.38), 0.58) * s.side
    feet = s.figure.joints["near_foot"], s.figure.joints["far_foot"]
    if s.water:
        s.put("behind", "-", WAVE, feet[0][0] + s.f * 0.02 * s.side, s.ground, s.u(0.7, 0.85) * s.side)
    x = (feet[0][0] + feet[1][0]) / 2
    hull = "hull" in art.spots
    tilt = -s.u(2, 10) if s.water else s.u(-4, 4)
    piece = s.stand("over" if hull else "prop", role, name, x, s.ground, scale)
    piece.turn = math.radians(tilt)
    deck = s.spot(piece, "deck")
    low = max(feet[0][1], feet[1][1])
    s.figure.move(0, deck[1] - low - 0.02 * s.h)
    if s.water:
        s.waterline = (x, s.ground - 0.01 * s.side, scale * 1.15)
    mark(s, role, piece)


def _sit_flat(s: Stage, deck: Point) -> None:
    """Sit on something flat with the legs stretched out in front."""
    hip = s.figure.joints["hip"]
    s.figure.move(deck[0] - hip[0], deck[1] - 0.055 * s.h - hip[1])
    s.figure.goals["near_foot"] = s.figure.at("hip", 0.4, 0.03)
    s.figure.goals["far_foot"] = s.figure.at("hip", 0.37, 0.0)


def seated(s: Stage, role: str, name: str) -> None:
    scale = min(max(s.u(0.44, 0.52) * ART[name].size, 0.4), 0.58) * s.side
    piece = s.stand("prop", role, name, s.figure.joints["hip"][0], s.ground, scale)
    piece.turn = math.radians(s.u(0, 8))
    deck = s.spot(piece, "deck")
    _sit_flat(s, (deck[0] - s.f * 0.12 * scale, deck[1]))
    s.reach(s.figure.at("hip", 0.22, -0.02), s.figure.at("hip", 0.24, -0.06))
    mark(s, role, piece)


def aboard(s: Stage, role: str, name: str) -> None:
    art = ART[name]
    scale = min(max(s.u(0.46, 0.54) * art.size, 0.42), 0.62) * s.side
    hull = "hull" in art.spots
    piece = s.stand(
        "over" if hull and name != "sailboat" else "prop", role, name, s.figure.joints["hip"][0], s.ground, scale
    )
    deck = s.spot(piece, "deck")
    if s.figure.pose.rest == "seat":
        if hull:
            hip = s.figure.joints["hip"]
            s.figure.move(deck[0] - s.f * 0.1 * scale - hip[0], deck[1] - 0.08 * s.h - hip[1])
        else:
            _sit_flat(s, (deck[0] - s.f * 0.14 * scale, deck[1]))
    else:
        x = s.figure.joints["hip"][0]
        s.figure.move(
            deck[0] - x - (s.f * 0.1 * scale if name == "sailboat" else 0), deck[1] - s.figure.lowest() + 0.02 * s.h
        )
    if s.water:
        s.waterline = (s.figure.joints["hip"][0], s.ground - 0.035 * s.side, scale * 1.2)
    mark(s, role, piece)


def bed(s: Stage, role: str, name: str) -> None:
    scale = min(max(s.u(0.46, 0.5) * max(ART[name].size, 1.05), 0.42), 0.62) * s.side
    if name == "towel":
        piece = s.centre("prop", role, name, 0, 0, scale * 0.9, 90)
        x = (s.figure.joints["head"][0] + s.figure.joints["hip"][0]) / 2
        piece.x += x + s.f * 0.06 * s.h
        piece.y += s.ground + 0.05 * s.h
        deck_y = s.ground + 0.03 * s.h
        s.boxes[role] = (x - scale / 2, s.ground - 0.1 * scale, x + scale / 2, s.ground + 0.1 * scale)
    else:
        x = (s.figure.joints["head"][0] + s.figure.joints["near_foot"][0]) / 2
        piece = s.stand("prop", role, name, x, s.ground, scale, -s.f if s.figure.pose.rest == "back" else s.f)
        deck_y = (
            s.spot(piece, "deck")[1] if "deck" in ART[name].spots else s.top(piece) + 0.3 * (s.ground - s.top(piece))
        )
        if name == "bed":
            piece.flip = s.f  # the pillow goes under the head
        mark(s, role, piece)
    s.figure.move(0, deck_y - s.figure.lowest() + 0.03 * s.h)
    if s.water:
        s.waterline = (x, s.ground - 0.015 * s.side, scale * 1.2)
