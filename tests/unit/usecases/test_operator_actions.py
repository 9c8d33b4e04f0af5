"""What an operator does to a build: each act has its effect once, and its build's row and record keep it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from pydantic import ValidationError

from courier.config.settings import PollingSettings
from courier.errors import SettingsError, SourceExhaustedError, SourceUnavailableError
from courier.ledger import BuildRow, Table
from courier.models import BuildStatus, CaughtError, NextStep, Outcome, Passage
from courier.outcomes.records import Record
from courier.sources.health import FailingScopes
from courier.usecases.events import read_event
from courier.usecases.operator_actions import ActionResult, OperatorAction, perform_action
from courier.usecases.record_outcome import RecordRequest, record_outcome, waits_on
from local.simulator import ManualClock
from tests.support.aws import BUCKET, s3
from tests.support.container import FakeContainer
from tests.support.providers import FakeProvider, build_of, ref_of, settings_of

pytestmark = pytest.mark.usefixtures("bucket")

REFUSED = CaughtError(Error="ArtifactRefusedError", Cause=json.dumps({"errorMessage": "host not allowed"}))


def act(container: FakeContainer, action: str, build_id: str = "b1", **fields: object) -> ActionResult:
    event = {"action": action, "id": f"{action}-1", "by": "ada", "build": str(ref_of(build_id)), **fields}
    return perform_action(container, read_event(OperatorAction, event))


def row_of(container: FakeContainer, build_id: str = "b1") -> BuildRow:
    row = container.builds.find(ref_of(build_id))
    assert row is not None
    return row


def record_of(container: FakeContainer, build_id: str = "b1") -> Record:
    record = container.records.read(row_of(container, build_id).record_key or "")
    assert record is not None
    return record


def end(container: FakeContainer, passage: Passage, execution: str = "arn:e1") -> dict[str, object]:
    """Record an outcome as the state machine does; return the notice's event."""
    request = RecordRequest(passage=passage, execution=execution, entered_at=container.clock())
    event: dict[str, object] = json.loads(record_outcome(container, request).message["default"])
    return event


def undeliverable(container: FakeContainer) -> dict[str, object]:
    """End a build whose report could not be copied; the provider still has it."""
    container.wait_for(build_of("b1", BuildStatus.SUCCEEDED, has_artifact=True))
    container.poll()
    passage = passage_of_release(container)
    return end(container, passage.model_copy(update={"caught": REFUSED}))


def passage_of_release(container: FakeContainer) -> Passage:
    payload = container.stepfunctions.released[-1]
    started = [passage for passage in container.stepfunctions.passages() if passage.build.ref == payload.build.ref]
    usual = {"provider": "fake", "first_seen_at": container.clock(), "wait_seconds": 86_400}
    base = started[-1].model_dump() if started else usual
    return Passage.model_validate({**base, **payload.model_dump()})


@pytest.fixture
def container(table: Table, clock: ManualClock) -> FakeContainer:
    return FakeContainer(clock, FakeProvider(settings_of("insights")))


# ---------------------------------------------------------------------- stop


@pytest.mark.parametrize("cancels", [False, True])
def test_a_stopped_build_ends_with_a_record_and_a_notice(container: FakeContainer, cancels: bool) -> None:
    container.wait_for(build_of("b1"))
    result = act(container, "stop", cancels=cancels, note="a mistake")
    assert (result.done, result.note) == (True, "the wait has ended")
    (payload,) = container.stepfunctions.released
    assert (payload.verdict, payload.outcome) == (NextStep.RECORD, Outcome.CANCELED)
    assert payload.problem is not None
    ending = "the provider was asked to cancel it" if cancels else "the build itself was left alone"
    assert payload.problem.name == "StoppedByOperator"
    assert payload.problem.message == f"stopped by ada (a mistake); the last status was running; {ending}"
    assert container.fake.canceled == ([ref_of("b1")] if cancels else [])
    event = end(container, passage_of_release(container))
    record = record_of(container)
    assert event["type"] == "build-courier.build.canceled"
    assert [(each.action, each.by, each.note) for each in record.acts] == [("stop", "ada", "a mistake")]
    assert row_of(container).stop_requested is None
    assert not container.in_flight(ref_of("b1"))


