"""The commands that keep models fresh: new data, and retraining on it."""

from typing import get_args

import click

from components.base.errors import UserError
from flows.options import FILE, FOLDER, TEACHER, Until, emit


@click.argument("source", type=FOLDER)
@click.option("--dataset", metavar="NAME", help="The dataset to add to, or to begin (default: dataset).")
@click.option("--out", type=FOLDER, help="Write a dataset into this folder instead, and add to none.")
@click.option("--annotations", type=FILE, help="SWiG JSON (default: annotations.json in the folder).")
@click.option("--space", type=FILE, help="The lexicon (default: space.json in the folder).")
@click.option("--seed", default=0, show_default=True, help="Of the splits of the first version.")
@click.option("--dev", type=float, help="Images of a seen verb for tuning: a share below 1 or a count.")
@click.option("--test", type=float, help="Images of a seen verb for testing, for good: a share below 1 or a count.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def ingest(source, dataset, out, as_json, **options) -> None:
    """Check a folder of images and add what is new in it to a dataset, as a new version.

    Repeated and nearly equal images fall away. The first version is split, and its test split stays; later images only
    train and tune. What is faulty is refused whole.

    \b
    foveate data ingest photos
    foveate data ingest more-photos --dataset birds --annotations birds.json
    foveate data ingest photos --out dataset      only a dataset in a folder
    """
    from components.pipeline.commands import grow_dataset, ingest_images

    if out and dataset:
        raise UserError("writes to a folder of its own", where="--out", mend="leave out --out or --dataset")
    if out:
        click.echo(ingest_images(source, out, options["annotations"], options["space"]))
        return
    told, version, text = grow_dataset(source, dataset or "dataset", **options)
    if version:
        text += f"\n`foveate retrain {version.name}` makes its student"
    if as_json:
        emit(told, "-")
    else:
        click.echo(text)


@click.argument("dataset", default="dataset")
@click.option("--recipe", default="mipd", show_default=True, help="The distillation method.")
@click.option("--teacher", default="", metavar="SPEC", help=TEACHER + " Default: embedded.")
@click.option("--seed", default=0, show_default=True)
@click.option("--fast", is_flag=True, help="Short training: minutes, and no evidence.")
@click.option("--set", "settings", multiple=True, metavar="A.B=C", help="Change a setting; may be repeated.")
@click.option("--start-from", type=click.Choice(["scratch", "champion"]), default="scratch", show_default=True,
              help="Whose weights training begins with.")
@click.option("--until", type=click.Choice(get_args(Until)), default="promote", show_default=True,
              help="The last stage to make.")
@click.option("--force", is_flag=True, help="Also where it was made already, or is too soon.")
def retrain(dataset, settings, force, **options) -> None:
    """Make a student of the newest version of a dataset, unless that was done.

    \b
    foveate retrain photos
    foveate retrain photos --start-from champion --set distil.epochs=2 --force
    """
    from flows.run import run_retraining

    run_retraining(dataset, settings=list(settings), force=force, quiet_seconds=0, cooldown_seconds=0, **options)
