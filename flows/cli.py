"""The command line: every command in one place, its heavy imports made only when it is called."""

import atexit
import gc
import os
import sys
from pathlib import Path
from typing import Any

import click

from components.base.errors import PipelineError, UserError
from flows import cli_files, fresh_commands
from flows.commands import Commands, verbose_option
from flows.model_commands import drift, models
from flows.name_commands import names
from flows.options import FILE, FOLDER, TEACHER, emit, limit_options, plan_options, run_until, words_of
from flows.rationale_commands import rationales

INTERRUPTED = 130


def main() -> None:
    """The entry point: exit code 0 done, 1 stopped or failed, 2 a mistake in what was asked, 130 interrupted."""
    context: dict[str, Any] = {}
    atexit.register(gc.freeze)  # else the interpreter, ending, looks for garbage in all that is loaded: three seconds
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
    """Tells what went wrong; names of files and words of servers are in it, which a terminal must not obey."""
    from components.base.text import clean

    click.echo(clean(text), err=True)
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


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@verbose_option
@click.version_option(package_name="foveate")
def cli() -> None:
    """Distil a large multimodal teacher into a small open-vocabulary student, and keep it fresh.

    \b
    Start here:
      foveate run                         the whole pipeline on drawn scenes, about ten minutes on two cores
      foveate predict photo.jpg           what the champion sees in a picture
      foveate up                          servers and a worker: on new data, a new student follows by itself
      foveate ui                          MLflow and Prefect in the browser

    All state lives in ./.foveate (or FOVEATE_HOME). What was done once is not done again: a second run is quick, a
    killed one goes on.
    """


@cli.command()
@plan_options
@limit_options
def run(plan: Any, **options: Any) -> None:
    """Take images to a gated, promoted edge student.

    \b
    foveate run                                  drawn scenes, the embedded teacher
    foveate run --fast                           the same, small
    foveate run --recipe near                    drawn birds, named by a recorded teacher
    foveate run --recipe trident                 drawn pairs of attribute and object
    foveate run --data photos --annotations train.json --space imsitu_space.json
    foveate run --data hico_20160224_det --protocol rf-uc          train and score a setting of HICO-DET
    foveate run --data swig --protocol verbs --unseen l10.txt      the same of SWiG, its verbs split
    foveate run --seed 1 --set distil.epochs=4 --json summary.json
    foveate run --teacher openai:MODEL@http://localhost:8000/v1 --max-requests 5000
    """
    run_until(plan, "promote", **options)


@cli.command()
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--among", "--verbs", "verbs", help="Verbs (or names) to choose between instead, separated by commas.")
@click.option("--nouns", help="Further things that may fill the roles, likewise.")
@click.option("--roles", help="Roles to fill for every verb instead of its own, likewise.")
@click.option("--model", default="champion", show_default=True, help="champion, a version number, or a bundle folder.")
@click.option("--overlay", type=FOLDER, help="Draw the predictions on the images, into this folder.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of sentences.")
@click.option("--recipe", default="mipd", show_default=True, help="Whose champion.")
@click.option("--log", is_flag=True, help="Log what is predicted, for `foveate drift`: no images, no names.")
@click.option("--log-share", default=1.0, show_default=True, help="The share of predictions to log.")
@click.option("--log-images", is_flag=True, help="Log the images too: only with the consent of whom they show.")
def predict(images, verbs, nouns, roles, model, overlay, as_json, recipe, log, log_share, log_images) -> None:
    """Say who does what with what, where, in pictures.

    \b
    foveate predict photo.jpg
    foveate predict *.jpg --verbs "surfing, feeding a dog" --overlay out
    foveate predict photo.jpg --roles "agent, tool, place" --nouns "selfie stick"
    foveate predict photo.jpg --verbs @activities.txt
    foveate predict photo.png --model path/to/bundle --json

    Names need not be known to the model. One may bring its meaning, as in "kitesurfing: riding waves pulled by a kite".
    Instead of names, @FILE takes those of a file, one a line.
    """
    from components.pipeline.prediction import Log, predict_files

    words = {kind: words_of(text, f"--{kind}") if text else None
             for kind, text in (("verbs", verbs), ("nouns", nouns), ("roles", roles))}
    predictions, sentences = predict_files(images, model=model, recipe=recipe, overlay=overlay, **words,
                                           log=Log(log_share, log_images) if log or log_images else None)
    if as_json:
        emit(predictions, "-")
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


data.command("ingest")(fresh_commands.ingest)


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


data.command("split")(cli_files.split)


@data.command("export-swig")
@click.argument("dataset", type=FOLDER)
@click.option("--splits", type=FOLDER, required=True, help="The folder of splits.json.")
@click.option("--out", type=FOLDER, required=True)
def export_swig(dataset, splits, out) -> None:
    """Write a dataset as SWiG JSON and images: `foveate data export-swig dataset --splits splits --out swig`."""
    from components.pipeline.commands import export_as_swig

    click.echo(export_as_swig(dataset, splits, out))


data.command("doctor")(cli_files.doctor)


@cli.group()
def teacher() -> None:
    """Look at a teacher, ask it, or make the embedded one again.

    \b
    A teacher is named by a SPEC, with settings after a "?" (in quotes, for the shell):
      embedded                                    the small one that installs with Foveate
      transformers:Qwen/Qwen2.5-VL-3B-Instruct    a checkpoint, by hub name (@revision) or folder
      openai:MODEL@http://127.0.0.1:8000/v1       a server of the OpenAI protocol; its key is in OPENAI_API_KEY
      recorded:answers.jsonl                      earlier answers, replayed
      "transformers:path/to/checkpoint?device=cuda&batch=16&temperature=0.7&seed=1"
    """


