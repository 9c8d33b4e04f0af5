"""The dashboard is complete, every alarm is sent and explained, and the nested stack gets its parameters."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from samtranslator.yaml_helper import yaml_parse

from scripts.checks.checkout import Checkout, open_checkout
from tests.functional.monitoring.readings import alarms, dashboard

ROOT = Path(__file__).parents[3]
COLUMNS = 24


@pytest.fixture(scope="module")
def checkout() -> Checkout:
    return open_checkout(ROOT)


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    document: dict[str, Any] = yaml_parse((ROOT / "template.yaml").read_text(encoding="utf-8"))
    return document


def test_widgets_are_on_the_grid_and_do_not_overlap(checkout: Checkout) -> None:
    widgets = dashboard(checkout.defaults)["widgets"]
    for one in widgets:
        assert one["x"] >= 0
        assert one["x"] + one["width"] <= COLUMNS
    for one, other in combinations(widgets, 2):
        beside = one["x"] + one["width"] <= other["x"] or other["x"] + other["width"] <= one["x"]
        below = one["y"] + one["height"] <= other["y"] or other["y"] + other["height"] <= one["y"]
        assert beside or below, (one["properties"], other["properties"])


def test_every_placeholder_of_the_dashboard_is_filled(checkout: Checkout) -> None:
    for deployment in (checkout.defaults, checkout.all_options):
        assert "${" not in str(dashboard(deployment))


def test_expressions_of_a_widget_have_ids_of_their_own(checkout: Checkout) -> None:
    for widget in dashboard(checkout.defaults)["widgets"]:
        rows = widget["properties"].get("metrics", [])
        ids = [row[0]["id"] for row in rows if isinstance(row[0], dict)]
        assert len(ids) == len(set(ids))
        assert all(re.fullmatch(r"[a-z]\w*", each) for each in ids)


def test_every_alarm_is_explained_in_the_runbook_and_every_section_has_its_alarm(checkout: Checkout) -> None:
    runbook = (ROOT / "docs/runbook.md").read_text(encoding="utf-8")
    anchors = {title.lower().replace(" ", "-") for title in re.findall(r"^## (.+)$", runbook, re.MULTILINE)}
    named = {
        name: str(alarm["AlarmDescription"]).rpartition("docs/runbook.md#")[2]
        for name, alarm in alarms(checkout.defaults).items()
    }
    assert len(set(named.values())) == len(named)
    assert anchors - {"by-hand"} == set(named.values())
    for name, alarm in alarms(checkout.defaults).items():
        assert alarm["AlarmName"] == f"build-courier-{named[name]}"


def test_every_alarm_notifies_when_it_starts_and_when_it_ends(checkout: Checkout) -> None:
    topic = "arn:aws:sns:eu-central-1:123456789012:AlarmsTopic"
    for alarm in alarms(checkout.all_options).values():
        assert [str(arn).rpartition(":")[2] for arn in alarm["AlarmActions"]] == ["AlarmsTopic"], topic
        assert alarm["OKActions"] == alarm["AlarmActions"]
        assert alarm["TreatMissingData"] in {"breaching", "notBreaching"}


def test_the_nested_stack_gets_exactly_its_parameters(checkout: Checkout, template: dict[str, Any]) -> None:
    passed = template["Resources"]["Monitoring"]["Properties"]["Parameters"]
    declared = checkout.nested["monitoring.yaml"]["Parameters"]
    assert passed.keys() == declared.keys()
    for name, value in passed.items():
        if isinstance(value, dict) and value.get("Ref") in template["Parameters"]:
            outer, inner = template["Parameters"][value["Ref"]], declared[name]
            assert outer["Type"] == inner["Type"], name
            for bound in ("MinValue", "MaxValue", "Default"):
                assert outer.get(bound) == inner.get(bound, outer.get(bound)), name


def test_every_output_taken_from_the_nested_stack_exists(checkout: Checkout, template: dict[str, Any]) -> None:
    taken = set(re.findall(r"Monitoring\.Outputs\.(\w+)", (ROOT / "template.yaml").read_text(encoding="utf-8")))
    assert taken == checkout.nested["monitoring.yaml"]["Outputs"].keys()


def test_the_poller_alarm_does_not_exist_where_polling_is_disabled(
    checkout: Checkout, template: dict[str, Any]
) -> None:
    assert checkout.nested["monitoring.yaml"]["Resources"]["PollerAlarm"]["Condition"] == "Polls"
    assert template["Resources"]["Monitoring"]["Properties"]["Parameters"]["PollState"] == {"Ref": "PollState"}
