"""Contact sheets: labelled scenes side by side, to look at the drawn world."""

from collections.abc import Sequence

from PIL import Image, ImageDraw

from .lexicon import NOUNS, PSEUDO_UNSEEN, RARE, UNSEEN
from .world import draw

INKS = {"agent": (255, 255, 255), "vehicle": (0, 240, 255), "tool": (255, 60, 60), "item": (255, 240, 0)}
COLUMNS = 8
CAPTION = 26


def contact_sheet(verbs: Sequence[str], seed: int, boxes: bool = True, size: int = 192) -> Image.Image:
    """One labelled scene per entry of `verbs` (repeat a verb for more of it; the n-th gets seed + n)."""
    columns = min(COLUMNS, max(1, len(verbs)))
    sheet = Image.new("RGB", (columns * size, -(-len(verbs) // columns) * (size + CAPTION)), (24, 24, 28))
    pen = ImageDraw.Draw(sheet)
    for k, verb in enumerate(verbs):
        scene = draw(verb, seed + k, size)
        x, y = k % columns * size, k // columns * (size + CAPTION)
        sheet.paste(Image.fromarray(scene.image), (x, y + CAPTION))
        split = "unseen" if verb in UNSEEN else "held out" if verb in PSEUDO_UNSEEN else "rare" if verb in RARE else ""
        pen.text((x + 3, y + 1), f"{verb}  {split}", fill=(255, 220, 120))
        pen.text(
            (x + 3, y + 13),
            ", ".join(NOUNS[n].name or "-" for r, n in scene.parts["nouns"].items())[:36],
            fill=(200, 200, 205),
        )
        if boxes:
            for role, box in scene.boxes.items():
                if box:
                    pen.rectangle(
                        (x + box[0], y + CAPTION + box[1], x + box[2] - 1, y + CAPTION + box[3] - 1), outline=INKS[role]
                    )
    return sheet
