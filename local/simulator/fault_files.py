"""Fault plans as JSON files, for ``courier run --faults``, and the notation of a fault."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields
from typing import Annotated, Any, Final, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, JsonValue, StringConstraints, ValidationError, create_model
from pydantic import Field as Bounds

from courier.config.validation import describe_validation
from courier.errors import SettingsError
from local.simulator import faults, faults_json, faults_range
from local.simulator.fault_plan import FaultRule
from local.simulator.faults import Fault
from local.simulator.messages import RequestKind

_KINDS: Final[Sequence[type[Fault]]] = (
    faults.ResetBeforeReading,
    faults.Unanswered,
    faults.Delay,
    faults.SlowBody,
    faults.CutBody,
    faults.NoLength,
    faults.ChunkedBody,
    faults.RepeatLength,
    faults.InterimResponse,
    faults.ReplaceBody,
    faults.CorruptBody,
    faults.GzipBody,
    faults.SetHeaders,
    faults.ErrorStatus,
    faults.Reply,
    faults.Redirect,
    faults.LinkExpired,
    faults.TokenExpired,
    faults.IgnoreRange,
    faults.ObjectChanged,
    faults_range.OddRange,
    faults_range.DenyEtag,
    faults_range.OtherEtag,
    faults_json.SetFields,
    faults_json.DropFields,
    faults_json.ShiftTimes,
    faults_json.WriteTimes,
    faults_json.CapitalIds,
    faults_json.AddText,
    faults_json.Paginate,
    faults_json.RepeatItems,
    faults_json.ReorderItems,
    faults_json.DropItems,
    faults_json.FloodList,
    faults_json.WrapBody,
)
_CAPITAL: Final = re.compile(r"(?<!^)(?=[A-Z])")
# A value in a header or a request line must not be able to end it.
_Line = Annotated[str, StringConstraints(pattern=r"^[\x20-\x7e]*$")]
# No delay may be longer than a run.
_Seconds = Annotated[float, Bounds(ge=0, le=600)]
# Narrower than the classes themselves, which tests use without limits.
_NARROWER: Final[Mapping[tuple[type[Fault], str], Any]] = {
    (faults.Unanswered, "hold_seconds"): _Seconds,
    (faults.Delay, "seconds"): _Seconds,
    (faults.SlowBody, "piece_bytes"): Annotated[int, Bounds(ge=1)],
    (faults.SlowBody, "pause_seconds"): _Seconds,
    (faults.CutBody, "keep_bytes"): Annotated[int, Bounds(ge=0)],
    (faults.ChunkedBody, "keep_bytes"): Annotated[int, Bounds(ge=0)] | None,
    (faults.InterimResponse, "status"): Annotated[int, Bounds(ge=102, le=199)],
    (faults.CorruptBody, "at"): Annotated[int, Bounds(ge=0)],
    (faults.SetHeaders, "headers"): dict[_Line, _Line | None],
    (faults.ErrorStatus, "status"): Annotated[int, Bounds(ge=400, le=599)],
    (faults.ErrorStatus, "retry_after"): Annotated[int, Bounds(ge=0)] | None,
    (faults.Reply, "status"): Annotated[int, Bounds(ge=200, le=599)],
    (faults.Reply, "content_type"): _Line,
    (faults.Reply, "headers"): dict[_Line, _Line],
    (faults.Redirect, "url"): _Line,
    (faults.Redirect, "status"): Annotated[int, Bounds(ge=300, le=399)],
    (faults_json.SetFields, "fields"): dict[str, JsonValue],
    (faults_json.AddText, "charset"): Literal["utf-8", "utf-16", "iso-8859-1", "shift_jis"],
    (faults_json.Paginate, "page_items"): Annotated[int, Bounds(ge=1)],
    (faults_json.WriteTimes, "offset_hours"): Annotated[float, Bounds(ge=-14, le=14)],
    (faults_json.RepeatItems, "times"): Annotated[int, Bounds(ge=2, le=100)],
    (faults_json.DropItems, "keep"): Annotated[int, Bounds(ge=0)],
    (faults_json.FloodList, "count"): Annotated[int, Bounds(ge=1, le=100_000)],
}


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Rule(_Document):
    """One entry of the list."""

    fault: str
    with_: dict[str, JsonValue] = Bounds(default_factory=dict, alias="with")
    on: RequestKind | None = None
    build_id: str | None = None
    scope: str | None = None
    ranged: bool = False
    nth: Annotated[int, Bounds(ge=1)] = 1
    times: Annotated[int, Bounds(ge=1)] | None = 1


class _Plan(_Document):
    """The whole file."""

    rules: tuple[_Rule, ...]


def fault_name(kind: type[Fault]) -> str:
    """Return a fault's name in files: ``CutBody`` is ``cut_body``."""
    return _CAPITAL.sub("_", kind.__name__).lower()


