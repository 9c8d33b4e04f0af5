from datetime import datetime, timedelta

import pytest

from courier.errors import (
    BuildNotFoundError,
    SourceRejectedError,
    SourceThrottledError,
    SourceUnauthorizedError,
    SourceUnavailableError,
)
from courier.ledger.table import Change
from courier.models import BuildRef, BuildStatus, Outcome
from tests.support.container import FakeContainer
from tests.support.providers import HOUR, NOON, build_of, passage_of, ref_of, settings_of

DAY = timedelta(days=1)


def started_ids(container: FakeContainer) -> list[str]:
    return [passage.build.ref.build_id for passage in container.stepfunctions.passages()]


def test_builds_are_registered_in_the_order_of_their_creation(container: FakeContainer) -> None:
    container.fake.put(
        build_of("new", created=NOON), build_of("old", created=NOON - HOUR), build_of("undated", created=None)
    )
    container.discover()
    assert started_ids(container) == ["undated", "old", "new"]


def test_a_build_that_ended_before_the_first_discovery_is_ignored(container: FakeContainer) -> None:
    container.fake.put(build_of("history", BuildStatus.FAILED, completed=NOON - HOUR))
    assert container.discover() == 0
    assert container.builds.find(ref_of("history")) is None


def test_backfill_includes_builds_that_ended_in_those_hours(container: FakeContainer) -> None:
    container.use(settings_of(backfill_hours=2))
    container.fake.put(
        build_of("recent", BuildStatus.SUCCEEDED, completed=NOON - HOUR),
        build_of("history", BuildStatus.SUCCEEDED, completed=NOON - 3 * HOUR),
    )
    container.discover()
    assert started_ids(container) == ["recent"]


def test_a_build_that_ends_between_two_discoveries_is_registered(container: FakeContainer) -> None:
    container.discover()
    container.manual_clock.advance(300)
    container.fake.put(build_of("quick", BuildStatus.FAILED, created=NOON + HOUR / 30, completed=NOON + HOUR / 20))
    container.discover()
    assert started_ids(container) == ["quick"]


def test_a_running_build_is_registered_whatever_its_age(container: FakeContainer) -> None:
    container.fake.put(build_of("old", created=NOON - 30 * DAY))
    container.discover()
    assert started_ids(container) == ["old"]


def test_an_ended_build_older_than_the_maximum_age_is_ignored(container: FakeContainer) -> None:
    container.discover()
    container.manual_clock.advance(201 * 24 * 3600)
    container.fake.put(build_of("forgotten", BuildStatus.SUCCEEDED, created=NOON, completed=NOON + DAY))
    assert container.discover() == 0


def test_a_running_build_with_an_impossible_age_is_registered(container: FakeContainer) -> None:
    container.fake.put(build_of("ancient", created=NOON - 201 * DAY), build_of("zero", created=NOON.replace(year=1)))
    assert container.discover() == 2


def test_an_unknown_status_with_a_completion_time_counts_as_ended(container: FakeContainer) -> None:
    container.fake.put(
        build_of("expired", BuildStatus.UNKNOWN, completed=NOON - DAY), build_of("new", BuildStatus.UNKNOWN)
    )
    container.discover()
    assert started_ids(container) == ["new"]


@pytest.mark.parametrize("status", [BuildStatus.SUCCEEDED, BuildStatus.UNKNOWN])
def test_an_ended_build_with_unreadable_times_is_history(container: FakeContainer, status: BuildStatus) -> None:
    container.discover()
    container.fake.put(build_of("old", status, created=None, times_unreadable=True))
    assert container.discover() == 0


def test_a_running_build_with_unreadable_times_is_registered(container: FakeContainer) -> None:
    container.fake.put(build_of("b1", BuildStatus.RUNNING, created=None, times_unreadable=True))
    assert container.discover() == 1
    (passage,) = container.stepfunctions.passages()
    assert not passage.build.times_unreadable


@pytest.mark.parametrize(("created", "registered"), [(NOON - HOUR, 0), (NOON + HOUR / 60, 1)])
def test_a_build_whose_completion_time_is_unreadable_counts_by_its_creation(
    container: FakeContainer, created: datetime, registered: int
) -> None:
    container.discover()
    container.manual_clock.advance(120)
    container.fake.put(build_of("b1", BuildStatus.SUCCEEDED, created=created, times_unreadable=True))
    assert container.discover() == registered


@pytest.mark.parametrize("stored", [ref_of("AB-1"), ref_of("AB-1", scope="SALES"), ref_of("ab-1", scope="SALES")])
def test_a_build_that_was_stored_in_another_spelling_is_not_registered_again(
    container: FakeContainer, stored: BuildRef
) -> None:
    container.wait_for(build_of(stored.build_id, scope=stored.scope))
    container.fake.known.clear()
    container.fake.put(build_of("ab-1", BuildStatus.SUCCEEDED, spelled_ref=stored))
    assert container.discover() == 0
    assert [payload.build.ref for payload in container.stepfunctions.released] == [stored]


