"""Read a file with sources, or with a definition alone, and report all that is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cli.source_check import Problem, examine, problem_at
from cli.yaml_files import Steps, YamlDocument, YamlError, read_text, read_yaml_document
from courier.config.environment import DEFAULT_SECRET_PREFIX
from courier.config.settings import SourceSettings
from courier.errors import SettingsError
from courier.providers import provider_class
from courier.providers.http_json.definition import Definition
from courier.providers.http_json.shipped import ShippedDefinition
from courier.transfer.url_policy import LinkRules


@dataclass(frozen=True)
class CheckedFile:
    """What a file holds that can be used, and what is wrong with the rest.

    ``names``
        The names of all sources, of the wrong ones as well.
    """

    sources: tuple[SourceSettings, ...] = ()
    definition: Definition | None = None
    problems: tuple[Problem, ...] = ()
    names: frozenset[str] = frozenset()


def check_file(path: Path, *, secret_prefix: str = DEFAULT_SECRET_PREFIX) -> CheckedFile:
    """Check a file with a list of sources, with a definition, or with a definition as those that come with the courier.

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
    if isinstance(value, dict) and "sources" not in value and value.keys() & Definition.model_fields.keys():
        model: type[Definition | ShippedDefinition] = ShippedDefinition if "title" in value else Definition
        found, problems = examine(model, value, document)
        definition = found.api if isinstance(found, ShippedDefinition) else found
        return CheckedFile(definition=definition, problems=tuple(problems))
    return check_sources(document, secret_prefix=secret_prefix)


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
