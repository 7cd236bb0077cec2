"""The command line: every command in one place, its heavy imports made only when it is called."""

import functools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from components.base.errors import PipelineError, UserError, nearest

FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
INTERRUPTED = 130


def _verbose(context: click.Context, _option: click.Option, value: bool) -> None:
    root = context.find_root()
    root.meta["verbose"] = root.meta.get("verbose", False) or value


verbose_option = click.option("--verbose", is_flag=True, expose_value=False, callback=_verbose,
                              help="Show library logs and tracebacks.")


class Command(click.Command):
    """A command that keeps the example block of its help as it is written, and takes --verbose."""

    def __init__(self, *args: Any, **settings: Any):
        super().__init__(*args, **settings)
        verbose_option(self)


class Commands(click.Group):
    """Commands in the order of the pipeline; a misspelt one is answered with the nearest."""

    command_class = Command

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(self, context: click.Context, args: list[str]) -> Any:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            context.fail(f"no command '{args[0]}'. {nearest(args[0], self.commands).capitalize()}".strip())
        return super().resolve_command(context, args)


Commands.group_class = Commands


def main() -> None:
    """The entry point: exit code 0 done, 1 stopped or failed, 2 a mistake in what was asked, 130 interrupted."""
    context: dict[str, Any] = {}
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # torch: huge pages; else half of the time goes into page faults
    try:
        code = cli(standalone_mode=False, obj=context)
    except click.exceptions.Exit as end:
        code = end.exit_code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("\nstopped; run the same command again and it goes on from here", err=True)
        code = INTERRUPTED
    except UserError as error:
        code = _say(f"error: {error}", 2)
    except PipelineError as error:
        code = _say(f"stopped: {error}", 1)
    except Exception as error:  # the last resort, told with the place of the whole story
        code = _say(f"failed: {type(error).__name__}: {error}\n  {_where(error)}", 1)
    sys.exit(code if isinstance(code, int) else 0)


def _say(text: str, code: int) -> int:
    click.echo(text, err=True)
    return code


def _where(error: Exception) -> str:
    """Writes the traceback to a log file and says where it is."""
    import traceback

    from components.base.home import state

    if "--verbose" in sys.argv:
        traceback.print_exception(error)
    try:
        log = state("logs") / "failures.log"
        with open(log, "a") as stream:
            traceback.print_exception(error, file=stream)
    except OSError:  # the state folder itself is what is wrong
        return "run it again with --verbose for the traceback"
    return f"the traceback is in {log}"


def _emit(value: Any, where: str) -> None:
    """Writes JSON to a file, or to standard output for '-'."""
    if where == "-":
        click.echo(json.dumps(value, indent=1, ensure_ascii=False))
    else:
        from components.base.artifacts import write_json

        write_json(Path(where).absolute(), value)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@verbose_option
@click.version_option(package_name="foveate")
def cli() -> None:
    """Distil a large multimodal teacher into a small open-vocabulary student, and keep it fresh.

    \b
    Start here:
      foveate run                         the whole pipeline on drawn scenes, 10 to 15 minutes on two cores
      foveate predict photo.jpg           what the champion sees in a picture
      foveate ui                          MLflow and Prefect in the browser

    All state lives in ./.foveate (or FOVEATE_HOME). What was done once is not done again: a second run is quick, a
    killed one goes on.
    """


def plan_options(command: Callable) -> Callable:
    """The options that name a run; the command gets them as one `components.pipeline.plan.Plan`."""
    @click.option("--data", type=FOLDER, help="A folder of images instead of the drawn scenes.")
    @click.option("--annotations", type=FILE, help="Their annotations (SWiG JSON: image name to entry).")
    @click.option("--space", type=FILE, help="Their lexicon (schema of imsitu_space.json).")
    @click.option("--recipe", default="mipd", show_default=True, help="The distillation method.")
    @click.option("--teacher", default="embedded", show_default=True, help="The teacher that is asked.")
    @click.option("--seed", default=0, show_default=True, help="Seeds drawing, splits and training.")
    @click.option("--fast", is_flag=True, help="A small draw and short training: minutes, and no evidence.")
    @click.option("--set", "changes", multiple=True, metavar="A.B=C", help="Change a setting; may be repeated.")
    @click.option("--json", "json_to", metavar="FILE|-", help="Write the outcome as JSON.")
    @functools.wraps(command)
    def with_plan(*, data, annotations, space, recipe, teacher, seed, fast, changes, **rest):
        if click.get_current_context().invoked_subcommand:
            return None  # a group whose command was named: that one does the work
        from components.pipeline.plan import make

        paths = {k: str(v) if v else None for k, v in (("data", data), ("annotations", annotations), ("space", space))}
        plan = make(recipe=recipe, teacher=teacher, seed=seed, fast=fast, changes=changes, **paths)
        return command(plan=plan, **rest)
    return with_plan