def test_a_build_without_any_time_is_registered_once(container: FakeContainer) -> None:
    container.fake.put(build_of("undated", BuildStatus.SUCCEEDED, created=None))
    assert [container.discover(), container.discover()] == [1, 0]


def test_an_ended_build_is_not_started_again(container: FakeContainer) -> None:
    container.fake.put(build_of("b1"))
    container.builds.register(passage_of(), next_poll_at=NOON)
    container.builds.close(ref_of("b1"), Outcome.SUCCEEDED, record_key="k", build={})
    container.discover()
    assert started_ids(container) == []


def test_a_build_whose_row_is_unreadable_is_not_registered_again(container: FakeContainer) -> None:
    container.fake.put(build_of("b1"), build_of("b2"))
    container.builds.register(passage_of(build_of("b1")), next_poll_at=NOON)
    container.table.update(str(ref_of("b1")), Change(set={"outcome": "an outcome of tomorrow"}))
    assert container.discover() == 1
    assert started_ids(container) == ["b2"]


@pytest.mark.parametrize(
    "error", [BuildNotFoundError("404"), SourceRejectedError("400"), SourceUnauthorizedError("403")]
)
@pytest.mark.parametrize("broken", ["a", "b"])
def test_one_broken_scope_does_not_stop_the_others(
    container: FakeContainer, error: SourceRejectedError, broken: str
) -> None:
    container.fake.scope_names = ("a", "b", "c")
    container.fake.put(*(build_of(scope, scope=scope) for scope in "abc"))
    container.fake.failures[f"list_builds {broken}"] = error
    assert container.discover() == 2


@pytest.mark.parametrize(
    ("error", "calls"),
    [(SourceUnavailableError("down"), 3), (SourceUnauthorizedError("401"), 3), (SourceThrottledError("429"), 1)],
)
def test_a_source_that_fails_as_a_whole_is_not_called_for_every_scope(
    container: FakeContainer, error: SourceUnavailableError, calls: int
) -> None:
    container.fake.scope_names = tuple("abcdefgh")
    container.fake.failures["list_builds"] = error
    assert container.discover() is None
    assert container.fake.counts["list_builds"] == calls


def test_a_run_continues_after_the_scopes_that_failed(container: FakeContainer) -> None:
    container.fake.scope_names = tuple("abcdefgh")
    container.fake.put(build_of("b1", scope="e"))
    for scope in "abc":
        container.fake.failures[f"list_builds {scope}"] = SourceUnavailableError("500")
    assert container.discover() is None
    assert container.discover() == 1


def test_scopes_left_out_when_time_was_up_are_listed_next(container: FakeContainer) -> None:
    container.fake.scope_names = ("a", "b", "c", "d", "e")
    for _ in range(4):
        container.discover(scopes_left=2)
    assert [call for call in container.fake.calls if call != "scopes"] == [
        f"list_builds {scope}" for scope in ("a", "b", "c", "d", "e", "a", "b")
    ]


def test_scopes_left_out_by_the_rate_limit_are_listed_next(container: FakeContainer) -> None:
    container.fake.scope_names = tuple("abcdef")
    limited = SourceThrottledError("requests_per_minute is used up", retry_after_seconds=30, own_limit=True)
    for run in range(3):
        container.fake.failures[f"list_builds {'ceb'[run]}"] = [limited]
        container.discover()
    listed = [call.removeprefix("list_builds ") for call in container.fake.calls if call != "scopes"]
    assert listed == [*"abc", *"cde", *"ef"]
    state = container.source_ledger.state("insights")
    assert (state.failures, state.backoff_until, state.next_scope, state.unlisted_scopes) == (0, None, None, 0)


def test_a_round_that_takes_too_long_is_reported_with_a_sufficient_rate_limit(
    container: FakeContainer, caplog: pytest.LogCaptureFixture
) -> None:
    container.use(settings_of(requests_per_minute=60))
    container.fake.scope_names = tuple(f"s{number:03}" for number in range(200))
    for _ in range(14):
        container.discover(scopes_left=6)
        container.manual_clock.advance(300)
    (report, *_) = [record for record in caplog.records if "too seldom" in record.message]
    # 13 runs of 6 scopes took 65 minutes, so that a round of 200 takes 170: 2.7 times too long.
    assert report.__dict__["sufficient"] == pytest.approx(60 * 2.7, rel=0.05)
    assert container.source_ledger.state("insights").unlisted_scopes == 200 - 14 * 6