def test_a_stop_that_was_cut_off_is_completed_by_the_next_tick(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"))
    container.stepfunctions.failures.append(RuntimeError("killed"))
    with pytest.raises(RuntimeError):
        act(container, "stop")
    assert container.poll().released == 1
    assert container.stepfunctions.released[0].outcome is Outcome.CANCELED
    assert container.fake.calls == []
    result = act(container, "stop")
    assert not result.done
    assert result.note == "its report is being copied or recorded, so it ends by itself in a moment"


def test_a_build_whose_execution_does_not_wait_yet_is_stopped_by_the_next_tick(container: FakeContainer) -> None:
    container.fake.put(build_of("b1"))
    container.intake.register(container.fake, build_of("b1"))
    assert act(container, "stop").note == "the wait ends at the next tick"
    container.stepfunctions.arrive(ref_of("b1"))
    assert container.poll().released == 1
    assert container.stepfunctions.released[0].outcome is Outcome.CANCELED


def test_a_provider_that_cannot_cancel_leaves_the_build_alone(table: Table, clock: ManualClock) -> None:
    container = FakeContainer(clock, FakeProvider(settings_of("insights"), can_cancel=False))
    container.wait_for(build_of("b1"))
    result = act(container, "stop", cancels=True)
    assert result.note == "the wait has ended; the provider cannot cancel builds, so the build itself runs on"
    assert "was left alone" in str(container.stepfunctions.released[0].problem)


def test_a_provider_that_is_down_does_not_prevent_a_stop(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"))
    container.fake.failures["cancel_build"] = SourceUnavailableError("down")
    assert act(container, "stop", cancels=True).done
    assert "was left alone" in str(container.stepfunctions.released[0].problem)


# ---------------------------------------------------------------------- retry


def test_a_retried_build_is_delivered_after_all(container: FakeContainer, clock: ManualClock) -> None:
    first = undeliverable(container)
    clock.advance(600)
    result = act(container, "retry")
    assert (result.done, result.note) == (True, "attempt 2 has begun: its report is copied")
    passage = container.stepfunctions.passages()[-1]
    assert (passage.attempt, passage.verdict) == (2, NextStep.FETCH)
    assert passage.first_seen_at == record_of(container).timeline.first_seen_at
    row = row_of(container)
    assert (row.attempt, row.outcome, row.next_poll_at, row.task_token) == (2, None, None, None)

    second = end(container, passage.model_copy(update={"outcome": Outcome.SUCCEEDED}), "arn:e2")
    record = record_of(container)
    (earlier,) = record.earlier_attempts
    assert (record.outcome, record.attempt) == (Outcome.SUCCEEDED, 2)
    assert (earlier.number, earlier.outcome, earlier.execution) == (1, Outcome.UNDELIVERABLE, "arn:e1")
    assert earlier.problem is not None
    assert earlier.problem.message == "host not allowed"
    assert [each.action for each in record.acts] == ["retry"]
    assert len(records(container)) == 1
    assert first["id"] != second["id"]
    latest = json.loads(s3().get_object(Bucket=BUCKET, Key="latest/insights/sales.json")["Body"].read())
    assert latest["attempt"] == 2


def records(container: FakeContainer) -> list[str]:
    listed = s3().list_objects_v2(Bucket=BUCKET, Prefix="records/").get("Contents", [])
    return [entry["Key"] for entry in listed]


def test_another_attempt_with_the_same_outcome_has_a_notice_of_its_own(container: FakeContainer) -> None:
    first = undeliverable(container)
    act(container, "retry")
    second = end(container, container.stepfunctions.passages()[-1].model_copy(update={"caught": REFUSED}))
    assert first["type"] == second["type"]
    assert first["id"] != second["id"]
    assert act(container, "retry", id="retry-2").note.startswith("attempt 3 has begun")
    assert [each.number for each in container.stepfunctions.passages()[-1].earlier_attempts] == [1, 2]


def test_a_stop_that_is_delivered_again_after_a_retry_leaves_the_new_attempt_alone(
    container: FakeContainer, clock: ManualClock
) -> None:
    container.wait_for(build_of("b1"))
    assert act(container, "stop").done
    end(container, passage_of_release(container))
    clock.advance(60)
    assert act(container, "retry").done
    container.stepfunctions.arrive(ref_of("b1"))
    released = len(container.stepfunctions.released)
    assert "the present one goes on" in act(container, "stop").note
    assert len(container.stepfunctions.released) == released


def test_a_retried_build_that_runs_is_polled_again_with_a_new_deadline(
    container: FakeContainer, clock: ManualClock
) -> None:
    container.wait_for(build_of("b1"))
    clock.advance(86_400)
    container.poll()
    end(container, passage_of_release(container))
    assert row_of(container).outcome is Outcome.TIMED_OUT
    clock.advance(3600)
    result = act(container, "retry")
    assert result.note.startswith("attempt 2 has begun: it is running, and polled until ")
    assert row_of(container).deadline_at == clock() + timedelta(days=1)
    container.stepfunctions.arrive(ref_of("b1"))
    container.fake.set_status("b1", BuildStatus.SUCCEEDED, completed_at=clock())
    assert container.poll(seconds=120).released == 1
    assert container.stepfunctions.released[-1].outcome is Outcome.SUCCEEDED


def test_a_retry_that_was_cut_off_is_completed_by_a_tick_or_by_the_same_event(container: FakeContainer) -> None:
    undeliverable(container)
    for complete in (lambda: container.poll(seconds=120), lambda: act(container, "retry", id="retry-2")):
        event_id = f"retry-{row_of(container).attempt}"
        container.stepfunctions.failures.append(RuntimeError("killed"))
        with pytest.raises(RuntimeError):
            act(container, "retry", id=event_id)
        started = len(container.stepfunctions.executions)
        complete()
        assert len(container.stepfunctions.executions) == started + 1
        end(container, container.stepfunctions.passages()[-1].model_copy(update={"caught": REFUSED}))


def test_a_late_recording_of_the_earlier_attempt_changes_nothing(container: FakeContainer) -> None:
    undeliverable(container)
    old = passage_of_release(container).model_copy(update={"caught": REFUSED})
    act(container, "retry")
    before, record = row_of(container), record_of(container)
    end(container, old)
    assert (row_of(container), record_of(container)) == (before, record)


def ended_as(container: FakeContainer, outcome: Outcome) -> None:
    undeliverable(container)
    container.builds.close(ref_of("b1"), outcome, record_key="k", build={})


def canceled_by_the_provider(container: FakeContainer) -> None:
    container.wait_for(build_of("b1", BuildStatus.CANCELED))
    container.poll()
    end(container, passage_of_release(container))


def forgotten(container: FakeContainer) -> None:
    undeliverable(container)
    container.fake.known.clear()


def unrecorded(container: FakeContainer) -> None:
    undeliverable(container)
    for key in records(container):
        s3().delete_object(Bucket=BUCKET, Key=key)


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (lambda c: c.wait_for(build_of("b1")), "it has not ended"),
        (lambda _: None, "the ledger does not know it; to wait for it: courier adopt insights/sales/b1"),
        (
            lambda c: ended_as(c, Outcome.FAILED),
            "it ended as failed; only canceled, lost, timed_out, undeliverable can",
        ),
        (canceled_by_the_provider, "the provider still says canceled; request a new build"),
        (forgotten, "the provider does not know it, so request a new build"),
        (unrecorded, "its outcome is being recorded just now; try again in a minute"),
    ],
)
def test_a_retry_that_cannot_be_done_says_why_and_changes_nothing(
    container: FakeContainer, prepare: Callable[[FakeContainer], object], reason: str
) -> None:
    prepare(container)
    before = container.builds.find(ref_of("b1"))
    result = act(container, "retry")
    assert not result.done
    assert result.note.startswith(reason)
    assert container.builds.find(ref_of("b1")) == before


