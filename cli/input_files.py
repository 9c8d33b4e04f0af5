"""Read the operator's files: sources, secrets, requests, faults. Each mistake is one line that names its place."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import yaml
from pydantic import ValidationError

from courier.config.environment import DEFAULT_SECRET_PREFIX
from courier.config.secrets import parse_api_key
from courier.config.settings import SourceSettings
from courier.config.validation import describe_validation
from courier.errors import SettingsError
from courier.models import BuildRef, BuildRequest
from courier.providers import parse_source, provider_class
from courier.transfer.url_policy import LinkRules
from local.simulator import FaultRule
from local.simulator.fault_files import read_rules


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
    document = _read_yaml(path)
    if not isinstance(document, dict) or not isinstance(document.get("sources"), list):
        raise SettingsError(f"{path}: the document must have a list named sources")
    unknown = sorted(str(key) for key in document if key != "sources")
    if unknown:
        raise SettingsError(f"{path}: unknown: {', '.join(unknown)}; only sources is read")
    if not document["sources"]:
        raise SettingsError(f"{path}: sources is empty")
    usable: dict[str, SourceSettings] = {}
    mistakes: list[str] = []
    for index, entry in enumerate(document["sources"]):
        where = f"sources[{index}]"
        try:
            settings = _read_source(entry, where, path.parent, secret_prefix)
        except SettingsError as exc:
            mistakes.append(f"{path}: {exc}")
            continue
        if settings.name in usable:
            mistakes.append(
                f"{path}: {where}.name: {settings.name} is already used by a source above; choose another name"
            )
            continue
        usable[settings.name] = settings
    names = frozenset(
        str(entry["name"]) for entry in document["sources"] if isinstance(entry, dict) and "name" in entry
    )
    return Configuration(tuple(usable.values()), tuple(mistakes), names)


def read_secrets(path: Path) -> Mapping[str, object]:
    """Read the YAML or JSON file that maps secret names to values; `check_secret` checks the values.

    Raises
    ------
    SettingsError
        The file cannot be read, or is not such a map. The message quotes nothing from the file.
    """
    document = _read_yaml(path, is_secret=True)
    if not isinstance(document, dict):
        raise SettingsError(f"{path}: must map secret names to values")
    return {str(name): value for name, value in document.items()}


def check_secret(settings: SourceSettings, secrets: Mapping[str, object] | None) -> str:
    """Return the value of a source's secret; None stands for no secrets file at all.

    Raises
    ------
    SettingsError
        The value is missing or cannot be an API key. The message names the secret and quotes nothing from it.
    """
    where = f"source {settings.name}"
    if secrets is None:
        raise SettingsError(f"{where} needs the secret {settings.secret}: pass --secrets FILE")
    if settings.secret not in secrets:
        raise SettingsError(f"{where}: secret {settings.secret} is missing from the secrets file")
    value = secrets[settings.secret]
    if value is None:
        raise SettingsError(f"{where}: secret {settings.secret} is empty")
    if not isinstance(value, str):
        raise SettingsError(f"{where}: secret {settings.secret} must be a string; put it in quotes")
    try:
        key = parse_api_key(settings.secret, value)
        provider_class({"provider": settings.provider}).authorization(settings, key)
    except SettingsError as exc:
        raise SettingsError(f"{where}: {exc}") from exc
    return value


def read_request(path: Path) -> BuildRequest:
    """Read a build request.

    Raises
    ------
    SettingsError
        The file cannot be read, or is not a build request.
    """
    text = _read_text(path)
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
    text = _read_text(path)
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


def _read_source(entry: object, where: str, folder: Path, secret_prefix: str) -> SourceSettings:
    if not isinstance(entry, dict):
        raise SettingsError(f"{where}: must be a map of settings")
    document = {str(key): value for key, value in entry.items()}
    bundle = document.get("ca_bundle")
    if isinstance(bundle, str) and "-----BEGIN" not in bundle:
        # A path is easier to write than PEM text; the parameter holds the text, because a function has no such file.
        document["ca_bundle"] = _read_text(folder / bundle)
    settings = parse_source(document, where=where, secret_prefix=secret_prefix)
    try:
        LinkRules.of_source(settings)
    except SettingsError as exc:
        raise SettingsError(f"{where}.{exc}") from exc
    return settings


class _StrictLoader(yaml.SafeLoader):
    """YAML loader that refuses duplicate keys, of which PyYAML drops the first silently."""

    # Its own copy: the SAM translator registers a constructor for any tag on the shared one.
    yaml_multi_constructors: ClassVar[dict[str | None, Any]] = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return a mapping as a dict."""
        seen: set[object] = set()
        for key, _ in node.value:
            if key.value in seen and isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key.value}", key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))
        return super().construct_mapping(node, deep)


def _read_yaml(path: Path, *, is_secret: bool = False) -> object:
    """Read a YAML document; for a secret one, report the line only, because the parser's message quotes the text."""
    try:
        return yaml.load(_read_text(path), Loader=_StrictLoader)  # noqa: S506 - a subclass of the safe one
    except (yaml.YAMLError, RecursionError, ValueError) as exc:
        mark = getattr(exc, "problem_mark", None)
        place = f" in line {mark.line + 1}" if mark is not None else ""
        problem = getattr(exc, "problem", None) or "it cannot be parsed"
        raise SettingsError(f"{path}: invalid YAML{place}" + ("" if is_secret else f": {problem}")) from None


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as exc:
        raise SettingsError(f"{path}: cannot be read: {exc.strerror or type(exc).__name__}") from exc
    except UnicodeDecodeError as exc:
        raise SettingsError(f"{path}: is not UTF-8 text") from exc