def test_a_failing_scope_is_listed_less_and_less_often_and_reported(container: FakeContainer) -> None:
    container.fake.scope_names = ("a", "b")
    container.fake.failures["list_builds a"] = BuildNotFoundError("insights: list_builds returned 404")
    tries = []
    for minute in range(20):
        before = container.fake.counts["list_builds"]
        container.discover()
        tries += [minute] if container.fake.counts["list_builds"] - before == 2 else []
        container.manual_clock.advance(60)
    # At once again, then after 2, 4 and 8 minutes.
    assert tries == [0, 1, 3, 7, 15]
    (notice,) = container.published
    assert notice.attributes["health"]["StringValue"] == "unhealthy"
    assert "1 of 2 scopes cannot be listed" in notice.message["email"]
    assert "a: insights: list_builds returned 404" in notice.message["email"]
    assert container.source_ledger.state("insights").backoff_until is None


def test_a_scope_that_can_be_listed_again_is_a_recovery(container: FakeContainer) -> None:
    container.fake.scope_names = ("a", "b")
    container.fake.failures["list_builds a"] = [SourceUnauthorizedError("403", forbidden=True)] * 2
    for _ in range(3):
        container.discover()
        container.manual_clock.advance(900)
    assert [notice.attributes["health"]["StringValue"] for notice in container.published] == ["unhealthy", "recovered"]
    assert container.source_ledger.failing_scopes("insights") == {}


def test_a_scope_that_fails_once_is_not_reported(container: FakeContainer) -> None:
    container.fake.scope_names = ("a", "b")
    container.fake.failures["list_builds a"] = [SourceUnavailableError("500")] * 2
    for _ in range(4):
        container.discover()
        container.manual_clock.advance(900)
    assert container.published == []


def test_a_scope_that_the_source_no_longer_has_does_not_keep_it_unhealthy(container: FakeContainer) -> None:
    container.fake.scope_names = ("a", "b")
    container.fake.failures["list_builds a"] = BuildNotFoundError("404")
    for _ in range(2):
        container.discover()
        container.manual_clock.advance(900)
    container.fake.scope_names = ("b",)
    container.discover()
    assert [notice.attributes["health"]["StringValue"] for notice in container.published] == ["unhealthy", "recovered"]


@pytest.mark.parametrize(
    "error",
    [SourceRejectedError("redirects to https://new.example.com", wrong_endpoint=True), SourceRejectedError("404")],
)
def test_an_api_that_has_moved_makes_the_source_unhealthy(container: FakeContainer, error: SourceRejectedError) -> None:
    container.fake.failures["scopes"] = error
    container.discover()
    (notice,) = container.published
    assert notice.attributes["health"]["StringValue"] == "unhealthy"
    assert "Check the endpoint" in notice.message["email"]


def test_a_removed_scope_does_not_block_the_rotation(container: FakeContainer) -> None:
    container.fake.scope_names = ("a", "b", "c")
    container.discover(scopes_left=1)
    container.fake.scope_names = ("a", "c")
    container.discover()
    assert container.fake.calls[-2:] == ["list_builds a", "list_builds c"]
    assert container.source_ledger.state("insights").next_scope is None


def test_a_provider_that_cannot_list_is_not_called(container: FakeContainer) -> None:
    container.fake.forget_how_to_list()
    assert container.discover() is None
    assert container.fake.calls == []


def test_the_same_id_in_two_scopes_is_two_builds(container: FakeContainer) -> None:
    container.fake.scope_names = ("a", "b")
    container.fake.put(build_of("b1", scope="a"), build_of("b1", scope="b"))
    assert container.discover() == 2


def test_an_unreadable_passage_does_not_stop_the_other_builds(container: FakeContainer) -> None:
    container.fake.put(build_of("unreadable"), build_of("sound"))
    container.builds.register(passage_of(build_of("unreadable")), next_poll_at=NOON)
    container.table.update(str(ref_of("unreadable")), Change(set={"passage": "{"}))
    assert container.discover() == 1


def test_a_list_also_releases_known_builds_that_have_ended(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"), build_of("b2"))
    container.fake.set_status("b1", BuildStatus.SUCCEEDED)
    container.discover()
    assert [payload.build.ref.build_id for payload in container.stepfunctions.released] == ["b1"]
    assert [container.in_flight(ref_of(build_id)) for build_id in ("b1", "b2")] == [False, True]


def test_builds_that_ended_before_a_new_source_could_be_listed_are_no_history(container: FakeContainer) -> None:
    container.fake.failures["list_builds"] = SourceUnavailableError("503")
    container.discover()
    container.manual_clock.advance(3600)
    now = container.manual_clock()
    container.fake.put(build_of("b1", BuildStatus.SUCCEEDED, created_at=now, completed_at=now))
    for _ in range(48):
        container.manual_clock.advance(3600)
        container.discover()
    del container.fake.failures["list_builds"]
    container.manual_clock.advance(3600)
    assert container.discover() == 1
