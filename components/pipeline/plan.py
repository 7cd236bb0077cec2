"""A run as a value: what to run on, by which recipe and teacher, with every setting; plain JSON that flows carry."""

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components import recipes, teachers
from components.base.artifacts import file_digest
from components.base.config import as_dict, from_dict, override
from components.base.errors import UserError
from components.encoders.checkpoint import EMBEDDED, located
from components.recipes.protocol import DRAWN


@dataclass(frozen=True, slots=True)
class Plan:
    """One run. `data` is a folder of images or a dataset (None: the world that the recipe draws); `settings` are all.

    `teacher` is a spec, or DRAWN until the drawn world is there (`components.pipeline.recording`).
    """

    recipe: str
    teacher: str
    seed: int
    fast: bool
    data: str | None
    annotations: str | None
    space: str | None
    settings: dict[str, Any]

    def config(self) -> Any:
        """The recipe's settings, as the recipe's own type."""
        return from_dict(type(recipes.get(self.recipe).config()), self.settings)

    def groups(self, *names: str) -> dict[str, Any]:
        """The named groups of settings: the part of the configuration that a stage depends on."""
        return {name: self.settings[name] for name in names if name in self.settings}


def make(*, recipe: str = "mipd", teacher: str = "", seed: int = 0, fast: bool = False, data: str | None = None,
         annotations: str | None = None, space: str | None = None, changes: tuple[str, ...] = (),
         dataset: str | None = None) -> Plan:
    """A complete plan; `changes` are `a.b=c` overrides of the recipe's settings, `dataset` a named one, in its newest
    version, in place of `data`. Without `teacher` it is the recipe's own on what it draws, and the embedded one on the
    user's images.

    Raises UserError for an unknown recipe, teacher, setting or dataset, and for files that are missing or given
    without `data`.
    """
    if dataset:
        from components.pipeline import growth

        if data or annotations or space:
            raise UserError("names the images already", where="--dataset", mend="leave out --data and its files")
        data = str(growth.newest(dataset).folder)
    config = recipes.get(recipe).config(fast=fast)
    config = override(config, f"draw.seed={seed}")
    for change in changes:
        config = override(config, change)
    if encoder := getattr(config, "encoder", None):
        found = {kind: located(name, f"encoder.{kind}=", "openai/clip-vit-base-patch16@main or path/to/checkpoint")
                 for kind, name in as_dict(encoder).items() if name != EMBEDDED}
        config = dataclasses.replace(config, encoder=dataclasses.replace(encoder, **found))
    for option, path in (("--annotations", annotations), ("--space", space)):
        if path and not data:
            raise UserError("needs the folder of the images", where=option, mend="add --data FOLDER")
        if path and not Path(path).is_file():
            raise UserError("no such file", where=f"{option} {path}")
    if data and re.match("[a-z][a-z0-9+.-]+:/", data):  # a path may have lost one of the two slashes
        raise UserError("is an address, and nothing is fetched", where=f"--data {data}", mend="give a folder")
    if data and not Path(data).is_dir():
        raise UserError("no such folder", where=f"--data {data}", mend="give a folder of JPEG, PNG or WebP images")
    teacher = teacher or ("embedded" if data else recipes.get(recipe).teacher)
    if teacher != DRAWN or data or recipes.get(recipe).teacher != DRAWN:
        teacher = str(teachers.parse(teacher))
    absolute = [str(Path(p).absolute()) if p else None for p in (data, annotations, space)]
    return Plan(recipe, teacher, seed, fast, *absolute, as_dict(config))


def plain(plan: Plan) -> dict[str, Any]:
    return dataclasses.asdict(plan)


def is_dataset(plan: Plan) -> bool:
    """Whether the images of a run are a dataset already, and need no ingestion."""
    return plan.data is not None and (Path(plan.data) / "manifest.json").is_file()


def source(plan: Plan) -> dict[str, Any]:
    """What names the images of a run: the draw, or the content of the user's files."""
    if not plan.data:
        return {"draw": plan.settings["draw"]}
    files = sorted(f for f in Path(plan.data).rglob("*") if f.is_file())
    return {"images": [[str(f.relative_to(plan.data)), file_digest(f)] for f in files],
            "annotations": file_digest(Path(plan.annotations)) if plan.annotations else None,
            "space": file_digest(Path(plan.space)) if plan.space else None}
