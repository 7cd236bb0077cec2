"""What TRIDENT is compared with, on the same frozen features: a cosine of composed words, and learnt words as in CSP.

Both see an image as its summary, taken into the space of texts by a ridge regression fitted on training pairs: the
encoders here were not trained together, as CLIP's were. Shapes: N images, E text space, P pairs.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

RIDGE = 30.0  # added to the diagonal: about a hundredth of its mean at two thousand images of unit variance
SCALE = 20.0


@dataclass(frozen=True)
class TextMap:
    """Images into the space of texts by a fixed linear map."""

    weight: Tensor  # [D + 1, E]

    @classmethod
    def fit(cls, summaries: Tensor, texts: Tensor) -> "TextMap":
        """Least squares with a ridge from summaries [N, D] to the texts of their pairs [N, E]."""
        rows = F.pad(summaries, (0, 1), value=1.0)
        gram = rows.T @ rows + RIDGE * torch.eye(rows.shape[1])
        return cls(torch.linalg.solve(gram, rows.T @ texts))

    def __call__(self, summaries: Tensor) -> Tensor:  # [N, D] -> [N, E] unit
        return F.normalize(F.pad(summaries, (0, 1), value=1.0) @ self.weight, dim=-1)


def cosine(images: Tensor, texts: Tensor) -> np.ndarray:
    """Scores [N, P] of pairs whose texts [P, E] are the frozen encoder's for "attribute object"; nothing is trained."""
    return (SCALE * images @ F.normalize(texts, dim=-1).T).numpy()


class LearntWords(nn.Module):
    """CSP (Nayak et al., arXiv 2204.03574) on fixed images: one vector a word is learnt, a pair is their sum.

    There the words pass through a frozen text encoder, here they are its output; token dropout 0.3 as there.
    """

    def __init__(self, states: Tensor, dropout: float = 0.3):
        super().__init__()
        self.words, self.drop = nn.Parameter(states.clone()), nn.Dropout(dropout)  # [A + O, E]

    def forward(self, pairs: Tensor) -> Tensor:  # [P, 2] rows -> [P, E] unit
        return F.normalize(self.drop(self.words[pairs]).sum(1), dim=-1)


def learn_words(images: Tensor, pair: Tensor, pairs: Tensor, states: Tensor, *, seed: int, epochs: int = 40,
                batch: int = 64, rate: float = 2e-3) -> LearntWords:
    """Learns words by cross-entropy over training pairs: images [N, E] unit, their pair [N], pairs [P, 2] as rows of
    `states` [A + O, E]."""
    torch.manual_seed(seed)
    model, order = LearntWords(states), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=5e-5)
    for _ in range(epochs):
        for rows in torch.randperm(len(images), generator=order).split(batch):
            loss = F.cross_entropy(SCALE * images[rows] @ model(pairs).T, pair[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval()
