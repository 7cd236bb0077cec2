"""Teacher alignment: scene-aware and instance-perception prompts, and negative-guided prompting (MIPD, section 4).

What a teacher sees (a grid) and what it says (rationales) are brought together in the text space, and become the
student's targets. Written against the faults of the released code: prompts reach the loss, since what attends is pooled
from the prompted patches; every image gets its own boxes; all parameters exist before the optimiser; positives pull
(contrast over the batch) and negatives push by a margin; padding is masked; and targets are constants for the student.

Shapes: B images, T = G*G patches, D grid width, E text space, P phrases, R roles.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from components.encoders import geometry
from components.encoders.image import GRID

BANK = 8  # the instance prompt's own resolution


@dataclass(frozen=True)
class Rationales:
    """A batch of rationale texts as vectors; padded rows are False in the masks."""

    phrases: Tensor  # [B, P, E] what the glimpse says
    said: Tensor  # [B, P] bool
    unlike: Tensor  # [B, E] the scene it is not
    noun: Tensor  # [B, R, E] what the gaze says fills each role
    not_noun: Tensor  # [B, R, E]
    told: Tensor  # [B, R] bool


class Prompts(nn.Module):
    """Learnt additions to the teacher's patches: where the picture ends, and where its instances are."""

    def __init__(self, width: int, scene: bool = True, instance: bool = True):
        super().__init__()
        self.use_scene, self.use_instance = scene, instance
        self.edges = nn.Parameter(torch.zeros(4, width))  # top, bottom, left, right
        self.bank = nn.Parameter(torch.randn(BANK * BANK, width) * 1e-3)

    def scene(self, patches: Tensor) -> Tensor:  # [B, T, D] -> [B, T, D]
        if not self.use_scene:
            return patches
        row = torch.arange(GRID, device=patches.device)
        first, last = (row == 0).float(), (row == GRID - 1).float()
        added = (first[:, None, None] * self.edges[0] + last[:, None, None] * self.edges[1]
                 + first[None, :, None] * self.edges[2] + last[None, :, None] * self.edges[3])
        return patches + added.reshape(1, -1, patches.shape[-1])

    def instance(self, patches: Tensor, layout: "Layout", there: Tensor) -> Tensor:
        """What each role's box holds, with the bank laid into that box: patches [B,T,D] -> [B,R,D].

        The mean over the box of (patch + prompt) is the mean of the patches plus the bank's cells, each as often as the
        box shows it: no prompted copy of the patches is ever needed.
        """
        held = layout.inside @ patches
        return held + layout.shares @ self.bank * there[..., None] if self.use_instance else held


@dataclass(frozen=True)
class Layout:
    """Where boxes lie: `inside` [B,R,T] the weight of each cell, `shares` [B,R,BANK*BANK] of each cell of the bank."""

    inside: Tensor
    shares: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, boxes: Tensor) -> "Layout":
        """The layout of boxes [B,R,4]: an identity, laid bilinearly into each box, tells how often a cell is shown."""
        inside = geometry.share(boxes)
        low, high = geometry.corners(boxes)[..., None, :].split(2, -1)
        at = (geometry.centres().to(boxes) - low) / (high - low).clamp(min=1e-3) * 2 - 1  # [B, R, T, 2] inside: -1..1
        cells = torch.eye(BANK * BANK, device=boxes.device).view(1, BANK * BANK, BANK, BANK)
        laid = F.grid_sample(cells.expand(boxes[..., 0].numel(), -1, -1, -1), at.view(-1, GRID, GRID, 2),
                             align_corners=False, padding_mode="border")  # [B * R, cells, G, G]
        return cls(inside, (laid.flatten(2) @ inside.flatten(0, 1)[..., None]).view(*boxes.shape[:2], -1))

    def rows(self, rows: Tensor) -> "Layout":
        return Layout(self.inside[rows], self.shares[rows])


