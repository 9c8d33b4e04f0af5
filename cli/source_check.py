"""Find every problem of a document's models at once, each with its place in the file.

pydantic stops at the fields: what a definition lacks as a whole is not examined while one of its expressions does not
compile. So a value that is wrong is replaced by one that is right, for the examination only, and the document is
validated once more.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from cli.yaml_files import Steps, YamlDocument, scalars, show_steps, type_of
from courier.config.validation import describe_error, without_misspelled
from courier.providers.http_json.definition import Definition
from courier.providers.http_json.placeholders import placeholders

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

# One round finds what the fields hide, the next what the first model hides from the one around it.
_ROUNDS = 4
_PLACE = re.compile(r"([A-Za-z_][\w-]*(?:\.[\w-]+|\[\d+\])*): ")
_QUOTED = re.compile(r"\{([\w.-]+)\}|'([^']+)'")
# Errors of the branch of a union that the value was not meant for, where another branch has an error as well.
_OTHER_BRANCH = frozenset({"literal_error", "bool_type", "bool_parsing", "none_required"})

AnyModel = TypeVar("AnyModel", bound=BaseModel)


@dataclass(frozen=True, order=True)
class Problem:
    """What is wrong in a file, and where; line and column count from one."""

    line: int | None
    column: int | None
    path: str
    message: str

    def line_for(self, file: object) -> str:
        """Return the problem in one line, which editors can follow to its place."""
        position = f":{self.line}:{self.column}" if self.line is not None else ""
        return f"{file}{position}: {self.path}{': ' if self.path else ''}{self.message}"


def examine(
    model: type[AnyModel],
    value: Mapping[str, Any],
    document: YamlDocument,
    *,
    at: Steps = (),
    context: Mapping[str, Any] | None = None,
) -> tuple[AnyModel | None, list[Problem]]:
    """Return the model of a value at some place of a document, or None and all that is wrong with the value."""
    problems: dict[Problem, None] = {}
    repaired: dict[str, Any] = copy.deepcopy(dict(value))

    def validate() -> tuple[AnyModel | None, list[ErrorDetails], list[tuple[type[BaseModel], str]]]:
        whole: list[tuple[type[BaseModel], str]] = []
        try:
            accepted = model.model_validate(repaired, context={**(context or {}), "problems": whole})
        except ValidationError as exc:
            errors = exc.errors(include_url=False, include_input=False)
            return None, [error for error in errors if not _is_of_another_branch(error, errors, document, at)], whole
        return accepted, [], whole

    def is_right(place: Sequence[str | int]) -> bool:
        return not any(error["loc"][: len(place)] == tuple(place) for error in validate()[1])

    for _ in range(_ROUNDS):
        accepted, errors, whole = validate()
        for error in without_misspelled(errors, model):
            problems[_problem_of(error, model, document, at)] = None
        for of, message in whole:
            place = (*at, "api") if of is Definition and model is not Definition else at
            problems[problem_at(document, place, message)] = None
        if accepted is not None:
            return (None if problems else accepted), sorted(problems)
        repairs = [_repair(repaired, error, document, at, is_right) for error in errors]
        if not all(repairs):
            break
    return None, sorted(problems)


def _problem_of(error: ErrorDetails, model: type[BaseModel], document: YamlDocument, at: Steps) -> Problem:
    return problem_at(
        document,
        (*at, *error["loc"]),
        describe_error(error, model),
        is_about_key=error["type"] in {"extra_forbidden", "invalid_key"} or error["loc"][-1:] == ("[key]",),
        missing=str(error["loc"][-1]) if error["type"] == "missing" else "",
    )


def problem_at(
    document: YamlDocument, way: Sequence[str | int], message: str, *, is_about_key: bool = False, missing: str = ""
) -> Problem:
    """Return a problem with its place: as the message says, which may begin with one, below a known part of the way."""
    found = document.find(way)
    missing_steps: Steps = (missing,) if missing else ()
    place = _PLACE.match(message)
    if place is not None:
        # Messages about a whole model begin with the place that they mean.
        steps = [int(step[1:-1]) if step[0] == "[" else step for step in re.findall(r"[\w-]+|\[\d+\]", place[1])]
        inner = document.find((*found.steps, *steps))
        missing_steps = tuple(steps[len(inner.steps) - len(found.steps) :])
        found, message = inner, message[place.end() :]
    if not missing_steps and not is_about_key:
        found = document.find((*found.steps, *_inside(found.node, message)))
    # Many messages about a model begin with the field that they mean: its position is better than the model's.
    named = document.find((*found.steps, message.partition(" ")[0].rstrip(":;,")))
    position = (found if missing_steps or is_about_key else named).position(of_key=is_about_key)
    message = _with_trap(found.key if is_about_key else found.node, message, found.steps)
    if found.steps:
        message = f"{message[0].lower()}{message[1:]}"
    return Problem(*position, show_steps((*found.steps, *missing_steps)), message)


def _inside(node: yaml.Node, message: str) -> Steps:
    """Return the way from a mapping or list on to the text that a message quotes: a placeholder, or a word."""
    quoted = _QUOTED.search(message)
    if isinstance(node, yaml.ScalarNode) or quoted is None:
        return ()
    placeholder, word = quoted.groups()
    wanted = rf"\{{{re.escape(placeholder)}[.?}}]" if placeholder else rf"(?i)\s*{re.escape(word)}\s*$"
    found = [way for way, scalar in scalars(node) if re.search(wanted, scalar.value)]
    # Of a word in two lists, the second one is wrong.
    return found[-1] if found else ()


def _with_trap(node: yaml.Node, message: str, steps: Steps) -> str:
    """Say what was written, where YAML reads something else than the text that it should be."""
    kind = type_of(node)
    if kind is None or not message.endswith(("in quotes", "valid string", "should be strings", "valid JSON value")):
        return message
    # A key may have been pasted in the place of its name.
    written = "" if "secret" in steps[-1:] else f': "{node.value}"'
    return f"is a {kind} in YAML 1.1; put it in quotes{written}"


def _is_of_another_branch(
    error: ErrorDetails, errors: Sequence[ErrorDetails], document: YamlDocument, at: Steps
) -> bool:
    """Return whether an error comes from the branch of a union that the value was not meant for."""
    way = document.find((*at, *error["loc"])).steps
    if error["type"] not in _OTHER_BRANCH or way == (*at, *error["loc"]):
        return False
    return any(
        other["type"] not in _OTHER_BRANCH and document.find((*at, *other["loc"])).steps[: len(way)] == way
        for other in errors
    )


def _repair(
    value: dict[str, Any],
    error: ErrorDetails,
    document: YamlDocument,
    at: Steps,
    is_right: Callable[[Sequence[str | int]], bool],
) -> bool:
    """Replace a wrong value by a right one, and return whether that is possible."""
    holder, key = _holder(value, error["loc"])
    if holder is None:
        return False
    if error["type"] == "extra_forbidden":
        del holder[key]
        return True
    wrong = holder[key]
    if isinstance(wrong, dict | list):
        return False
    node = document.find((*at, *error["loc"])).node
    written = node.value if isinstance(node, yaml.ScalarNode) else ""
    used = "".join(f"{{{found}}}" for found in placeholders(wrong)) if isinstance(wrong, str) else ""
    # A word without its quotes, a path, an expression, a pattern.
    for candidate in (written, f"/{used}", "@", "(x)"):
        holder[key] = candidate
        if is_right(error["loc"]):
            return True
    holder[key] = wrong
    return False


def _holder(value: Any, place: Sequence[str | int]) -> tuple[Any, Any]:  # noqa: ANN401 - YAML
    """Return the mapping or list that holds the value at a place, and its key there; branches of unions are skipped."""
    holder: Any = None
    key: Any = None
    for step in place:
        is_key = isinstance(value, dict) and step in value
        is_index = isinstance(value, list) and isinstance(step, int) and step < len(value)
        if is_key or is_index:
            holder, key, value = value, step, value[step]
    return holder, key