def _run(plan: Any, until: str, json_to: str | None) -> None:
    from flows.run import run_pipeline

    summary = run_pipeline(plan, until, verbose=click.get_current_context().find_root().meta.get("verbose", False))
    if json_to:
        _emit(summary, json_to)


@cli.command()
@plan_options
def run(plan: Any, json_to: str | None) -> None:
    """Take images to a gated, promoted edge student.

    \b
    foveate run                                  drawn scenes, the embedded teacher
    foveate run --fast                           the same, small
    foveate run --data photos --annotations train.json --space imsitu_space.json
    foveate run --seed 1 --set distil.epochs=4 --json summary.json
    """
    _run(plan, "promote", json_to)


@cli.command()
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--verbs", help="Activities to choose between instead, separated by commas.")
@click.option("--nouns", help="Things that may fill the roles instead, separated by commas.")
@click.option("--model", default="champion", show_default=True, help="champion, a version number, or a bundle folder.")
@click.option("--overlay", type=FOLDER, help="Draw the predictions on the images, into this folder.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of sentences.")
@click.option("--recipe", default="mipd", show_default=True, help="Whose champion.")
def predict(images, verbs, nouns, model, overlay, as_json, recipe) -> None:
    """Say who does what with what, where, in pictures.

    \b
    foveate predict photo.jpg
    foveate predict *.jpg --verbs "surfing, feeding a dog" --overlay out
    foveate predict photo.png --model path/to/bundle --json
    """
    from components.pipeline.prediction import predict_files

    words = [[w.strip() for w in text.split(",") if w.strip()] if text else None for text in (verbs, nouns)]
    predictions, sentences = predict_files(images, model=model, recipe=recipe, verbs=words[0], nouns=words[1],
                                           overlay=overlay)
    if as_json:
        _emit(predictions, "-")
    else:
        for one, sentence in zip(predictions, sentences, strict=True):
            click.echo(f"{one['image']}: {sentence}")


@cli.group()
def data() -> None:
    """Draw, ingest, check, version and split datasets."""


@data.command()
@click.option("--out", type=FOLDER, required=True, help="Where the folder of images is written.")
@click.option("--seed", default=0, show_default=True)
@click.option("--train", "total_train", default=2200, show_default=True, help="Training images over all seen verbs.")
@click.option("--dev", "dev_per_verb", default=8, show_default=True, help="Images a seen verb, for tuning.")
@click.option("--test", "test_per_verb", default=16, show_default=True, help="Images a seen verb, for testing.")
@click.option("--pseudo", "pseudo_per_verb", default=20, show_default=True, help="Images a pseudo-unseen verb.")
@click.option("--unseen", "unseen_per_verb", default=26, show_default=True, help="Images an unseen verb.")
@click.option("--workers", default=2, show_default=True)
def draw(out, workers, **counts) -> None:
    """Draw the embedded world of scenes: `foveate data draw --out scenes --seed 1`."""
    from components.pipeline.commands import draw_folder

    click.echo(draw_folder(out, counts, workers))


@data.command()
@click.argument("source", type=FOLDER)
@click.option("--out", type=FOLDER, required=True, help="Where the dataset is written.")
@click.option("--annotations", type=FILE, help="SWiG JSON (default: annotations.json in the folder).")
@click.option("--space", type=FILE, help="The lexicon (default: space.json in the folder).")
def ingest(source, out, annotations, space) -> None:
    """Turn a folder of images into a checked dataset: `foveate data ingest photos --out dataset`."""
    from components.pipeline.commands import ingest_images

    click.echo(ingest_images(source, out, annotations, space))


@data.command()
@click.argument("dataset", type=FOLDER)
@click.option("--out", type=FOLDER, help="Keep the result and its pages here.")
def validate(dataset, out) -> None:
    """Run the quality gate on a dataset: `foveate data validate dataset --out report`."""
    from components.pipeline.commands import validate_dataset

    click.echo(validate_dataset(dataset, out))


@data.command()
@click.argument("dataset", type=FOLDER)
@click.option("--name", default="dataset", show_default=True)
def version(dataset, name) -> None:
    """Record a dataset as a DVC version: `foveate data version dataset`."""
    from components.pipeline.commands import version_folder

    click.echo(version_folder(dataset, name))


