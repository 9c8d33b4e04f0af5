"""The CloudWatch metrics, written to the log in the embedded metric format (EMF) by Powertools.

A metric has the dimensions ``service`` (the stack's name, as in the logs) and ``source``; `ALARMED` ones are
written for the ``service`` alone as well, because alarms cannot search. `Metric.PROVIDER_REQUESTS` also has
``kind`` and ``answer`` (the status code, or the failure), and `Metric.OUTCOMES` has ``outcome``.
CloudWatch bills each combination by the hours in which it is written, so an idle stack writes none.
Names and units are the interface of ``monitoring.yaml``; a test compares both sides.
"""

from __future__ import annotations

import threading
from collections import Counter
from enum import StrEnum
from typing import TYPE_CHECKING

from courier.observability.logger import logger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    # Not imported at run time: record_outcome writes metrics too, and needs no provider.
    from courier.observability.provider_events import RequestAttempt, UnexpectedValue


class Metric(StrEnum):
    """The metrics of the namespace ``BuildCourier``."""

    BUILDS_IN_FLIGHT = "BuildsInFlight"
    OLDEST_BUILD = "OldestBuildInFlight"
    BUILDS_DUE = "BuildsDue"
    BUILDS_POLLED = "BuildsPolled"
    BATCH_SIZE = "BatchSize"
    BUILDS_RELEASED = "BuildsReleased"
    BUILDS_REGISTERED = "BuildsRegistered"
    PROVIDER_REQUESTS = "ProviderRequests"
    PROVIDER_SECONDS = "ProviderSeconds"
    THROTTLED_REQUESTS = "ThrottledRequests"
    UNKNOWN_STATUS_WORDS = "UnknownStatusWords"
    MALFORMED_ENTRIES = "MalformedEntries"
    UNEXPECTED_TIMES = "UnexpectedTimes"
    UNREAD_PAGES = "UnreadPages"
    SOURCE_BACKING_OFF = "SourceBackingOff"
    UNLISTED_SCOPES = "UnlistedScopes"
    DISCOVERY_ROUND = "DiscoveryRound"
    SOURCE_MISCONFIGURED = "SourceMisconfigured"
    OUTCOMES = "Outcomes"
    LAG = "LagToNotice"
    COPIED_BYTES = "CopiedBytes"


ALARMED = frozenset(
    {Metric.OLDEST_BUILD, Metric.SOURCE_BACKING_OFF, Metric.SOURCE_MISCONFIGURED, Metric.DISCOVERY_ROUND}
)
_UNITS = {
    Metric.OLDEST_BUILD: "Seconds",
    Metric.PROVIDER_SECONDS: "Seconds",
    Metric.LAG: "Seconds",
    Metric.DISCOVERY_ROUND: "Seconds",
    Metric.COPIED_BYTES: "Bytes",
}
TOO_MANY_REQUESTS = 429


class Meter:
    """Collects the metrics of one source during one invocation, from any thread."""

    def __init__(self, *, stack: str, source: str) -> None:
        self._stack = stack
        self._source = source
        self._lock = threading.Lock()
        self._values: dict[Metric, list[float]] = {}
        self._requests: Counter[tuple[str, str]] = Counter()
        self._outcomes: Counter[str] = Counter()

    def count(self, metric: Metric, value: float = 1) -> None:
        """Add one value; the values of a metric are written one by one, so that percentiles can be computed."""
        with self._lock:
            self._values.setdefault(metric, []).append(value)

    def count_outcome(self, outcome: str) -> None:
        """Count the outcome of one build."""
        with self._lock:
            self._outcomes[outcome] += 1

    def count_request(self, attempt: RequestAttempt) -> None:
        """Count one attempt of a provider request, and its duration."""
        with self._lock:
            self._requests[attempt.kind, str(attempt.status or attempt.failure)] += 1
        self.count(Metric.PROVIDER_SECONDS, attempt.seconds)
        if attempt.status == TOO_MANY_REQUESTS:
            self.count(Metric.THROTTLED_REQUESTS)

    def count_unexpected_value(self, value: UnexpectedValue) -> None:
        """Count and log a value that the provider's documentation does not list."""
        from courier.observability.provider_events import UNEXPECTED_VALUE_MESSAGE, UnexpectedKind  # noqa: PLC0415

        # Through the functions' own logger: other loggers write plain text to CloudWatch, without these fields.
        logger.warning(UNEXPECTED_VALUE_MESSAGE, source=value.source, unexpected=value.kind.value, detail=value.detail)
        match value.kind:
            case UnexpectedKind.UNKNOWN_STATUS:
                self.count(Metric.UNKNOWN_STATUS_WORDS)
            case UnexpectedKind.MALFORMED_ENTRY:
                self.count(Metric.MALFORMED_ENTRIES)
            case UnexpectedKind.UNREAD_PAGE:
                self.count(Metric.UNREAD_PAGES)
            case _:
                self.count(Metric.UNEXPECTED_TIMES)

    def write(self) -> None:
        """Write the collected metrics to the log, from which CloudWatch extracts them, and start anew."""
        alarmed = {metric: values for metric, values in self._values.items() if metric in ALARMED}
        others = {metric: values for metric, values in self._values.items() if metric not in ALARMED}
        if alarmed:
            self._emit({}, alarmed, also_per_stack=True)
        if others:
            self._emit({}, others)
        for (kind, result), count in self._requests.items():
            self._emit({"kind": kind, "answer": result}, {Metric.PROVIDER_REQUESTS: [float(count)]})
        for outcome, count in self._outcomes.items():
            self._emit({"outcome": outcome}, {Metric.OUTCOMES: [float(count)]})
        self._values.clear()
        self._requests.clear()
        self._outcomes.clear()

    def _emit(
        self, dimensions: Mapping[str, str], values: Mapping[Metric, Sequence[float]], *, also_per_stack: bool = False
    ) -> None:
        # Imported here: an idle tick writes nothing.
        from aws_lambda_powertools.metrics import EphemeralMetrics  # noqa: PLC0415

        metrics = EphemeralMetrics(service=self._stack)
        for name, label in {"source": self._source, **dimensions}.items():
            metrics.add_dimension(name, label)
        if also_per_stack:
            metrics.add_dimensions(service=self._stack)
        for metric, measured in values.items():
            for value in measured:
                metrics.add_metric(metric, _UNITS.get(metric, "Count"), value)
        metrics.flush_metrics()
