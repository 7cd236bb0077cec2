"""The student: several local and global views of frozen features, composed, disentangled, and compared with words.

Shapes: B images, T tokens, D width, p local and q global rows (R = p + q), W words, H width of word states.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from components.encoders.image import GRID, GridEncoder
from components.recipes.trident.config import Architecture
from components.recipes.trident.vocabulary import Words

SIDE = 4  # tokens a side after pooling
FLOOR = 0.05  # added to the variance of a direction, so that faint ones are not blown up


class Reduction(nn.Module):
    """Frozen grid features to T pooled tokens and a summary, both of width D: fixed projections, fitted on training.

    The summary (mean and spread of all cells) stands where a transformer has its class token.
    """

    def __init__(self, channels: int, width: int):
        super().__init__()
        for name, size in (("token", channels), ("summary", 2 * channels)):
            self.register_buffer(f"{name}_centre", torch.zeros(size))
            self.register_buffer(f"{name}_basis", torch.zeros(size, width))

    def raw(self, grid: Tensor) -> tuple[Tensor, Tensor]:
        """grid [B, G*G, C] -> pooled tokens [B, T, C], mean and spread [B, 2C]"""
        cells = grid.view(-1, SIDE, GRID // SIDE, SIDE, GRID // SIDE, grid.shape[-1])
        mean = grid.mean(1)
        spread = ((grid - mean[:, None]) ** 2).mean(1).sqrt()
        return cells.mean((2, 4)).flatten(1, 2), torch.cat([mean, spread], -1)

    def forward(self, grid: Tensor) -> tuple[Tensor, Tensor]:  # [B, G*G, C] -> [B, T, D], [B, D]
        tokens, summary = self.raw(grid)
        return ((tokens - self.token_centre) @ self.token_basis,
                (summary - self.summary_centre) @ self.summary_basis)

    @torch.no_grad()
    def fit(self, tokens: Tensor, summaries: Tensor) -> None:
        """Principal directions of standardised features, scaled to like variance; tokens [N, C], summaries [N, 2C]."""
        for name, rows in (("token", tokens), ("summary", summaries)):
            basis = getattr(self, f"{name}_basis")
            centre, spread = rows.mean(0), rows.std(0).clamp(min=1e-4)
            standard = (rows - centre) / spread
            found = torch.linalg.eigh(standard.T @ standard / len(rows))
            values, vectors = (v.flip(-1)[..., :basis.shape[1]] for v in found)
            getattr(self, f"{name}_centre").copy_(centre)
            basis.copy_(vectors / (values + FLOOR).sqrt() / spread[:, None])


class Local(nn.Module):
    """Feature aggregation: p soft masks over the tokens, each giving one row (section 1, point 2).

    As released (`lost`), masks are no parameters: they are random, never trained, not saved, and others after loading.
    """

    def __init__(self, size: Architecture):
        super().__init__()
        self.mean, self.drop = size.mean, nn.Dropout1d(size.channel_drop)
        self.mix, self.norm = nn.Linear(size.width, size.width), nn.BatchNorm1d(size.width)
        masks = nn.Linear(size.width, size.local)
        masks.requires_grad_(size.masks != "lost")  # a constant of the graph that ships
        self.lost = (masks,) if size.masks == "lost" else ()  # in a tuple, as in a list, no module finds it
        self.masks = None if self.lost else masks

    def forward(self, tokens: Tensor) -> Tensor:  # [B, T, D] -> [B, p, D]
        mixed = F.relu(self.norm(self.mix(tokens).transpose(1, 2)))  # [B, D, T]
        mixed = self.drop(mixed).transpose(1, 2)
        masks = self.lost[0] if self.lost else self.masks
        weight = torch.sigmoid(masks(mixed)).transpose(1, 2)  # [B, p, T]
        held = weight @ mixed
        return held / (weight.sum(-1, keepdim=True) if self.mean == "weighted" else tokens.shape[1])


class Disentangler(nn.Module):
    """What two images share and what each has alone (point 6); one module for both kinds of partner."""

    def __init__(self, width: int):
        super().__init__()
        self.gates = nn.ModuleList(
            nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, 1)) for _ in range(2))
        self.joint = nn.Linear(2 * width, width)

    def forward(self, main: Tensor, other: Tensor) -> dict[str, Tensor]:  # [B, R, D] each -> [B, D] each
        both = torch.cat([main, other], -1)
        first, second = (torch.sigmoid(gate(both)) for gate in self.gates)  # [B, R, 1]
        shared = [(first * main).mean(1), (second * other).mean(1)]
        return {"shared_main": shared[0], "shared_other": shared[1],
                "exclusive_main": ((1 - first) * main).mean(1), "exclusive_other": ((1 - second) * other).mean(1),
                "joint": self.joint(torch.cat(shared, -1))}


class Composer(nn.Module):
    """Word states to pair vectors (point 5): object first.  # [..., H], [..., H] -> [..., D]"""

    def __init__(self, states: int, width: int, dropout: float):
        super().__init__()
        self.drop, self.join = nn.Dropout(dropout), nn.Linear(2 * states, width)

    def forward(self, attribute: Tensor, thing: Tensor) -> Tensor:
        return self.join(self.drop(torch.cat([thing, attribute], -1)))


