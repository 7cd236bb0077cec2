"""The embedded teacher's network: a transformer layer over frozen grid features, read out into the text space.

Shapes: B images, T tokens, C encoder channels, D width, E text space.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from components.encoders.image import CHANNELS, TOKENS
from components.encoders.text import WIDTH


class Trunk(nn.Module):
    """Tokens to contextual tokens and one vector for the whole image."""

    def __init__(self, width: int, layers: int, heads: int, dropout: float = 0.0, channels: int = CHANNELS):
        super().__init__()
        self.norm_in, self.project = nn.LayerNorm(channels), nn.Linear(channels, width)
        self.position = nn.Parameter(torch.randn(1, TOKENS, width) * 0.02)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(width, heads, 2 * width, dropout, "gelu", batch_first=True, norm_first=True)
            for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.query = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.pool = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm_pooled = nn.LayerNorm(width)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:  # [B, T, C] -> [B, T, D], [B, D]
        return self.contextual(self.norm_in(features))

    def contextual(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """The same of features that `norm_in` has normalised, for a caller that needs those too."""
        x = self.project(features) + self.position
        for layer in self.layers:
            x = layer(x)
        tokens = self.norm(x)
        # x.shape[0], as an exporter takes len(x) for a constant
        pooled, _ = self.pool(self.query.expand(x.shape[0], -1, -1), tokens, tokens, need_weights=False)
        return tokens, self.norm_pooled(pooled[:, 0] + tokens.mean(1))


def readout(width: int, hidden: int, text: int = WIDTH) -> nn.Sequential:
    """A two-layer map into a text space of `text` dimensions.  # [..., D] -> [..., E]"""
    return nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, text))


class TeacherNetwork(nn.Module):
    """Grid features to text-space vectors: one for the scene, one for every region; with learnt logit scales."""

    def __init__(self, width: int = 256, layers: int = 1):
        super().__init__()
        self.trunk = Trunk(width, layers, heads=8)
        self.scene, self.region = readout(width, 512), readout(width, 384)
        self.log_scale = nn.ParameterDict({"scene": nn.Parameter(torch.tensor(2.5)),
                                           "region": nn.Parameter(torch.tensor(2.5))})

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:  # [B, T, C] -> [B, T, D], [B, E] unit
        tokens, whole = self.trunk(features)
        return tokens, F.normalize(self.scene(whole), dim=-1)

    def regions(self, tokens: Tensor) -> Tensor:  # [..., D] -> [..., E] unit
        return F.normalize(self.region(tokens), dim=-1)
