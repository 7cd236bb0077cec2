"""The words of the drawn world: 16 attributes, 12 objects of four materials, and how each material wears an attribute.

The world is entangled: direction, size, place and colour of an attribute's marks follow the material, so that stripes
on cloth are broad and upright, on wood narrow and aslant, and an attribute cannot be learnt apart from what wears it.
"""

from dataclasses import dataclass

Colour = tuple[int, int, int]

# object: material
OBJECTS: dict[str, str] = {
    "bag": "cloth", "bowl": "ceramic", "bucket": "metal", "cap": "cloth", "chair": "wood", "crate": "wood",
    "kettle": "metal", "lamp": "metal", "mug": "ceramic", "shirt": "cloth", "table": "wood", "vase": "ceramic",
}
ATTRIBUTES: tuple[str, ...] = (
    "burnt", "checked", "cracked", "dusty", "faded", "frosty", "furry", "gilded", "mossy", "patched", "rusty", "shiny",
    "spotted", "striped", "wet", "woven",
)

# What an observer may say of each attribute beside its own name: by material, "" for all.
LOOKS: dict[str, dict[str, tuple[str, ...]]] = {
    "burnt": {"": ("charred", "blackened", "sooty"), "wood": ("scorched",), "cloth": ("singed",)},
    "checked": {"": ("gridded", "squared", "patterned"), "cloth": ("plaid",)},
    "cracked": {"": ("broken", "split", "damaged"), "ceramic": ("chipped",), "cloth": ("torn",)},
    "dusty": {"": ("grey", "dull", "dirty"), "wood": ("neglected",)},
    "faded": {"": ("pale", "bleached", "washed-out"), "cloth": ("worn",)},
    "frosty": {"": ("icy", "frozen", "white"), "metal": ("cold",)},
    "furry": {"": ("hairy", "fluffy", "soft"), "cloth": ("fleecy",)},
    "gilded": {"": ("golden", "ornate", "trimmed"), "ceramic": ("precious",)},
    "mossy": {"": ("green", "overgrown", "damp"), "wood": ("rotting",)},
    "patched": {"": ("mended", "repaired", "motley"), "cloth": ("stitched",)},
    "rusty": {"": ("orange", "corroded", "stained"), "metal": ("oxidised",)},
    "shiny": {"": ("glossy", "bright", "polished"), "metal": ("gleaming",)},
    "spotted": {"": ("dotted", "speckled", "patterned"), "ceramic": ("glazed",)},
    "striped": {"": ("banded", "lined", "patterned"), "cloth": ("pinstriped",)},
    "wet": {"": ("dripping", "damp", "beaded"), "wood": ("soaked",)},
    "woven": {"": ("braided", "wickered", "textured"), "cloth": ("knitted",)},
}


@dataclass(frozen=True, slots=True)
class Wear:
    """How a material wears marks: `angle` of lines (degrees), `size` of marks, `cover` the share they take, `from_top`
    whether growth and stains begin above, `accents` the colours of drawn patterns, `hues` those of the things."""

    angle: float
    size: float
    cover: float
    from_top: bool
    accents: tuple[Colour, ...]
    hues: tuple[Colour, ...]


WEAR: dict[str, Wear] = {
    "ceramic": Wear(90, .8, .42, True, ((44, 76, 150), (150, 52, 60)),
                    ((226, 220, 208), (150, 184, 196), (206, 160, 128), (176, 196, 150))),
    "metal": Wear(20, 1.05, .35, False, ((70, 74, 84), (188, 60, 48)),
                  ((168, 174, 182), (120, 132, 148), (190, 150, 110), (104, 140, 132))),
    "cloth": Wear(0, 1.5, .55, False, ((244, 240, 226), (52, 56, 92)),
                  ((178, 66, 70), (70, 104, 160), (92, 132, 92), (206, 176, 92))),
    "wood": Wear(52, .6, .48, True, ((238, 214, 150), (58, 96, 84)),
                 ((160, 112, 66), (118, 80, 50), (196, 150, 96), (140, 96, 84))),
}