def _settings_model(kind: type[Fault]) -> type[BaseModel]:
    hints = get_type_hints(kind, localns={"JsonValue": JsonValue})
    described: dict[str, Any] = {
        field.name: (_NARROWER.get((kind, field.name), hints[field.name]), _default(field))
        for field in fields(kind)  # type: ignore[arg-type]  # every fault of the list is a dataclass
    }
    return create_model(kind.__name__, __base__=_Document, **described)


def _default(field: Field[Any]) -> Any:  # noqa: ANN401  # any type that a field has
    if field.default is not MISSING:
        return field.default
    return Bounds(default_factory=field.default_factory) if field.default_factory is not MISSING else ...


FAULTS: Final[Mapping[str, type[Fault]]] = {fault_name(kind): kind for kind in _KINDS}
"""The faults that a file may name."""

_SETTINGS: Final = {name: _settings_model(kind) for name, kind in FAULTS.items()}


def read_rules(text: str) -> tuple[FaultRule, ...]:
    """Read a fault plan.

    Raises
    ------
    SettingsError
        The text is not a fault plan; the message names the line or the field.
    """
    try:
        document = json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as exc:
        raise SettingsError(f"no valid JSON in line {exc.lineno}: {exc.msg}") from None
    except (ValueError, RecursionError) as exc:
        raise SettingsError(f"no valid JSON: {exc}") from None
    if not isinstance(document, dict):
        raise SettingsError('must be an object such as {"rules": [{"fault": "link_expired", "on": "artifact"}]}')
    try:
        # As JSON: there a list may become a tuple, and text bytes, and nothing else changes its type.
        plan = _Plan.model_validate_json(json.dumps(document))
    except ValidationError as exc:
        raise SettingsError(describe_validation(exc, model=_Plan)) from None
    if not plan.rules:
        raise SettingsError("rules: is empty")
    return tuple(_rule(rule, f"rules[{index}]") for index, rule in enumerate(plan.rules))


def describe(fault: Fault) -> str:
    """Return a fault in the notation of files, with settings that differ from the defaults; bodies by their size."""
    settings = {}
    for field in fields(fault):  # type: ignore[arg-type]  # every fault is a dataclass
        value = getattr(fault, field.name)
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        if value != default:
            settings[field.name] = f"{len(value)} bytes" if isinstance(value, bytes) else value
    name = fault_name(type(fault))
    return f"{name} {json.dumps(settings, default=str)}" if settings else name


def _rule(rule: _Rule, where: str) -> FaultRule:
    if rule.fault not in FAULTS:
        raise SettingsError(f"{where}.fault: {rule.fault!r} is unknown; use one of {', '.join(sorted(FAULTS))}")
    model = _SETTINGS[rule.fault]
    try:
        settings = model.model_validate_json(json.dumps(rule.with_))
    except ValidationError as exc:
        raise SettingsError(describe_validation(exc, where=f"{where}.with", model=model)) from None
    values = {name: getattr(settings, name) for name in type(settings).model_fields}
    return FaultRule(
        FAULTS[rule.fault](**values),
        kind=rule.on,
        build_id=rule.build_id,
        scope=rule.scope,
        ranged=rule.ranged,
        nth=rule.nth,
        times=rule.times,
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object as a dict; raise on a repeated name, which json would silently drop."""
    document: dict[str, Any] = {}
    for name, value in pairs:
        if name in document:
            raise ValueError(f"{name} is given twice")
        document[name] = value
    return document
