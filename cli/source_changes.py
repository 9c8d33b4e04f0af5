"""What ``courier config push`` changes: the sources of a file compared with the parameters of a stack."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from botocore.exceptions import BotoCoreError, ClientError

from courier import aws
from courier.config.settings import SourceSettings
from courier.errors import SettingsError
from courier.sources.catalog import read_source

# Largest standard and advanced parameter ("Managing parameter tiers", Systems Manager user guide).
STANDARD_BYTES = 4_096
ADVANCED_BYTES = 8_192
_SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class Changes:
    """Holds the changes to the parameters, by name of the source.

    ``added``, ``changed``
        Values to write.
    ``details``
        For each changed source, one line per setting that differs.
    ``mistakes``
        Why the changes cannot be applied.
    """

    added: Mapping[str, str] = field(default_factory=dict)
    changed: Mapping[str, str] = field(default_factory=dict)
    kept: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    details: Mapping[str, Sequence[str]] = field(default_factory=dict)
    mistakes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything changes."""
        return bool(self.added or self.changed or self.removed)


def compare(path: str, sources: Sequence[SourceSettings], *, secret_prefix: str) -> Changes:
    """Compare the sources with the parameters below a path, of a stack with this prefix of secrets."""
    wanted = {settings.name: _text_of(settings) for settings in sources}
    present = _present(path)
    changed = {name: text for name, text in wanted.items() if name in present and present[name] != text}
    return Changes(
        added={name: text for name, text in wanted.items() if name not in present},
        changed=changed,
        kept=tuple(name for name, text in wanted.items() if present.get(name) == text),
        removed=tuple(sorted(present.keys() - wanted.keys())),
        details={name: tuple(_differences(name, present[name], text, secret_prefix)) for name, text in changed.items()},
        mistakes=tuple(
            f"{settings.name}: {problem}" for settings in sources if (problem := size_problem(settings)) is not None
        ),
    )


def describe(changes: Changes, path: str, *, would: bool) -> Iterator[str]:
    """Yield one line per source, and below a changed source its differences."""
    verb = "would " if would else ""
    for name, text in changes.added.items():
        yield f"{verb}add     {path}/{name}{_price(text)}"
    for name, text in changes.changed.items():
        yield f"{verb}change  {path}/{name}{_price(text)}"
        for line in changes.details[name]:
            yield f"{' ' * len(verb)}        {line}"
    for name in changes.kept:
        yield f"{verb}keep    {path}/{name}"
    for name in changes.removed:
        yield f"{verb}remove  {path}/{name}"


def size_problem(settings: SourceSettings) -> str | None:
    """Return why the settings of a source do not fit into a parameter; None where they do."""
    text = _text_of(settings)
    if (size := _size(text)) <= ADVANCED_BYTES:
        return None
    return f"its settings take {size:,} bytes, and a parameter holds {ADVANCED_BYTES:,}; {_remedy(text)}"


def describe_origins(settings: SourceSettings) -> str | None:
    """Return the complete list of the origins that see a source's credentials; None where the provider decides."""
    origins = getattr(settings, "credential_origins", None)
    return None if origins is None else f"credentials are sent to {', '.join(origins)}, and nowhere else"


def apply(changes: Changes, path: str) -> None:
    """Write and remove parameters.

    Raises
    ------
    SettingsError
        AWS rejected one; the message names it. Those before it are applied, and the next push applies the rest.
    """
    ssm = aws.client("ssm")
    name = ""
    try:
        for name, text in {**changes.added, **changes.changed}.items():
            ssm.put_parameter(
                Name=f"{path}/{name}", Value=text, Type="String", Overwrite=True, Tier="Intelligent-Tiering"
            )
        for name in changes.removed:
            try:
                ssm.delete_parameter(Name=f"{path}/{name}")
            except ssm.exceptions.ParameterNotFound:
                # Another push removed it first.
                continue
    except (BotoCoreError, ClientError) as exc:
        why = " ".join(str(exc).split())
        raise SettingsError(
            f"{path}/{name}: {why}; the changes listed above it are applied, push again for the rest"
        ) from exc


def _text_of(settings: SourceSettings) -> str:
    # Parameter Store reads two braces as a reference and rejects the value (PutParameter, "Value"). Compact JSON has
    # "{{" only inside strings, where one brace can be escaped.
    return settings.model_dump_json(exclude_defaults=True).replace("{{", "{\\u007b")


def _present(path: str) -> dict[str, str]:
    pages = aws.client("ssm").get_paginator("get_parameters_by_path").paginate(Path=path)
    return {item["Name"].removeprefix(f"{path}/"): item["Value"] for page in pages for item in page["Parameters"]}


def _remedy(text: str) -> str:
    api = json.loads(text).get("api")
    if isinstance(api, dict):
        size = _size(json.dumps(api, ensure_ascii=False, separators=(",", ":")))
        return f"api takes {size:,} of them: a definition that comes with the courier costs none, named as name@version"
    return "shorten ca_bundle, requests or data_models, or split the source in two"


def _size(text: str) -> int:
    return len(text.encode())


def _price(text: str) -> str:
    return f" (an advanced parameter, which is billed: {_size(text):,} bytes)" if _size(text) > STANDARD_BYTES else ""


def _differences(name: str, before: str, after: str, secret_prefix: str) -> Iterator[str]:
    try:
        read_source(name, before, secret_prefix=secret_prefix)
    except SettingsError:
        # A value written by hand may contain anything, such as a key, so it is not shown.
        yield "the current value is not a valid source"
        return
    old, new = dict(_flat(json.loads(before))), dict(_flat(json.loads(after)))
    for place in sorted(old.keys() | new.keys()):
        if old.get(place) != new.get(place):
            yield f"{place}: {_shown(old.get(place))} -> {_shown(new.get(place))}"


def _flat(value: object, place: str = "") -> Iterator[tuple[str, str]]:
    """Yield the path and value of each setting; a list is one value."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(inner, f"{place}.{name}".lstrip("."))
        return
    yield place, json.dumps(value, ensure_ascii=False)


def _shown(value: str | None) -> str:
    if value is None:
        return "default"
    return value if len(value) <= _SHOWN_CHARACTERS else f"{value[:_SHOWN_CHARACTERS]}... ({len(value)} characters)"
