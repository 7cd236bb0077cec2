"""The trained released student at work: as `mipd`, but its nouns are the rows of a closed head."""

import json
from pathlib import Path

import numpy as np
from safetensors.torch import load_file

from components.base.config import from_dict
from components.base.errors import UserError
from components.recipes.mipd import inference
from components.recipes.mipd_released.config import Config
from components.recipes.mipd_released.model import Student, Words


def load_student(folder: Path) -> tuple[Student, Config]:
    """The student of a training folder (student.safetensors, config.json), without the alignment it was trained with.

    Raises UserError where that is not one.
    """
    try:
        settings = from_dict(Config, json.loads((folder / "config.json").read_text())["config"])
        weights = load_file(folder / "student.safetensors")
        own = {k.removeprefix("student."): v for k, v in weights.items() if k.startswith("student.")}
        words = Words(own["decoder.known_verbs"], own["decoder.known_roles"])
        channels = own["encoder.linear.weight"].shape[1]
        student = Student(settings.student, words, len(own["nouns.bias"]), settings.distil.faults, channels)
        student.load_state_dict(own)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise UserError(
            f"not a trained student ({error})", where=str(folder), mend="train it again: foveate distil"
        ) from error
    return student.eval().requires_grad_(False), settings


class Runner(inference.Runner):
    """See `components.recipes.mipd.inference.Runner`."""

    load = staticmethod(load_student)

    def tables(self) -> dict[str, np.ndarray]:
        return super().tables() | {"nouns": self.student.table().numpy()}