class Student(nn.Module):
    """All that is trained, with the word states that it starts from and the fixed projections of its input."""

    def __init__(self, size: Architecture, words: Words, channels: int):
        super().__init__()
        d, states = size.width, torch.from_numpy(words.states)
        self.reduction = Reduction(channels, d)
        self.local = Local(size)
        self.conditions = nn.Parameter(1 + .1 * torch.randn(size.glob, d))
        self.compose = nn.Linear(2 * d, d)
        self.heads = nn.ModuleList(nn.Linear(2 * d, d) for _ in range(2)) if size.heads else None
        self.disentangle = Disentangler(d)
        self.states = nn.Parameter(states.clone(), requires_grad=size.learn_words)  # [W, H]
        self.composer = Composer(states.shape[1], d, size.dropout)
        self.classify = nn.Sequential(nn.Linear(states.shape[1], 2 * d), nn.BatchNorm1d(2 * d), nn.ReLU(),
                                      nn.Dropout(size.dropout), nn.Linear(2 * d, d))
        self.register_buffer("pair_rows", torch.tensor(words.pairs))  # [P, 2] training pairs as rows of the words

    def rows(self, tokens: Tensor, summary: Tensor) -> tuple[Tensor, Tensor]:
        """Local [B, p, D] and global [B, q, D] rows (points 2 and 3)."""
        return self.local(tokens), summary[:, None] * F.relu(self.conditions)

    def views(self, local: Tensor, glob: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The image as composition, attribute, object: unit vectors [B, D]; without heads all are the first."""
        whole = torch.cat([local.mean(1), glob.mean(1)], -1)
        vectors = [self.compose(whole)] + [head(whole) for head in self.heads or ()]
        vectors = [F.normalize(v, dim=-1) for v in vectors]
        return tuple(vectors) if self.heads is not None else tuple(vectors * 3)

    def look(self, tokens: Tensor, summary: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What ships: `views` of reduced features."""
        return self.views(*self.rows(tokens, summary))

    def pair_vectors(self, rows: Tensor) -> Tensor:
        """Vectors of pairs given as rows of the words.  # [K, 2] -> [K, D]"""
        return self.composer(self.states[rows[:, 0]], self.states[rows[:, 1]])

    def word_vectors(self) -> Tensor:
        """Every word as the primitive classifier sees it (point 7).  # [W, D]"""
        return self.classify(self.states)

    def forward(self, tokens: Tensor, summary: Tensor) -> dict[str, Tensor]:
        """Main images, partners of the same attribute, of the same object: tokens [3B, T, D], summary [3B, D]."""
        local, glob = self.rows(tokens, summary)
        vector, attribute, thing = self.views(local, glob)
        main, same_attribute, same_object = torch.cat([local, glob], 1).chunk(3)
        return {"local": local, "global": glob, "vector": vector, "attribute": attribute, "object": thing,
                "with_attribute": self.disentangle(main, same_attribute),
                "with_object": self.disentangle(main, same_object),
                "pairs": self.pair_vectors(self.pair_rows), "words": self.word_vectors()}


class EncoderGraph(nn.Module):
    """What ships as `encoder`: pixels [B, 3, S, S] to the image as composition, attribute and object [B, D]."""

    def __init__(self, grid: GridEncoder, student: Student):
        super().__init__()
        self.grid, self.student = grid, student

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.student.look(*self.student.reduction(self.grid(pixels)))


class ComposerGraph(nn.Module):
    """What ships as `decoder`: states of attributes and objects [K, H] to unit pair vectors [K, D]."""

    def __init__(self, student: Student):
        super().__init__()
        self.composer = student.composer

    def forward(self, attribute: Tensor, thing: Tensor) -> Tensor:
        return F.normalize(self.composer(attribute, thing), dim=-1)
