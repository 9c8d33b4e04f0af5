"""The cost of polling is counted correctly, and meets its targets as far as a small run can show."""

from __future__ import annotations

import pytest

from bench.polling.bill import Bill, count_usage
from bench.polling.capacity import TOKEN_BYTES, CapacityMeter, item_bytes, write_units
from bench.polling.idle import IdleCost, measure_idle
from bench.polling.lifecycle import SINGLE, LifecycleCost, LifecyclePlan, measure_lifecycle
from local.polling_study.prices import read_prices

TABLE = {
    "KeySchema": [{"AttributeName": "build"}],
    "GlobalSecondaryIndexes": [
        {
            "KeySchema": [{"AttributeName": "due_source"}, {"AttributeName": "next_poll_at"}],
            "Projection": {"NonKeyAttributes": ["status"]},
        }
    ],
}
ROW = {"build": {"S": "a/b/c"}, "due_source": {"S": "a"}, "next_poll_at": {"S": "1"}, "status": {"S": "queued"}}


@pytest.mark.parametrize(
    ("before", "after", "row", "index"),
    [
        (None, ROW, 1, 1),
        (ROW, ROW | {"execution": {"S": "e"}}, 1, 0),
        (ROW, ROW | {"next_poll_at": {"S": "2"}}, 1, 2),
        (ROW, ROW | {"status": {"S": "running"}}, 1, 1),
        (ROW, {"build": ROW["build"]}, 1, 1),
        (ROW, ROW | {"passage": {"S": "x" * 1024}}, 2, 0),
    ],
)
def test_a_write_costs_by_the_row_and_by_its_index_entry(
    before: dict[str, dict[str, str]] | None, after: dict[str, dict[str, str]], row: int, index: int
) -> None:
    meter = CapacityMeter(TABLE)
    meter.count_write(before, after, refused=False)
    assert meter.write_units == {"build": row, "index": index}


def test_a_refused_write_is_billed_for_the_existing_row_and_not_for_the_index() -> None:
    meter = CapacityMeter(TABLE)
    meter.count_write(ROW, ROW, refused=True)
    assert +meter.write_units == {"build, refused": 1}


def test_sizes_are_those_of_the_developer_guide() -> None:
    assert item_bytes({"ab": {"S": "é"}, "n": {"N": "1234"}, "b": {"BOOL": True}}) == 4 + 4 + 2
    assert item_bytes({"task_token": {"S": "short"}}) == len("task_token") + TOKEN_BYTES
    assert [write_units(size) for size in (0, 1024, 1025)] == [1, 1, 2]


def test_a_strong_read_costs_twice_and_a_missing_item_is_not_free() -> None:
    meter = CapacityMeter(TABLE)
    meter.count_read("get", {"ConsistentRead": True}, {})
    meter.count_read("query", {}, {"Items": [ROW] * 3})
    meter.count_read("batch_get", {"RequestItems": {"t": {"Keys": [1, 2, 3]}}}, {"Responses": {"t": [ROW]}})
    assert meter.read_units == {"get": 1, "query": 0.5, "batch_get": 1.5}


def test_bills_add_up() -> None:
    bill = (Bill({"lambda_request": 3.0}) + Bill({"s3_put": 1.0})) * 2 - Bill({"lambda_request": 1.0})
    assert bill.units == {"lambda_request": 5.0, "s3_put": 2.0}
    assert count_usage(invocations=(), ticks=1_000_000).dollars(read_prices()) == pytest.approx(1.0)


@pytest.fixture(scope="module")
def cost() -> LifecycleCost:
    return measure_lifecycle(SINGLE, LifecyclePlan(builds=2, in_flight=2, idle_minutes=2, latency_seconds=0))


def test_a_delivered_build_enters_five_states_and_is_polled_about_ten_times(cost: LifecycleCost) -> None:
    assert cost.states == dict.fromkeys(("RouteBuild", "WaitForReport", "CopyArtifact", "RecordOutcome", "Notify"), 2)
    assert cost.bill.units["step_functions_transition"] == 10
    assert cost.provider_requests["get_job"] < 2 * 14
    assert len(cost.lags) == 2


def test_the_ledger_of_a_build_stays_cheap(cost: LifecycleCost) -> None:
    assert cost.bill.units["dynamodb_write_unit"] / cost.builds < 75
    # A tick reserves nearly all of its requests together.
    spent = sum(count for name, count in cost.bill.notes.items() if name.startswith("write units, #source"))
    assert spent / cost.builds < 16


def test_more_builds_at_a_time_share_the_ticks(cost: LifecycleCost) -> None:
    prices = read_prices()
    dollars = [cost.per_thousand(in_flight).dollars(prices) for in_flight in (1, 10, 100)]
    assert dollars[0] > dollars[1] > dollars[2]


@pytest.fixture(scope="module")
def kinds() -> list[IdleCost]:
    return measure_idle(calls=5)


def test_an_idle_minute_sends_no_provider_request_and_reads_once_per_source_at_most(kinds: list[IdleCost]) -> None:
    nothing, waiting = kinds
    assert nothing.requests == {"scan": 1}
    assert waiting.requests == {"scan": 1, "query": waiting.sources}
    assert (nothing.provider_requests, waiting.provider_requests) == (0, 0)


def test_an_idle_month_costs_less_than_ten_cents(kinds: list[IdleCost]) -> None:
    units = dict(kinds[0].month.units)
    # The seconds depend on the machine; 20 ms a tick cost half a cent.
    units.pop("lambda_gb_second")
    assert Bill(units).dollars(read_prices()) < 0.09


def test_an_idle_tick_uses_less_than_thirty_milliseconds_of_cpu(kinds: list[IdleCost]) -> None:
    assert min(run.cpu_seconds for kind in kinds for run in kind.polls) < 0.030