class Aligner(nn.Module):
    """NMPA: prompted patches ask, rationales answer; the teacher's own global view is what both are added to.

    The additions start at zero, so training begins from the teacher's own embedding and moves only as far as
    the rationales ask for. `width` D, `text` E; `at_home`: what the teacher sees lies in that text space already.
    """

    def __init__(self, width: int, text: int, at_home: bool, scene_prompt: bool = True, instance_prompt: bool = True):
        super().__init__()
        self.prompts = Prompts(width, scene_prompt, instance_prompt)
        self.to_text = nn.Identity() if at_home else nn.Linear(width, text, bias=False)
        self.pool = nn.Linear(width, 1)
        self.ask = nn.Linear(width, text)
        self.attend = nn.MultiheadAttention(text, 1, batch_first=True)
        self.from_patches, self.from_words = (nn.Linear(i, text, bias=False) for i in (width, text))
        for layer in (self.from_patches, self.from_words):
            nn.init.zeros_(layer.weight)
        self.log_scale = nn.ParameterDict({k: nn.Parameter(torch.tensor(2.5)) for k in ("scene", "region")})

    def scene(self, grid: Tensor, words: Rationales) -> Tensor:  # [B, 1+T, D] -> [B, E] unit
        """The scene target a_s."""
        patches = self.prompts.scene(grid[:, 1:])
        pooled = (self.pool(patches).softmax(1) * patches).sum(1)  # [B, D]
        return self._add(self.to_text(grid[:, 0]), pooled, words.phrases, words.said)

    def instances(self, grid: Tensor, layout: Layout, words: Rationales) -> Tensor:
        """The instance targets a_i.  grid [B,1+T,D] -> [B,R,E] unit"""
        pooled = self.prompts.instance(grid[:, 1:], layout, words.told)  # [B, R, D]
        plain = layout.inside @ grid[:, 1:]
        batch, roles = plain.shape[:2]
        flat = self._add(F.normalize(self.to_text(plain), dim=-1).flatten(0, 1), pooled.flatten(0, 1),
                         words.noun.flatten(0, 1)[:, None], words.told.flatten()[:, None])
        return flat.view(batch, roles, -1)

    def meaning(self, seen: Tensor) -> Tensor:
        """What was seen, in the text space; who sees in that space already is taken at their word.  # [..., D] -> E"""
        return seen if isinstance(self.to_text, nn.Identity) else F.normalize(self.to_text(seen), dim=-1)

    def _add(self, own: Tensor, pooled: Tensor, phrases: Tensor, said: Tensor) -> Tensor:
        """own [B,E], pooled [B,D], phrases [B,P,E], said [B,P] -> [B,E] unit"""
        nothing = ~said.any(1, keepdim=True)
        heard, _ = self.attend(self.ask(pooled)[:, None], phrases, phrases, key_padding_mask=~(said | nothing),
                               need_weights=False)
        return F.normalize(own + self.from_patches(pooled) + self.from_words(heard[:, 0] * ~nothing), dim=-1)


def summary(words: Rationales) -> Tensor:
    """The mean direction of a glimpse's phrases.  # [B, E] unit"""
    return F.normalize((words.phrases * words.said[..., None]).sum(1), dim=-1)


def losses(aligner: Aligner, grid: Tensor, layout: Layout, words: Rationales, margin: float) -> dict[str, Tensor]:
    """Contrast with the batch's rationales (pull), margin to negatives (push), and staying near the teacher (keep)."""
    scene, own = aligner.scene(grid, words), F.normalize(aligner.to_text(grid[:, 0]), dim=-1)
    said = summary(words)
    same = (said @ said.T > 0.98).float()  # equal rationales are no negatives of each other
    logits = aligner.log_scale["scene"].exp() * scene @ said.T
    pull = -(F.log_softmax(logits, 1) * same / same.sum(1, keepdim=True)).sum(1).mean()
    push = F.relu(margin + (scene * words.unlike).sum(1) - (scene * said).sum(1)).mean()
    out = {"pull": pull, "push": push, "keep": 2 * (1 - (scene * own.detach()).sum(1)).mean()}
    told = words.told
    if told.any():
        region = aligner.instances(grid, layout, words)[told]  # [K, E]
        noun, wrong = words.noun[told], words.not_noun[told]
        same = (noun @ noun.T > 0.98).float()
        logits = aligner.log_scale["region"].exp() * region @ noun.T
        out["pull_noun"] = -(F.log_softmax(logits, 1) * same / same.sum(1, keepdim=True)).sum(1).mean()
        out["push_noun"] = F.relu(margin + (region * wrong).sum(1) - (region * noun).sum(1)).mean()
    return out
