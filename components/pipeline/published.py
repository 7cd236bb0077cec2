"""The field's own files: the folder that a run takes, made by a protocol of the field, and the field's score of it."""

import json
from pathlib import Path
from typing import Any

from components import recipes
from components.base.artifacts import code_version, file_digest, produce, write_bytes, write_json
from components.base.errors import UserError
from components.datasets.protocols import PROTOCOL, shares
from components.pipeline.commands import split_files
from components.pipeline.plan import Plan
from components.pipeline.steps import step

PREDICTED = "predictions.jsonl"


def folder(source: Path | None, protocol: str | None, *, seed: int = 0, **files: Path | None) -> Path:
    """The folder that `foveate data split --protocol` would make of `source`, kept by what it is made of.

    `files` are those of `components.pipeline.commands.split_files`. Raises UserError where something is not given, for
    files that do not fit, and where no images are found.
    """
    if not protocol:
        raise UserError("belongs to --protocol", where=f"--{next(name for name, file in files.items() if file)}")
    if not source:
        raise UserError("splits published files", where=f"--protocol {protocol}", mend="give their folder as --data")
    images = files.get("images") or source / "images"
    if not images.is_dir():
        raise UserError("no such folder of images", where=str(images), mend="give --images FOLDER")
    given = {name: file for name, file in files.items() if file and name != "images"}
    for name, file in given.items():
        if not file.is_file():  # else a folder that was made without it would do
            raise UserError("no such file", where=f"--{name} {file}")
    read = [f for f in sorted(source.glob("*")) if f.suffix in (".json", ".mat")]
    name = f"{source.absolute().name}-{protocol}"  # which the dataset is called by
    inputs = {"source": name, "protocol": protocol, "seed": seed, "images": str(images.absolute()),
              "files": {f.name: file_digest(f) for f in read},
              "given": {name: file_digest(file) for name, file in given.items()},
              "code": code_version("components.datasets")}

    def work(part: Path) -> None:
        split_files(source, part / name, protocol, seed=seed, shares=shares(protocol), **files)

    return produce("protocol", inputs, work)[0] / name


def told(plan: Plan) -> dict[str, Any] | None:
    """What the folder of a run says of the protocol that made it; None of another one, or where no verbs are named."""
    file = Path(plan.data) / PROTOCOL if plan.data and recipes.get(plan.recipe).labels == "verbs" else None
    return json.loads(file.read_text("utf-8")) if file and file.is_file() else None


def score(plan: Plan, run: str, scores: str) -> str:
    """The folder of report.json and report.txt: the distilled student by the field's own scorer."""
    of, data = told(plan), Path(plan.data)
    with step(run, "published scores") as here:
        def work(part: Path) -> None:
            report, text = _situations(data, Path(scores)) if of["protocol"] == "verbs" else _interactions(
                of, data, Path(scores))
            write_json(part / "report.json", report)
            write_bytes(part / "report.txt", f"{text}\n".encode())

        truth = {name: file_digest(Path(file)) for name, file in of.items() if name != "protocol" and file}
        path = here.produce({"scores": Path(scores).name, "protocol": of["protocol"], "truth": truth}, work,
                            "components.evaluation", "components.datasets", "components.pipeline.published")
        here.run.log_folder(path, "published_scores")
        metrics = _metrics(json.loads((path / "report.json").read_text("utf-8")))
        here.run.log_metrics(metrics)
        here.says(", ".join(f"{name} {100 * value:.1f}" for name, value in list(metrics.items())[:4]))
    return str(path)


def _situations(data: Path, scores: Path) -> tuple[dict[str, Any], str]:
    from components.evaluation import situation_report as scoring

    report = scoring.evaluate(scoring.Request(scores / PREDICTED, data / "test.json", data / "imsitu_space.json",
                                              groups=data / "groups.json", bootstrap=1000))
    return report, scoring.table(report)


def _interactions(of: dict[str, Any], data: Path, scores: Path) -> tuple[dict[str, Any], str]:
    from components.evaluation import hico_report as scoring

    report = scoring.evaluate(scoring.Request(
        scores / PREDICTED, Path(of["annotations"]), setting=of["protocol"], space=data / "imsitu_space.json",
        lists=Path(of["lists"]) if of["lists"] else None))
    return report, scoring.table(report)


def _metrics(report: dict[str, Any]) -> dict[str, float]:
    """The figures to compare runs by: mAP of every group, or the headline's numbers of every group."""
    if "settings" not in report:
        found = {f"map.{group}": of["map"] for group, of in report["groups"].items()}
    else:
        head = next(s for s in report["settings"] if all(s[k] == v for k, v in report["headline"].items()))
        found = {f"{number}.{group}": of[number] for number in ("top1_verb", "top1_value", "top1_grnd_value")
                 for group, of in head["groups"].items() if of}
    return {name: value for name, value in found.items() if value is not None}
