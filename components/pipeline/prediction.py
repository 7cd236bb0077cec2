"""Predicts image files with an exported bundle: the registry's champion, one of its versions, or a folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.base.errors import UserError
from components.datasets.images import load_image
from components.datasets.schema import sample_id


def predict_files(files: Sequence[Path], *, model: str, recipe: str, verbs: Sequence[str] | None = None,
                  nouns: Sequence[str] | None = None, roles: Sequence[str] | None = None,
                  overlay: Path | None = None) -> tuple[list[dict], list[str]]:
    """Predictions of image files in order, and each as a sentence; drawn into the folder `overlay` where one is given.

    Raises UserError for a file that is no image (before anything is written) and for an unknown model.
    """
    from components.serving.predictor import Predictor, as_named
    from components.serving.sentence import sentence

    contents = [_read(f) for f in files]
    images = [load_image(data, str(f)) for f, data in zip(files, contents, strict=True)]
    predictor = Predictor(_bundle(model, recipe))
    found = as_named(predictor.predict(images, verbs=verbs, nouns=nouns, roles=roles), [f.name for f in files],
                     [sample_id(data) for data in contents])
    if overlay:
        _draw(files, images, found, overlay, predictor.labels)
    return found, [sentence(one, predictor.vocabulary, predictor.labels) for one in found]


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", where=str(file), mend="give an image file") from error


def _bundle(model: str, recipe: str) -> Path:
    """Where the bundle lies. A folder needs no registry, and MLflow is not imported for it."""
    if (Path(model) / "manifest.json").is_file():
        return Path(model)
    if model != "champion" and not model.isdigit():
        raise UserError("no such bundle", where=f"--model {model}",
                        mend="give champion, a version number, or a folder with manifest.json")
    from components.registry import models

    return models.bundle_path(models.model_name(recipe), model)


def _draw(files: Sequence[Path], images: Sequence[Any], found: Sequence[dict], folder: Path,
          labels: str) -> None:
    from components.evaluation.pictures import overlay

    folder.mkdir(parents=True, exist_ok=True)
    for number, (file, image, one) in enumerate(zip(files, images, found, strict=True)):
        repeated = sum(f.stem == file.stem for f in files) > 1
        name = f"{file.stem}-{number}.png" if repeated else f"{file.stem}.png"
        overlay(image, one, kind=(labels, labels)).save(folder / name)
