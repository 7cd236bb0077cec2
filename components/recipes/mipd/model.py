"""The student: a small network over frozen grid features whose every output is compared with text.

Shapes: B images, T tokens, C encoder channels, D width, M = 2D memory, R roles, E text space.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from components.encoders import geometry
from components.recipes.mipd.config import Architecture
from components.teachers.network import Trunk, readout


class Attention(nn.MultiheadAttention):
    """Multi-head attention in plain operators: a trace of torch's own would freeze the number of roles, and on CPU its
    fused kernel learns at half the speed, at the sizes of a student.
    """

    def forward(self, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None,
                **_: object) -> tuple[Tensor, None]:
        """query [B,R,D], key and value [B,T,D], attn_mask [B,1,R,T] bool (True: hidden) to ([B,R,D], None)."""
        weights, biases = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
        q, k, v = (F.linear(x, w, b).reshape(x.shape[0], x.shape[1], self.num_heads, self.head_dim).transpose(1, 2)
                   for x, w, b in zip((query, key, value), weights, biases, strict=True))  # [B, heads, ., D / heads]
        scores = q / self.head_dim**0.5 @ k.transpose(2, 3)
        if attn_mask is not None:
            scores = scores.masked_fill(attn_mask, -torch.inf)
        return self.out_proj((scores.softmax(-1) @ v).transpose(1, 2).flatten(2)), None


class SceneEncoder(nn.Module):
    """Grid features to a scene vector in the text space, and a memory for the role decoder.

    The memory holds each token twice: in context, and as the frozen encoder saw it (small things drown in context).
    """

    def __init__(self, size: Architecture, channels: int, text: int):
        super().__init__()
        self.dropout = size.dropout
        self.trunk = Trunk(size.width, size.layers, size.heads, channels=channels)
        for layer in self.trunk.layers:
            layer.self_attn = Attention(size.width, size.heads)
        self.trunk.pool = Attention(size.width, size.heads)
        self.local = nn.Linear(channels, size.width)
        self.scene = readout(size.width, text, text)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # [B,T,C] -> [B,E] unit, [B,T,M], [B,D]
        if self.training:  # whole channels of an image: cheaper than single values, and harder to evade
            features = features * F.dropout(torch.ones_like(features[:, :1]), self.dropout)
        features = self.trunk.norm_in(features)
        tokens, whole = self.trunk.contextual(features)
        memory = torch.cat([tokens, tokens + self.local(features)], -1)
        return F.normalize(self.scene(whole), dim=-1), memory, whole


class RoleDecoder(nn.Module):
    """Roles of a verb, both given as text, to a noun vector, a box and whether there is one.

    Each role attends once; its noun is read from the attended values alone, so that a noun can only come from what is
    seen and never from the verb (else a verb that nearly fixes its nouns teaches the decoder not to look). The box is
    the attention's average of what every token says of its distances to the four sides (FCOS, Tian 2019, eq. 4).
    """

    def __init__(self, size: Architecture, text: int):
        super().__init__()
        d = size.width
        self.verb, self.role = nn.Linear(text, d), nn.Linear(text, d)
        self.decoder = role_layer(d, size.heads, 2 * d)
        self.norm = nn.LayerNorm(d)
        self.query, self.key, self.value = nn.Linear(d, d), nn.Linear(d, d), nn.Linear(d, d)
        self.whole, self.blend = nn.Linear(d, d), nn.Linear(d, 1)
        self.noun = nn.Sequential(nn.LayerNorm(d), *readout(d, text, text))
        self.exists = nn.Linear(d, 1)
        self.side_token, self.side_role = nn.Linear(d, size.box_width), nn.Linear(d, size.box_width)
        self.sides = nn.Linear(size.box_width, 4)
        nn.init.constant_(self.sides.bias, -1.5)  # softplus(-1.5) = 0.2: a box of 40 % of the image to begin with

    def forward(self, memory: Tensor, verb: Tensor, roles: Tensor, present: Tensor, whole: Tensor) -> dict[str, Tensor]:
        """memory [B,T,M], verb [B,E] (zeros: not told), roles [B,R,E], present [B,R] bool, whole [B,D]."""
        tokens, local = memory.chunk(2, -1)
        role = self.role(roles)  # [B, R, D]
        asked = self.verb(verb)[:, None] + role
        states = self.norm(self.decoder(asked, tokens, tgt_mask=only_present(present)))
        attention = self.query(states) @ self.key(local).transpose(1, 2) / states.shape[-1] ** 0.5  # [B, R, T]
        weights = attention.softmax(-1)
        values = self.value(local)  # [B, T, D]
        blend = torch.sigmoid(self.blend(role))  # some roles (a place) are everywhere: read them from the whole image
        seen = blend * (weights @ values) + (1 - blend) * self.whole(whole)[:, None]
        hidden = F.gelu(self.side_token(local)[:, None] + self.side_role(role)[:, :, None])  # [B, R, T, box_width]
        sides = F.softplus(self.sides(hidden))  # [B, R, T, 4]
        low_high = torch.cat([geometry.centres() - sides[..., :2], geometry.centres() + sides[..., 2:]], -1)
        box = geometry.from_corners((weights[..., None] * low_high).sum(2))
        return {"noun": self.read(seen), "box": box, "exists": self.exists(states + seen)[..., 0],
                "attention": attention, "token_box": low_high, "values": values}

    def read(self, values: Tensor) -> Tensor:
        """The noun, as a text vector, of attended values.  # [..., D] -> [..., E] unit"""
        return F.normalize(self.noun(values), dim=-1)