def test_a_retry_without_a_completion_time_does_not_move_latest_back(
    container: FakeContainer, clock: ManualClock
) -> None:
    undeliverable(container)
    clock.advance(3600)
    container.wait_for(build_of("b2", BuildStatus.SUCCEEDED))
    container.poll()
    end(container, passage_of_release(container))
    clock.advance(3600)
    act(container, "retry")
    retried = container.stepfunctions.passages()[-1].model_copy(update={"outcome": Outcome.SUCCEEDED})
    assert end(container, retried)["type"] == "build-courier.build.succeeded"
    assert record_of(container).timeline.completed_at is None
    assert latest_build() == "b2"
    # The head of `latest` is a retried build itself: what ended after its first attempt replaces it.
    s3().delete_object(Bucket=BUCKET, Key="latest/insights/sales.json")
    container.records.write_latest(record_of(container))
    assert latest_build() == "b1"
    container.records.write_latest(record_of(container, "b2"))
    assert latest_build() == "b2"


def latest_build() -> str:
    text = s3().get_object(Bucket=BUCKET, Key="latest/insights/sales.json")["Body"].read()
    return str(json.loads(text)["build"]["build_id"])


# ---------------------------------------------------------------------- resend, adopt, request


def test_a_notice_is_published_again_with_the_same_id(container: FakeContainer) -> None:
    first = undeliverable(container)
    for _ in range(2):
        assert act(container, "resend").note == "the notice was published again: undeliverable"
    assert [json.loads(each.message["default"])["id"] for each in container.published] == [first["id"]] * 2
    assert [each.action for each in record_of(container).acts] == ["resend"]
    act(container, "retry")
    end(container, container.stepfunctions.passages()[-1].model_copy(update={"outcome": Outcome.SUCCEEDED}))
    assert [each.action for each in record_of(container).acts] == ["resend", "retry"]


