"""A small real student for the edge tests: it sees colours, and says so in the text space of the real encoder."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from components.encoders.text import embed
from components.recipes.protocol import ExportSpec, Graph

SIZE, TOKENS, WIDTH, TEXT = 192, 144, 32, 384
VERBS = {
    "burning": (["item", "place"], "the ITEM is burning in PLACE", "common"),
    "swimming": (["agent", "place"], "an AGENT swims in the PLACE", "common"),
    "mowing": (["agent", "tool", "place"], "the AGENT mows with a TOOL at a PLACE", "unseen"),
    "sleeping": (["agent"], "AGENT sleeps", "rare"),
    "rowing": (["agent", "tool"], "AGENT rows with TOOL", "pseudo_unseen"),
    "reading": (["agent", "item"], "AGENT reads ITEM", "common"),
}
ROLES = ["agent", "item", "tool", "place"]
NOUNS = {"": {"name": "", "gloss": []}, "n1": {"name": "woman", "gloss": ["woman"]},
         "n2": {"name": "canoe", "gloss": []}, "n3": {"name": "lawn", "gloss": ["lawn"]}}


class Encoder(nn.Module):
    """Pixels to a scene vector by mean colour, and a memory by strided convolutions."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        widths = (3, 16, 24, 32, WIDTH)
        self.convs = nn.ModuleList([nn.Conv2d(a, b, 3, 2, 1) for a, b in zip(widths, widths[1:], strict=False)])
        self.colours = nn.Parameter(torch.from_numpy(embed(["fire", "grass lawn", "water"])))  # [3, E]

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # [B,3,S,S] -> [B,E], [B,T,M], [B,M]
        x = image
        for conv in self.convs:
            x = F.relu6(conv(x) * 2)
        memory = x.flatten(2).transpose(1, 2)
        colour = F.relu(image.mean((2, 3)))  # [B, 3]
        return F.normalize(colour @ self.colours + 1e-6, dim=-1), memory, memory.mean(1)


class Decoder(nn.Module):
    """Roles attend to the memory; the shapes and names are those of the shipped decoder."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.verb, self.role = nn.Linear(TEXT, WIDTH), nn.Linear(TEXT, WIDTH)
        self.attention = nn.MultiheadAttention(WIDTH, 2, batch_first=True)
        self.noun, self.box, self.exists = nn.Linear(WIDTH, TEXT), nn.Linear(WIDTH, 4), nn.Linear(WIDTH, 1)

    def forward(self, memory: Tensor, verb: Tensor, roles: Tensor, present: Tensor,
                whole: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query = self.verb(verb)[:, None] + self.role(roles) + whole[:, None]
        seen = query + self.attention(query, memory, memory, need_weights=False)[0] * present[..., None]
        return F.normalize(self.noun(seen), dim=-1), self.box(seen).sigmoid(), self.exists(seen)[..., 0]


def pictures(count: int = 6, size: int = SIZE) -> np.ndarray:
    """Smooth random pictures uint8 [N, S, S, 3]."""
    coarse = torch.from_numpy(np.random.default_rng(0).uniform(0, 255, (count, 3, 8, 8))).float()
    smooth = F.interpolate(coarse, (size, size), mode="bicubic").clamp(0, 255)
    return smooth.permute(0, 2, 3, 1).byte().numpy()


def normalised(images: np.ndarray) -> np.ndarray:
    return ((images.astype(np.float32) - 127) / 128).transpose(0, 3, 1, 2).copy()


def encoder_graph() -> Graph:
    images = normalised(pictures())
    return Graph("encoder", Encoder(), (torch.from_numpy(images[:2]),), ("image",), ("scene", "memory", "whole"),
                 {"image": {0: "batch"}}, "static", lambda: ({"image": images[i:i + 1]} for i in range(len(images))))


def decoder_graph() -> Graph:
    torch.manual_seed(2)
    example = (torch.randn(2, TOKENS, WIDTH), F.normalize(torch.randn(2, TEXT), dim=-1),
               F.normalize(torch.randn(2, 3, TEXT), dim=-1), torch.tensor([[True, True, False], [True, True, True]]),
               torch.randn(2, WIDTH))
    batch, both = {0: "batch"}, {0: "batch", 1: "roles"}
    return Graph("decoder", Decoder(), example, ("memory", "verb", "roles", "present", "whole"),
                 ("noun", "box", "exists"), {"memory": batch, "verb": batch, "roles": both, "present": both,
                                             "whole": batch}, "dynamic")


def spec() -> ExportSpec:
    """A student of the `mipd` recipe's interface."""
    vocabulary = {"verbs": {v: {"order": o, "abstract": a, "group": g, "evidence": float(g in ("common", "rare"))}
                            for v, (o, a, g) in VERBS.items()},
                  "roles": ROLES, "nouns": NOUNS}
    names = [noun["name"] or "nothing" for noun in NOUNS.values()]
    tables = {"verbs": embed(list(VERBS)), "roles": embed(ROLES), "nouns": embed(names)}
    decoding = {"scale_verb": 12.0, "scale_noun": 12.0, "penalty": 0.0, "temperature": 1.0, "abstain_below": 0.3,
                "candidates": list(VERBS)}
    return ExportSpec("mipd", (encoder_graph(), decoder_graph()), tables, vocabulary, decoding,
                      {"size": SIZE, "mean": 127.0, "std": 128.0})
