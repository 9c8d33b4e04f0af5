"""The configured sources, read from Parameter Store: one parameter each, so that an invalid one stops no other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from courier.config.environment import DEFAULT_SECRET_PREFIX
from courier.errors import SettingsError
from courier.providers import parse_source

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

    from courier.config.settings import SourceSettings

# Operators change parameters, and a tick runs each minute: a warm function reads them once a minute.
MAX_AGE_SECONDS = 60


@dataclass(frozen=True)
class Sources:
    """The usable sources, and the reasons why the others are not, both by name."""

    usable: Mapping[str, SourceSettings] = field(default_factory=dict)
    broken: Mapping[str, str] = field(default_factory=dict)

    def get(self, name: str) -> SourceSettings:
        """Return one source.

        Raises
        ------
        SettingsError
            The source is not configured, or its configuration is invalid.
        """
        if name in self.broken:
            raise SettingsError(f"source {name} is misconfigured: {self.broken[name]}")
        if name not in self.usable:
            known = ", ".join(sorted(self.usable)) or "none"
            raise SettingsError(f"there is no source {name}; configured: {known}")
        return self.usable[name]


class SourceCatalog:
    """Reads the sources below one parameter path, and caches them for a minute."""

    def __init__(self, path: str, client: SSMClient, *, secret_prefix: str = DEFAULT_SECRET_PREFIX) -> None:
        # Imported here: it costs a tenth of a cold start, and a function without sources never needs it.
        from aws_lambda_powertools.utilities.parameters import SSMProvider  # noqa: PLC0415

        self._path = path.rstrip("/")
        self._secret_prefix = secret_prefix
        self._provider = SSMProvider(boto3_client=client)

    def load(self, *, fresh: bool = False) -> Sources:
        """Read and validate all sources; ``fresh`` does not accept those that were read a moment ago."""
        found = self._provider.get_multiple(self._path, max_age=MAX_AGE_SECONDS, force_fetch=fresh)
        usable: dict[str, SourceSettings] = {}
        broken: dict[str, str] = {}
        for name, text in found.items():
            try:
                usable[name] = read_source(name, str(text), secret_prefix=self._secret_prefix)
            except SettingsError as exc:
                broken[name] = str(exc)
        return Sources(usable, broken)


def read_source(name: str, text: str, *, secret_prefix: str = DEFAULT_SECRET_PREFIX) -> SourceSettings:
    """Read the JSON of one parameter, whose name must be the source's.

    Raises
    ------
    SettingsError
        The parameter holds no JSON object, or no valid source; the text names the field.
    """
    try:
        document = json.loads(text)
    except ValueError as exc:
        raise SettingsError(f"parameter {name} holds no JSON") from exc
    if not isinstance(document, dict):
        raise SettingsError(f"parameter {name} must hold a JSON object")
    settings = parse_source(document, secret_prefix=secret_prefix)
    if settings.name != name:
        raise SettingsError(f"parameter {name} holds a source named {settings.name}")
    return settings