def test_what_a_later_version_wrote_into_a_record_survives_a_resend(container: FakeContainer) -> None:
    undeliverable(container)
    key = row_of(container).record_key or ""
    document = json.loads(s3().get_object(Bucket=BUCKET, Key=key)["Body"].read()) | {"mood": "good"}
    s3().put_object(Bucket=BUCKET, Key=key, Body=json.dumps(document).encode())
    act(container, "resend")
    text = s3().get_object(Bucket=BUCKET, Key=key)["Body"].read()
    assert json.loads(text)["mood"] == "good"
    assert text.count(b"\n") == 1


def test_a_build_in_flight_has_no_notice_yet(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"))
    assert act(container, "resend").note == "it has not ended, so there is no notice yet"


def test_an_adopted_build_keeps_who_adopted_it(container: FakeContainer) -> None:
    container.fake.put(build_of("b1"))
    assert act(container, "adopt").note == "the build is tracked"
    assert [each.by for each in row_of(container).acts] == ["ada"]
    assert act(container, "adopt", id="adopt-2", by="eve").done
    assert [each.by for each in row_of(container).acts] == ["ada", "eve"]
    assert act(container, "adopt", "b2").note == "insights/sales/b2 is unknown"


def test_an_adopted_build_that_had_ended_keeps_the_act_in_its_record(container: FakeContainer) -> None:
    container.fake.put(build_of("b1", BuildStatus.SUCCEEDED))
    act(container, "adopt")
    end(container, container.stepfunctions.passages()[-1])
    assert [each.action for each in record_of(container).acts] == ["adopt"]
    assert act(container, "adopt", id="adopt-2").note == "it has ended already: succeeded"


def test_an_adopted_build_that_retry_accepts_gets_that_hint(container: FakeContainer) -> None:
    undeliverable(container)
    assert act(container, "adopt").note == "it has ended already: undeliverable; courier retry tries again"


def test_a_request_is_sent_once_and_its_build_keeps_the_act(container: FakeContainer) -> None:
    request = {"source": "insights", "data_model": "sales"}
    for _ in range(2):
        result = act(container, "request", build=None, request=request)
        assert result.build == "insights/sales/started-1"
    assert container.fake.counts["start_build"] == 1
    assert [each.id for each in row_of(container, "started-1").acts] == ["request-1"]


# ---------------------------------------------------------------------- events


@pytest.mark.parametrize(
    "fields",
    [
        {"action": "destroy"},
        {"id": ""},
        {"id": "a/b"},
        {"by": ""},
        {"by": None},
        {"build": "b1"},
        {"build": None},
        {"request": {"source": "insights", "data_model": "sales"}},
        {"action": "request"},
        {"action": "retry", "cancels": True},
        {"colour": "red"},
    ],
    ids=str,
)
def test_an_event_that_is_no_act_is_refused(fields: dict[str, object]) -> None:
    event = {"action": "stop", "id": "1", "by": "ada", "build": "insights/sales/b1", **fields}
    with pytest.raises(SettingsError):
        read_event(OperatorAction, event)
    with pytest.raises(ValidationError):
        OperatorAction.model_validate(event)


def test_an_act_on_an_unknown_source_is_a_result_with_the_reason(container: FakeContainer) -> None:
    result = act(container, "adopt", build="nowhere/sales/b1")
    assert (result.done, result.note) == (False, "there is no source nowhere; configured: insights")


def test_who_and_why_are_shown_without_secrets_and_control_characters(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"))
    act(container, "stop", by="ada\nlovelace", note="x" * 1000)
    (kept,) = row_of(container).acts
    assert "\n" not in kept.by
    assert len(kept.note or "") <= 200


def test_a_row_keeps_the_last_acts(container: FakeContainer) -> None:
    undeliverable(container)
    for number in range(12):
        act(container, "resend", id=f"r{number}")
    assert [each.id for each in row_of(container).acts] == [f"r{number}" for number in range(2, 12)]


# ---------------------------------------------------------------------- sources


def on_source(container: FakeContainer, action: str, **fields: object) -> ActionResult:
    usual = {"action": action, "id": f"{action}-{container.clock():%s}", "by": "ada", "source": "insights"}
    return perform_action(container, read_event(OperatorAction, {**usual, **fields}))


def test_a_paused_source_is_not_called_and_its_deadlines_stand_still(
    container: FakeContainer, clock: ManualClock
) -> None:
    container.wait_for(build_of("b1"))
    clock.advance(12 * 3600)
    assert on_source(container, "pause", note="maintenance").note.startswith("it is paused until an operator resumes")
    clock.advance(20 * 3600)
    assert container.poll().polled == 0
    container.discover()
    assert container.fake.calls == []
    assert on_source(container, "resume").note.startswith("it is called again from the next tick on")
    # The deadline was 24 hours after the beginning, and is 20 hours later now.
    assert container.poll(seconds=11 * 3600).polled == 1
    assert container.stepfunctions.released == []
    assert container.poll(seconds=3600).released == 1
    assert container.stepfunctions.released[0].outcome is Outcome.TIMED_OUT


def test_a_pause_ends_by_itself(container: FakeContainer, clock: ManualClock) -> None:
    container.wait_for(build_of("b1"))
    until = clock() + timedelta(hours=2)
    assert on_source(container, "pause", until=until.isoformat()).done
    assert container.poll(seconds=7199).polled == 0
    assert container.poll(seconds=1).polled == 1
    assert on_source(container, "resume").note == "it is not paused"


def test_a_pause_can_be_prolonged_and_shortened(container: FakeContainer, clock: ManualClock) -> None:
    container.wait_for(build_of("b1"))
    began = clock()
    on_source(container, "pause")
    clock.advance(60)
    on_source(container, "pause", until=(clock() + timedelta(hours=1)).isoformat())
    (pause,) = container.source_ledger.state("insights").pauses
    assert (pause.since, pause.until) == (began, clock() + timedelta(hours=1))
    clock.advance(60)
    on_source(container, "resume")
    on_source(container, "pause")
    assert [each.until for each in container.source_ledger.state("insights").pauses] == [clock(), None]


def test_a_stalled_build_is_as_patient_as_its_source_was_paused(table: Table, clock: ManualClock) -> None:
    settings = settings_of("insights", polling=PollingSettings(stall_after_hours=2))
    container = FakeContainer(clock, FakeProvider(settings))
    container.wait_for(build_of("b1"))
    on_source(container, "pause", until=(clock() + timedelta(hours=3)).isoformat())
    assert container.poll(seconds=4 * 3600).released == 0
    assert container.poll(seconds=3600).released == 1


@pytest.mark.parametrize("action", ["adopt", "retry"])
def test_a_paused_source_takes_no_request(container: FakeContainer, action: str) -> None:
    on_source(container, "pause")
    result = act(container, action)
    assert not result.done
    assert result.note == "source insights is paused by ada; first: courier resume insights"
    assert container.fake.calls == []


def test_a_build_of_a_paused_source_can_be_stopped(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"))
    on_source(container, "pause")
    assert act(container, "stop", cancels=True).done
    assert container.fake.canceled == [ref_of("b1")]


def timeout_of(container: FakeContainer, passage: Passage) -> RecordRequest:
    """Return the event after the state machine's own timeout."""
    caught = passage.model_copy(update={"caught": CaughtError(Error="States.Timeout")})
    execution = row_of(container).execution or ""
    return RecordRequest(passage=caught, execution=execution, entered_at=container.clock())


def test_the_timeout_of_the_state_machine_lets_a_build_of_a_paused_source_wait_on(
    container: FakeContainer, clock: ManualClock
) -> None:
    container.fake.put(build_of("b1"))
    container.intake.register(container.fake, build_of("b1"))
    container.stepfunctions.arrive(ref_of("b1"))
    (passage,) = container.stepfunctions.passages()
    timed_out = timeout_of(container, passage)
    assert not waits_on(container, timed_out)
    clock.advance(20 * 3600)
    on_source(container, "pause")
    clock.advance(5 * 3600)
    assert waits_on(container, timed_out)
    assert waits_on(container, timed_out)
    row = row_of(container)
    assert (row.execution, row.task_token, row.outcome) == (None, None, None)
    clock.advance(100 * 3600)
    assert container.poll().polled == 0
    on_source(container, "resume")
    container.poll()
    first, second = container.stepfunctions.passages()
    assert (first.waits, second.waits) == (1, 2)
    # Four hours were left when the source was paused.
    assert (second.wait_seconds, second.caught, second.verdict) == (4 * 3600, None, NextStep.WAIT)
    container.stepfunctions.arrive(ref_of("b1"))
    # A late repetition does not touch the second wait.
    before = row_of(container)
    waits_on(container, timed_out)
    assert row_of(container) == before
    second_timed_out = timeout_of(container, second)
    assert container.poll(seconds=4 * 3600).released == 1
    assert container.stepfunctions.released[0].outcome is Outcome.TIMED_OUT
    clock.advance(3600)
    assert not waits_on(container, second_timed_out)


def test_a_probe_calls_a_source_at_once_and_ends_its_backoff(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"))
    state = container.health.state("insights")
    container.health.record_failure(container.settings, state, SourceExhaustedError("no credits"))
    assert container.poll(seconds=120).polled == 0
    container.fake.failures["check"] = SourceExhaustedError("no credits")
    assert on_source(container, "probe").note == "no credits"
    assert container.poll(seconds=60).polled == 0
    del container.fake.failures["check"]
    assert on_source(container, "probe").done
    assert not container.source_ledger.state("insights").is_unhealthy
    assert container.poll().polled == 1
    assert [json.loads(each.message["default"])["type"] for each in container.published] == [
        "build-courier.source.unhealthy",
        "build-courier.source.recovered",
    ]


def test_a_probe_lets_failing_scopes_be_tried_again(container: FakeContainer, clock: ManualClock) -> None:
    failing = FailingScopes({}, container.settings.polling, clock)
    for _ in range(5):
        failing.add("sales", SourceUnavailableError("500"))
    container.source_ledger.set_failing_scopes("insights", failing.all())
    assert on_source(container, "probe").done
    assert container.source_ledger.failing_scopes("insights")["sales"].retry_at <= clock()


@pytest.mark.parametrize("action", ["pause", "probe"])
def test_a_dry_run_changes_nothing_at_a_source(container: FakeContainer, action: str) -> None:
    before = container.source_ledger.state("insights")
    assert "would be" in on_source(container, action, dry_run=True).note
    assert container.source_ledger.state("insights") == before
    assert container.fake.calls == []


def test_a_pause_that_would_have_ended_is_refused(container: FakeContainer, clock: ManualClock) -> None:
    result = on_source(container, "pause", until=(clock() - timedelta(seconds=1)).isoformat())
    assert (result.done, result.note) == (False, "the end of the pause is in the past")
