"""Makes the embedded teacher: contrastive captions of drawn scenes of all verbs, from seeds that no dataset uses.

This stands in for web-scale pre-training: as a public multimodal model has met most activities on the web, this one has
met every drawn verb, in images of its own. It never sees an image of a dataset, and at use it sees pixels only.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from components.datasets.scenes.lexicon import AGENTS, NOUNS, PLACES, POSES, VERBS
from components.datasets.scenes.world import draw
from components.encoders import geometry, image, text
from components.teachers.network import TeacherNetwork

SEEDS = 1_000_000_000  # first seed of the teacher's own images; datasets draw theirs from a hash over 2**48
ROLES = ("agent", "vehicle", "tool", "item", "place")
DRAWN = tuple(dict.fromkeys([*AGENTS, *(n for v in VERBS.values() for s in v.slots for n in s.nouns if n), *PLACES]))


@dataclass(frozen=True, slots=True)
class Pretraining:
    """Settings of the teacher's training; the defaults made the shipped weights."""

    images_per_verb: int = 80
    held_out_per_verb: int = 12
    epochs: int = 10
    batch_size: int = 128
    learning_rate: float = 1.2e-3
    seed: int = 0


@dataclass(frozen=True)
class World:
    """The teacher's own images as tensors, with the parts that were drawn (never part of a dataset)."""

    features: np.ndarray  # [N, T, C] float16
    verb: Tensor  # [N]
    pose: Tensor  # [N]
    noun: Tensor  # [N, len(ROLES)], -1 where the slot is empty
    box: Tensor  # [N, len(ROLES), 4]
    grounded: Tensor  # [N, len(ROLES)] bool
    captions: tuple[str, ...]


def vocabulary() -> dict[str, tuple[str, ...]]:
    """The words that the teacher can say of drawn scenes, by kind."""
    things = tuple(s for s in DRAWN if s not in AGENTS and s not in PLACES)
    return {
        "verb": tuple(VERBS),
        "posture": tuple(POSES),
        "agent": tuple(NOUNS[s].name for s in AGENTS),
        "thing": tuple(NOUNS[s].name for s in things),
        "place": tuple(NOUNS[s].name for s in PLACES),
    }


def caption(verb: str, nouns: dict[str, str], rng: np.random.Generator) -> str:
    """What someone might write under the picture: the activity, and some of what is seen."""
    name = {role: NOUNS[s].name for role, s in nouns.items() if s}
    words = [f"a {name['agent']} {verb}"]
    for role, text_, chance in (
        ("vehicle", "on a {}", 0.8),
        ("item", "a {}", 0.8),
        ("tool", "with a {}", 0.8),
        ("place", "in the {}", 0.7),
    ):
        if role in name and rng.random() < chance:
            words.append(text_.format(name[role]))
    return " ".join(words)


def _one(job: tuple[str, int]) -> tuple[np.ndarray, str, dict, dict]:
    scene = draw(*job)
    size = scene.image.shape[0]
    return scene.image, scene.verb, scene.parts, {r: np.array(b) / size for r, b in scene.boxes.items() if b}


def draw_world(per_verb: int, first: int, report: Callable[[str], None] = print) -> World:
    """Draws `per_verb` images of every verb from seeds `first`..., and encodes them with the frozen encoder."""
    verbs, poses, nouns = tuple(VERBS), tuple(POSES), DRAWN
    jobs = [(verb, first + i) for i in range(per_verb) for verb in verbs]
    rng = np.random.default_rng(first)
    count = len(jobs)
    features = np.empty((count, image.TOKENS, image.CHANNELS), np.float16)
    noun = torch.full((count, len(ROLES)), -1)
    box, grounded = torch.zeros(count, len(ROLES), 4), torch.zeros(count, len(ROLES), dtype=torch.bool)
    verb_of, pose_of, captions, pending, start = [], [], [], [], time.time()
    with get_context("spawn").Pool(2) as pool:
        for i, (picture, verb, parts, boxes) in enumerate(pool.imap(_one, jobs, chunksize=32)):
            pending.append(picture)
            verb_of.append(verbs.index(verb))
            pose_of.append(poses.index(parts["pose"]))
            captions.append(caption(verb, parts["nouns"], rng))
            for r, role in enumerate(ROLES):
                if parts["nouns"].get(role):
                    noun[i, r] = nouns.index(parts["nouns"][role])
                if role in boxes:
                    box[i, r] = geometry.from_corners(torch.tensor(boxes[role], dtype=torch.float32))
                    grounded[i, r] = True
            if len(pending) == 64 or i == count - 1:
                features[i + 1 - len(pending) : i + 1] = image.features(np.stack(pending))
                pending = []
            if i % 1024 == 1023:
                report(f"drawn and encoded {i + 1}/{count}, {(i + 1) / (time.time() - start):.0f} images/s")
    return World(features, torch.tensor(verb_of), torch.tensor(pose_of), noun, box, grounded, tuple(captions))


