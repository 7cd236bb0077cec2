"""The released student: a linear map of frozen states, one decoder layer, a closed noun head, boxes from the query.

Shapes: B images, T tokens, C encoder channels, D = E text space, R roles, H noun units, W nouns.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from components.recipes.mipd.model import only_present, role_layer
from components.recipes.mipd_released.alignment import Alignment
from components.recipes.mipd_released.config import Architecture, Faults


@dataclass(frozen=True)
class Words:
    """Text vectors by which a verb or a role finds its own row of an embedding: [V,E], [roles,E]."""

    verbs: Tensor
    roles: Tensor

    @property
    def width(self) -> int:
        """E."""
        return self.verbs.shape[-1]


class SceneEncoder(nn.Module):
    """Frozen features to a verb vector and the decoder's memory. The mean feature stands for the class token."""

    def __init__(self, size: Architecture, channels: int, width: int):
        super().__init__()
        self.linear, self.dropout = nn.Linear(channels, width), nn.Dropout(size.dropout)
        self.to_text = nn.Linear(width, width, bias=False)
        self.norm = nn.LayerNorm(width)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # [B,T,C] -> [B,E], [B,1+T,D], [B,D]
        states = self.dropout(self.linear(torch.cat([features.mean(1, keepdim=True), features], 1)))
        return self.to_text(F.normalize(states[:, 0], dim=-1)), self.norm(states), states[:, 0]


class RoleDecoder(nn.Module):
    """Roles of a verb to nouns of a closed list, boxes and whether there is one.

    The noun is what enters the head's last layer, with a 1 for its bias: its rows are the table that it is compared
    with. With `rows_untrained` a verb or role, given as text, is taken for the row of the nearest known one.
    """

    def __init__(self, size: Architecture, words: Words, faults: Faults):
        super().__init__()
        self.rows, width = faults.rows_untrained, words.width
        for name in ("verbs", "roles"):
            table = getattr(words, name)
            self.register_buffer(f"known_{name}", table)
            setattr(self, f"of_{name}", nn.Embedding(*table.shape) if self.rows else nn.Linear(width, width))
        self.layer = role_layer(width, size.heads, size.feedforward, size.decoder_dropout)
        self.norm = nn.LayerNorm(width)
        self.hidden = nn.Sequential(nn.Linear(width, size.noun_width), nn.ReLU(), nn.Dropout(size.decoder_dropout))
        self.open = nn.Linear(width, width, bias=False)
        self.box = nn.Sequential(*_layers(width, width), *_layers(width, width), nn.Linear(width, 4), nn.Sigmoid())
        self.exists = nn.Sequential(*_layers(width, width), nn.Linear(width, 1))

    def forward(self, memory: Tensor, verb: Tensor, roles: Tensor, present: Tensor, whole: Tensor) -> dict[str, Tensor]:
        """memory [B,1+T,D], verb [B,E], roles [B,R,E], present [B,R] bool, whole [B,D] (not needed)."""
        asked = self._query("roles", roles) + self._query("verbs", verb)[:, None]
        state = self.norm(self.layer(asked, memory, tgt_mask=only_present(present)))
        hidden = self.hidden(state)
        noun = torch.cat([hidden, torch.ones_like(hidden[..., :1])], -1)  # [B, R, H + 1]
        return {"noun": noun, "open": self.open(state), "box": self.box(state), "exists": self.exists(state)[..., 0]}

    def _query(self, kind: str, vectors: Tensor) -> Tensor:  # [..., E] -> [..., D]
        layer = getattr(self, f"of_{kind}")
        return layer((vectors @ getattr(self, f"known_{kind}").T).argmax(-1) if self.rows else vectors)


def _layers(width: int, out: int) -> tuple[nn.Module, nn.Module]:
    return nn.Linear(width, out), nn.ReLU()


class Student(nn.Module):
    """All that is needed at inference. Nouns are rows of a closed head; only verbs are compared with text."""

    def __init__(self, size: Architecture, words: Words, nouns: int, faults: Faults, channels: int):
        super().__init__()
        self.encoder, self.decoder = SceneEncoder(size, channels, words.width), RoleDecoder(size, words, faults)
        self.nouns = nn.Linear(size.noun_width, nouns)
        scale = torch.zeros(1) if faults.unbounded else torch.full((1,), 2.5)
        self.log_scale_verb = nn.Parameter(scale, requires_grad=not faults.unbounded)
        self.register_buffer("log_scale_noun", torch.zeros(1))

    def table(self) -> Tensor:
        """The nouns, as what the decoder gives is compared with them.  # [W, H + 1]"""
        return torch.cat([self.nouns.weight, self.nouns.bias[:, None]], 1)


class Pair(nn.Module):
    """What is trained: the student, and beside it the alignment, which no student needs afterwards."""

    def __init__(self, student: Student, alignment: Alignment | None):
        super().__init__()
        self.student, self.alignment = student, alignment

    def forward(
        self,
        features: Tensor,
        verb: Tensor,
        roles: Tensor,
        present: Tensor,
        box: Tensor,
        grounded: Tensor,
        taught: tuple[Tensor, Tensor, Tensor] | None,
    ) -> dict[str, Tensor]:
        """`taught`: the teacher's grid [B,1+T,D], states [B,4,L,W] and their length [B,4]."""
        scene, memory, whole = self.student.encoder(features)
        out = {"scene": scene, **self.student.decoder(memory, verb, roles, present, whole)}
        out |= {"nouns": out["noun"] @ self.student.table().T, "scale_verb": self.student.log_scale_verb.exp()}
        if taught is not None:
            grid, states, length = taught
            heard = self.alignment(grid, box, grounded, states, length)
            out |= dict(zip(("scene_target", "unlike", "instance_target", "unlike_instance"), heard, strict=True))
        return out
