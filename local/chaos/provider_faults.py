"""Faults of providers and their object stores, by name, and their experiments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from local.chaos.checker import Allowance
from local.chaos.experiments import Experiment
from local.simulator import (
    CHALLENGE_HEADERS,
    GATEWAY_TEXT,
    HTML_PAGE,
    XML_ERROR,
    AddText,
    CapitalIds,
    ChunkedBody,
    ConnectionEnd,
    CutBody,
    Delay,
    DenyEtag,
    DropFields,
    DropItems,
    ErrorStatus,
    Fault,
    FaultRule,
    FloodList,
    GzipBody,
    IgnoreRange,
    InterimResponse,
    LinkExpired,
    NoLength,
    OddRange,
    OtherEtag,
    Paginate,
    Redirect,
    ReorderItems,
    RepeatItems,
    RepeatLength,
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
    WriteTimes,
)
from local.simulator.faults import ObjectChanged

_UNDELIVERABLE: Final = frozenset({"undeliverable"})
# A completion time with an unknown status is an end, of which the courier cannot say how it was.
_UNKNOWN_END: Final = frozenset({"lost"})
_YEAR_SECONDS: Final = timedelta(days=365).total_seconds()
STATUSES: Final = (400, 401, 403, 404, 405, 409, 410, 422, 426, 429, 500, 502, 503, 504)
"""The error statuses of both APIs and of their gateways."""

# The requests for the status of builds in flight, by scenario.
_STATUS_REQUESTS: Final = {
    "insights": (RequestKind.LIST_BUILDS, RequestKind.GET_BUILD),
    "reports": (RequestKind.GET_JOB,),
}
_STARTS: Final = {"insights": RequestKind.START_BUILD, "reports": RequestKind.START_JOB}
# Fewer than the three consecutive misses that make a build lost, and as many as the attempts of one call.
_TRANSIENT: Final = 2
# Some polls, but less than the half hour after which a build is lost.
_OUTAGE: Final = 6
_ALWAYS: Final = 1_000


@dataclass(frozen=True)
class _ApiFault:
    """A fault in responses about builds; ``on`` names the only scenario that it applies to.

    ``outcomes``
        The outcomes that it allows, whatever the provider's status is.
    """

    name: str
    fault: Fault
    times: int = _TRANSIENT
    on: str | None = None
    quick_timeouts: bool = False
    outcomes: frozenset[str] = frozenset()


def _json(text: bytes) -> Reply:
    return Reply(200, text, content_type="application/json")


API_FAULTS: Final[Sequence[_ApiFault]] = (
    *(_ApiFault(f"API responds {status}", ErrorStatus(status)) for status in STATUSES),
    _ApiFault("API responds 429 with Retry-After", ErrorStatus(429, retry_after=90)),
    _ApiFault("API responds 503 with Retry-After", ErrorStatus(503, retry_after=90)),
    _ApiFault("API responds 202 with Retry-After", Reply(202, headers={"Retry-After": "90"})),
    _ApiFault("gateway responds 404", Reply(404, GATEWAY_TEXT, content_type="text/plain")),
    _ApiFault("gateway responds 401 with a page", Reply(401, HTML_PAGE)),
    _ApiFault("gateway challenges with 403", Reply(403, HTML_PAGE, headers=CHALLENGE_HEADERS)),
    _ApiFault("HTML instead of JSON", Reply(200, HTML_PAGE)),
    _ApiFault("HTML with 503", Reply(503, HTML_PAGE)),
    _ApiFault("XML instead of JSON", Reply(200, XML_ERROR, content_type="application/xml")),
    _ApiFault("invalid JSON", _json(b'{"status": done}')),
    _ApiFault("JSON nested 10,000 levels", _json(b"[" * 10_000 + b"]" * 10_000)),
    _ApiFault("JSON of another type", _json(b'"done"')),
    _ApiFault("empty body", ReplaceBody()),
    _ApiFault("truncated JSON with Content-Length", CutBody(20)),
    _ApiFault("truncated JSON without Content-Length", CutBody(20, with_length=False)),
    _ApiFault("connection reset in the body", CutBody(20, ending=ConnectionEnd.RESET)),
    _ApiFault("unrequested gzip", GzipBody()),
    _ApiFault("unknown status", SetFields({"status": "reticulating"})),
    _ApiFault("missing fields", DropFields(("status", "created", "created_at"))),
    _ApiFault("extra fields", SetFields({"surprise": {"nested": [1, 2, 3]}}), times=99),
    _ApiFault("wrong types", SetFields({"status": 7, "created": [], "created_at": {}})),
    _ApiFault("null times", SetFields({"started": None, "completed": None, "created_at": None}), times=99),
    _ApiFault("times in the future", ShiftTimes(_YEAR_SECONDS)),
    _ApiFault("times in the vendor's other form", WriteTimes("text"), times=99),
    _ApiFault("times since 1970", WriteTimes("epoch_ms"), times=99),
    _ApiFault("times in words", WriteTimes("words")),
    _ApiFault("ids in capitals", CapitalIds(), times=99),
    _ApiFault("unread fields that are no JSON", AddText(), times=99),
    _ApiFault("list in pages", Paginate(2), times=99, on="insights"),
    _ApiFault("list with duplicates", RepeatItems(3), times=99, on="insights"),
    _ApiFault("list in another order", ReorderItems(3), times=99, on="insights"),
    _ApiFault("empty list", DropItems(), times=3, on="insights"),
    _ApiFault("list of 50,000 builds", FloodList(50_000), times=2, on="insights"),
    _ApiFault("response in an envelope", WrapBody()),
    _ApiFault("status goes backwards", SetFields({"status": "pending", "completed": None}), times=3, on="insights"),
    _ApiFault("slow headers", Delay(3), quick_timeouts=True),
    _ApiFault("slow body", SlowBody(10, 1.0), times=1, quick_timeouts=True),
    _ApiFault("reset before the request was read", ResetBeforeReading()),
    _ApiFault("reset after the request was read", Unanswered(carried_out=False)),
    _ApiFault("redirect of the API", Redirect("http://127.0.0.1:1/")),
    _ApiFault("API has moved for a while", Redirect("http://127.0.0.1:1/", status=308), times=_OUTAGE),
    _ApiFault("API is gone for a while", ErrorStatus(410), times=_OUTAGE),
    _ApiFault("API finds nothing for a while", ErrorStatus(404), times=_OUTAGE),
    _ApiFault("API refuses the key for a while", ErrorStatus(401), times=_OUTAGE),
    _ApiFault("gateway finds nothing for a while", Reply(404, GATEWAY_TEXT, "text/plain"), times=_OUTAGE),
    _ApiFault("gateway challenges", Reply(403, HTML_PAGE, headers=CHALLENGE_HEADERS)),
    _ApiFault("gateway asks to sign in", Reply(401, HTML_PAGE)),
    _ApiFault("API responds 503 with Retry-After", ErrorStatus(503, retry_after=90), times=_OUTAGE),
    _ApiFault("API responds 202 with Retry-After", Reply(202, headers={"Retry-After": "90"})),
    *(
        _ApiFault(f"times in another form: {form}", WriteTimes(form), times=_ALWAYS)
        for form in ("text", "epoch", "epoch_ms")
    ),
    # Where builds are listed, one that ended before the first list is history then.
    _ApiFault("times that cannot be read", WriteTimes("words"), times=_ALWAYS, on="reports"),
    _ApiFault("times without a zone, 8 hours behind", WriteTimes("local", -8), times=_ALWAYS, on="reports"),
    _ApiFault("ids in capitals", CapitalIds(), times=_ALWAYS),
    _ApiFault("unread fields with NaN, a name twice, and in Latin-1", AddText(), times=_ALWAYS),
    _ApiFault("list in pages", Paginate(1), times=_ALWAYS, on="insights"),
    _ApiFault("list in pages without links", Paginate(1, linked=False), times=3, on="insights"),
    _ApiFault(
        "unknown final status",
        SetFields({"status": "reticulating"}),
        times=_ALWAYS,
        on="insights",
        outcomes=_UNKNOWN_END,
    ),
)


@dataclass(frozen=True)
class _StoreFault:
    """A fault of the object store, or in the API's data about the report; ``spoils`` allows ``undeliverable``."""

    name: str
    fault: Fault
    times: int | None = 1
    kind: RequestKind = RequestKind.ARTIFACT
    spoils: bool = False
    scenario: str = "large"
    quick_timeouts: bool = False
    nth: int = 1
    ranged: bool = False


