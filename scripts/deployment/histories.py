"""Compares the histories of both engines, event by event and field by field."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# What differs from run to run, whatever the engine: replaced by its kind before the comparison.
_VOLATILE = (
    (re.compile(r"Request ID: [\w-]+"), "Request ID: <id>"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?"), "<time>"),
    (re.compile(r"date=20\d\d-\d\d-\d\d|/20\d\d/\d\d/\d\d/"), "<day>"),
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "<uuid>"),
    (re.compile(r"arn:aws:[a-z]+:[a-z0-9-]*:\d{12}:"), "<arn>:"),
    (re.compile(r"\b\d+ of \d+ bytes are stored"), "<bytes> are stored"),
)
# Errors of attempts that are only counted: `play` sees to it that there are enough of them.
_REPEATED = frozenset({"CopyUnfinishedError", "Lambda.TooManyRequestsException"})
# Events of one attempt: scheduled, started, failed.
_ATTEMPT = 3
# The resources that histories name.
NAMED = (
    "BuildLifecycle",
    "BuildLifecycleRole",
    "CopyArtifactFunction",
    "RecordOutcomeFunction",
    "LedgerTable",
    "ReportsBucket",
    "OutcomesTopic",
)
# Fields whose values differ from run to run. The last: a list may report the end of a build before it was polled.
_VOLATILE_FIELDS = {
    "timestamp": "<time>",
    "MessageId": "<id>",
    ":token": "<token>",
    "version_id": "<id>",
    "polls": "<count>",
}


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """A difference between the engines that is known, and why it does not matter.

    ``case``
        Pattern of the case's name.
    ``event``
        Pattern of the event's type.
    ``field``
        Pattern of the field's whole path.
    """

    event: str
    field: str
    reason: str
    case: str = ".*"

    def explains(self, difference: "Difference") -> bool:
        """Return whether it is this difference."""
        parts = (
            (self.case, difference.case),
            (self.event, difference.event),
            (self.field, difference.field),
        )
        return all(re.fullmatch(pattern, text) for pattern, text in parts)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One field of one event that differs; ``<absent>`` where an engine has none."""

    case: str
    number: int
    event: str
    field: str
    second: object
    embedded: object

    def __str__(self) -> str:
        return (
            f"{self.case}, event {self.number} ({self.event}), {self.field or 'type'}: "
            f"second engine {str(self.second)[:300]!r}, embedded AWS {str(self.embedded)[:300]!r}"
        )


_FAILED = "LambdaFunctionFailed|ExecutionFailed"
_DETAILS = r"(lambdaFunction|execution)FailedEventDetails\.cause"
EXPLANATIONS = (
    Explanation(
        event=_FAILED,
        field=rf"{_DETAILS}\.stackTrace.*",
        reason="the functions run from the deployed zips on Python 3.13 here, and from the checkout there",
    ),
    Explanation(
        event=_FAILED,
        field=rf"{_DETAILS}\.requestId",
        reason="only Lambda's runtime client adds the request id to an error",
    ),
    Explanation(
        case="killed",
        event="LambdaFunctionFailed",
        field=rf"{_DETAILS}\.errorMessage",
        reason="of a killed process, neither engine has the words of Lambda (the error's name is the same)",
    ),
    Explanation(
        case="throttled",
        event="LambdaFunctionFailed",
        field=rf"{_DETAILS}(\.errorType|\.errorMessage)?",
        reason="the embedded AWS reports throttling as an error of the function, so that moto keeps its name",
    ),
)


def compare(
    case: str,
    second: Sequence[Mapping[str, Any]],
    embedded: Sequence[Mapping[str, Any]],
    *,
    names: tuple[Mapping[str, str], Mapping[str, str]],
) -> Iterator[Difference]:
    """Compare the events of one execution.

    Parameters
    ----------
    second, embedded
        The events, as GetExecutionHistory returns them.
    names
        Logical ids by physical ids, of each engine.
    """
    second, embedded = _once_unfinished(second), _once_unfinished(embedded)
    for number in range(max(len(second), len(embedded))):
        events = [history[number] if number < len(history) else {"type": "<absent>"} for history in (second, embedded)]
        kinds = [str(event["type"]) for event in events]
        fields = [dict(_fields(event, known)) for event, known in zip(events, names, strict=True)]
        if kinds[0] != kinds[1]:
            yield Difference(case=case, number=number + 1, event=kinds[0], field="", second=kinds[0], embedded=kinds[1])
            # What follows is shifted.
            return
        for field in sorted(fields[0].keys() | fields[1].keys()):
            values = [each.get(field, "<absent>") for each in fields]
            if values[0] != values[1]:
                yield Difference(
                    case=case, number=number + 1, event=kinds[0], field=field, second=values[0], embedded=values[1]
                )


def explain(differences: Sequence[Difference]) -> tuple[list[Difference], Counter[str], list[str]]:
    """Return the differences that nothing explains, the counts by reason, and the explanations without a difference."""
    unexplained = []
    counts: Counter[str] = Counter()
    for difference in differences:
        reason = next((each.reason for each in EXPLANATIONS if each.explains(difference)), None)
        if reason is None:
            unexplained.append(difference)
        else:
            counts[reason] += 1
    unused = [each.reason for each in EXPLANATIONS if not counts[each.reason]]
    return unexplained, counts, unused


def logical_names(resources: Mapping[str, str]) -> dict[str, str]:
    """Return logical ids by what appears in a history: the names of resources, as at the end of their ARNs."""
    return {re.split(r"[:/]", resources[logical])[-1]: f"<{logical}>" for logical in NAMED}


def _once_unfinished(events: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Leave out all but the first attempt of a copy that ran out of time or was throttled: a slow machine has more."""
    kept: list[Mapping[str, Any]] = []
    new_ids = {0: 0}
    for event in events:
        kept.append(event)
        if len(kept) > _ATTEMPT and _is_unfinished(event) and _is_unfinished(kept[-1 - _ATTEMPT]):
            del kept[-_ATTEMPT:]
        new_ids[event["id"]] = len(kept)
    return [
        {**event, "id": new_ids[event["id"]], "previousEventId": new_ids[event["previousEventId"]]} for event in kept
    ]


def _is_unfinished(event: Mapping[str, Any]) -> bool:
    return event.get("lambdaFunctionFailedEventDetails", {}).get("error") in _REPEATED


def _fields(node: object, names: Mapping[str, str], path: str = "") -> Iterator[tuple[str, object]]:
    """Return the values in a tree by their paths; text that is JSON is read."""
    name = path.rpartition(".")[2]
    if name in _VOLATILE_FIELDS:
        yield path, _VOLATILE_FIELDS[name]
    elif isinstance(node, Mapping):
        for key, value in node.items():
            yield from _fields(value, names, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _fields(value, names, f"{path}[{index}]")
    elif isinstance(node, str):
        parsed = _parsed(node)
        if parsed is node:
            yield path, _stable(node, names)
        else:
            yield from _fields(parsed, names, path)
    else:
        yield path, node


def _parsed(text: str) -> object:
    if text[:1] in "{[":
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _stable(text: str, names: Mapping[str, str]) -> str:
    for physical, logical in names.items():
        text = text.replace(physical, logical)
    for pattern, replacement in _VOLATILE:
        text = pattern.sub(replacement, text)
    return text