@data.command()
@click.argument("dataset", type=FOLDER)
@click.option("--out", type=FOLDER, required=True, help="Where splits.json is written.")
@click.option("--seed", default=0, show_default=True)
@click.option("--dev", type=float, help="Tuning images a seen label: a count, or a share below 1.")
@click.option("--test", type=float, help="Test images a seen label: a count, or a share below 1.")
def split(dataset, out, seed, dev, test) -> None:
    """Split a dataset into train, dev and test, with unseen verbs: `foveate data split dataset --out splits`."""
    from components.pipeline.commands import split_dataset

    click.echo(split_dataset(dataset, out, seed, dev, test))


@data.command("export-swig")
@click.argument("dataset", type=FOLDER)
@click.option("--splits", type=FOLDER, required=True, help="The folder of splits.json.")
@click.option("--out", type=FOLDER, required=True)
def export_swig(dataset, splits, out) -> None:
    """Write a dataset as SWiG JSON and images: `foveate data export-swig dataset --splits splits --out swig`."""
    from components.pipeline.commands import export_as_swig

    click.echo(export_as_swig(dataset, splits, out))


@cli.group()
def teacher() -> None:
    """Look at a teacher, ask it, or make the embedded one again."""


@teacher.command("info")
@click.argument("name", default="embedded")
def teacher_info(name) -> None:
    """Who the teacher is and how good it was measured to be."""
    from components.pipeline.commands import describe_teacher

    _emit(describe_teacher(name), "-")