STORE_FAULTS: Final[Sequence[_StoreFault]] = (
    *(_StoreFault(f"store responds {status}", ErrorStatus(status)) for status in (500, 503)),
    _StoreFault("store responds 403 once", ErrorStatus(403)),
    _StoreFault("store responds 404 permanently", ErrorStatus(404), times=None, spoils=True),
    _StoreFault("store is permanently down", ErrorStatus(503), times=None, spoils=True),
    _StoreFault("link expired", LinkExpired()),
    _StoreFault("link is always expired", LinkExpired(), times=None, spoils=True),
    _StoreFault("credentials of the link expired", TokenExpired()),
    _StoreFault("truncated report with Content-Length", CutBody(1_000_000)),
    _StoreFault("truncated report with Content-Length, each time", CutBody(1_000_000), times=None, spoils=True),
    _StoreFault("truncated report without Content-Length", CutBody(1_000_000, with_length=False)),
    _StoreFault(
        "truncated small report without Content-Length",
        CutBody(1_000, with_length=False),
        scenario="reports",
        spoils=True,
    ),
    _StoreFault("reset in the middle of the report", CutBody(1_000_000, ending=ConnectionEnd.RESET)),
    _StoreFault("no Content-Length", NoLength(), times=None),
    _StoreFault("no Content-Length of a small report", NoLength(), times=None, scenario="reports"),
    _StoreFault("no ETag", SetHeaders({"ETag": None}), times=None),
    _StoreFault("weak ETag", SetHeaders({"ETag": 'W/"weak"'}), times=None),
    _StoreFault("ranges ignored", IgnoreRange(), times=None),
    _StoreFault("wrong Content-Range", SetHeaders({"Content-Range": "bytes 5-9/10"}), spoils=True),
    _StoreFault("report changed once", ObjectChanged(), spoils=True),
    _StoreFault("report changes each time", ObjectChanged(), times=None, spoils=True),
    _StoreFault("HTML page as report", Reply(200, HTML_PAGE), spoils=True),
    _StoreFault("XML error as report", Reply(200, XML_ERROR, content_type="application/xml"), spoils=True),
    _StoreFault(
        "HTML page with the content type of a PDF", Reply(200, HTML_PAGE, content_type="application/pdf"), spoils=True
    ),
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
        "declared size too small", SetFields({"file_size_bytes": 5}), kind=RequestKind.GET_JOB, times=None, spoils=True
    ),
    _StoreFault(
        "declared size above the limit",
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
    *(
        _StoreFault(f"store responds {status} to ranges", ErrorStatus(status), times=None, ranged=True)
        for status in (400, 403, 404, 501, 503)
    ),
    *(
        _StoreFault(f"range in an odd form: {form}", OddRange(form), times=None, scenario=scenario)
        for form in ("unsatisfiable", "multipart", "equals_sign")
        for scenario in ("large", "reports")
    ),
    _StoreFault("ranges shorter than requested", OddRange("short"), times=None),
    _StoreFault("ETag denies itself", DenyEtag(), times=None),
    _StoreFault("replicas with an ETag each", OtherEtag(), times=None, nth=2),
    *(
        _StoreFault(f"Content-Encoding {word}", SetHeaders({"Content-Encoding": word}), times=None)
        for word in ("aws-chunked", "UTF-8")
    ),
    _StoreFault("report in chunks", ChunkedBody(), times=None),
    _StoreFault("small report in chunks", ChunkedBody(), times=None, scenario="reports"),
    _StoreFault("report in chunks breaks off", ChunkedBody(1_000_000)),
    _StoreFault("small report in chunks breaks off", ChunkedBody(1_000), scenario="reports"),
    _StoreFault("informational response first", InterimResponse(), times=None),
    _StoreFault("120 more headers", SetHeaders({f"X-Extra-{n}": "x" for n in range(120)}), times=None),
    _StoreFault("Content-Length stands twice", RepeatLength(), times=None),
    _StoreFault("redirect of S3 without Location", Reply(301, XML_ERROR, "application/xml"), times=None, spoils=True),
    _StoreFault("store responds 429 with Retry-After", ErrorStatus(429, retry_after=45), times=2),
    _StoreFault("hostile file name", SetHeaders({"Content-Disposition": 'attachment; filename="../../x"'}), times=None),
)


