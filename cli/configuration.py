"""Reads the operator's files: sources, secrets, requests. Every mistake becomes one line that names its place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import ValidationError

from courier.errors import SettingsError
from courier.models import BuildRef, BuildRequest
from courier.providers import parse_source
from courier.settings import SourceSettings, describe_validation


@dataclass(frozen=True)
class Configuration:
    """The sources of one YAML document: those that can be used, and one line per mistake in the others."""

    sources: tuple[SourceSettings, ...]
    mistakes: tuple[str, ...]


def read_sources(path: Path) -> Configuration:
    """Read ``sources.yaml``; a source that is wrong stops no other.

    Raises
    ------
    SettingsError
        The file cannot be read, is no YAML, or has no list of sources.
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
            settings = _read_source(entry, where, path.parent)
        except SettingsError as exc:
            mistakes.append(f"{path}: {exc}")
            continue
        if settings.name in usable:
            mistakes.append(f"{path}: {where}.name: {settings.name} is taken by a source above; give another name")
            continue
        usable[settings.name] = settings
    return Configuration(tuple(usable.values()), tuple(mistakes))


def read_secrets(path: Path) -> Mapping[str, str]:
    """Read the file that maps names of secrets to values: YAML or JSON.

    Raises
    ------
    SettingsError
        The file cannot be read, or is no such map. The text never shows a value.
    """
    document = _read_yaml(path)
    if not isinstance(document, dict):
        raise SettingsError(f"{path}: must map names of secrets to values")
    secrets: dict[str, str] = {}
    for name, value in document.items():
        if not isinstance(value, str):
            raise SettingsError(f"{path}: {name}: the value must be text; put it in quotes")
        secrets[str(name)] = value
    return secrets


def missing_secret(settings: SourceSettings, secrets: Mapping[str, str]) -> str | None:
    """Say in one line what is wrong with a source's secret, if anything is."""
    value = secrets.get(settings.secret)
    if value is None:
        return f"source {settings.name}: secret {settings.secret} is missing from the secrets file"
    if not value.strip():
        return f"source {settings.name}: secret {settings.secret} is empty"
    return None


def read_request(path: Path) -> BuildRequest:
    """Read a request for a build.

    Raises
    ------
    SettingsError
        The file cannot be read, or is no request.
    """
    try:
        document = json.loads(_read_text(path))
    except ValueError as exc:
        place = f" in line {exc.lineno}" if isinstance(exc, json.JSONDecodeError) else ""
        raise SettingsError(f"{path}: no valid JSON{place}") from exc
    try:
        return BuildRequest.model_validate(document)
    except ValidationError as exc:
        raise SettingsError(f"{path}: {describe_validation(exc)}") from None


def read_watch(text: str) -> BuildRef:
    """Read ``SOURCE/SCOPE/BUILD_ID``.

    Raises
    ------
    SettingsError
        It is not of that form.
    """
    try:
        return BuildRef.parse(text)
    except ValidationError as exc:
        raise SettingsError(
            f"--watch {text!r}: give SOURCE/SCOPE/BUILD_ID, for example insights/<data model>/<build>"
        ) from exc


def _read_source(entry: object, where: str, folder: Path) -> SourceSettings:
    if not isinstance(entry, dict):
        raise SettingsError(f"{where}: must be a map of settings")
    document = {str(key): value for key, value in entry.items()}
    bundle = document.get("ca_bundle")
    if isinstance(bundle, str) and "-----BEGIN" not in bundle:
        # A path is kinder to write than PEM text; the parameter holds the text, since a function has no such file.
        document["ca_bundle"] = _read_text(folder / bundle)
    return parse_source(document, where=where)


def _read_yaml(path: Path) -> object:
    try:
        return yaml.safe_load(_read_text(path))
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        place = f" in line {mark.line + 1}" if mark is not None else ""
        problem = getattr(exc, "problem", None) or "it cannot be parsed"
        raise SettingsError(f"{path}: no valid YAML{place}: {problem}") from exc


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as exc:
        raise SettingsError(f"{path}: cannot be read: {exc.strerror or type(exc).__name__}") from exc
    except UnicodeDecodeError as exc:
        raise SettingsError(f"{path}: is not UTF-8 text") from exc
