"""Placements: for every way a thing can take part in a scene, the function that puts it there, and the running order.

Each function gets the stage, the role and the noun's short name; it queues the drawing and settles hands and feet.
"""

from collections.abc import Callable

from . import place_held, place_standing, place_whole
from .stage import Stage

Placement = Callable[[Stage, str, str], None]

WHOLE: dict[str, Placement] = {
    name: getattr(place_whole, name) for name in ("aboard", "astride", "bed", "seated", "underfoot")
}
STANDING: dict[str, Placement] = {
    name: getattr(place_standing, name)
    for name in (
        "ahead",
        "backdrop",
        "below",
        "beneath",
        "flank",
        "following",
        "front",
        "ground",
        "hauled",
        "pushed",
        "struck",
        "table",
        "trailing",
        "upright",
    )
}
HANDHELD: dict[str, Placement] = {
    name: getattr(place_held, name)
    for name in (
        "aloft",
        "arc",
        "brandished",
        "cast",
        "dipped",
        "fingers",
        "groundward",
        "held",
        "hung",
        "incoming",
        "kicked",
        "lap",
        "lead",
        "offered",
        "ontop",
        "overhead",
        "paddling",
        "pouring",
        "strummed",
        "tether",
        "thrown",
        "toeyes",
        "tomouth",
        "tray",
        "worked",
    )
}
PLACEMENTS: dict[str, Placement] = {**WHOLE, **STANDING, **HANDHELD}
RANK: dict[str, int] = {name: rank for rank, group in enumerate((WHOLE, STANDING, HANDHELD)) for name in group}
