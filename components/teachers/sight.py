"""What a teacher sees without eyes of its own: features of the frozen encoders that the student has too.

The encoders take seconds to import, and who only talks to a server should not wait for them: they come when needed.
"""

from collections.abc import Sequence

import numpy as np

from components.datasets.images import fit
from components.encoders.cache import FeatureCache
from components.teachers.protocol import Composite, Teacher, View

BATCH = 64  # images encoded together


def encoded(views: Sequence[View], cached: FeatureCache | None) -> np.ndarray:
    """Features float16 [N, T, C] of the frozen image encoder: cached, composed of cached ones, or computed."""
    from components.encoders import image

    out = np.empty((len(views), image.TOKENS, image.CHANNELS), np.float16)
    known = [i for i, v in enumerate(views) if cached is not None and all(p.id in cached for p in parts(v))]
    if known:
        first = cached.rows([parts(views[i])[0].id for i in known])
        mixed = [(k, i) for k, i in enumerate(known) if isinstance(views[i], Composite)]
        if mixed:
            second = cached.rows([views[i].second.id for _, i in mixed])
            for (k, i), other in zip(mixed, second, strict=True):
                inside = inside_cells(views[i].cells)
                first[k, inside] = other[inside]
        out[known] = first
    fresh = sorted(set(range(len(views))) - set(known))
    for start in range(0, len(fresh), BATCH):
        rows = fresh[start:start + BATCH]
        out[rows] = image.features(np.stack([fit(views[i].load(), image.SIZE) for i in rows]))
    return out


def parts(view: View) -> tuple[View, ...]:
    return (view.first, view.second) if isinstance(view, Composite) else (view,)


def inside_cells(cells: tuple[int, int, int, int]) -> np.ndarray:
    """Indices of the tokens in the rectangle x0, y0, x1, y1 of cells."""
    from components.encoders import image

    x0, y0, x1, y1 = cells
    return np.arange(image.TOKENS).reshape(image.GRID, image.GRID)[y0:y1, x0:x1].ravel()


class BorrowedSight(Teacher):
    """`grid` and `words` of a teacher that only talks (a server, a recording): those of the frozen encoders.

    This is declared, not hidden: `eyes` names the encoders. D = 592, the channels of the image encoder; W = 384, the
    space of the embedded text encoder.
    """

    cached: FeatureCache | None = None

    @property
    def eyes(self) -> str:
        from components.encoders import image, text

        return f"{image.REVISION} and {text.REVISION}"

    def grid(self, images: Sequence[View]) -> np.ndarray:
        """float32 [N, 1 + T, C]: the mean of all cells, then the cells."""
        cells = encoded(images, self.cached).astype(np.float32)
        return np.concatenate([cells.mean(1, keepdims=True), cells], 1)

    def words(self, texts: Sequence[str]) -> np.ndarray:
        from components.encoders import text

        return text.embed(texts)
