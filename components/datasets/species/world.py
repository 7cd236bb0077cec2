"""A picture of a bird where it lives: pose, distance, light, background and leaves vary, the species does not."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from components.base.artifacts import digest
from components.base.errors import UserError
from components.datasets.images import load_image, perceptual_hash
from components.datasets.parallel import ordered_map
from components.datasets.scenes.shapes import shade
from components.datasets.schema import Sample, sample_id
from components.datasets.species.birds import parts
from components.datasets.species.catalogue import RARE, SPECIES, Colour, Species
from components.datasets.store import Dataset, DatasetWriter

SIDE = 128
_DETAIL = 2  # drawn so many times larger, then shrunk

# sky or far ground, near ground, what floats about
PLACES: tuple[tuple[Colour, Colour, Colour], ...] = (
    ((168, 200, 226), (128, 158, 92), (102, 142, 84)), ((196, 208, 202), (150, 132, 96), (120, 140, 96)),
    ((150, 184, 206), (96, 142, 168), (128, 168, 186)), ((206, 188, 160), (142, 116, 84), (160, 146, 100)),
    ((140, 170, 130), (92, 116, 70), (72, 112, 66)), ((214, 220, 228), (188, 196, 200), (150, 164, 170)),
)


def draw(species: Species, seed: int, side: int = SIDE) -> np.ndarray:
    """One picture uint8 [side, side, 3]; the same for the same arguments."""
    rng = np.random.default_rng(seed)
    canvas = _background(rng, side * _DETAIL)
    _bird(canvas, species, rng)
    if rng.random() < .3:
        _leaves(canvas, rng)
    pixels = np.asarray(canvas.resize((side, side), Image.Resampling.BOX), np.float32)
    light = pixels * rng.uniform(.78, 1.14) * rng.uniform(.94, 1.06, 3) + rng.normal(0, rng.uniform(1, 6), pixels.shape)
    return light.clip(0, 255).astype(np.uint8)


def _background(rng: np.random.Generator, side: int) -> Image.Image:
    far, near, floating = PLACES[rng.integers(len(PLACES))]
    small = Image.new("RGB", (32, 32), far)
    pen = ImageDraw.Draw(small)
    horizon = int(rng.integers(14, 30))
    pen.rectangle((0, horizon, 32, 32), fill=near)
    for _ in range(int(rng.integers(4, 14))):
        x, y, r = rng.uniform(0, 32), rng.uniform(0, 32), rng.uniform(1, 5)
        pen.ellipse((x - r, y - r, x + r, y + r), fill=shade(floating, rng.uniform(.8, 1.25)))
    return small.filter(ImageFilter.GaussianBlur(1.2)).resize((side, side), Image.Resampling.BICUBIC)


def _bird(canvas: Image.Image, species: Species, rng: np.random.Generator) -> None:
    pen, side = ImageDraw.Draw(canvas), canvas.width
    polygons = parts(species, rng)
    points = np.concatenate([np.array(p) for _, p in polygons])
    low, high = points.min(0), points.max(0)
    room = max(1.9, float((high - low).max()) + .15)  # body lengths across the picture
    scale = side / room * species.look.size / 1.3 * rng.uniform(.9, 1.12)
    flip, turn = rng.choice((-1, 1)), rng.uniform(-.12, .12)
    middle = side * rng.uniform(.42, .58, 2) - (low + high) / 2 * scale * (flip, 1)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) * scale
    placed = [(colour, np.array(p) @ rotation.T * (flip, 1) + middle) for colour, p in polygons]
    for colour, at in placed:
        pen.polygon([tuple(p) for p in at.tolist()], fill=colour, outline=shade(colour, .72))


def _leaves(canvas: Image.Image, rng: np.random.Generator) -> None:
    pen, side = ImageDraw.Draw(canvas), canvas.width
    colour = shade(PLACES[rng.integers(len(PLACES))][2], rng.uniform(.6, .9))
    for _ in range(int(rng.integers(2, 6))):
        x, y, r = rng.uniform(0, side), rng.uniform(.55, 1) * side, rng.uniform(.05, .12) * side
        pen.ellipse((x - r, y - r * .5, x + r, y + r * .5), fill=shade(colour, rng.uniform(.85, 1.15)))


@dataclass(frozen=True, slots=True)
class SpeciesSpec:
    """How many pictures of each species to draw, of the rare ones (`catalogue.RARE`) only `few` (0: as of any other).

    Growing a count adds pictures and keeps those that were there.
    """

    seed: int = 0
    each: int = 30
    side: int = SIDE
    few: int = 0

    def count(self, species: Species) -> int:
        return min(self.few or self.each, self.each) if species.name in RARE else self.each


def samples(spec: SpeciesSpec, workers: int = 1) -> Iterator[Sample]:
    """The pictures, mixed, under names that say nothing of the species; `label` holds the species' common name."""
    if spec.each < 1 or spec.side < 32 or spec.few < 0:
        raise UserError(f"at least one picture of 32 pixels, got {spec.each} of {spec.side}", where="species",
                        mend="draw more or larger pictures")
    jobs = [(spec, s, i) for s, species in enumerate(SPECIES) for i in range(spec.count(species))]
    yield from ordered_map(_sample, sorted(jobs, key=lambda job: _key(*job)), workers)


def draw_dataset(out: Path, spec: SpeciesSpec, workers: int = 2,
                 progress: Callable[[int, int], None] | None = None) -> Dataset:
    """Draws straight into a dataset folder; `progress` is told (done, total)."""
    total = sum(map(spec.count, SPECIES))
    with DatasetWriter(out, "species") as writer:
        for done, sample in enumerate(samples(spec, workers), 1):
            writer.add(sample)
            if progress:
                progress(done, total)
    return Dataset(out)


def _key(spec: SpeciesSpec, species: int, index: int) -> str:
    return digest(["species", spec.seed, spec.side, SPECIES[species].latin, index])


def _sample(job: tuple[SpeciesSpec, int, int]) -> Sample:
    spec, species, _ = job
    key = _key(*job)
    sink = io.BytesIO()
    Image.fromarray(draw(SPECIES[species], int(key[:12], 16), spec.side)).save(sink, "JPEG", quality=90)
    image, name = sink.getvalue(), f"{key[:16]}.jpg"
    return Sample(sample_id(image), name, image, spec.side, spec.side, perceptual_hash(load_image(image, name)),
                  f"species, seed {spec.seed}", SPECIES[species].name)
