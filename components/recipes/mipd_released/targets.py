"""Keeps what the teacher sees and says for training: the alignment learns together with the student.

Files of a targets folder, rows in the order of ids.json: `grid.npy` float16 [N, 1 + T, D] what the teacher sees;
`states.npy` float16 [N, 4, L, W] and `length.npy` [N, 4] the states of four rationale texts (`alignment.TEXTS`);
`said.npy` float32 [N, 2, E] the true glimpse and the nouns of the gaze, each as one vector of the text space.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from components.base.artifacts import write_json
from components.base.errors import UserError
from components.datasets.splits import Splits
from components.datasets.store import Dataset
from components.encoders import text
from components.recipes.mipd.data import read_rationales
from components.recipes.mipd.targets import Sight
from components.recipes.pictures import view
from components.recipes.protocol import Stage
from components.teachers.protocol import Teacher


def align(stage: Stage, teacher: Teacher, out: Path) -> dict[str, float]:
    """See `components.recipes.protocol.Recipe.align`; covers the training samples with accepted rationales.

    Raises UserError where the student's heads do not fit the text encoder.
    """
    language, heads = text.get(stage.config.encoder.text), stage.config.student.heads
    if language.width % heads:  # the student's width is that of the text space
        raise UserError(f"{heads} heads cannot share the {language.width} dimensions of the text encoder",
                        where="student.heads", mend="--set student.heads to a number that divides them")
    dataset, said = Dataset(stage.dataset), read_rationales(stage.rationales)
    train = Splits.load(stage.splits).train
    ids = [i for i in train if i in said]
    Sight(teacher, language).write([view(dataset, i) for i in ids], out / "grid.npy")
    told = [list(texts(said[i])) for i in ids]
    states, length = language.states([t for four in told for t in four], stage.config.align.words)
    np.save(out / "states.npy", states.reshape(len(ids), 4, *states.shape[1:]))
    np.save(out / "length.npy", length.reshape(len(ids), 4))
    scenes, gazes = (language.embed([four[k] or "nothing" for four in told]) for k in (0, 2))
    np.save(out / "said.npy", np.stack([scenes, gazes], 1))
    write_json(out / "ids.json", ids)
    return {"samples": len(ids), "samples_left_out": len(train) - len(ids), "words": float(length.mean())}


def texts(content: dict[str, Any]) -> Iterator[str]:
    """The four texts of a rationale; the sentences of a gaze in the order of its roles."""
    yield content["glimpse"]["scene"]
    yield content["glimpse"]["unlike"]
    for side in ("positive", "negative"):
        yield " ".join(gaze[side] for gaze in content["gaze"].values())
