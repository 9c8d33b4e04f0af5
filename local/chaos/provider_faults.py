"""What providers and their object stores do wrong, by name: the rows of the matrix that are theirs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from local.chaos.checker import Allowance
from local.chaos.experiments import Experiment
from local.simulator import (
    HTML_PAGE,
    XML_ERROR,
    ConnectionEnd,
    CutBody,
    Delay,
    DropFields,
    DropItems,
    ErrorStatus,
    Fault,
    FaultRule,
    FloodList,
    GzipBody,
    IgnoreRange,
    LinkExpired,
    NoLength,
    Redirect,
    ReorderItems,
    RepeatItems,
    ReplaceBody,
    Reply,
    RequestKind,
    ResetBeforeReading,
    SetFields,
    SetHeaders,
    ShiftTimes,
    SlowBody,
    TokenExpired,
    Unanswered,
    WrapBody,
)
from local.simulator.faults import ObjectChanged

_UNDELIVERABLE: Final = frozenset({"undeliverable"})
_YEAR_SECONDS: Final = timedelta(days=365).total_seconds()
STATUSES: Final = (400, 401, 403, 404, 409, 422, 426, 429, 500, 502, 503, 504)
"""What both APIs and their front doors may answer."""

# Which requests ask about builds in flight, by script.
_STATUS_REQUESTS: Final = {
    "insights": (RequestKind.LIST_BUILDS, RequestKind.GET_BUILD),
    "reports": (RequestKind.GET_JOB,),
}
_STARTS: Final = {"insights": RequestKind.START_BUILD, "reports": RequestKind.START_JOB}
# Fewer than the three misses in a row that make a build lost, and as many as one call's tries.
_TRANSIENT: Final = 2


@dataclass(frozen=True)
class _ApiFault:
    """A fault of the answers about builds; ``on`` names the only script that it makes sense in."""

    name: str
    fault: Fault
    times: int = _TRANSIENT
    on: str | None = None
    quick_timeouts: bool = False


def _json(text: bytes) -> Reply:
    return Reply(200, text, content_type="application/json")


API_FAULTS: Final[Sequence[_ApiFault]] = (
    *(_ApiFault(f"API answers {status}", ErrorStatus(status)) for status in STATUSES),
    _ApiFault("API answers 429 with Retry-After", ErrorStatus(429, retry_after=90)),
    _ApiFault("HTML instead of JSON", Reply(200, HTML_PAGE)),
    _ApiFault("HTML with 503", Reply(503, HTML_PAGE)),
    _ApiFault("XML instead of JSON", Reply(200, XML_ERROR, content_type="application/xml")),
    _ApiFault("invalid JSON", _json(b'{"status": done}')),
    _ApiFault("JSON nested 10,000 levels", _json(b"[" * 10_000 + b"]" * 10_000)),
    _ApiFault("another kind of JSON", _json(b'"done"')),
    _ApiFault("empty body", ReplaceBody()),
    _ApiFault("truncated JSON, length told", CutBody(20)),
    _ApiFault("truncated JSON, no length", CutBody(20, with_length=False)),
    _ApiFault("connection reset in the body", CutBody(20, ending=ConnectionEnd.RESET)),
    _ApiFault("gzipped unasked", GzipBody()),
    _ApiFault("unknown status word", SetFields({"status": "reticulating"})),
    _ApiFault("missing fields", DropFields(("status", "created", "created_at"))),
    _ApiFault("extra fields", SetFields({"surprise": {"nested": [1, 2, 3]}}), times=99),
    _ApiFault("wrong types", SetFields({"status": 7, "created": [], "created_at": {}})),
    _ApiFault("null times", SetFields({"started": None, "completed": None, "created_at": None}), times=99),
    _ApiFault("times in the future", ShiftTimes(_YEAR_SECONDS)),
    _ApiFault("list with duplicates", RepeatItems(3), times=99, on="insights"),
    _ApiFault("list in another order", ReorderItems(3), times=99, on="insights"),
    _ApiFault("empty list", DropItems(), times=3, on="insights"),
    _ApiFault("list of 50,000 builds", FloodList(50_000), times=2, on="insights"),
    _ApiFault("answer in an envelope", WrapBody()),
    _ApiFault("status goes backwards", SetFields({"status": "pending", "completed": None}), times=3, on="insights"),
    _ApiFault("slow headers", Delay(3), quick_timeouts=True),
    _ApiFault("slow body", SlowBody(10, 1.0), times=1, quick_timeouts=True),
    _ApiFault("reset before the request was read", ResetBeforeReading()),
    _ApiFault("reset after the request was read", Unanswered(carried_out=False)),
    _ApiFault("redirect of the API", Redirect("http://127.0.0.1:1/")),
)


@dataclass(frozen=True)
class _StoreFault:
    """A fault of the object store, or of what the API says about the report; ``spoils`` says that it may win."""

    name: str
    fault: Fault
    times: int | None = 1
    kind: RequestKind = RequestKind.ARTIFACT
    spoils: bool = False
    scenario: str = "large"
    quick_timeouts: bool = False


STORE_FAULTS: Final[Sequence[_StoreFault]] = (
    *(_StoreFault(f"store answers {status}", ErrorStatus(status)) for status in (500, 503)),
    _StoreFault("store answers 403 once", ErrorStatus(403)),
    _StoreFault("store answers 404 for good", ErrorStatus(404), times=None, spoils=True),
    _StoreFault("store is down for good", ErrorStatus(503), times=None, spoils=True),
    _StoreFault("link expired", LinkExpired()),
    _StoreFault("link expired for good", LinkExpired(), times=None, spoils=True),
    _StoreFault("credentials of the link expired", TokenExpired()),
    _StoreFault("report cut short, length told", CutBody(1_000_000)),
    _StoreFault("report cut short, length told, each time", CutBody(1_000_000), times=None, spoils=True),
    _StoreFault("report cut short, no length", CutBody(1_000_000, with_length=False)),
    _StoreFault(
        "small report cut short, no length", CutBody(1_000, with_length=False), scenario="reports", spoils=True
    ),
    _StoreFault("reset in the middle of the report", CutBody(1_000_000, ending=ConnectionEnd.RESET)),
    _StoreFault("no length", NoLength(), times=None),
    _StoreFault("no length of a small report", NoLength(), times=None, scenario="reports"),
    _StoreFault("no ETag", SetHeaders({"ETag": None}), times=None),
    _StoreFault("weak ETag", SetHeaders({"ETag": 'W/"weak"'}), times=None),
    _StoreFault("ranges ignored", IgnoreRange(), times=None),
    _StoreFault("wrong Content-Range", SetHeaders({"Content-Range": "bytes 5-9/10"}), spoils=True),
    _StoreFault("report changed once", ObjectChanged(), spoils=True),
    _StoreFault("report changes each time", ObjectChanged(), times=None, spoils=True),
    _StoreFault("HTML page as report", Reply(200, HTML_PAGE), spoils=True),
    _StoreFault("XML error as report", Reply(200, XML_ERROR, content_type="application/xml"), spoils=True),
    _StoreFault("HTML page that says it is a PDF", Reply(200, HTML_PAGE, content_type="application/pdf"), spoils=True),
    _StoreFault("empty report", ReplaceBody(), spoils=True),
    _StoreFault("gzipped report", GzipBody(), spoils=True),
    _StoreFault("slow report", SlowBody(64 * 1024, 1.0), quick_timeouts=True),
    _StoreFault("redirect to a forbidden host", Redirect("http://169.254.169.254/latest/meta-data"), spoils=True),
    _StoreFault(
        "redirect to a file",
        Redirect("file:///etc/passwd"),
        spoils=True,  # nothing is read from there
    ),
    _StoreFault(
        "size promised too small", SetFields({"file_size_bytes": 5}), kind=RequestKind.GET_JOB, times=None, spoils=True
    ),
    _StoreFault(
        "size promised beyond the limit",
        SetFields({"file_size_bytes": 10**15}),
        kind=RequestKind.GET_JOB,
        times=None,
        spoils=True,
    ),
    _StoreFault(
        "link to the metadata service",
        SetFields({"presigned_url": "http://169.254.169.254/latest/meta-data"}),
        kind=RequestKind.GET_JOB,
        times=None,
        spoils=True,
    ),
    _StoreFault(
        "completed without a link",
        SetFields({"presigned_url": None}),
        kind=RequestKind.GET_JOB,
        times=None,
        spoils=True,
    ),
    _StoreFault("hostile file name", SetHeaders({"Content-Disposition": 'attachment; filename="../../x"'}), times=None),
)


def experiments() -> Iterator[Experiment]:
    """Give one experiment for each fault and each script in which it can happen."""
    for fault in API_FAULTS:
        for scenario, kinds in _STATUS_REQUESTS.items():
            if fault.on in {None, scenario}:
                yield Experiment(
                    fault=fault.name,
                    where="looks at builds",
                    scenario=scenario,
                    # Not the very first answers: a request that is refused for good leads to no build at all.
                    rules=[FaultRule(fault.fault, kind, nth=2, times=fault.times) for kind in kinds],
                    quick_timeouts=fault.quick_timeouts,
                )
        if fault.on is None:
            yield Experiment(
                fault=fault.name,
                where="the copy asks for the link",
                scenario="large",
                # The request and the poller have asked once each.
                rules=[FaultRule(fault.fault, RequestKind.GET_JOB, nth=3, times=min(fault.times, _TRANSIENT))],
                quick_timeouts=fault.quick_timeouts,
            )
    for store in STORE_FAULTS:
        yield Experiment(
            fault=store.name,
            where="the report",
            scenario=store.scenario,
            rules=[
                FaultRule(store.fault, store.kind, nth=2 if store.kind is RequestKind.GET_JOB else 1, times=store.times)
            ],
            allowance=Allowance(outcomes=_UNDELIVERABLE if store.spoils else frozenset()),
            quick_timeouts=store.quick_timeouts,
        )
    for scenario, kind in _STARTS.items():
        yield from _uncertain_starts(scenario, kind)


def _uncertain_starts(scenario: str, kind: RequestKind) -> Iterator[Experiment]:
    for name, fault in (
        ("build started, never answered", Unanswered()),
        ("build started, answered 502", ErrorStatus(502, carried_out=True)),
        ("build started, answered in HTML", Reply(200, HTML_PAGE, carried_out=True)),
        ("build started, answer cut", CutBody(10)),
        ("start refused with 503", ErrorStatus(503)),
        ("start refused with 429", ErrorStatus(429)),
        ("start refused with 401", ErrorStatus(401)),
        ("start: reset before it was read", ResetBeforeReading()),
    ):
        # At a provider that lists nothing such a request is told of as lost, and the first two fail or are lost.
        yield Experiment(fault=name, where="the request", scenario=scenario, rules=[FaultRule(fault, kind, times=1)])