def role_layer(width: int, heads: int, hidden: int, dropout: float = 0.0) -> nn.TransformerDecoderLayer:
    """A pre-norm decoder layer whose attention can be traced for any number of roles."""
    layer = nn.TransformerDecoderLayer(width, heads, hidden, dropout, "gelu", batch_first=True, norm_first=True)
    layer.self_attn, layer.multihead_attn = Attention(width, heads), Attention(width, heads)
    return layer


def only_present(present: Tensor) -> Tensor:  # [B, R] -> [B, 1, R, R] bool, True = hidden
    """Who may look at whom among roles: all at those that are there, and each at itself (a fully masked row is NaN)."""
    at = torch.arange(present.shape[1], device=present.device)
    return (~present[:, None, :] & (at[:, None] != at))[:, None]


class Student(nn.Module):
    """Scene encoder and role decoder with the logit scales of verbs and nouns.

    `channels` C of the frozen image encoder, `text` E of the text encoder.
    """

    def __init__(self, size: Architecture, channels: int, text: int):
        super().__init__()
        self.encoder, self.decoder = SceneEncoder(size, channels, text), RoleDecoder(size, text)
        self.log_scale_verb = nn.Parameter(torch.tensor([2.5]))
        self.log_scale_noun = nn.Parameter(torch.tensor([2.5]))

    def forward(self, features: Tensor, verb: Tensor, roles: Tensor, present: Tensor, boxes: Tensor,
                composites: Tensor | None = None, dense: bool = False) -> dict[str, Tensor]:
        """features [B,T,C], verb [B,E], roles [B,R,E], present [B,R], true boxes [B,R,4] (training only).

        Beside the decoder's outputs: "in_box" [B,R,E] what the true boxes hold; with `composites` [B/2,T,C] also their
        "composite" scene vectors [B/2,E]; with `dense` also "dense" [B,T,E], what every token holds.
        """
        scene, memory, whole = self.encoder(features)
        out = {"scene": scene, **self.decoder(memory, verb, roles, present, whole)}
        out["in_box"] = self.decoder.read(geometry.share(boxes) @ out["values"])
        if composites is not None:
            out["composite"] = self.encoder(composites)[0]
        if dense:
            out["dense"] = self.decoder.read(out["values"])
        return out | {"scale_verb": self.log_scale_verb.exp(), "scale_noun": self.log_scale_noun.exp()}


class EncoderGraph(nn.Module):
    """What ships as `encoder`: pixels [B,3,S,S] to scene [B,E], memory [B,T,M] and whole [B,D]."""

    def __init__(self, grid: nn.Module, student: Student):
        super().__init__()
        self.grid, self.scene = grid, student.encoder

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.scene(self.grid(pixels))


class DecoderGraph(nn.Module):
    """What ships as `decoder`: memory, verb, roles, present, whole to noun [B,R,E], box [B,R,4], exists [B,R]."""

    def __init__(self, student: Student):
        super().__init__()
        self.decoder = student.decoder

    def forward(self, memory: Tensor, verb: Tensor, roles: Tensor, present: Tensor,
                whole: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        out = self.decoder(memory, verb, roles, present, whole)
        return out["noun"], out["box"], out["exists"]
