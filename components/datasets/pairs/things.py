"""The shapes of the twelve objects: polygons in a unit square (x right, y down) from back to front, with shades."""

from collections.abc import Callable

from components.datasets.scenes.shapes import Point, curve, oval, poly, rect, ring, smooth

Part = tuple[float, tuple[Point, ...]]  # lightness against the thing's own colour, outline


def _bag() -> list[Part]:
    return [(.6, curve("", .09, (-.35, -.3), (-.25, -.85), (.25, -.85), (.35, -.3)).points),
            (1, smooth("", (-.62, -.32), (.62, -.32), (.74, .7), (.4, .84), (-.4, .84), (-.74, .7)).points),
            (.8, rect("", -.62, -.34, .62, -.16).points)]


def _bowl() -> list[Part]:
    half = tuple(p for p in oval("", 0, -.15, .85, .85, steps=40).points if p[1] >= -.16)
    return [(1, half), (.75, rect("", -.32, .62, .32, .76).points), (.62, oval("", 0, -.15, .85, .2, steps=24).points)]


def _bucket() -> list[Part]:
    return [(.5, curve("", .05, (-.6, -.4), (-.4, -.95), (.4, -.95), (.6, -.4)).points),
            (1, poly("", (-.66, -.4), (.66, -.4), (.48, .82), (-.48, .82)).points),
            (.6, oval("", 0, -.4, .66, .16, steps=22).points)]


def _cap() -> list[Part]:
    dome = tuple(p for p in oval("", -.1, .15, .68, .68, steps=40).points if p[1] <= .16)
    return [(1, dome), (.7, smooth("", (.1, .12), (.9, .2), (.92, .36), (.2, .34), (-.76, .24), (-.78, .12)).points),
            (.7, oval("", -.1, -.53, .08).points)]


def _chair() -> list[Part]:
    legs = [(.7, rect("", x, .2, x + .11, .92).points) for x in (-.5, .42)]
    return [*legs, (1, rect("", -.5, -.92, -.36, .2).points), (1, rect("", .36, -.92, .5, .2).points),
            (1, rect("", -.5, -.86, .5, -.3).points),
            (.85, poly("", (-.56, .05), (.5, .05), (.62, .3), (-.66, .3)).points)]


def _crate() -> list[Part]:
    boards = [(1 - .08 * (i % 2), rect("", -.75, -.62 + i * .34, .75, -.32 + i * .34).points) for i in range(4)]
    return [(.45, rect("", -.72, -.6, .72, .7).points), *boards,
            *((.78, rect("", x, -.68, x + .17, .76).points) for x in (-.8, .63))]


def _kettle() -> list[Part]:
    return [(.55, curve("", .09, (-.42, -.2), (-.35, -.9), (.35, -.9), (.42, -.2)).points),
            (.85, poly("", (.4, .1), (.92, -.38), (.98, -.24), (.62, .4)).points),
            (1, smooth("", (-.42, -.28), (.42, -.28), (.7, .4), (.5, .78), (-.5, .78), (-.7, .4)).points),
            (.65, oval("", 0, -.3, .42, .1, steps=18).points), (.5, oval("", 0, -.42, .09).points)]


def _lamp() -> list[Part]:
    return [(.6, rect("", -.06, -.1, .06, .72).points), (.7, oval("", 0, .76, .42, .13, steps=20).points),
            (1, poly("", (-.36, -.9), (.36, -.9), (.76, .04), (-.76, .04)).points)]


def _mug() -> list[Part]:
    return [(.8, ring("", .58, .02, .32, .12, .4).points), (1, rect("", -.62, -.58, .52, .72).points),
            (.62, oval("", -.05, -.58, .57, .14, steps=22).points)]


def _shirt() -> list[Part]:
    return [(.85, poly("", (-.42, -.7), (-.95, -.3), (-.74, .02), (-.4, -.22)).points),
            (.85, poly("", (.42, -.7), (.95, -.3), (.74, .02), (.4, -.22)).points),
            (1, smooth("", (-.45, -.72), (0, -.62), (.45, -.72), (.46, .8), (-.46, .8)).points),
            (.55, oval("", 0, -.68, .2, .12, steps=16).points)]


def _table() -> list[Part]:
    legs = [(.7, rect("", x, -.1, x + .13, .85).points) for x in (-.78, -.36, .24, .65)]
    return [*legs, (1, poly("", (-.72, -.52), (.72, -.52), (.96, -.06), (-.96, -.06)).points),
            (.8, rect("", -.96, -.06, .96, .1).points)]


def _vase() -> list[Part]:
    return [(1, smooth("", (-.2, -.86), (.2, -.86), (.18, -.5), (.56, -.02), (.42, .6), (.26, .86), (-.26, .86),
                       (-.42, .6), (-.56, -.02), (-.18, -.5)).points),
            (.65, oval("", 0, -.86, .26, .07, steps=16).points)]


_THINGS: dict[str, Callable[[], list[Part]]] = {
    "bag": _bag, "bowl": _bowl, "bucket": _bucket, "cap": _cap, "chair": _chair, "crate": _crate, "kettle": _kettle,
    "lamp": _lamp, "mug": _mug, "shirt": _shirt, "table": _table, "vase": _vase,
}


def parts(name: str) -> list[Part]:
    """The object's polygons from back to front."""
    return _THINGS[name]()
