"""The commands that keep models fresh: new data, retraining on it, and the local stack that does so by itself."""

from typing import Any, get_args

import click

from components.base.errors import PipelineError, UserError
from flows.options import FILE, FOLDER, TEACHER, Until, emit

PORT = click.IntRange(1, 65535)


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
    train and tune. What is faulty is refused whole. Where a stack is up (`foveate up`), it is told, and retrains.

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
        text += f"\n{_tell(version)}"
    if as_json:
        emit(told, "-")
    else:
        click.echo(text)


def _tell(version: Any) -> str:
    """Sends the event of a version where there is a server; says in any case what comes next."""
    from flows.server import api, prefect_api

    url = api()
    if not url:
        return f"no stack is up: `foveate up` retrains by itself, `foveate retrain {version.name}` does it now"
    with prefect_api():
        from flows.arrivals import announce

        try:
            announce(version)
        except PipelineError as error:
            return f"{error}; the schedules of the stack find the version when it is back"
    return f"told Prefect at {url}"


@click.option("--prefect-port", type=PORT, help="Default: that of the last time, else a free one.")
@click.option("--mlflow-port", type=PORT, help="Default: that of the last time, else a free one.")
@click.option("--deployments", "file", type=FILE, help="Instead of the prefect.yaml of Foveate.")
def up(prefect_port, mlflow_port, file) -> None:
    """Start the local stack: Prefect, MLflow and a worker, on loopback, over one state folder.

    It stays up when this command has ended. New versions of datasets are retrained on by themselves.

    \b
    foveate up
    foveate up --deployments my-prefect.yaml
    """
    from flows import deployments, stack

    file = file or deployments.FILE
    deployments.read(file)
    stack.up(prefect_port, mlflow_port)
    names = deployments.register_on_stack(file)
    deployments.take_up()
    for service, shows in (("prefect", "flows, schedules, events"), ("mlflow", "runs, scores, models")):
        click.echo(f"{service:8} {stack.address(service)}   {shows}")
    click.echo(f"deployed {', '.join(names)}\n`foveate status` shows it, `foveate down` ends it")


@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def status(as_json) -> None:
    """Processes of the stack, datasets, champions and the last runs."""
    from components.base.text import clean
    from flows import status as asked

    told = asked.status()
    if as_json:
        emit(told, "-")
    else:
        click.echo(clean(asked.shown(told)))


def down() -> None:
    """End the local stack; flows under way stop and go on from where they were when they are run again."""
    from flows import stack

    click.echo("the stack is down" if stack.down() else "no stack runs on this state folder")


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
