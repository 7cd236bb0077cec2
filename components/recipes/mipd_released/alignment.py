"""Scene-aware and instance-perception prompts, and negative-guided prompting (NMPA), as the released code has them.

Prompts are added to the teacher's patches, which attend to the states of a rationale; what they hear is the target. A
negative rationale is heard as the mean of its projected states. Trained together with the student.

Shapes: B images, T = G*G patches, D grid width, L states of a text, W their width, E text space.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from components.encoders import geometry
from components.encoders.image import GRID
from components.recipes.mipd.alignment import Prompts
from components.recipes.mipd_released.config import Faults

BANK = 32  # cells a side of the instance prompt
CANVAS = 336 / 224  # how far the released code misplaces a box
TEXTS = ("glimpse", "unlike glimpse", "gaze", "unlike gaze")


class InstancePrompt(nn.Module):
    """A picture of learnt patches, laid into every box; where boxes overlap, the first one's counts."""

    def __init__(self, width: int, faults: Faults):
        super().__init__()
        self.faults = faults
        self.bank = nn.Parameter(torch.randn(1, width, BANK, BANK) * 1e-5, requires_grad=not faults.prompt_untrained)

    def forward(self, patches: Tensor, boxes: Tensor, there: Tensor) -> Tensor:
        """patches [B,T,D], boxes [B,R,4] in 0..1, there [B,R] bool -> [B,T,D]"""
        if self.faults.first_boxes:
            boxes, there = boxes[:1].expand_as(boxes), there[:1].expand_as(there)
        corners = geometry.corners(boxes) * (CANVAS if self.faults.boxes_misplaced else 1.0)
        low, high = (corners * GRID).floor().clamp(0, GRID - 1).split(2, -1)  # whole cells, both ends inside
        at = (geometry.centres() * GRID).floor().to(boxes)  # [T, 2]
        covers = ((at >= low[:, :, None]) & (at <= high[:, :, None])).all(-1) & there[..., None]  # [B, R, T]
        owner = covers.byte().argmax(1)  # [B, T] the first box that covers a cell
        first, last = (c.gather(1, owner[..., None].expand(-1, -1, 2)) for c in (low, high))  # [B, T, 2]
        place = (at - first + 0.5) / (last - first + 1) * 2 - 1  # as if the bank were resized to the box
        laid = F.grid_sample(self.bank, place.view(1, -1, 1, 2), padding_mode="border", align_corners=False)
        laid = laid[0, :, :, 0].T.reshape(patches.shape)
        return patches + laid * covers.any(1)[..., None]


class Alignment(nn.Module):
    """NMPA: one attention for both branches, with maps of their own for what each reads.

    `width` D, `states` W, `text` E.
    """

    def __init__(self, width: int, states: int, text: int, faults: Faults):
        super().__init__()
        self.faults = faults
        self.edges, self.inside = Prompts(width), InstancePrompt(width, faults)
        del self.edges.bank  # the bank of `mipd` is another
        self.ask = nn.Linear(width, text)
        self.read = nn.ModuleList(nn.Linear(states, text) for _ in TEXTS)
        self.attend = nn.MultiheadAttention(text, 1, batch_first=True)

    def forward(
        self, grid: Tensor, boxes: Tensor, there: Tensor, states: Tensor, length: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """a_s, n_s, a_i, n_i, each [B,E], the first and third unit.

        grid [B,1+T,D], boxes [B,R,4] with there [B,R] bool, states [B,4,L,W] in the order of TEXTS, length [B,4].
        """
        known = torch.arange(states.shape[2], device=states.device) < length[..., None].clamp(min=1)  # [B, 4, L]
        if self.faults.padding_read:
            known = torch.ones_like(known)
        read = [layer(states[:, i]) for i, layer in enumerate(self.read)]
        patches = grid[:, 1:]
        prompted = (self.edges.scene(patches), self.inside(patches, boxes, there))
        heard = [self._hear(grid[:, :1], p, read[k], known[:, k]) for p, k in zip(prompted, (0, 2), strict=True)]
        unlike = [(read[k] * known[:, k, :, None]).sum(1) / known[:, k].sum(1, keepdim=True) for k in (1, 3)]
        return heard[0], unlike[0], heard[1], unlike[1]

    def _hear(self, whole: Tensor, patches: Tensor, read: Tensor, known: Tensor) -> Tensor:
        """What the class token [B,1,D] hears of a text [B,L,E]; mended: what it and all patches hear on average."""
        asking = whole if self.faults.prompts_unread else torch.cat([whole, patches], 1)
        heard, _ = self.attend(self.ask(asking), read, read, key_padding_mask=~known, need_weights=False)
        return F.normalize(heard.mean(1), dim=-1)
