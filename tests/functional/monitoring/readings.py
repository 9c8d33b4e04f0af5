"""The metrics that dashboard and alarms read, and those that the functions emit, in one form."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from local.sam.expansion import resources_of
from local.sam.intrinsics import Template

NAMESPACE = "BuildCourier"
_SEARCH = re.compile(r"SEARCH\('\{([^}]+)\} ([^']+)', '(\w+)', (\d+)\)")
_METRIC_NAMES = re.compile(r'MetricName=(?:"(\w+)"|\(([^)]+)\))')
_VALUES = re.compile(r'(\w+)="([^"]+)"')


@dataclass(frozen=True)
class Series:
    """A metric with a set of dimensions; ``values`` are the requested ones."""

    namespace: str
    metric: str
    dimensions: frozenset[str]
    values: frozenset[tuple[str, str]] = frozenset()

    @property
    def without_values(self) -> Series:
        """The same without the values."""
        return Series(self.namespace, self.metric, self.dimensions)


def dashboard(deployed: Template) -> dict[str, Any]:
    """Return the dashboard's body as CloudWatch receives it."""
    ((_, resource),) = resources_of(deployed, "AWS::CloudWatch::Dashboard")
    body: dict[str, Any] = json.loads(resource["Properties"]["DashboardBody"])
    return body


def alarms(deployed: Template) -> dict[str, dict[str, Any]]:
    """Return the alarms' properties by logical id."""
    return {name: alarm["Properties"] for name, alarm in resources_of(deployed, "AWS::CloudWatch::Alarm")}


def read_by_widgets(body: Mapping[str, Any]) -> Iterator[Series]:
    """Yield every series that a widget shows."""
    for widget in body["widgets"]:
        if widget["type"] == "text":
            continue
        assert widget["type"] == "metric", f"this test does not know what a {widget['type']} widget reads"
        for row in widget["properties"]["metrics"]:
            if isinstance(row[0], dict):
                yield from _found_by(row[0]["expression"])
            else:
                namespace, metric, *rest = [item for item in row if isinstance(item, str)]
                yield _series(namespace, metric, dict(zip(rest[::2], rest[1::2], strict=True)))


def read_by_alarms(found: Iterable[Mapping[str, Any]]) -> Iterator[Series]:
    """Yield every series that an alarm evaluates."""
    for alarm in found:
        for metric in [alarm, *(each.get("MetricStat", {}).get("Metric", {}) for each in alarm.get("Metrics", []))]:
            if "MetricName" in metric:
                dimensions = {each["Name"]: each["Value"] for each in metric["Dimensions"]}
                yield _series(metric["Namespace"], metric["MetricName"], dimensions)


def emitted_by(lines: Iterable[str]) -> Iterator[tuple[Series, str]]:
    """Yield every series in embedded metric format, with its unit ("Specification: Embedded metric format")."""
    for line in lines:
        if '"CloudWatchMetrics"' not in line:
            continue
        document = json.loads(line)
        for directive in document["_aws"]["CloudWatchMetrics"]:
            for names in directive["Dimensions"]:
                for metric in directive["Metrics"]:
                    assert metric["Name"] in document
                    dimensions = {name: document[name] for name in names}
                    yield _series(directive["Namespace"], metric["Name"], dimensions), metric["Unit"]


def _found_by(expression: str) -> Iterator[Series]:
    search = _SEARCH.fullmatch(expression)
    assert search, f"not understood: {expression}"
    (namespace, *dimensions), term = search[1].split(","), search[2]
    names = _METRIC_NAMES.search(term)
    assert names, f"names no metric: {expression}"
    values = frozenset(pair for pair in _VALUES.findall(term) if pair[0] != "MetricName")
    for metric in re.findall(r"\w+", names[0].partition("=")[2].replace(" OR ", " ")):
        yield Series(namespace, metric, frozenset(dimensions), values)


def _series(namespace: str, metric: str, dimensions: Mapping[str, str]) -> Series:
    return Series(namespace, metric, frozenset(dimensions), frozenset(dimensions.items()))
