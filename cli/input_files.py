"""Read the operator's files: sources, secrets, requests, faults. Each mistake is one line that names its place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from cli.source_files import check_sources
from cli.yaml_files import read_text, read_yaml, read_yaml_document
from courier.config.environment import DEFAULT_SECRET_PREFIX
from courier.config.secrets import parse_secret
from courier.config.settings import SourceSettings
from courier.config.validation import describe_validation
from courier.errors import SettingsError
from courier.models import BuildRef, BuildRequest
from courier.providers import provider_class

if TYPE_CHECKING:
    from local.simulator import FaultRule


@dataclass(frozen=True)
class Configuration:
    """Holds the usable sources of one YAML document, and one line per mistake in the others.

    ``names`` includes the names of wrong sources.
    """

    sources: tuple[SourceSettings, ...]
    mistakes: tuple[str, ...]
    names: frozenset[str]


def read_sources(path: Path, *, secret_prefix: str = DEFAULT_SECRET_PREFIX) -> Configuration:
    """Read ``sources.yaml`` for a stack with this prefix of secrets; a wrong source does not affect the others.

    Raises
    ------
    SettingsError
        The file cannot be read, is not YAML, or has no list of sources.
    """
    checked = check_sources(read_yaml_document(path), secret_prefix=secret_prefix)
    mistakes = tuple(problem.line_for(path) for problem in checked.problems)
    if not checked.sources and not checked.names and mistakes:
        raise SettingsError(mistakes[0])
    return Configuration(checked.sources, mistakes, checked.names)


def read_secrets(path: Path) -> Mapping[str, object]:
    """Read the YAML or JSON file that maps secret names to values; `check_secret` checks the values.

    Raises
    ------
    SettingsError
        The file cannot be read, or is not such a map. The message quotes nothing from the file.
    """
    document = read_yaml(path, is_secret=True)
    if not isinstance(document, dict):
        raise SettingsError(f"{path}: must map secret names to values")
    return {str(name): value for name, value in document.items()}


def check_secret(settings: SourceSettings, secrets: Mapping[str, object] | None, file: Path | None) -> str:
    """Return the value of a source's secret, which the file holds; None stands for no secrets file at all.

    Raises
    ------
    SettingsError
        The value is missing or cannot be an API key. The message names the secret and quotes nothing from it.
    """
    where = f"source {settings.name}"
    if secrets is None:
        raise SettingsError(f"{where} needs the secret {settings.secret}: pass --secrets FILE")
    if settings.secret not in secrets:
        raise SettingsError(f"{where}: secret {settings.secret} is missing from {file}{_similar(settings, secrets)}")
    value = secrets[settings.secret]
    if value is None:
        raise SettingsError(f"{where}: secret {settings.secret} is empty")
    if isinstance(value, dict):
        # Secrets Manager would hold it as JSON.
        value = json.dumps(value, default=str)
    if not isinstance(value, str):
        raise SettingsError(f"{where}: secret {settings.secret} must be a string; put it in quotes")
    try:
        secret = parse_secret(settings.secret, value)
        provider_class({"provider": settings.provider}).check_secret(settings, secret)
    except SettingsError as exc:
        raise SettingsError(f"{where}: {exc}") from exc
    return value


def _similar(settings: SourceSettings, secrets: Mapping[str, object]) -> str:
    """Return a hint at a similar name in the file, and none at any other: an API key may be there by mistake."""
    _, _, own = settings.secret.rpartition("/")
    near = [name for name in secrets if name.rpartition("/")[2] == own]
    near = near or get_close_matches(settings.secret, secrets, n=1, cutoff=0.7)
    return f"; it has a similar name: {near[0]}" if near else ""


def read_request(path: Path) -> BuildRequest:
    """Read a build request.

    Raises
    ------
    SettingsError
        The file cannot be read, or is not a build request.
    """
    text = read_text(path)
    try:
        document = json.loads(text)
    except json.JSONDecodeError as exc:
        raise SettingsError(f"{path}: invalid JSON in line {exc.lineno}: {exc.msg}") from exc
    except (ValueError, RecursionError) as exc:
        raise SettingsError(f"{path}: invalid JSON: {exc}") from exc
    if not isinstance(document, dict):
        raise SettingsError(f'{path}: must be an object such as {{"source": "insights", "data_model": "..."}}')
    try:
        return BuildRequest.model_validate(document)
    except ValidationError as exc:
        raise SettingsError(f"{path}: {describe_validation(exc)}") from None


def read_faults(path: Path) -> tuple[FaultRule, ...]:
    """Read a file with faults for the simulated providers.

    Raises
    ------
    SettingsError
        The file cannot be read, or is wrong.
    """
    # Here, because only faults need the simulated providers.
    from local.simulator.fault_files import read_rules

    text = read_text(path)
    try:
        return read_rules(text)
    except SettingsError as exc:
        raise SettingsError(f"{path}: {exc}") from None


def read_watch(text: str) -> BuildRequest:
    """Read ``SOURCE/SCOPE/BUILD_ID``.

    Raises
    ------
    SettingsError
        The text has another form.
    """
    try:
        ref = BuildRef.parse(text)
    except ValidationError as exc:
        raise SettingsError(
            f"--watch {text}: must be SOURCE/SCOPE/BUILD_ID: red-team/acme/main/chatbot/JOB_ID or insights/OID/OID"
        ) from exc
    return BuildRequest(source=ref.source, scope=ref.scope, build_id=ref.build_id)
