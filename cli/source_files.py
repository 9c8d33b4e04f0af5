"""Read a file with sources, or with a definition alone, and report all that is wrong with it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cli.source_changes import size_problem
from cli.source_check import Problem, examine, problem_at
from cli.yaml_files import Steps, YamlDocument, YamlError, construct, read_text, read_yaml_document, scalars, type_of
from courier.config.environment import DEFAULT_SECRET_PREFIX
from courier.config.settings import SourceSettings
from courier.errors import SettingsError
from courier.providers import provider_class
from courier.providers.http_json.checks import templates
from courier.providers.http_json.definition import Definition
from courier.providers.http_json.placeholders import NAME_PATTERN, placeholders
from courier.providers.http_json.settings import HttpJsonSettings
from courier.providers.http_json.shipped import ShippedDefinition, with_defaults
from courier.transfer.url_policy import LinkRules

# Booleans besides true and false; octal numbers, digits in groups, and base 60.
_OTHER_MEANING = re.compile(
    r"(?i)y|n|yes|no|on|off|[-+]?0[0-9_]+|[-+]?[0-9][0-9_]*(?::[0-9]+)+(?:\.[0-9_]*)?|[0-9]+_[0-9_]+"
)


@dataclass(frozen=True)
class CheckedFile:
    """What a file holds that can be used, and what is wrong with the rest.

    ``names``
        The names of all sources, of the wrong ones as well.
    ``warnings``
        What may be meant otherwise.
    ``needs``
        Of a definition alone: what a source that uses it has to fill in, such as ``values.region``.
    """

    sources: tuple[SourceSettings, ...] = ()
    definition: Definition | None = None
    problems: tuple[Problem, ...] = ()
    names: frozenset[str] = frozenset()
    warnings: tuple[Problem, ...] = ()
    needs: tuple[str, ...] = ()


def check_file(path: Path, *, secret_prefix: str = DEFAULT_SECRET_PREFIX) -> CheckedFile:
    """Check a file with sources, with a definition alone, or with one as those that come with the courier.

    Raises
    ------
    SettingsError
        The file cannot be read.
    """
    try:
        document = read_yaml_document(path)
    except YamlError as exc:
        return CheckedFile(problems=(Problem(exc.line, exc.column, "", exc.problem),))
    value = document.value
    if isinstance(value, dict) and "sources" not in value and value.keys() & {"title", "api", "example"}:
        checked = _check_shipped(document, value, secret_prefix)
    elif isinstance(value, dict) and "sources" not in value and value.keys() & Definition.model_fields.keys():
        checked = _check_definition(document, value)
    else:
        checked = check_sources(document, secret_prefix=secret_prefix)
    problems = (*checked.problems, *_too_large(document, checked.sources))
    return replace(checked, problems=problems, warnings=tuple(_other_meanings(document)))


def _check_definition(document: YamlDocument, value: Mapping[str, Any]) -> CheckedFile:
    definition, problems = examine(Definition, value, document)
    if definition is None:
        return CheckedFile(problems=tuple(problems))
    needs: dict[str, None] = {}
    for place, text, names in templates(definition):
        for found in placeholders(text):
            if found.name in {"input", "secret"}:
                needs[f"{found} (optional)" if found.is_optional else str(found)] = None
            elif found.name == "scope" and "scope" in names:
                needs["scopes"] = None
            elif found.name not in names and found.field is None and re.fullmatch(NAME_PATTERN, found.name):
                needs[f"values.{found.name}"] = None
            elif found.name not in names:
                message = f"{place}: nothing fills {{{found}}}; known here: {', '.join(sorted(names)) or 'none'}"
                problems.append(problem_at(document, (), message))
    if definition.auth.kind == "oauth2":
        needs |= dict.fromkeys(f"secret.{name}" for name in ("client_id", "client_secret"))
        needs |= {"secret.refresh_token": None} if definition.auth.grant == "refresh_token" else {}
    if problems:
        return CheckedFile(problems=tuple(problems))
    return CheckedFile(definition=definition, needs=tuple(sorted(needs)))


def _too_large(document: YamlDocument, sources: Sequence[SourceSettings]) -> Iterator[Problem]:
    """Yield which sources do not fit into a parameter; `courier run` needs none."""
    entries = document.value.get("sources", ()) if isinstance(document.value, dict) else ()
    at = {entry.get("name"): ("sources", index) for index, entry in enumerate(entries) if isinstance(entry, dict)}
    for settings in sources:
        problem = size_problem(settings)
        if problem is not None:
            yield problem_at(document, at.get(settings.name, ()), problem)


def _other_meanings(document: YamlDocument) -> Iterator[Problem]:
    """Yield what YAML 1.1 takes for a boolean or a number where JSON goes to the API, and other readers would not."""
    for way, node in scalars(document.root):
        if not {"body", "input"} & set(way) or not _OTHER_MEANING.fullmatch(node.value) or type_of(node) is None:
            continue
        read = json.dumps(construct(node))
        message = f'is {read} in YAML 1.1; write "{node.value}" if you mean the text, or {read}'
        yield problem_at(document, way, message)


def read_one_source(path: Path, name: str | None, *, secret_prefix: str = DEFAULT_SECRET_PREFIX) -> SourceSettings:
    """Return one source; the only one, if no name is given.

    Raises
    ------
    SettingsError
        There is no such source, or something is wrong with it.
    """
    checked = check_file(path, secret_prefix=secret_prefix)
    named = {settings.name: settings for settings in checked.sources}
    if name is None and len(checked.names) == 1:
        name = next(iter(checked.names))
    settings = named.get(name or "")
    if settings is None and checked.problems:
        lines = [problem.line_for(path) for problem in checked.problems]
        raise SettingsError("\n".join(lines))
    if settings is None and checked.definition is not None:
        raise SettingsError(f"{path}: has a definition without a source; put it under api of a source")
    if settings is None:
        raise SettingsError(f"SOURCE: name one of {', '.join(sorted(checked.names))}")
    return settings


def _check_shipped(document: YamlDocument, value: Mapping[str, Any], secret_prefix: str) -> CheckedFile:
    """Check a definition as those that come with the courier, with its example."""
    shipped, problems = examine(ShippedDefinition, value, document)
    if shipped is None:
        return CheckedFile(problems=tuple(problems))
    example = {**with_defaults(shipped.example, shipped.defaults), "api": value["api"]}
    context = {"secret_prefix": secret_prefix}
    settings, problems = examine(HttpJsonSettings, example, document, at=("example",), context=context)
    sources = () if settings is None else (settings,)
    return CheckedFile(sources, shipped.api, tuple(problems), frozenset({str(example.get("name"))}))


def check_sources(document: YamlDocument, *, secret_prefix: str = DEFAULT_SECRET_PREFIX) -> CheckedFile:
    """Check a document with a list of sources; a wrong source does not affect the others."""
    value = document.value
    if not isinstance(value, dict) or not isinstance(value.get("sources"), list):
        return _with_problem(document, (), "the document must have a list named sources")
    unknown = sorted(str(key) for key in value if key != "sources")
    if unknown:
        return _with_problem(document, (unknown[0],), f"unknown: {', '.join(unknown)}; only sources is read")
    if not value["sources"]:
        return _with_problem(document, ("sources",), "sources is empty")
    usable: dict[str, SourceSettings] = {}
    problems: list[Problem] = []
    for index, entry in enumerate(value["sources"]):
        at = ("sources", index)
        settings, found = _check_source(entry, document, at, secret_prefix)
        problems += found
        if settings is not None and settings.name in usable:
            message = f"{settings.name} is already used by a source above; choose another name"
            problems.append(problem_at(document, (*at, "name"), message))
        elif settings is not None:
            usable[settings.name] = settings
    names = frozenset(str(entry["name"]) for entry in value["sources"] if isinstance(entry, dict) and "name" in entry)
    return CheckedFile(tuple(usable.values()), None, tuple(problems), names)


def _check_source(
    entry: object, document: YamlDocument, at: Steps, secret_prefix: str
) -> tuple[SourceSettings | None, list[Problem]]:
    if not isinstance(entry, dict):
        return None, [problem_at(document, at, "must be a map of settings")]
    value = {str(key): inner for key, inner in entry.items()}
    try:
        model = provider_class(value).settings_model
    except SettingsError as exc:
        return None, [problem_at(document, at, str(exc))]
    problems = []
    bundle = value.get("ca_bundle")
    if isinstance(bundle, str) and "-----BEGIN" not in bundle:
        # A path is easier to write than PEM text; the parameter holds the text, because a function has no such file.
        try:
            value["ca_bundle"] = read_text(document.path.parent / bundle)
        except SettingsError as exc:
            problems.append(problem_at(document, (*at, "ca_bundle"), str(exc)))
            del value["ca_bundle"]
    settings, found = examine(model, value, document, at=at, context={"secret_prefix": secret_prefix})
    problems += found
    if settings is not None:
        try:
            LinkRules.of_source(settings)
        except SettingsError as exc:
            problems.append(problem_at(document, at, str(exc)))
    return (None if problems else settings), problems


def _with_problem(document: YamlDocument, at: Steps, message: str) -> CheckedFile:
    return CheckedFile(problems=(problem_at(document, at, message),))
