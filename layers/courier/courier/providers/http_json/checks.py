"""What is wrong with a definition as a whole, found where it is read: it must not be found where it is used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from courier.providers.http_json.placeholders import placeholders

if TYPE_CHECKING:
    from pydantic import JsonValue

    from courier.providers.http_json.calls import Call
    from courier.providers.http_json.definition import Definition

# Names that the courier fills itself.
OWN_NAMES = frozenset({"scope", "id", "input", "secret", "n", "build_gb", "query_gb"})
_ENDS = frozenset({"succeeded", "empty"})


def problems(definition: Definition) -> Iterator[str]:
    """Yield why a definition cannot work, whatever source uses it; each begins with its place."""
    yield from _words_twice(definition)
    yield from _names_twice(definition)
    yield from _unreadable_builds(definition)
    yield from _secrets_outside_auth(definition)
    auth, link = definition.auth, definition.link
    if auth.kind == "none" and not auth.also and link is not None and link.auth not in {None, False}:
        yield "link.auth: there are no credentials to send; auth.kind is none"


def _words_twice(definition: Definition) -> Iterator[str]:
    states: dict[str, str] = {}
    for word, state in definition.words.states():
        if states.setdefault(word, state) != state:
            yield f"words: {word!r} is in {states[word]} and in {state}; words are compared without case"


def _names_twice(definition: Definition) -> Iterator[str]:
    parts = scope_parts(definition)
    for name in (*parts, *definition.build.keep):
        if name in OWN_NAMES or (*parts, *definition.build.keep).count(name) > 1:
            yield f"{name} is the name of something else already; choose another for scope_parts or build.keep"


def _unreadable_builds(definition: Definition) -> Iterator[str]:
    build, status = definition.build, definition.status
    words = dict(definition.words.states())
    if build.status is None and words:
        yield "build.status: field required, because words say what its values mean"
    means = {*words.values(), *status.codes.values(), *(rule.means for rule in definition.rules)}
    if not means & _ENDS:
        yield "words: no word, code or rule says that a build has succeeded, so every build would time out"
    start = definition.start
    if start is not None and start.id is None and build.id is None:
        yield "start.id: field required where build.id does not say where the id is"
    if definition.list is not None and build.id is None:
        yield "build.id: field required to list builds"
    if definition.list is not None and build.id is not None and build.id.header is not None:
        yield "build.id: the entries of a list have no headers; read it from the body, and in start.id from the header"


def _secrets_outside_auth(definition: Definition) -> Iterator[str]:
    for place, value, _ in templates(definition):
        if not place.startswith("auth.") and any(found.name == "secret" for found in placeholders(value)):
            yield f"{place}: {{secret}} may stand under auth only; a further header with it is written under auth.also"


def scope_parts(definition: Definition) -> tuple[str, ...]:
    """Return the names of the parts of a scope."""
    return tuple(definition.scope_parts.split("/")) if definition.scope_parts is not None else ()


def templates(definition: Definition) -> Iterator[tuple[str, JsonValue, frozenset[str]]]:
    """Yield each text with placeholders: its place, the text or body, and the names that may stand there.

    The source's ``values`` may stand everywhere, and are not among the names.
    """
    scope = frozenset({"scope", *scope_parts(definition)})
    build = scope | {"id"}
    link_names = build | {"n", *definition.build.keep}
    auth = definition.auth
    for place, value in auth.secret_texts():
        yield f"auth.{place}", value, frozenset({"secret"})
    yield "auth.token_url", auth.token_url, frozenset()
    yield "auth.post", auth.post, frozenset()
    yield "headers", dict(definition.headers), frozenset()
    yield "query", dict(definition.query), frozenset()
    start = definition.start
    calls: Mapping[str, tuple[Call | None, frozenset[str]]] = {
        "start": (start, scope | {"input"}),
        "start.then": (start.then if start is not None else None, build | {"input"}),
        "preflight": (definition.preflight, scope | {"input"}),
        "status": (definition.status, build),
        "list": (definition.list, scope),
        "cancel": (definition.cancel, build),
        "scopes": (definition.scopes, frozenset()),
        "check": (definition.check, frozenset()),
        "limits": (definition.limits, frozenset()),
        "link": (definition.link.call if definition.link is not None else None, link_names),
    }
    for place, (call, names) in calls.items():
        if call is not None:
            yield from _call_templates(place, call, names)
    if definition.link is not None:
        link = definition.link
        yield "link.file", link.file, link_names
        yield "link.headers", dict(link.headers), link_names
        yield "link.name", link.name, link_names
        if link.call is None:
            yield "link.query", dict(link.query), link_names
    for name in ("failed", "query"):
        yield f"advice.{name}", getattr(definition.advice, name), frozenset({"build_gb", "query_gb"})


def _call_templates(place: str, call: Call, names: frozenset[str]) -> Iterator[tuple[str, JsonValue, frozenset[str]]]:
    yield f"{place}.{call.method.lower()}", call.path, names
    yield f"{place}.query", dict(call.query), names
    yield f"{place}.headers", dict(call.headers), names
    yield f"{place}.body", call.body, names
    yield f"{place}.form", dict(call.form or {}), names


def unfilled(definition: Definition, values: Mapping[str, str]) -> Iterator[str]:
    """Yield the placeholders that nothing fills, with the nearest name that something does."""
    from difflib import get_close_matches  # noqa: PLC0415 - only mistakes need it

    for place, value, names in templates(definition):
        known = {*names, *values}
        for found in placeholders(value):
            if found.name in known and (found.field is None or found.name in {"input", "secret"}):
                continue
            near = get_close_matches(found.name, known, n=1, cutoff=0.5)
            hint = f"did you mean {{{near[0]}}}?" if near else f"known here: {', '.join(sorted(known)) or 'none'}"
            yield f"api.{place}: nothing fills {{{found}}}; {hint} A constant of yours belongs to values"


def missing_input(definition: Definition, build_input: Mapping[str, JsonValue]) -> Iterator[str]:
    """Yield the fields of ``input`` that a request lacks, and those that nothing uses."""
    used = {
        found.field: found.is_optional
        for place, value, _ in templates(definition)
        if place.startswith(("start", "preflight"))
        for found in placeholders(value)
        if found.name == "input"
    }
    if None in used:
        return
    for field, is_optional in used.items():
        if field is not None and not is_optional and _find(build_input, field) is None:
            yield f"input.{field}: field required"
    tops = {str(field).partition(".")[0] for field in used}
    for name in build_input:
        if name not in tops:
            yield f"input.{name}: is unknown; the definition uses {', '.join(sorted(tops)) or 'none'}"


def _find(build_input: Mapping[str, JsonValue], place: str) -> JsonValue:
    value: JsonValue = dict(build_input)
    for step in place.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value
