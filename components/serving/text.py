"""Any words to unit vectors, with the bundle's tokenizer and ONNX text encoder."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from components.base.errors import UserError
from components.export.bundle import Session


class TextEncoder:
    """The text encoder of an opened bundle: `folder` is the bundle's `text/`, whose tokenizer.json says how texts are
    cut and padded."""

    def __init__(self, folder: Path, threads: int | None = None):
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._session = Session(folder / "text.int8.onnx", threads)

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Unit embeddings float32 [N, E]. Each text runs alone, so its vector never depends on its neighbours.

        Raises UserError for a text without words.
        """
        return np.stack([self._one(text) for text in texts])

    def _one(self, text: str) -> np.ndarray:
        if not any(character.isalnum() for character in text):
            raise UserError(f"{text!r} has no words to look for", mend="give names such as surfing, feeding a dog")
        found = self._tokenizer.encode(text)
        ids, mask = (np.array([values], np.int64) for values in (found.ids, found.attention_mask))  # [1, L]
        return self._session({"input_ids": ids, "attention_mask": mask})["vector"][0]
