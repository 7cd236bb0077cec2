"""Runs a bundle on images: any names given as text where the recipe can, no torch, no dataset, no annotation."""

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from components import recipes
from components.base.errors import UserError
from components.export.bundle import Bundle
from components.export.preprocess import pixels
from components.serving.text import TextEncoder

BATCH = 16  # images a pass: bounds memory, whatever the number of images


class Predictor:
    """An opened, verified bundle that is ready to look at images.

    `precision` is "fp32" or "int8" (None: the bundle's own choice), `threads` the cores to use (None: all). Raises
    UserError for a damaged bundle, a precision it does not hold, or a recipe that this version does not have.
    """

    def __init__(self, bundle: Path, precision: str | None = None, threads: int | None = None):
        self.bundle = Bundle.open(bundle)
        self.vocabulary: dict[str, Any] = self.bundle.vocabulary()
        self._tables = self.bundle.tables()
        self._threads = threads
        recipe = _decoding(self.bundle)
        self._decode: Callable[..., list[dict[str, Any]]] = recipe.decode
        self.labels: str = recipe.LABELS
        self._encoder = self.bundle.session("encoder", precision, threads)
        has = self.bundle.manifest["graphs"]
        self._decoder = self.bundle.session("decoder", precision, threads) if "decoder" in has else None
        self._text: TextEncoder | None = None

    def predict(self, images: Sequence[np.ndarray], *, verbs: Sequence[str] | None = None,
                nouns: Sequence[str] | None = None, roles: Sequence[str] | None = None, top: int = 5,
                also: Sequence[Sequence[str]] | None = None) -> list[dict[str, Any]]:
        """One prediction per image (uint8 [H, W, 3], any sizes), in order:

        {`labels`: ranked names, "scores": their probabilities, "confident": whether any of them fits}; where the bundle
        has a decoder also "fits", the probability that any of the verbs is the image's, and "frames" of the best `top`:
        {verb: {role: {"noun", "name", "score", "box": [x1, y1, x2, y2] in pixels of the image or None, "box_score"}}}.
        `verbs`, when given, are the only ones that compete (several words are fine: "feeding a dog"); `nouns` join the
        vocabulary's; `roles` are those of every frame, instead of the vocabulary's. A name may bring its meaning,
        "kitesurfing: riding waves on a board, pulled by a kite", and then stands for both texts. `also` names further
        verbs of the vocabulary to frame for each image, as scoring needs.
        Raises UserError for something that is not an image, a name without words, or nouns where they are not text.
        """
        for number, image in enumerate(images):
            _check(image, number)
        given = self._given(verbs, nouns, roles)
        out: list[dict[str, Any]] = []
        for start in range(0, len(images), BATCH):
            some = images[start:start + BATCH]
            out += self._decode(
                self._encode, self._decoder, self._tables, self.vocabulary, self.bundle.manifest["decoding"],
                pixels(some, self.bundle.manifest["preprocessing"]), [(i.shape[1], i.shape[0]) for i in some],
                top=top, **given, **({"also": also[start:start + BATCH]} if also else {}))
        return out

    def _encode(self, batch: np.ndarray) -> dict[str, np.ndarray]:  # [B, 3, S, S]
        (name,) = self._encoder.inputs
        return self._encoder({name: batch})

    def _given(self, verbs: Sequence[str] | None, nouns: Sequence[str] | None,
               roles: Sequence[str] | None) -> dict[str, Any]:
        """Names given as text, as the recipe's decoding takes them: vectors where the bundle has a text encoder."""
        if "text/tokenizer.json" in self.bundle.manifest["files"]:
            if nouns is not None and self._tables["nouns"].shape[1] != self._tables["verbs"].shape[1]:
                raise UserError("this student's nouns are a closed list", where="--nouns", mend="leave --nouns out")
            return {f"extra_{kind}": self._vectors(names, kind) for kind, names in
                    (("verbs", verbs), ("nouns", nouns), ("roles", roles)) if names is not None}
        for kind, names in (("nouns", nouns), ("roles", roles)):
            if names is not None:
                raise UserError(f"this student knows no {kind}", where=f"--{kind}", mend=f"leave --{kind} out")
        return {} if verbs is None else {"among": verbs}

    def _vectors(self, names: Sequence[str], kind: str) -> dict[str, np.ndarray]:
        """Unit vectors of names given as text; a listed verb or role keeps its own name, vector and frame."""
        wanted = dict.fromkeys(" ".join(name.split()) for name in names)
        if not wanted:
            raise UserError("no names given", where=f"--{kind}", mend=f"name some, or leave --{kind} out")
        key = {"verbs": self.labels}.get(kind, kind)
        listed = {name.casefold(): (name, vector) for name, vector in
                  zip(self.vocabulary[key], self._tables[key], strict=True)} if kind != "nouns" else {}
        vectors: dict[str, np.ndarray] = {}
        for text in wanted:
            name, _, meaning = (part.strip() for part in text.partition(":"))
            name, vector = listed.get(name.casefold()) or (name, self._embed(name))
            if meaning:
                vector = vector + self._embed(meaning)
                vector = vector / np.linalg.norm(vector)
            vectors[name] = vector
        return vectors

    def _embed(self, name: str) -> np.ndarray:
        """The text encoder is opened at the first name that needs it: most predictions never do."""
        if self._text is None:
            self._text = TextEncoder(self.bundle.folder / "text", self._threads)
        return self._text([name])[0]


def _decoding(bundle: Bundle) -> ModuleType:
    """The recipe's own decoding, the only part of prediction that is peculiar to it: `decode` and `LABELS`."""
    recipe = bundle.manifest["recipe"]
    where = str(bundle.folder / "manifest.json")
    if not (isinstance(recipe, str) and recipe.isidentifier()):
        raise UserError(f"{recipe!r} is not a recipe's name", where=where, mend="make the bundle again")
    path = Path(recipes.__file__).parent / recipe / "decode.py"
    if not path.is_file():
        raise UserError(f"this version has no recipe '{recipe}'", where=where,
                        mend="use the version of Foveate that made the bundle")
    # by its path, as importing the recipe's package would load what trains it: torch, the datasets, the teacher
    spec = importlib.util.spec_from_file_location(f"{recipe}_decode", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _check(image: Any, number: int) -> None:
    fits = isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
    if not fits or 0 in image.shape:
        what = f"{image.dtype} {list(image.shape)}" if isinstance(image, np.ndarray) else type(image).__name__
        raise UserError(f"expected uint8 [height, width, 3], got {what}", where=f"image {number}",
                        mend="read it with components.datasets.images.load_image")


def as_named(predictions: Sequence[dict[str, Any]], names: Sequence[str], ids: Sequence[str]) -> list[dict[str, Any]]:
    """The predictions with the image's name and sample id in front, as they are stored and scored."""
    return [{"image": name, "id": identity, **prediction}
            for name, identity, prediction in zip(names, ids, predictions, strict=True)]
