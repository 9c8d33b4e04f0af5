"""The parameters of ``template.yaml``: their groups, their defaults, and what their values may be."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samtranslator.yaml_helper import yaml_parse

from courier.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One parameter of the template."""

    name: str
    group: str
    default: str
    description: str
    is_number: bool
    pattern: str | None
    allowed: tuple[str, ...]
    minimum: float | None
    maximum: float | None
    constraint: str

    def mistake(self, value: str) -> str | None:
        """Return why CloudFormation would refuse a value; None if it would not."""
        if self.is_number and not re.fullmatch(r"-?[0-9]+", value):
            return "must be a whole number"
        checks = (
            (bool(self.allowed) and value not in self.allowed, f"must be one of {', '.join(self.allowed)}"),
            (self.minimum is not None and float(value) < self.minimum, f"must be at least {self.minimum}"),
            (self.maximum is not None and float(value) > self.maximum, f"must be at most {self.maximum}"),
            (bool(self.pattern) and not re.search(self.pattern or "", value), self.constraint),
            (not value.isprintable(), "must have no control characters"),
        )
        return next((message for is_wrong, message in checks if is_wrong), None)


def read_parameters(template: Path) -> dict[str, Parameter]:
    """Return the parameters of a template by name, in the order of its parameter groups."""
    document: dict[str, Any] = yaml_parse(template.read_text(encoding="utf-8"))
    declared: dict[str, dict[str, Any]] = document["Parameters"]
    groups = document["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    of_group = {name: group["Label"]["default"] for group in groups for name in group["Parameters"]}
    names = [*of_group, *(name for name in declared if name not in of_group)]
    return {name: _parameter(name, of_group.get(name, "Other"), declared[name]) for name in names}


def _parameter(name: str, group: str, entry: Mapping[str, Any]) -> Parameter:
    return Parameter(
        name=name,
        group=group,
        default=str(entry["Default"]),
        description=entry["Description"],
        is_number=entry["Type"] == "Number",
        pattern=entry.get("AllowedPattern"),
        allowed=tuple(str(value) for value in entry.get("AllowedValues", ())),
        minimum=entry.get("MinValue"),
        maximum=entry.get("MaxValue"),
        constraint=entry.get("ConstraintDescription", f"must match {entry.get('AllowedPattern')}"),
    )


def parse_settings(texts: list[str], parameters: Mapping[str, Parameter]) -> dict[str, str]:
    """Parse ``NAME=VALUE`` arguments.

    Raises
    ------
    SettingsError
        An argument has another form, or the template has no such parameter.
    """
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise SettingsError(f'{text}: must be NAME=VALUE, such as LogLevel=DEBUG; in make, PARAMETERS="NAME=VALUE"')
        if name not in parameters:
            raise SettingsError(f"{name}: the template has no such parameter; it has {', '.join(parameters)}")
        found[name] = value
    return found


def mistakes_in(values: Mapping[str, str], parameters: Mapping[str, Parameter]) -> Iterator[str]:
    """Yield one line per value that CloudFormation would refuse."""
    for name, value in values.items():
        if name not in parameters:
            yield f"{name}: the template has no such parameter"
        elif (mistake := parameters[name].mistake(value)) is not None:
            yield f"{name}={value}: {mistake}"
