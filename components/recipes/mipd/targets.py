"""Trains the alignment and writes the student's targets: what the teacher means, image by image.

Files of a targets folder, rows in the order of ids.json: `dense.npy` float16 [N, T, E] what the teacher sees, cell by
cell, in the text space; `scene.npy` float32 [N, E] and `instance.npy` float32 [N, R, E]
the aligned targets; `composite.npy` float32 [N, K, E]
the teacher's view of CutMix pictures, made of row `partner.npy` [N, K] in the cells `cells.npy` [N, K, 4];
`alignment.safetensors` the trained module; meta.json.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from components.base.artifacts import write_json
from components.base.errors import PipelineError
from components.datasets.splits import Splits
from components.datasets.store import Dataset
from components.encoders import text
from components.encoders.image import GRID, SIZE, TOKENS
from components.encoders.text import TextEncoder
from components.recipes.mipd.alignment import Aligner, Layout, Rationales, losses
from components.recipes.mipd.data import Lexicon, Situations, read_rationales
from components.recipes.mipd.rationales import KINDS
from components.recipes.pictures import view
from components.recipes.protocol import Stage
from components.teachers.protocol import Composite, Teacher, View

BATCH = 128


def align(stage: Stage, teacher: Teacher, out: Path) -> dict[str, float]:
    """See `components.recipes.protocol.Recipe.align`; targets cover the training samples with accepted rationales."""
    settings = stage.config.align
    dataset, splits = Dataset(stage.dataset), Splits.load(stage.splits)
    said = read_rationales(stage.rationales)
    ids = [i for i in splits.train if i in said]
    language = text.get(stage.config.encoder.text)
    lexicon = Lexicon.of(dataset.space, language)
    situations = Situations.of(dataset, ids, lexicon)
    views = [view(dataset, i) for i in ids]
    words = Words([said[i] for i in ids], situations, lexicon, language)

    sight = Sight(teacher, language)
    grid = sight.write(views, out / "grid.npy")
    aligner, history = _train(grid, words, situations, settings, stage.seed, sight.at_home)
    save_file({k: v.contiguous() for k, v in aligner.state_dict().items()}, out / "alignment.safetensors")
    scene, instance = _targets(aligner, grid, words, situations)
    _write_dense(aligner, grid, out / "dense.npy")
    (out / "grid.npy").unlink()
    np.save(out / "scene.npy", scene.numpy())
    np.save(out / "instance.npy", instance.numpy())
    _write_composites(views, sight, aligner, settings.composites, stage.seed, out)
    write_json(out / "ids.json", ids)
    write_json(
        out / "meta.json",
        {"teacher": repr(teacher.identity), "region_scale": words.fit_region_scale(instance), "history": history},
    )
    return {"samples": len(ids), "samples_left_out": len(splits.train) - len(ids), **(history[-1] if history else {})}


class Words:
    """Rationales of N samples as vectors."""

    def __init__(self, contents: Sequence[dict[str, Any]], situations: Situations, lexicon: Lexicon,
                 language: TextEncoder):
        glimpses = [c["glimpse"] for c in contents]
        count = len(contents)
        likeliest = [[min(g[kind], key=lambda told: (-told[1], told[0]))[0] for g in glimpses] for kind in KINDS]
        self.likeliest = torch.stack([torch.from_numpy(language.embed(texts)) for texts in likeliest], 1)  # [N, 3, E]
        self.unlike = torch.from_numpy(language.embed([g["unlike"] for g in glimpses]))
        self.sentence = torch.from_numpy(language.embed([g["scene"] for g in glimpses]))
        roles = situations.role.shape[1]
        texts = [[self._gaze(c, situations, lexicon, i, r) for r in range(roles)] for i, c in enumerate(contents)]
        self.told = torch.tensor([[bool(pair) for pair in row] for row in texts])
        flat = [pair or ("nothing", "nothing") for row in texts for pair in row]
        both = [torch.from_numpy(language.embed(list(column))) for column in zip(*flat, strict=True)]
        self.noun, self.not_noun = (v.view(count, roles, -1) for v in both)

    @staticmethod
    def _gaze(content: dict, situations: Situations, lexicon: Lexicon, i: int, r: int) -> tuple[str, str] | None:
        gaze = content["gaze"].get(lexicon.roles[situations.role[i, r]]) if situations.grounded[i, r] else None
        return (gaze["nouns"][0][0], gaze["nouns"][1][0]) if gaze else None

    def batch(self, rows: Tensor) -> Rationales:
        """A glimpse is told by its sentence and by its likeliest posture, thing and place."""
        phrases = torch.cat([self.sentence[rows, None], self.likeliest[rows]], 1)
        said = torch.ones(phrases.shape[:2], dtype=torch.bool)
        return Rationales(phrases, said, self.unlike[rows], self.noun[rows], self.not_noun[rows], self.told[rows])

    def fit_region_scale(self, instance: Tensor) -> float:
        """The logit scale at which cosines of instances and nouns best repeat the nouns that the gazes name."""
        if not self.told.any():
            return 20.0
        nouns, which = torch.unique(self.noun[self.told].round(decimals=5), dim=0, return_inverse=True)
        cosines, scales = instance[self.told] @ nouns.T, torch.linspace(4, 40, 37)
        return float(scales[torch.stack([F.cross_entropy(s * cosines, which) for s in scales]).argmin()])


class Sight:
    """What a teacher sees, beside the text space that targets live in; `at_home`: it sees in that space already."""

    def __init__(self, teacher: Teacher, language: TextEncoder):
        self.teacher, self.at_home = teacher, teacher.space == language.revision

    def look(self, views: Sequence[View]) -> np.ndarray:
        """The teacher's grid float32 [N, 1 + T, D]; vectors of a space of its own are standardised, as scales differ.

        Raises PipelineError where its cells are not those on which boxes and composites are laid.
        """
        grid = self.teacher.grid(views)
        if grid.shape[1] != 1 + TOKENS:
            who = self.teacher.identity.name
            raise PipelineError(f"teacher '{who}' sees {grid.shape[1] - 1} cells instead of {TOKENS}")
        return grid if self.at_home else F.layer_norm(torch.from_numpy(grid), grid.shape[-1:]).numpy()

    def write(self, views: list[View], path: Path) -> np.ndarray:
        """The grid of all views, float16 in a file."""
        first = self.look(views[:1])
        grid = np.lib.format.open_memmap(path, "w+", np.float16, (len(views), *first.shape[1:]))
        for start in range(0, len(views), BATCH):
            grid[start : start + BATCH] = self.look(views[start : start + BATCH])
        grid.flush()
        return grid


def _train(
    grid: np.ndarray, words: Words, situations: Situations, settings: Any, seed: int, at_home: bool
) -> tuple[Aligner, list[dict[str, float]]]:
    torch.manual_seed(seed)
    width = words.sentence.shape[-1]
    aligner = Aligner(grid.shape[-1], width, at_home, settings.scene_prompt, settings.instance_prompt)
    optimizer = torch.optim.AdamW(aligner.parameters(), settings.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, settings.steps + 1, pct_start=0.1)
    history, layout = [], _layout(situations)
    for step in range(settings.steps):
        rows = torch.randint(len(grid), (min(settings.batch_size, len(grid)),))
        terms = losses(
            aligner, torch.from_numpy(grid[rows.numpy()]).float(), layout.rows(rows), words.batch(rows), settings.margin
        )
        optimizer.zero_grad()
        sum(terms.values()).backward()
        torch.nn.utils.clip_grad_norm_(aligner.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 20 == 0 or step == settings.steps - 1:
            history.append({f"align_{k}": round(float(v.detach()), 4) for k, v in terms.items()})
    return aligner.eval().requires_grad_(False), history


def _layout(situations: Situations) -> Layout:
    parts = [Layout.of(boxes) for boxes in situations.box.split(BATCH)]
    return Layout(torch.cat([p.inside for p in parts]), torch.cat([p.shares for p in parts]))


@torch.inference_mode()
def _targets(aligner: Aligner, grid: np.ndarray, words: Words, situations: Situations) -> tuple[Tensor, Tensor]:
    scenes, instances, layout = [], [], _layout(situations)
    for rows in torch.arange(len(grid)).split(BATCH):
        batch = torch.from_numpy(grid[rows.numpy()]).float()
        scenes.append(aligner.scene(batch, words.batch(rows)))
        instances.append(aligner.instances(batch, layout.rows(rows), words.batch(rows)))
    return torch.cat(scenes).clone(), torch.cat(instances).clone()


@torch.inference_mode()
def _write_dense(aligner: Aligner, grid: np.ndarray, path: Path) -> None:
    """Every patch as a unit vector of the text space."""
    width = aligner.ask.out_features
    dense = np.lib.format.open_memmap(path, "w+", np.float16, (len(grid), grid.shape[1] - 1, width))
    for start in range(0, len(grid), BATCH):
        patches = torch.from_numpy(grid[start : start + BATCH, 1:]).float()
        dense[start : start + BATCH] = F.normalize(aligner.to_text(patches), dim=-1).numpy()
    dense.flush()


@torch.inference_mode()
def _write_composites(
    views: list[View], sight: Sight, aligner: Aligner, each: int, seed: int, out: Path
) -> None:
    """CutMix (Yun 2019) of pairs of training images: contents recombine, and the teacher says what that would mean."""
    rng = np.random.default_rng([seed, 1])
    count = len(views)
    partner = rng.integers(count, size=(count, each))
    wide, high = rng.integers(4, 9, (count, each)), rng.integers(6, GRID, (count, each))
    left, top = rng.integers(0, GRID + 1 - wide), rng.integers(0, GRID + 1 - high)
    cells = np.stack([left, top, left + wide, top + high], -1)
    targets = []
    jobs = [(i, k) for i in range(count) for k in range(each)]
    for start in range(0, len(jobs), BATCH):
        batch = [
            composite(views[i], views[partner[i, k]], tuple(map(int, cells[i, k])))
            for i, k in jobs[start : start + BATCH]
        ]
        targets.append(aligner.meaning(torch.from_numpy(sight.look(batch)[:, 0])).numpy())
    np.save(out / "composite.npy", np.concatenate(targets).reshape(count, each, -1).astype(np.float32))
    np.save(out / "partner.npy", partner)
    np.save(out / "cells.npy", cells)


def composite(first: View, second: View, cells: tuple[int, int, int, int]) -> Composite:
    """The picture `first` with the rectangle of grid cells taken from `second`, at the student's resolution."""

    def load() -> np.ndarray:
        pictures = [
            np.array(Image.fromarray(v.load()).resize((SIZE, SIZE), Image.Resampling.BILINEAR)) for v in (first, second)
        ]
        x0, y0, x1, y1 = (c * SIZE // GRID for c in cells)
        pictures[0][y0:y1, x0:x1] = pictures[1][y0:y1, x0:x1]
        return pictures[0]

    return Composite(f"{first.id}+{second.id}@{','.join(map(str, cells))}", load, first, second, cells)


def load_meta(folder: Path) -> dict[str, Any]:
    return json.loads((Path(folder) / "meta.json").read_text())
