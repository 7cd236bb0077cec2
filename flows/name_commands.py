"""`foveate names`: merging the names that a teacher gave to images, and the way back."""

import click

from flows.commands import Commands
from flows.options import FILE, emit


@click.group(cls=Commands)
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
        emit(report, json_to)
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