class Readings:
    """Text embeddings of everything the teacher learns to tell apart."""

    def __init__(self, captions: Sequence[str]):
        names = vocabulary()
        self.verb, self.pose = (torch.from_numpy(text.embed(names[k])) for k in ("verb", "posture"))
        self.noun = torch.from_numpy(text.embed([NOUNS[s].name for s in DRAWN]))
        self.agents = torch.tensor([s in AGENTS for s in DRAWN])
        self.places = torch.tensor([s in PLACES for s in DRAWN])
        unique = sorted(set(captions))
        row = {c: i for i, c in enumerate(unique)}
        self.captions, self.caption_of = torch.from_numpy(text.embed(unique)), torch.tensor([row[c] for c in captions])


def _masked(logits: Tensor, keep: Tensor) -> Tensor:
    return logits.masked_fill(~keep, -1e4)


def loss(network: TeacherNetwork, world: World, texts: Readings, rows: Tensor, flip: bool) -> Tensor:
    """Caption contrast + what is in the scene (verb, posture, nouns) + what is in each box."""
    x = torch.from_numpy(world.features[rows.numpy()]).float()
    box = world.box[rows]
    if flip:
        x, box = image.mirror(x), geometry.mirror(box)
    tokens, scene = network(x)
    scale = network.log_scale["scene"].exp()
    which = texts.caption_of[rows]
    same = (which[:, None] == which[None]).float()
    contrast = F.log_softmax(scale * scene @ texts.captions[which].T, 1) * same / same.sum(1, keepdim=True)
    total = -contrast.sum(1).mean()
    total = total + F.cross_entropy(scale * scene @ texts.verb.T, world.verb[rows])
    total = total + F.cross_entropy(scale * scene @ texts.pose.T, world.pose[rows])
    noun, logits = world.noun[rows], scale * scene @ texts.noun.T
    present = torch.zeros(len(rows), len(DRAWN) + 1, dtype=torch.bool).scatter_(1, noun % (len(DRAWN) + 1), True)[
        :, :-1
    ]
    for r, role in enumerate(ROLES):
        there = noun[:, r] >= 0
        keep = texts.agents if role == "agent" else texts.places if role == "place" else ~(texts.agents | texts.places)
        # what else is truly in the picture is no negative
        others = present & ~F.one_hot(noun[:, r].clamp(min=0), len(DRAWN)).bool()
        if there.any():
            total = total + 0.5 * F.cross_entropy(_masked(logits, keep & ~others)[there], noun[there, r])
    seen = world.grounded[rows] & (noun >= 0) & (geometry.coverage(box).sum(-1) > 0.05)
    regions = network.regions((geometry.share(box) @ tokens)[seen])
    words = network.log_scale["region"].exp() * regions @ texts.noun.T
    return total + 1.5 * F.cross_entropy(_masked(words, ~texts.places), noun[seen])


