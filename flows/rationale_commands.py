"""`foveate rationales`: asks the teacher, looks after its answers, and says what they cost."""

from pathlib import Path
from typing import Any

import click

from flows.commands import Commands, verbose_option
from flows.options import FILE, emit, limit_options, plan_options, run_until


@click.group(cls=Commands, invoke_without_command=True)
@verbose_option
@plan_options
@limit_options
def rationales(plan: Any, **options: Any) -> None:
    """Ask the teacher about every training image, through the answer cache.

    Works on the outputs of the stages before it for the same options, and makes those that are missing.

    \b
    foveate rationales
    foveate rationales --fast --seed 1
    foveate rationales --dry-run                              what it would cost
    foveate rationales --max-cost 20 --max-requests 5000      then it stops; with more it goes on
    foveate rationales cost --by teacher                      what was spent
    """
    run_until(plan, "rationales", **options)


@rationales.command()
@click.option("--by", default="run", show_default=True, help="run, teacher, dataset or kind.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def cost(by: str, as_json: bool) -> None:
    """What asking teachers has cost so far: `foveate rationales cost --by teacher`."""
    from components.pipeline import answers

    found = answers.cost(by)
    emit(found, "-") if as_json else click.echo(answers.cost_text(found))


@rationales.group()
def cache() -> None:
    """The answers that were paid for: count, check, remove, share."""


@cache.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def stats(as_json: bool) -> None:
    """How many answers, of which teachers, kinds and runs."""
    from components.pipeline import answers

    found = answers.stats()
    emit(found, "-") if as_json else click.echo(answers.stats_text(found))


@cache.command()
def verify() -> None:
    """Read every answer and check it; exit code 1 where some are damaged."""
    from components.pipeline import answers

    click.echo(answers.verify())


@cache.command()
@click.option("--older-than", default="", metavar="SPAN", help="Asked longer ago than this: 36h, 90d, 8w.")
@click.option("--teacher", default="", metavar="PATTERN", help='Of these teachers: "openai:*".')
@click.option("--run", default="", help="Paid for by this run.")
@click.option("--damaged", is_flag=True, help="That are not what was stored.")
@click.option("--yes", "really", is_flag=True, help="Remove them; without it they are only counted.")
def prune(**options: Any) -> None:
    """Remove the answers that fit all options: `foveate rationales cache prune --older-than 90d --yes`."""
    from components.pipeline import answers

    click.echo(answers.prune(**options))


@cache.command("export")
@click.argument("file", type=FILE)
@click.option("--teacher", default="*", metavar="PATTERN", help='Of these teachers only: "openai:*".')
def export_answers(file: Path, teacher: str) -> None:
    """Write answers as JSON lines, to share or, those of one teacher, to replay with `--teacher recorded:FILE`."""
    from components.pipeline import answers

    click.echo(answers.export(file, teacher))


@cache.command("import")
@click.argument("file", type=FILE)
def import_answers(file: Path) -> None:
    """Add the answers of such a file; one wrong line, and nothing is added."""
    from components.pipeline import answers

    click.echo(answers.bring_in(file))
