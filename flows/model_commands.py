"""`foveate models` and `foveate drift`: what is registered and why, promotion by hand, the way back; still fit?"""

import os

import click

from flows.commands import Command, Commands
from flows.options import emit

recipe_option = click.option("--recipe", default="mipd", show_default=True, help="Whose models.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


@click.group(cls=Commands)
def models() -> None:
    """The registered students: list, show, compare, promote, roll back.

    A version is named by its number, or by an alias: champion, challenger.
    """


@models.command("list")
@recipe_option
@json_option
def models_list(recipe, as_json) -> None:
    """Every version with its verdict: `foveate models list`."""
    from components.pipeline.model_commands import list_models, listed

    _tell(list_models(recipe), listed, as_json)


@models.command("show")
@click.argument("which", default="champion")
@recipe_option
@click.option("--json", is_flag=True, expose_value=False, help="As the other commands; this one always prints JSON.")
def models_show(which, recipe) -> None:
    """One version in full: scores, data, reasons, moves: `foveate models show champion`."""
    from components.pipeline.model_commands import show_model

    emit(show_model(recipe, which), "-")


@models.command("compare")
@click.argument("before", default="champion")
@click.argument("after", default="challenger")
@recipe_option
@json_option
def models_compare(before, after, recipe, as_json) -> None:
    """Two versions on the same test images, with paired intervals; changes nothing.

    \b
    foveate models compare                       champion against challenger
    foveate models compare 3 5 --json
    """
    from components.pipeline.model_commands import compare_models, compared

    _tell(compare_models(recipe, before, after), compared, as_json)


@models.command("promote")
@click.argument("which")
@click.option("--force", is_flag=True, help="Make it champion whatever the gate says; needs --reason.")
@click.option("--reason", default="", help="Why; recorded with the model.")
@recipe_option
@json_option
def models_promote(which, force, reason, recipe, as_json) -> None:
    """Judge a version against the champion, and make it champion if nothing speaks against it.

    \b
    foveate models promote 4
    foveate models promote 4 --force --reason "the champion fails on night scenes"

    Exit code 1 where it was rejected.
    """
    from components.pipeline.model_commands import judged, promote_model

    told = promote_model(recipe, which, force=force, reason=reason)
    _tell(told, judged, as_json)
    if not told["promoted"]:
        raise click.exceptions.Exit(1)


@models.command("rollback")
@click.option("--reason", required=True, help="Why; recorded with the model.")
@recipe_option
@json_option
def models_rollback(reason, recipe, as_json) -> None:
    """Give the alias champion back to the version that had it before: `foveate models rollback --reason TEXT`."""
    from components.pipeline.model_commands import rollback_model

    _tell(rollback_model(recipe, reason),
          lambda move: f"version {move['to']} of {move['model']} is champion again", as_json)


@click.command(cls=Command)
@click.option("--model", default="champion", show_default=True, help="champion, or a version number.")
@click.option("--window", default=500, show_default=True, help="How many of the newest predictions.")
@click.option("--alpha", default=0.01, show_default=True, help="How often an unchanged stream may raise an alarm.")
@recipe_option
@json_option
def drift(model, window, alpha, recipe, as_json) -> None:
    """Whether logged predictions are of the kind that the student was tested on.

    \b
    foveate predict *.jpg --log                  predictions are logged, without images and names
    foveate drift                                the newest 500, beside the test

    Exit code 1 where they have drifted. Where PREFECT_API_URL is set, the event foveate.drift.detected is emitted.
    """
    from components.monitoring.drift import Settings
    from components.pipeline.drift import look, told

    settings = Settings(alpha=alpha, window=window)
    taken = look(recipe, model, settings)
    if taken.found.verdict == "drift" and os.environ.get("PREFECT_API_URL"):
        from flows.drift_monitoring import tell

        tell(taken)
    if as_json:
        emit(taken.as_dict(), "-")
    else:
        click.echo(told(taken))
    if taken.found.verdict == "drift":
        raise click.exceptions.Exit(1)


def _tell(found, shown, as_json: bool) -> None:
    if as_json:
        emit(found, "-")
    else:
        click.echo(shown(found))