@torch.no_grad()
def accuracy(network: TeacherNetwork, world: World, texts: Readings) -> dict[str, float]:
    """Top-1 on images: verb, posture, place, agent and thing of the scene; nouns of true boxes by role."""
    network.eval()
    hits: dict[str, list[float]] = {}
    for rows in torch.arange(len(world.verb)).split(256):
        tokens, scene = network(torch.from_numpy(world.features[rows.numpy()]).float())
        hits.setdefault("verb", []).extend(((scene @ texts.verb.T).argmax(1) == world.verb[rows]).tolist())
        hits.setdefault("posture", []).extend(((scene @ texts.pose.T).argmax(1) == world.pose[rows]).tolist())
        regions = network.regions(geometry.share(world.box[rows]) @ tokens)
        for r, role in enumerate(ROLES):
            there = world.noun[rows, r] >= 0
            if role in ("agent", "place"):
                keep = texts.agents if role == "agent" else texts.places
                guess = _masked(scene @ texts.noun.T, keep).argmax(1)
                hits.setdefault(role, []).extend((guess == world.noun[rows, r])[there].tolist())
            if role != "place":
                there = there & world.grounded[rows, r]
                guess = _masked(regions[:, r] @ texts.noun.T, ~texts.places).argmax(1)
                hits.setdefault(f"{role} in its box", []).extend((guess == world.noun[rows, r])[there].tolist())
    return {name: float(np.mean(values)) for name, values in hits.items()}


def familiarity(features: np.ndarray, axes: int = 48) -> dict[str, Tensor]:
    """What drawn scenes look like to the encoder: mean, principal axes, and the spread left outside those axes.

    A picture whose features leave this subspace (a photograph, say) is not a drawn scene: reconstruction error is a
    plain, well-understood novelty score. `limit` is its 99.5 % quantile among drawn scenes.
    """
    pooled = torch.from_numpy(features.mean(1, dtype=np.float32))  # [N, C]
    mean = pooled.mean(0)
    basis = torch.linalg.svd(pooled - mean, full_matrices=False)[2][:axes]
    return {"mean": mean, "basis": basis, "limit": novelty(pooled, mean, basis).quantile(0.995)}


def novelty(pooled: Tensor, mean: Tensor, basis: Tensor) -> Tensor:
    """Distance of pooled features from the subspace of drawn scenes.  # [N, C] -> [N]"""
    rest = pooled - mean
    return (rest - (rest @ basis.T) @ basis).norm(dim=1)


def pretrain(
    out: Path, settings: Pretraining = Pretraining(), report: Callable[[str], None] = print
) -> dict[str, float]:
    """Trains the teacher and writes its weights (float16 safetensors) to `out`; returns its held-out accuracy."""
    torch.manual_seed(settings.seed)
    held_out = draw_world(settings.held_out_per_verb, SEEDS + 500_000_000, report)
    world = draw_world(settings.images_per_verb, SEEDS, report)
    texts, network = Readings(world.captions), TeacherNetwork()
    steps = settings.epochs * (len(world.verb) // settings.batch_size)
    optimizer = torch.optim.AdamW(network.parameters(), settings.learning_rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, steps, pct_start=0.1)
    start, step = time.time(), 0
    for epoch in range(settings.epochs):
        network.train()
        order = torch.randperm(len(world.verb))
        for rows in order[: len(order) // settings.batch_size * settings.batch_size].split(settings.batch_size):
            with sdpa_kernel(SDPBackend.MATH):  # on CPU the fused kernel's backward is several times slower here
                total = loss(network, world, texts, rows, flip=bool(torch.rand(1) < 0.5))
            optimizer.zero_grad()
            total.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            step += 1
        report(f"epoch {epoch + 1}/{settings.epochs}: loss {total.item():.3f}, {time.time() - start:.0f} s")
    report_card = accuracy(network, held_out, Readings(held_out.captions))
    weights = {f"network.{k}": v for k, v in network.state_dict().items()}
    weights |= {f"familiar.{k}": v for k, v in familiarity(world.features).items()}
    save_file(
        {k: v.half().contiguous() for k, v in weights.items()},
        out,
        {"accuracy": json.dumps(report_card), "settings": json.dumps(asdict(settings))},
    )
    return report_card
