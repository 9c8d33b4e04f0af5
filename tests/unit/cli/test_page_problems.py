"""What the page says needs the operator, and with which command."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from cli.page.content import FailedExecution, PageContent
from cli.page.problems import ActionItem, Commands, find_action_items, health_of
from courier.ledger.pauses import Pause, dump_pauses
from courier.ledger.sources import FailingScope
from tests.support.page_content import (
    LOST,
    MEMORY,
    NOW,
    REFUSED_HOST,
    calm,
    content_of,
    ended,
    insights,
    running,
    six_problems,
)

HOUR = timedelta(hours=1)
COMMANDS = Commands("build-courier", None)


def items_of(content: PageContent) -> list[ActionItem]:
    return find_action_items(content, COMMANDS)


def only_item(content: PageContent) -> ActionItem:
    (item,) = items_of(content)
    return item


def test_a_stack_in_which_all_is_well_needs_no_act() -> None:
    assert items_of(calm()) == []


def test_six_planted_problems_are_six_items_each_with_a_command() -> None:
    items = items_of(six_problems())
    assert [item.title for item in items] == [
        "A source is unhealthy: the provider rejects its API key",
        "A source is paused",
        "A report could not be delivered",
        "A build was lost",
        "A build seems stuck",
        "Dead letters",
    ]
    assert all(item.commands and item.cure for item in items)


def test_commands_name_stack_and_region_where_they_are_not_the_usual_ones() -> None:
    assert COMMANDS.courier("probe", "x") == "courier probe x"
    assert Commands("prod", "eu-west-1").courier("probe", "a b") == (
        "courier probe 'a b' --stack prod --region eu-west-1"
    )


def test_without_commands_a_cure_announces_none() -> None:
    item = ActionItem(level="act", title="t", subject="s", cure="Suspect memory first: reduce it. Then go on:")
    assert item.without_commands().cure == "Suspect memory first: reduce it."
    assert replace(item, cure="To try now:").without_commands().cure == ""
    assert replace(item, cure="Buy credits.").without_commands().cure == "Buy credits."


def test_failures_of_one_scope_are_one_item_and_end_with_a_good_build() -> None:
    failures = [ended(number, "failed", ago=number * HOUR, problem=MEMORY) for number in (2, 3, 4)]
    item = only_item(content_of(failures))
    assert (item.title, item.subject) == ("3 builds failed", f"insights/{failures[0].build.scope}")
    assert item.detail.startswith("The last one ended 2 h ago: Build exceeded memory limit")
    assert item.cure.startswith(str(MEMORY.advice))
    assert item.commands == [f"courier show {failures[0].build}"]
    assert items_of(content_of([*failures, ended(1, ago=HOUR)])) == []
    # A good build of another scope, or an earlier one, repairs nothing.
    assert len(items_of(content_of([*failures, ended(1, ago=HOUR, scope="other")]))) == 1
    assert len(items_of(content_of([*failures, ended(5, ago=5 * HOUR)]))) == 1


def test_a_report_stays_undelivered_whatever_is_delivered_later() -> None:
    missing = [ended(number, "undeliverable", ago=number * HOUR, problem=REFUSED_HOST) for number in (2, 3)]
    item = only_item(content_of([*missing, ended(1, ago=HOUR)]))
    assert item.title == "2 reports could not be delivered"
    assert item.commands[0] == "courier config push sources.yaml"
    assert item.commands[1] == f"courier retry {' '.join(sorted(str(record.build) for record in missing))}"
    assert items_of(content_of([ended(1, "undeliverable", ago=timedelta(days=15), problem=REFUSED_HOST)])) == []


@pytest.mark.parametrize("outcome", ["lost", "timed_out"])
def test_a_build_that_is_lost_or_timed_out_can_be_retried(outcome: str) -> None:
    record = ended(1, outcome, problem=LOST)
    assert only_item(content_of([record])).commands == [f"courier retry {record.build}"]


@pytest.mark.parametrize("outcome", ["canceled", "empty", "of-a-later-version"])
def test_other_outcomes_need_no_act(outcome: str) -> None:
    assert items_of(content_of([ended(1, outcome, problem=LOST)])) == []


def test_a_build_is_stuck_by_its_age_its_failures_or_its_deadline() -> None:
    usual = [600.0] * 20
    assert items_of(content_of(builds=[running("b", usual=usual, age=timedelta(minutes=29))])) == []
    slow = only_item(content_of(builds=[running("b", usual=usual, age=timedelta(minutes=31))]))
    assert slow.title == "A build seems stuck"
    assert slow.detail == "It takes 31 min, usually 10 min. The wait ends in 23 h 29 min. The last status was running."
    assert slow.commands[1] == f"courier stop insights/{six_problems().running[1].build.ref.scope}/b --cancel"
    failing = running("b", failures=3, last_error="503 from the provider")
    assert only_item(content_of(builds=[failing])).title == "A build cannot be polled"
    assert "The last poll failed: 503 from the provider" in only_item(content_of(builds=[failing])).detail
    late = running("b", age=20 * HOUR)
    assert only_item(content_of(builds=[late])).title == "A build is about to time out"
    stopped = running("b", age=20 * HOUR, stop_requested="leave")
    assert items_of(content_of(builds=[stopped])) == []
    paused = replace(late, build=replace(late.build, paused=True))
    assert items_of(content_of(builds=[paused])) == []


def test_many_stuck_builds_are_counted() -> None:
    items = items_of(content_of(builds=[running(f"b{number}", age=20 * HOUR) for number in range(7)]))
    assert len(items) == 6
    assert (items[-1].title, items[-1].subject) == ("More builds take too long", "2 builds")


def test_builds_that_nothing_polls_are_one_item() -> None:
    builds = [running(f"b{number}", next_in=-timedelta(hours=2 + number)) for number in range(3)]
    item = only_item(content_of(builds=builds))
    assert (item.title, item.subject) == ("Builds are not polled", "3 builds")
    assert "the first one for 4 h" in item.detail
    # A source that is left alone explains it.
    resting = {"insights": {"failures": 4, "rest_until": NOW + HOUR}}
    assert [each.title for each in items_of(content_of(builds=builds, states=resting))] == [
        "A provider is not available"
    ]


def test_a_pause_without_end_needs_an_act_and_one_with_an_end_does_not() -> None:
    for until, level, health in ((None, "act", "paused"), (NOW + HOUR, "watch", "paused until 2026-11-25 15:02")):
        pause = Pause(since=NOW - HOUR, until=until, by="kim", note="moved")
        content = content_of(states={"insights": {"pauses": dump_pauses([pause])}})
        item = only_item(content)
        assert (item.level, item.commands) == (level, ["courier resume insights"])
        assert "by kim: moved" in item.detail
        assert health_of(content.sources[0], NOW).text == health


@pytest.mark.parametrize(
    ("error", "first"),
    [
        ("SourceUnauthorizedError", "courier config set-secret build-courier/treasure-data"),
        ("SourceExhaustedError", "courier probe insights"),
        ("SettingsError", "courier config push sources.yaml"),
        ("SourceRejectedError", "courier config push sources.yaml"),
    ],
)
def test_an_unhealthy_source_has_the_cure_of_its_error(error: str, first: str) -> None:
    state = {"illness": error, "ill_since": NOW - HOUR, "unhealthy_config": "1", "last_error": "401: no"}
    content = content_of(states={"insights": state})
    item = only_item(content)
    assert item.commands[0] == first
    assert item.detail == "For 1 h: 401: no."
    assert health_of(content.sources[0], NOW).level == "bad"


def test_slow_discovery_names_a_number_that_suffices() -> None:
    state = {"scopes": 900, "unlisted_scopes": 450, "round_started_at": NOW - 2 * HOUR}
    item = only_item(content_of(sources=[insights(requests_per_minute=20)], states={"insights": state}))
    assert item.title == "Discovery is too slow"
    # Half of the scopes took two hours, so all of them take four times the hour that is allowed.
    assert "from 20 to about 80" in item.cure


def test_scopes_that_cannot_be_listed_are_named() -> None:
    content = content_of(sources=[insights()], states={"insights": {"failing_scopes": 7}})
    failing = {
        f"m{number}": FailingScope(error="x", message="404: gone", since=NOW, failures=2, retry_at=NOW)
        for number in range(7)
    }
    item = only_item(replace(content, sources=[replace(content.sources[0], failing_scopes=failing)]))
    assert (item.level, item.title) == ("watch", "7 scopes cannot be listed")
    assert item.detail.endswith("m4: 404: gone; and 2 more.")


def test_executions_that_failed_are_redriven() -> None:
    runs = [
        FailedExecution(arn=f"arn:{number}", name=f"run{number}", status="TIMED_OUT", stopped_at=NOW)
        for number in range(7)
    ]
    items = items_of(content_of(failed_executions=runs))
    assert [item.subject for item in items] == ["run0", "run1", "run2", "run3", "run4", "2 executions"]
    assert items[0].commands == ["aws stepfunctions redrive-execution --execution-arn arn:0"]
    assert items[0].detail.startswith("timed out at 2026-11-25 14:02")
