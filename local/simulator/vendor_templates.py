"""The placeholders of a simulated vendor's answers, and its files.

``{id}`` stands for a value; one that is the whole text keeps its type, and ``{id?}`` leaves the field out where there
is none. A time takes a form: ``{created}`` is ISO 8601 with milliseconds, ``{created:s}`` with seconds,
``{created:epoch}`` and ``{created:ms}`` are numbers, ``{created:ticks}`` has seven digits of a second, and
``{created:offset}`` ends in ``+0000``.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime

from local.simulator.messages import JsonValue
from local.simulator.reports import make_report
from local.simulator.timeformat import with_z

_PLACEHOLDER = re.compile(r"\{([a-z_][a-z0-9_]*(?:\.[A-Za-z0-9_-]+)*)(?::([a-z]+))?(\?)?\}")
_ABSENT = object()
_REPORT_BYTES = 32 * 1024
ROWS = 400

Values = Mapping[str, object]


def fill(template: JsonValue, values: Values) -> JsonValue:
    """Return a template with its values."""
    filled = _fill(template, values)
    return None if filled is _ABSENT else filled  # type: ignore[return-value]  # JSON but for the marker


def fill_text(template: str, values: Values) -> str:
    """Return a text with its values."""
    filled = fill(template, values)
    return filled if isinstance(filled, str) else json.dumps(filled)


def _fill(template: object, values: Values) -> object:
    match template:
        case dict():
            inner = {name: _fill(value, values) for name, value in template.items()}
            return {name: value for name, value in inner.items() if value is not _ABSENT}
        case list():
            return [value for entry in template if (value := _fill(entry, values)) is not _ABSENT]
        case str():
            whole = _PLACEHOLDER.fullmatch(template)
            if whole is not None:
                return _value(whole, values)
            return _PLACEHOLDER.sub(lambda found: _shown(_value(found, values)), template)
        case _:
            return template


def _shown(value: object) -> str:
    if value is None or value is _ABSENT:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def _value(found: re.Match[str], values: Values) -> object:
    value: object = values
    for step in found[1].split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    if value is None and found[3] is not None:
        return _ABSENT
    return _time(value, found[2] or "z") if isinstance(value, datetime) else value


def _time(instant: datetime, form: str) -> str | int:
    text = instant.astimezone(UTC)
    match form:
        case "z":
            return with_z(instant)
        case "s":
            return f"{text:%Y-%m-%dT%H:%M:%SZ}"
        case "epoch":
            return int(instant.timestamp())
        case "ms":
            return int(instant.timestamp() * 1000)
        case "ticks":
            return f"{text:%Y-%m-%dT%H:%M:%S}.{text.microsecond:06d}0Z"
        case "offset":
            return f"{text:%Y-%m-%dT%H:%M:%S}+0000"
        case _:
            raise ValueError(f"no form {form!r} of a time")


def make_file(kind: str, seed: str) -> bytes:
    """Return the bytes of a file, the same for the same seed.

    Raises
    ------
    ValueError
        There is no such format.
    """
    rows = [f"{seed}-{number}" for number in range(ROWS)]
    table = "".join(f"{row},{len(row)}\r\n" for row in ("id", *rows)).encode()
    match kind:
        case "csv":
            return table
        case "jsonl":
            return "".join(f"{json.dumps({'id': row})}\n" for row in rows).encode()
        case "json":
            return json.dumps([{"id": row} for row in rows]).encode()
        case "gzip":
            return gzip.compress(table, mtime=0)
        case "zip":
            target = io.BytesIO()
            with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr(zipfile.ZipInfo("report.csv"), table)
            return target.getvalue()
        case "pdf":
            return make_report(seed, _REPORT_BYTES)
        case _:
            raise ValueError(f"no format {kind!r}")
