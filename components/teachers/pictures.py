"""Pictures as they are handed to a teacher: bounded in size, and as a data URL where they travel in a request."""

import base64
import io

import numpy as np
from PIL import Image

from components.teachers.protocol import View

QUALITY = 92  # of the JPEG that a server gets


def within(pixels: np.ndarray, side: int) -> Image.Image:
    """uint8 [H, W, 3] as a picture whose longer side is at most `side` pixels, aspect kept."""
    picture = Image.fromarray(pixels)
    scale = side / max(picture.size)
    if scale >= 1:
        return picture
    return picture.resize([max(1, round(n * scale)) for n in picture.size], Image.Resampling.BICUBIC, reducing_gap=2.0)


def data_urls(view: View, side: int) -> list[str]:
    """All pictures of a question about a view, in their order."""
    return [data_url(one.load(), side) for one in view.shown]


def data_url(pixels: np.ndarray, side: int) -> str:
    """The picture encoded anew, so that nothing travels but its pixels."""
    stream = io.BytesIO()
    within(pixels, side).save(stream, "JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