@teacher.command("ask")
@click.argument("image", type=click.Path(path_type=Path))
@click.option("--question", default="Describe the picture in one sentence.", show_default=True)
@click.option("--among", default="", help="Candidate texts to choose between, separated by commas.")
@click.option("--teacher", "name", default="embedded", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def teacher_ask(image, question, among, name, as_json) -> None:
    """Ask the teacher about a picture: `foveate teacher ask photo.jpg --among "surfing, sailing"`."""
    from components.pipeline.commands import ask_teacher

    said = ask_teacher(image, question, [t.strip() for t in among.split(",") if t.strip()], name)
    if as_json:
        _emit(said, "-")
    else:
        click.echo("\n".join([said["answer"], *(f"{p:6.3f}  {t}" for t, p in said["among"].items())]))


@teacher.command("train")
@click.option("--out", type=FILE, required=True, help="Where the safetensors file is written.")
def teacher_train(out) -> None:
    """Make the embedded teacher's weights again (about ten minutes on two cores)."""
    from components.pipeline.commands import train_teacher

    _emit(train_teacher(out, lambda line: click.echo(line, err=True)), "-")


@cli.group()
def names() -> None:
    """Merge the names that a teacher gave to images, or take that back."""


@names.command("consolidate")
@click.option("--labels", type=FILE, required=True, help="JSON lines with `image`, `labels`, optionally `response`.")
@click.option("--out", type=FILE, required=True, help="JSON lines with `image`, `name`, `merged_from`.")
@click.option("--truth", type=FILE, help="JSON lines with `image` and `class_name` or `class_id`.")
@click.option("--risk", default=0.01, show_default=True, help="Share of images that may be misnamed.")
@click.option("--json", "json_to", metavar="FILE|-", help="Write the report as JSON.")
def names_consolidate(labels, out, truth, risk, json_to) -> None:
    """Make one name of names that mean the same.

    Spellings, slips of the pen, scientific and common names, names that only add to another. Of --labels nothing but
    the three fields is read. The way back is written beside --out, as NAME.undo.json.

    \b
    foveate names consolidate --labels answers.jsonl --out names.jsonl
    foveate names consolidate --labels answers.jsonl --out names.jsonl --truth classes.jsonl --json report.json
    """
    from components.pipeline.names import consolidate_file, report_text

    report = consolidate_file(labels, out, truth, risk)
    if json_to:
        _emit(report, json_to)
    if json_to != "-":
        click.echo(report_text(report))


@names.command("undo")
@click.option("--names", "merged", type=FILE, required=True, help="The merged names.")
@click.option("--undo", "way_back", type=FILE, help="The way back (default: NAME.undo.json beside them).")
@click.option("--out", type=FILE, required=True, help="Where the names are written.")
@click.option("--only", multiple=True, metavar="NAME", help="Take back this merged name only; may be repeated.")
def names_undo(merged, way_back, out, only) -> None:
    """Give images their first label back: `foveate names undo --names names.jsonl --out raw.jsonl`."""
    from components.pipeline.names import undo_file

    click.echo(undo_file(merged, way_back, out, only))


STAGES = {
    "rationales": "Ask the teacher about every training image, through the answer cache.",
    "align": "Turn rationales and teacher features into the targets of training.",
    "distil": "Train the student, and its twin that never met the teacher.",
    "evaluate": "Score both students and the teacher on seen, rare and unseen verbs.",
    "export": "Make the edge bundle: ONNX fp32 and int8, parity, latency.",
    "promote": "Decide on the bundle and act on the registry.",
}


def _stage(name: str, text: str) -> click.Command:
    @plan_options
    def command(plan: Any, json_to: str | None) -> None:
        _run(plan, name, json_to)

    command.__doc__ = (f"{text}\n\nWorks on the outputs of the stages before it for the same options, and makes those "
                       f"that are missing.\n\n\b\nfoveate {name}\nfoveate {name} --fast --seed 1")
    if name == "evaluate":  # also the home of scorers of files
        command = verbose_option(command)
        return cli.group(name, invoke_without_command=True)(command)
    return cli.command(name)(command)


_commands = {name: _stage(name, text) for name, text in STAGES.items()}
evaluate = _commands["evaluate"]


@evaluate.command("composition")
@click.option("--scores", type=FILE, required=True, help="S.npz, see above.")
@click.option("--pairs", type=FILE, required=True, help="P.json, see above.")
@click.option("--mode", type=click.Choice(["exact", "reference"]), default="exact", show_default=True,
              help="Every bias that matters, or the 20 to 39 of the public evaluators.")
@click.option("--world", type=click.Choice(["closed", "open"]), default="closed", show_default=True)
@click.option("--top-k", default=1, show_default=True, help="Right if among so many guesses.")
@click.option("--validation", type=FILE, help="S.npz of validation images: chooses the feasibility threshold.")
@click.option("--threshold", type=float, help="The feasibility threshold, if it is known.")
@click.option("--draws", type=click.IntRange(min=0), default=1000, show_default=True,
              help="Bootstrap draws for the intervals; 0 for none.")
@click.option("--seed", default=0, show_default=True, help="Seeds the draws.")
@click.option("--json", "json_to", metavar="OUT|-", help="Write the report as JSON.")
def evaluate_composition(scores, pairs, json_to, **settings) -> None:
    """Score attribute-object pairs, seen against unseen: area, harmonic mean, seen, unseen, attribute, object.

    \b
    S.npz  (numpy.savez)  scores  float32 [N, P]  of N images for P pairs, in C order; -inf for never
                          labels  int [N]         index of the true pair, 0..P-1
    P.json {"pairs": [["wet", "dog"], ...],       P times attribute, object
            "seen": [true, ...],                  P times whether the pair has training images
            "candidates": [true, ...],            optional: may be guessed in the closed world (test and training pairs)
            "feasibility": [0.31, ...]}           optional: open world, unseen pairs below the threshold are not guessed

    Files larger than memory are read in blocks. The report holds auc, best_hm, best_seen, best_unseen,
    attribute_accuracy and object_accuracy in 0..1, with intervals and both modes.

    \b
    foveate evaluate composition --scores test.npz --pairs pairs.json --mode reference --json report.json
    foveate evaluate composition --scores test.npz --pairs all.json --world open --validation val.npz --json -
    """
    from components.pipeline.composition import report_text, score_file

    report = score_file(scores, pairs, **settings)
    if json_to:
        _emit(report, json_to)
    if json_to != "-":
        click.echo(report_text(report))


@cli.group()
def models() -> None:
    """The registered students: list, show, roll back."""


@models.command("list")
@click.option("--recipe", default="mipd", show_default=True)
def models_list(recipe) -> None:
    """Every version with its verdict."""
    from components.pipeline.commands import list_models

    click.echo(list_models(recipe))


@models.command("show")
@click.argument("which", default="champion")
@click.option("--recipe", default="mipd", show_default=True)
def models_show(which, recipe) -> None:
    """One version in full: scores, data, reasons."""
    from components.pipeline.commands import show_model

    _emit(show_model(recipe, which), "-")


@models.command("rollback")
@click.option("--reason", required=True, help="Why; recorded with the model.")
@click.option("--recipe", default="mipd", show_default=True)
def models_rollback(reason, recipe) -> None:
    """Give the alias champion back to the version that had it before."""
    from components.pipeline.commands import rollback_model

    click.echo(rollback_model(recipe, reason))


@cli.command()
@click.option("--no-open", is_flag=True, help="Only print the addresses.")
def ui(no_open) -> None:
    """MLflow and Prefect in the browser, over what was run; Ctrl-C stops both."""
    from flows.server import serve_pages

    serve_pages(click.echo, open_browser=not no_open)
