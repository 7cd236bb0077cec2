"""Contact sheet of the drawn pairs: a row an attribute, a column an object."""

from PIL import Image, ImageDraw

from components.datasets.pairs.catalogue import ATTRIBUTES, OBJECTS
from components.datasets.pairs.world import draw

CAPTION, MARGIN = 14, 56


def contact_sheet(seed: int = 0, side: int = 96) -> Image.Image:
    """One picture of every pair, captioned with both words."""
    sheet = Image.new("RGB", (MARGIN + len(OBJECTS) * side, CAPTION + len(ATTRIBUTES) * side), (24, 24, 28))
    pen = ImageDraw.Draw(sheet)
    for column, thing in enumerate(OBJECTS):
        pen.text((MARGIN + column * side + 4, 1), thing, fill=(255, 220, 120))
    for row, attribute in enumerate(ATTRIBUTES):
        pen.text((3, CAPTION + row * side + side // 2 - 6), attribute, fill=(255, 220, 120))
        for column, thing in enumerate(OBJECTS):
            picture = Image.fromarray(draw(attribute, thing, seed + row * 100 + column, side))
            sheet.paste(picture, (MARGIN + column * side, CAPTION + row * side))
    return sheet
