"""How the help of every command names what an option takes: ``FILE`` instead of a Python type, nothing for a flag."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

if TYPE_CHECKING:
    from collections.abc import Iterable

_PLACEHOLDERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "<str>": "TEXT",
        "<list[str]>": "TEXT",
        "<int>": "NUMBER",
        "<int range>": "NUMBER",
        "<float>": "NUMBER",
        "<float range>": "NUMBER",
        "<file>": "FILE",
        "<path>": "FILE",
    }
)


def _name_values(context: typer.Context, parameters: Iterable[object]) -> None:
    for parameter in parameters:
        if isinstance(parameter, TyperArgument) and parameter.metavar is None and parameter.name:
            parameter.metavar = parameter.name.upper()
        elif isinstance(parameter, TyperOption) and parameter.metavar is None:
            shown = parameter.display_type(context)
            parameter.metavar = "" if parameter.is_bool_flag else _PLACEHOLDERS.get(shown)


class HelpfulCommand(TyperCommand):
    """A command whose help has placeholders."""

    def get_params(self, ctx):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201 - Typer's own types are private
        """Return the parameters, each with a placeholder."""
        parameters = super().get_params(ctx)
        _name_values(ctx, parameters)
        return parameters

    def collect_usage_pieces(self, ctx):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201 - as above
        """Return the parts of the usage line; required arguments need no braces."""
        return [piece.replace("{", "").replace("}", "") for piece in super().collect_usage_pieces(ctx)]


class HelpfulGroup(TyperGroup):
    """A group of commands whose help has placeholders."""

    def get_params(self, ctx):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201 - as above
        """Return the parameters, each with a placeholder."""
        parameters = super().get_params(ctx)
        _name_values(ctx, parameters)
        return parameters


def use_placeholders(app: typer.Typer) -> None:
    """Give every command of an app help with placeholders, also those of its groups."""
    app.info.cls = HelpfulGroup
    for command in app.registered_commands:
        command.cls = HelpfulCommand
    for group in app.registered_groups:
        group.cls = HelpfulGroup
        if group.typer_instance is not None:
            use_placeholders(group.typer_instance)
