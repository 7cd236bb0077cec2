"""Predicts image files with an exported bundle: the registry's champion, one of its versions, or a folder."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.base.errors import UserError
from components.base.home import state
from components.datasets.images import load_image
from components.datasets.schema import sample_id


@dataclass(frozen=True, slots=True)
class Log:
    """What of the predictions is logged: a `share` of them, with the `images` themselves only by consent."""

    share: float = 1.0
    images: bool = False


def predict_files(files: Sequence[Path], *, model: str, recipe: str, verbs: Sequence[str] | None = None,
                  nouns: Sequence[str] | None = None, roles: Sequence[str] | None = None,
                  overlay: Path | None = None, log: Log | None = None) -> tuple[list[dict], list[str]]:
    """Predictions of image files in order, and each as a sentence; drawn into the folder `overlay` where one is given.

    With `log` they are also logged, for drift. Raises UserError for a file that is no image (before anything is
    written) and for an unknown model.
    """
    from components.monitoring.log import PredictionLog
    from components.serving.predictor import Predictor, as_named
    from components.serving.sentence import sentence

    if log and (verbs or nouns or roles):
        raise UserError("predictions among names of your own are not those that were tested", where="--log",
                        mend="leave out --log, or --verbs, --nouns and --roles")
    contents = [_read(f) for f in files]
    images = [load_image(data, str(f)) for f, data in zip(files, contents, strict=True)]
    bundle = bundle_of(model, recipe)
    logged = PredictionLog(log_folder(bundle), share=log.share, images=log.images) if log else None

    def observe(start: int, embeddings: Any, some: list[dict]) -> None:
        logged.add(embeddings, some, contents[start:start + len(some)], predictor.labels)

    predictor = Predictor(bundle, observe=observe if logged else None)
    found = as_named(predictor.predict(images, verbs=verbs, nouns=nouns, roles=roles), [f.name for f in files],
                     [sample_id(data) for data in contents])
    if logged:
        logged.close()
    if overlay:
        _draw(files, images, found, overlay, predictor.labels)
    return found, [sentence(one, predictor.vocabulary, predictor.labels) for one in found]


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", where=str(file), mend="give an image file") from error


def bundle_of(model: str, recipe: str) -> Path:
    """Where the bundle lies. A folder needs no registry, and MLflow is not imported for it."""
    if (Path(model) / "manifest.json").is_file():
        return Path(model)
    if model != "champion" and not model.isdigit():
        raise UserError("no such bundle", where=f"--model {model}",
                        mend="give champion, a version number, or a folder with manifest.json")
    from components.registry import models

    return models.bundle_path(models.model_name(recipe), model)


def log_folder(bundle: Path) -> Path:
    """Where the predictions of a bundle are logged; a bundle is named by its manifest, hence by every file in it."""
    return state("predictions") / json.loads((bundle / "manifest.json").read_bytes())["sha256"][:20]


def _draw(files: Sequence[Path], images: Sequence[Any], found: Sequence[dict], folder: Path,
          labels: str) -> None:
    from components.evaluation.pictures import overlay

    folder.mkdir(parents=True, exist_ok=True)
    for number, (file, image, one) in enumerate(zip(files, images, found, strict=True)):
        repeated = sum(f.stem == file.stem for f in files) > 1
        name = f"{file.stem}-{number}.png" if repeated else f"{file.stem}.png"
        overlay(image, one, kind=(labels, labels)).save(folder / name)
