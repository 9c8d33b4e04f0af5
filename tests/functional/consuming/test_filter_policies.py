"""The documented filter policies, over every kind of notice that the courier publishes."""

from __future__ import annotations

import json
import shlex

import pytest

from courier.models import Outcome
from courier.outcomes.notices import Notice
from tests.functional.consuming.deliveries import Delivery, publish, source_notices
from tests.functional.consuming.document import example
from tests.functional.consuming.queues import Queue

GOOD = {Outcome.DELIVERED, Outcome.SUCCEEDED}


@pytest.fixture
def received(topic: str, deliveries: list[Delivery], request: pytest.FixtureRequest) -> list[Notice]:
    """Return what a subscriber with the policy receives when everything is published."""
    queue = Queue.make("subscriber")
    queue.subscribe(topic, json.loads(request.param))
    for publication in [*(delivery.publication for delivery in deliveries), *source_notices()]:
        publish(topic, publication)
    return [Notice.model_validate_json(body) for body in queue.bodies()]


def passed(received: list[Notice]) -> list[str]:
    return sorted(f"{notice.source.rpartition('/')[2]} {notice.type.rpartition('.')[2]}" for notice in received)


@pytest.mark.parametrize("received", [example("failures of one source")], indirect=True)
def test_failures_of_one_source_and_no_other(received: list[Notice]) -> None:
    assert passed(received) == ["insights failed", "insights lost", "insights timed_out"]


@pytest.mark.parametrize("received", [example("reports of one workspace")], indirect=True)
def test_reports_of_one_workspace_and_no_other(received: list[Notice]) -> None:
    assert [notice.subject for notice in received] == ["red-team/acme/main/chatbot/j1"]


@pytest.mark.parametrize("received", [example("anything but good")], indirect=True)
def test_every_outcome_but_the_successful_ones(received: list[Notice], deliveries: list[Delivery]) -> None:
    assert passed(received) == sorted(each.label for each in deliveries if each.record.outcome not in GOOD)


@pytest.mark.parametrize("received", [example("unhealthy sources")], indirect=True)
def test_a_source_that_becomes_unhealthy(received: list[Notice]) -> None:
    assert passed(received) == ["insights unhealthy"]


def by_hand() -> str:
    arguments = shlex.split(example("subscribe by hand").replace("\\\n", " "))
    assert arguments[:3] == ["aws", "sns", "subscribe"]
    policy: str = json.loads(arguments[arguments.index("--attributes") + 1])["FilterPolicy"]
    return policy


@pytest.mark.parametrize("received", [by_hand()], indirect=True)
def test_the_policy_of_the_command_line(received: list[Notice]) -> None:
    assert passed(received) == ["insights failed", "red-team failed"]


@pytest.mark.parametrize("received", ["{}"], indirect=True)
def test_without_a_policy_everything_arrives(received: list[Notice], deliveries: list[Delivery]) -> None:
    assert len(received) == len(deliveries) + 2
    assert {notice.data.outcome for notice in received if hasattr(notice.data, "outcome")} == set(Outcome)
