"""What the commands share: how they look, the options that name a run and limit its cost, and running it."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import click

from components.base.errors import nearest

FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
Until = Literal["ingest", "rationales", "align", "distil", "evaluate", "export", "promote"]  # the last stage to make
TEACHER = "The teacher that is asked: embedded, transformers:..., openai:... or recorded:... (foveate teacher --help)."


def _verbose(context: click.Context, _option: click.Option, value: bool) -> None:
    root = context.find_root()
    root.meta["verbose"] = root.meta.get("verbose", False) or value


verbose_option = click.option("--verbose", is_flag=True, expose_value=False, callback=_verbose,
                              help="Show library logs and tracebacks.")


def verbose() -> bool:
    """Whether --verbose was given anywhere on the command line."""
    return click.get_current_context().find_root().meta.get("verbose", False)


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
    @click.option("--recipe", default="mipd", show_default=True, help="The distillation method.")
    @click.option("--teacher", default="", metavar="SPEC", help=TEACHER + " Default: the recipe's own.")
    @click.option("--seed", default=0, show_default=True, help="Seeds drawing, splits and training.")
    @click.option("--fast", is_flag=True, help="A small draw and short training: minutes, and no evidence.")
    @click.option("--set", "changes", multiple=True, metavar="A.B=C", help="Change a setting; may be repeated.")
    @click.option("--json", "json_to", metavar="FILE|-", help="Write the outcome as JSON.")
    @functools.wraps(command)
    def with_plan(*, data, dataset, annotations, space, recipe, teacher, seed, fast, changes, **rest):
        if click.get_current_context().invoked_subcommand:
            return None  # the command below a stage works on files, not on a run
        from components.pipeline.plan import make

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
