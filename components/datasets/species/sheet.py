"""Contact sheets of the drawn birds: a row a species, several individuals side by side."""

from collections.abc import Sequence

from PIL import Image, ImageDraw

from components.datasets.species.catalogue import Species
from components.datasets.species.world import SIDE, draw

CAPTION = 14


def contact_sheet(species: Sequence[Species], each: int = 3, across: int = 4, seed: int = 0) -> Image.Image:
    """`each` pictures of every species, `across` species in a row, captioned with both names."""
    rows = -(-len(species) // across)
    sheet = Image.new("RGB", (across * (each * SIDE + 8), rows * (SIDE + CAPTION + 4)), (24, 24, 28))
    pen = ImageDraw.Draw(sheet)
    for k, one in enumerate(species):
        x, y = k % across * (each * SIDE + 8), k // across * (SIDE + CAPTION + 4)
        pen.text((x + 3, y + 1), f"{one.name}  ({one.latin})", fill=(255, 220, 120))
        for i in range(each):
            sheet.paste(Image.fromarray(draw(one, seed + 1000 * k + i)), (x + i * SIDE, y + CAPTION))
    return sheet
