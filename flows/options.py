"""The options that the commands share: those that name a run and those that limit its cost, and running it."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import click

from flows.commands import verbose

FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
Until = Literal["ingest", "rationales", "align", "distil", "evaluate", "export", "promote"]  # the last stage to make
TEACHER = "The teacher that is asked: embedded, transformers:..., openai:... or recorded:... (foveate teacher --help)."


def emit(value: Any, where: str) -> None:
    """Writes JSON to a file, or to standard output for '-'."""
    if where == "-":
        click.echo(json.dumps(value, indent=1, ensure_ascii=False))
    else:
        from components.base.artifacts import write_json

        write_json(Path(where).absolute(), value)


def words_of(text: str, option: str) -> list[str]:
    """Names separated by commas; or those of the file after an @, one a line, in which names may hold commas."""
    if not text.startswith("@"):
        return [word.strip() for word in text.split(",") if word.strip()]
    from components.base.errors import UserError

    try:
        return [line.strip() for line in Path(text[1:]).read_text("utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError("cannot be read", where=f"{option} {text}", mend="give a file with one name a line") from error


def plan_options(command: Callable) -> Callable:
    """The options that name a run; the command gets them as one `components.pipeline.plan.Plan`."""
    @click.option("--data", type=FOLDER, help="A folder of images, or a dataset, instead of the drawn world.")
    @click.option("--dataset", metavar="NAME", help="The newest version of a dataset that grows (foveate data ingest).")
    @click.option("--annotations", type=FILE, help="Their annotations (mipd: SWiG JSON, image name to entry).")
    @click.option("--space", type=FILE, help="Their lexicon (schema of imsitu_space.json).")
    @click.option("--protocol", type=click.Choice(["verbs", "rf-uc", "nf-uc", "uo", "uv"]),
                  help="Split the published files in --data by it first, and score by it (foveate data split --help).")
    @click.option("--images", type=FOLDER, help="Where their images are (default: images/ beside the files).")
    @click.option("--unseen", type=FILE, help="verbs: the unseen ones, instead of a draw.")
    @click.option("--rare", type=FILE, help="verbs: the rare ones, instead of those with the fewest images.")
    @click.option("--lists", type=FILE, help="uo, uv: unseen interactions, as for foveate evaluate hico.")
    @click.option("--recipe", default="mipd", show_default=True, help="The distillation method.")
    @click.option("--teacher", default="", metavar="SPEC", help=TEACHER + " Default: the recipe's own.")
    @click.option("--seed", default=0, show_default=True, help="Seeds drawing, splits and training.")
    @click.option("--fast", is_flag=True, help="A small draw and short training: minutes, and no evidence.")
    @click.option("--set", "changes", multiple=True, metavar="A.B=C", help="Change a setting; may be repeated.")
    @click.option("--json", "json_to", metavar="FILE|-", help="Write the outcome as JSON.")
    @functools.wraps(command)
    def with_plan(*, data, dataset, annotations, space, protocol, recipe, teacher, seed, fast, changes, **rest):
        if click.get_current_context().invoked_subcommand:
            return None  # the command below a stage works on files, not on a run
        from components.pipeline.plan import make

        files = {name: rest.pop(name) for name in ("images", "unseen", "rare", "lists")}
        if protocol or any(files.values()):
            from components.pipeline.published import folder

            data = folder(data, protocol, seed=seed, **files)
        paths = {k: str(v) if v else None for k, v in (("data", data), ("annotations", annotations), ("space", space))}
        plan = make(recipe=recipe, teacher=teacher, seed=seed, fast=fast, changes=changes, dataset=dataset, **paths)
        return command(plan=plan, **rest)
    return with_plan


def limit_options(command: Callable) -> Callable:
    """The options that limit what teachers may cost."""
    for option in (
            click.option("--dry-run", "dry", is_flag=True, help="Say what asking would cost, and ask nothing."),
            click.option("--max-requests", type=click.IntRange(min=0), help="Stop when this run has asked so often."),
            click.option("--max-cost", type=click.FloatRange(min=0), metavar="DOLLARS",
                         help="Stop when this run has cost so much.")):
        command = option(command)
    return command


def run_until(plan: Any, until: str, json_to: str | None, max_cost: float | None = None,
              max_requests: int | None = None, dry: bool = False) -> None:
    """Makes everything up to a stage, or with `dry` says what asking the teacher for it would cost."""
    from flows.run import dry_run, run_pipeline

    if dry:
        summary = dry_run(plan, until, verbose=verbose())
    else:
        summary = run_pipeline(plan, until, verbose=verbose(), limits=(max_requests, max_cost))
    if json_to:
        emit(summary, json_to)
