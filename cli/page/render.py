"""Turns the content into one HTML file: a template, and the builds as compact data that its script shows on demand."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from cli.costs import estimate_month
from cli.page.content import FEWEST_DURATIONS
from cli.page.problems import Commands, find_action_items, health_of
from cli.statistics import BAD_OUTCOMES, GOOD_OUTCOMES, by_scope, percentile
from cli.tables import age, duration, moment
from courier import __version__, object_keys
from courier.models import Outcome

if TYPE_CHECKING:
    from cli.page.content import PageContent
    from cli.records import EndedRecord

# What a provider said about one build, and about all of them together: the page stays small whatever it says.
MOST_MESSAGE_CHARACTERS = 400
MOST_TEXT_CHARACTERS = 300_000
# Nine builds in ten take so long: the band of the charts.
BAND = (0.05, 0.95)
_NOTHING = -1
_CONSOLE = "console.aws.amazon.com"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the page is read, and what its links and commands lead to.

    ``bucket_folder`` is the folder with the bucket's objects beside the page, None for objects in S3. ``commands`` is
    false where no stack is left that could run them.
    """

    region: str | None = None
    bucket_folder: str | None = None
    commands: bool = True
    hint: str = ""


def render(content: PageContent, place: Place) -> str:
    """Return the page."""
    script, style = _asset("vendor/uPlot.iife.min.js") + _asset("page.js"), _asset("page.css")
    style += _asset("vendor/uPlot.min.css")
    commands = Commands(content.stack.name, place.region)
    items = find_action_items(content, commands)
    if not place.commands:
        items = [item.without_commands() for item in items]
    return (
        _environment()
        .from_string(_asset("page.html.jinja"))
        .render(
            content=content,
            place=place,
            commands=commands,
            items=items,
            acts=sum(item.level == "act" for item in items),
            health=lambda source: health_of(source, content.now),
            healthy=sum(health_of(source, content.now).level == "good" for source in content.sources),
            cost=estimate_month(content.ended.values(), now=content.now)
            if place.commands and content.sources
            else None,
            version=__version__,
            script=Markup(script),  # noqa: S704 - our own files
            style=Markup(style),  # noqa: S704
            script_hash=_csp_hash(script),
            style_hash=_csp_hash(style),
            data=Markup(_json(_data(content, place))),  # noqa: S704 - escaped below
            license=_asset("vendor/uPlot.LICENSE"),
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "duration": duration,
        "moment": lambda instant: moment(instant) if instant else "",
        "percent": _percent,
        "dollars": _dollars,
        "iso": lambda instant: instant.astimezone(UTC).isoformat(timespec="seconds"),
        "instant": datetime.fromisoformat,
    }
    environment.globals |= {"age": age}
    return environment


def _percent(share: float | None) -> str:
    """Return a share in percent; 100 % and 0 % are exact, whatever the rounding."""
    if share is None:
        return ""
    if 0 < share < 1:
        share = min(0.999, max(0.001, share))
    return f"{100 * share:.0f} %" if share in {0, 1} or 0.01 < share < 0.99 else f"{100 * share:.1f} %"  # noqa: PLR2004


def _dollars(amount: float) -> str:
    """Return an amount with two significant digits below a dollar."""
    if amount == 0 or amount >= 1:
        return f"${amount:,.2f}"
    return f"${amount:.2f}" if amount >= 0.1 else f"${amount:.2g}" if amount >= 0.001 else f"${amount:.5f}"  # noqa: PLR2004


def _csp_hash(text: str) -> str:
    return "sha256-" + base64.b64encode(sha256(text.encode()).digest()).decode()


@cache
def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _json(document: object) -> str:
    """Serialize for a script element: no character of the text can end it, or begin a comment."""
    text = json.dumps(document, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


class _Numbers:
    """Numbers texts in the order in which they come, so that each is in the page once."""

    def __init__(self) -> None:
        self.texts: dict[str, int] = {}

    def of(self, text: str | None) -> int:
        return _NOTHING if not text else self.texts.setdefault(text, len(self.texts))


def _data(content: PageContent, place: Place) -> Mapping[str, Any]:
    """Return the builds as short rows; what many of them share is in tables, what can be derived is left out."""
    scopes = _scopes(content)
    outcomes = [str(outcome) for outcome in Outcome]
    texts, names = _Numbers(), _Numbers()
    room = MOST_TEXT_CHARACTERS
    rows: list[Sequence[object]] = []
    keys: dict[int, str] = {}
    for number, (record_key, record) in enumerate(content.ended.items()):
        ref, artifact = record.build, record.artifact
        if record.outcome not in outcomes:
            outcomes.append(record.outcome)
        text = _message(record)[: max(40, min(MOST_MESSAGE_CHARACTERS, room))]
        if text not in texts.texts:
            room -= len(text)
        rows.append(
            (
                ref.build_id,
                scopes[ref.source, ref.scope]["number"],
                outcomes.index(record.outcome),
                int(record.ended_at.timestamp()),
                _NOTHING if record.seconds is None else int(record.seconds),
                _NOTHING if artifact is None else artifact.size_bytes,
                texts.of(text),
                names.of(_artifact_name(content, record)),
            )
        )
        prefix = content.stack.container.environment.prefix
        if not _is_plain(ref.build_id) or record_key != object_keys.record_key(prefix, ref, record.ended_at):
            keys[number] = record_key
    return {
        "now": int(content.now.timestamp()),
        "prefix": content.stack.container.environment.prefix,
        "links": _links(content, place),
        "suffix": commands_suffix(content, place),
        "outcomes": outcomes,
        "good": [outcomes.index(name) for name in sorted(GOOD_OUTCOMES)],
        "bad": [outcomes.index(name) for name in sorted(BAD_OUTCOMES)],
        "scopes": [scope["row"] for scope in scopes.values()],
        "texts": list(texts.texts),
        "names": list(names.texts),
        "builds": rows,
        "keys": keys,
    }


def commands_suffix(content: PageContent, place: Place) -> str | None:
    """Return what follows ``courier show BUILD`` in a command; None where no command works."""
    if not place.commands:
        return None
    return Commands(content.stack.name, place.region).courier().removeprefix("courier")


def _message(record: EndedRecord) -> str:
    return " ".join(record.problem.message.split()) if record.problem else ""


def _artifact_name(content: PageContent, record: EndedRecord) -> str | None:
    """Return a report's name in the folder of its build, or its whole key where it lies elsewhere."""
    artifact = record.artifact
    if artifact is None:
        return None
    prefix = content.stack.container.environment.prefix
    folder = object_keys.artifact_folder(prefix, record.build, record.ended_at)
    if artifact.bucket != content.stack.outputs["BucketName"]:
        return f"//{artifact.bucket}/{artifact.key}"
    name = artifact.key.removeprefix(folder)
    if name == artifact.key or not _is_plain(record.build.build_id):
        return f"/{artifact.key}"
    return name.replace(record.build.build_id, "{}")


def _is_plain(build_id: str) -> bool:
    """Return whether the script may put an id into a key as it is."""
    return object_keys.segment(build_id) == build_id


def _scopes(content: PageContent) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the scopes, those with the most builds first, each with the folder of its keys and its usual durations."""
    statistics = by_scope(content.ended.values())
    ordered = sorted(statistics, key=lambda scope: -statistics[scope].builds)
    found = {}
    for number, (source, scope) in enumerate(ordered):
        durations = statistics[source, scope].durations
        is_known = len(durations) >= FEWEST_DURATIONS
        low, high = (percentile(durations, share) if is_known else None for share in BAND)
        found[source, scope] = {
            "number": number,
            "row": (
                source,
                scope,
                object_keys.segment(source),
                object_keys.scope_path(scope),
                _rounded(statistics[source, scope].p50),
                _rounded(low),
                _rounded(high),
            ),
        }
    return found


def _rounded(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds)


def _links(content: PageContent, place: Place) -> Mapping[str, str | None]:
    """Return where an object is shown: a file beside the page, or the S3 console."""
    if place.bucket_folder is not None:
        return {"folder": place.bucket_folder}
    host = urlsplit(content.stack.outputs.get("DashboardUrl", "")).hostname or _CONSOLE
    return {
        "console": f"https://{host}/s3/object/",
        "bucket": content.stack.outputs["BucketName"],
        "region": place.region,
    }
