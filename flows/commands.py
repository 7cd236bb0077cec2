"""How every command looks: examples as they are written, --verbose, a misspelt one answered with the nearest."""

from typing import Any

import click

from components.base.errors import nearest


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