def experiments() -> Iterator[Experiment]:
    """Return one experiment for each fault and each scenario in which it can happen."""
    for fault in API_FAULTS:
        for scenario, kinds in _STATUS_REQUESTS.items():
            if fault.on in {None, scenario}:
                yield Experiment(
                    fault=fault.name,
                    where="status requests",
                    scenario=scenario,
                    # Not the first responses: a request that fails permanently leads to no build.
                    rules=[FaultRule(fault.fault, kind, nth=2, times=fault.times) for kind in kinds],
                    allowance=Allowance(outcomes=fault.outcomes),
                    quick_timeouts=fault.quick_timeouts,
                )
        if fault.on is None:
            yield Experiment(
                fault=fault.name,
                where="link requests of the copy",
                scenario="large",
                # The first two requests are those of the build request and of the poller.
                rules=[FaultRule(fault.fault, RequestKind.GET_JOB, nth=3, times=min(fault.times, _TRANSIENT))],
                quick_timeouts=fault.quick_timeouts,
            )
    for store in STORE_FAULTS:
        yield Experiment(
            fault=store.name,
            where="the report",
            scenario=store.scenario,
            rules=[
                FaultRule(
                    store.fault,
                    store.kind,
                    ranged=store.ranged,
                    nth=2 if store.kind is RequestKind.GET_JOB else store.nth,
                    times=store.times,
                )
            ],
            allowance=Allowance(outcomes=_UNDELIVERABLE if store.spoils else frozenset()),
            quick_timeouts=store.quick_timeouts,
        )
    for scenario, kind in _STARTS.items():
        yield from _uncertain_starts(scenario, kind)


def _uncertain_starts(scenario: str, kind: RequestKind) -> Iterator[Experiment]:
    for name, fault in (
        ("build started, no response", Unanswered()),
        ("build started, 502", ErrorStatus(502, carried_out=True)),
        ("build started, HTML response", Reply(200, HTML_PAGE, carried_out=True)),
        ("build started, truncated response", CutBody(10)),
        ("start refused with 503", ErrorStatus(503)),
        ("start refused with 429", ErrorStatus(429)),
        ("start refused with 401", ErrorStatus(401)),
        ("start reset before it was read", ResetBeforeReading()),
    ):
        # At a provider without a list such a request is recorded as lost, and the first two fail or are lost.
        yield Experiment(fault=name, where="the request", scenario=scenario, rules=[FaultRule(fault, kind, times=1)])
