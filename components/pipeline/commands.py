"""The small commands: plain arguments in, one line or a record out."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any


def draw_folder(out: Path, counts: Mapping[str, int], workers: int) -> str:
    from components.datasets import draw

    spec = draw.DrawSpec(**counts)
    draw.draw_folder(out, spec, workers)
    return f"{sum(spec.counts().values()):,} scenes in {out}"


def ingest_images(source: Path, out: Path, annotations: Path | None, space: Path | None) -> str:
    from components.base.text import clean
    from components.datasets.ingest import ingest

    report = ingest(source, out, annotations, space)
    made = f"{report.count:,} images, {report.labelled:,} annotated, version {report.version[:12]} in {out}"
    return clean("\n".join([*(f"warning: {w}" for w in report.warnings), made]))


def grow_dataset(source: Path, name: str, annotations: Path | None, space: Path | None, seed: int, dev: float | None,
                 test: float | None) -> tuple[dict[str, Any], Any, str]:
    """What was done as plain JSON, the newest version if this made it, and what was done in words."""
    from components.base.text import clean
    from components.datasets.splits import SplitSpec
    from components.pipeline import growth

    given = {name: value for name, value in (("dev", dev), ("test", test)) if value is not None}
    done = growth.grow(source, name, annotations, space, SplitSpec(seed, **given))
    told = dataclasses.asdict(done) | {"newest": growth.told(done.newest), "warnings": list(done.warnings)}
    return told, done.newest if done.grown else None, clean(done.told())


def validate_dataset(dataset: Path, out: Path | None) -> str:
    """Raises PipelineError where an error-level check fails."""
    from components.base.errors import UserError
    from components.datasets.store import Dataset

    data = Dataset(dataset)
    if data.space is None:
        raise UserError("has no annotations to check", where=str(dataset), mend="ingest it with --annotations")
    data.verify()
    from components.quality import frames, gate

    result = gate.check("dataset", frames.dataset_frame(data, data.space), out)
    gate.require(result)
    return "\n".join([*(f"warning: {w}" for w in result.warnings), f"passed: {len(data):,} images"])


def version_folder(folder: Path, name: str) -> str:
    from components.datasets.versions import version

    made = version(name, folder)
    return f"{made.name} {made.revision} (md5 {made.md5})"


def split_dataset(dataset: Path, out: Path, seed: int, dev: float | None = None, test: float | None = None) -> str:
    """By the lexicon for drawn scenes, by share for anything else; refuses splits that leak."""
    import dataclasses

    from components.datasets import leak, splits
    from components.datasets.store import Dataset

    data = Dataset(dataset)
    spec = splits.scenes_spec(seed) if splits.is_scenes(data) else splits.SplitSpec(seed)
    given = {name: value for name, value in (("dev", dev), ("test", test)) if value is not None}
    made = splits.make_splits(data.labels, dataclasses.replace(spec, **given))
    leak.check_leaks(data, made)
    made.save(out / "splits.json")
    return f"{len(made.train):,} train, {len(made.dev):,} dev, {len(made.test):,} test in {out / 'splits.json'}"


def split_files(source: Path, out: Path, protocol: str, *, images: Path | None = None, unseen: Path | None = None,
                rare: Path | None = None, lists: Path | None = None, seed: int = 0, shares: Mapping[str, float],
                sparsity: int = 10) -> str:
    """Splits published files by a protocol of the field; `shares` are those of unseen, rare and pseudo-unseen verbs."""
    from components.base.artifacts import new_folder, write_json
    from components.datasets import hico_settings, protocols
    from components.datasets.splits import SplitSpec

    if protocol == "triples":
        groups = protocols.by_triples(protocols.read_files(source)[0], sparsity)
        with new_folder(out) as work:
            for split, of in groups.items():
                write_json(work / f"groups-{split}.json", of)
        return "\n".join(f"{out / f'groups-{split}.json'}: " + ", ".join(f"{len(v):,} {k}" for k, v in of.items())
                         for split, of in groups.items())
    told = {"protocol": protocol}
    if protocol == "verbs":
        listed = [protocols.read_verbs(file) if file else None for file in (unseen, rare)]
        spec = SplitSpec(seed, listed[0], None if shares["pseudo"] else (), listed[1], unseen_share=shares["unseen"],
                         pseudo_share=shares["pseudo"])
        parts = protocols.by_verbs(*protocols.read_files(source), spec, shares["rare"])
    else:
        from components.datasets.hico import read_hico
        from components.datasets.hico_situations import by_interactions

        file = source / "anno_bbox.mat"
        told |= {"annotations": str(file.absolute()), "lists": str(lists.absolute()) if lists else None}
        train, test = (read_hico(file, split) for split in ("train", "test"))
        hidden = hico_settings.unseen(protocol, train, lists, train.kinds)
        parts = by_interactions(train, test, hidden, seed, pseudo_share=shares["pseudo"])
    folder = images or (source / "images" if (source / "images").is_dir() else None)
    found = protocols.find(folder, [name for part in parts.entries.values() for name in part])
    protocols.write_folder(parts, out, found, told)
    note = [] if found else ["without images: give --images FOLDER to make a folder that a run takes"]
    return "\n".join([protocols.summary(parts, out), *note])


def export_as_swig(dataset: Path, splits: Path, out: Path) -> str:
    from components.datasets.swig import export_swig

    return f"written to {export_swig(dataset, splits / 'splits.json', out)}"


def describe_teacher(spec: str) -> dict[str, Any]:
    """Who it is and how it answers; and its measured accuracy, or how many answers it has recorded."""
    from components import teachers

    teacher = teachers.get(spec)
    out = dataclasses.asdict(teacher.identity) | {"decoding": dict(teacher.decoding)}
    out |= {"accuracy": teacher.card} if hasattr(teacher, "card") else {}
    return out | ({"answers": teacher.count} if hasattr(teacher, "count") else {})


def ask_teacher(images: Sequence[Path], question: str, candidates: list[str], spec: str) -> dict[str, Any]:
    """What the teacher says of one or more pictures in its own words, and of candidates their probabilities (one
    picture only), likeliest first.

    Raises PipelineError where it has no answer.
    """
    from components import teachers
    from components.base.errors import PipelineError, UserError
    from components.datasets.images import load_image
    from components.datasets.schema import sample_id
    from components.teachers.protocol import Question, View, together

    if candidates and len(images) > 1:
        raise UserError("looks at one picture", where="--among", mend="give one picture, or ask in words")
    loaded = [load_image(image) for image in images]
    view = together([View(sample_id(image.read_bytes()), lambda pixels=pixels: pixels)
                     for image, pixels in zip(images, loaded, strict=True)])
    asked = teachers.get(spec)
    said = asked.answer([view], [Question("free", question, "ask/1")])[0]
    if said.failure:
        raise PipelineError(f"teacher '{asked.identity.name}' has no answer: {said.failure}")
    scores = asked.score([view], candidates)[0] if candidates else []
    ranked = sorted(zip(candidates, map(float, scores), strict=True), key=lambda pair: -pair[1])
    cost = {"seconds": round(said.seconds, 3), "tokens_in": said.tokens_in, "tokens_out": said.tokens_out}
    return {"teacher": dataclasses.asdict(asked.identity), "answer": said.text, "among": dict(ranked), "cost": cost}


def train_teacher(out: Path, report: Callable[[str], None]) -> dict[str, float]:
    from components.teachers.pretraining import pretrain

    return pretrain(out, report=report)