@teacher.command("info")
@click.argument("spec", default="embedded")
def teacher_info(spec) -> None:
    """Who the teacher is, how it answers, and how good it was measured to be: `foveate teacher info SPEC`."""
    from components.pipeline.commands import describe_teacher

    emit(describe_teacher(spec), "-")


@teacher.command("ask")
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--question", default="Describe the picture in one sentence.", show_default=True)
@click.option("--among", default="", help="Candidate texts to choose between, separated by commas.")
@click.option("--teacher", "spec", default="embedded", show_default=True, metavar="SPEC", help=TEACHER)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def teacher_ask(images, question, among, spec, as_json) -> None:
    """Ask the teacher about a picture, or about several at once.

    \b
    foveate teacher ask photo.jpg --among "surfing, sailing"
    foveate teacher ask before.jpg after.jpg --question "What has changed?" --teacher openai:MODEL@URL
    foveate teacher ask photo.jpg --teacher openai:qwen2.5vl:7b@http://127.0.0.1:11434/v1
    foveate teacher ask photo.jpg --teacher transformers:path/to/checkpoint --question "What is odd here?" --json
    """
    from components.pipeline.commands import ask_teacher

    said = ask_teacher(images, question, [t.strip() for t in among.split(",") if t.strip()], spec)
    if as_json:
        emit(said, "-")
    else:
        click.echo("\n".join([said["answer"], *(f"{p:6.3f}  {t}" for t, p in said["among"].items())]))


@teacher.command("train")
@click.option("--out", type=FILE, required=True, help="Where the safetensors file is written.")
def teacher_train(out) -> None:
    """Make the embedded teacher's weights again (about ten minutes on two cores)."""
    from components.pipeline.commands import train_teacher

    emit(train_teacher(out, lambda line: click.echo(line, err=True)), "-")


@cli.command()
@click.argument("recipe", default="mipd")
@click.option("--seeds", default="0,1,2,3,4", show_default=True, help="Each draws, splits and trains anew.")
@click.option("--budget", default="", help="A budget that the grid names; its first by default.")
@click.option("--only", multiple=True, metavar="VARIANT", help="Run this row of the grid; may be repeated.")
@click.option("--out", type=FOLDER, default="docs/results", show_default=True)
def ablate(recipe, seeds, budget, only, out) -> None:
    """Train every variant of a recipe's declared grid over seeds; write one table and one plot.

    \b
    foveate ablate mipd                                      fourteen rows, five seeds: an hour or two
    foveate ablate mipd --only mipd-released --seeds 0,1     the method as published, against ours
    foveate ablate mipd --budget full                        at the budget of `foveate run`

    A killed run goes on where it was, and more seeds or rows are only added to what is there.
    """
    from components.pipeline.ablation import ablate as run_grid
    from components.pipeline.ablation import request

    click.echo(run_grid(request(recipe, seeds, budget, only), out, click.echo))


STAGES = {
    "align": "Turn rationales and teacher features into the targets of training.",
    "distil": "Train the student, and its twin that never met the teacher.",
    "evaluate": "Score both students and the teacher on seen, rare and unseen verbs.",
    "export": "Make the edge bundle: ONNX fp32 and int8, parity, latency.",
    "promote": "Decide on the bundle and act on the registry.",
}


def _stage(name: str, text: str) -> None:
    @plan_options
    @limit_options
    def command(plan: Any, **options: Any) -> None:
        run_until(plan, name, **options)

    scorers = cli_files.SCORERS if name == "evaluate" else {}
    below = " The commands below it score files of predictions by the field's own protocols." if scorers else ""
    command.__doc__ = (f"{text}\n\nWorks on the outputs of the stages before it for the same options, and makes those "
                       f"that are missing.{below}\n\n\b\nfoveate {name}\nfoveate {name} --fast --seed 1")
    if not scorers:
        cli.command(name)(command)
        return
    group = cli.group(name, invoke_without_command=True)(verbose_option(command))
    for of, scorer in scorers.items():
        group.command(of)(scorer)


cli.add_command(rationales)
cli.add_command(names)
for _command in (fresh_commands.up, fresh_commands.status, fresh_commands.down, fresh_commands.retrain):
    cli.command()(_command)
for _name, _text in STAGES.items():
    _stage(_name, _text)
cli.add_command(models)
cli.add_command(drift)


@cli.command()
def join() -> None:
    """Lend this machine to the training of another, until Ctrl-C.

    \b
    FOVEATE_NODES=2 FOVEATE_RENDEZVOUS=10.0.0.1:29400 foveate run --set distil.ranks=2   on 10.0.0.1
    foveate join                                                                on each other machine

    All share the state folder, under the same path, and run the same Foveate; the ranks are spread evenly. A machine
    that dies, or is silent for FOVEATE_SILENCE seconds (120), is waited for; when it is back, training goes on from its
    last checkpoint. Let no stranger reach that network: whoever reaches the rendezvous can run code there.
    """
    from components.training.lending import lend

    lend(click.echo)


@cli.command()
@click.option("--no-open", is_flag=True, help="Only print the addresses.")
def ui(no_open) -> None:
    """MLflow and Prefect in the browser, over what was run; Ctrl-C stops both."""
    from flows.server import serve_pages

    serve_pages(click.echo, open_browser=not no_open)
