"""``record_outcome``: every outcome is recorded and published, and repeating it changes nothing."""

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from courier import aws
from courier.errors import ArtifactUnavailableError, SettingsError
from courier.ledger import Table
from courier.models import (
    AccountLimits,
    BuildStatus,
    Outcome,
    Passage,
    Problem,
)
from courier.object_keys import artifact_key
from courier.outcomes.notices import Publication
from local.simulator import ManualClock
from tests.support.aws import BUCKET, s3
from tests.support.container import FakeContainer
from tests.support.providers import HOUR, NOON, build_of, passage_of, ref_of
from tests.support.record_requests import (
    ENDED,
    EXECUTION,
    LATER,
    artifact,
    caught,
    ended,
    event_of,
    lambda_cause,
    objects,
    record,
)

pytestmark = pytest.mark.usefixtures("bucket")


CASES: dict[str, tuple[Callable[[], Passage], Outcome]] = {
    "delivered": (lambda: ended(artifact=artifact()), Outcome.DELIVERED),
    "succeeded": (lambda: ended(outcome=Outcome.SUCCEEDED), Outcome.SUCCEEDED),
    "failed": (
        lambda: ended(
            build_of("b1", BuildStatus.FAILED, completed=NOON),
            outcome=Outcome.FAILED,
            problem=Problem(name="BuildFailed", message="no memory", advice="Use less data."),
            limits=AccountLimits(build_size_gb=8, query_size_gb=4),
        ),
        Outcome.FAILED,
    ),
    "canceled": (lambda: ended(outcome=Outcome.CANCELED), Outcome.CANCELED),
    "empty": (
        lambda: ended(
            build_of("request-r1", BuildStatus.UNKNOWN, created=None),
            outcome=Outcome.EMPTY,
            problem=Problem(name="EmptyReportError", message="nothing in findings"),
        ),
        Outcome.EMPTY,
    ),
    "timed out by the poller": (lambda: ended(build_of(), outcome=Outcome.TIMED_OUT), Outcome.TIMED_OUT),
    "timed out by the state machine": (lambda: passage_of(caught=caught("States.Timeout")), Outcome.TIMED_OUT),
    "lost": (lambda: ended(build_of(), outcome=Outcome.LOST), Outcome.LOST),
    "undeliverable": (
        lambda: ended(caught=caught("ArtifactExpiredError", lambda_cause("the link is dead"))),
        Outcome.UNDELIVERABLE,
    ),
    "a copy that timed out": (lambda: ended(caught=caught("States.Timeout")), Outcome.UNDELIVERABLE),
}


@pytest.mark.parametrize("case", CASES)
def test_every_outcome_is_recorded_closed_and_published(container: FakeContainer, case: str) -> None:
    make, outcome = CASES[case]
    passage = make()
    publication = record(container, passage)
    ref = passage.build.ref
    row = container.builds.find(ref)
    assert row is not None
    assert (row.outcome, row.next_poll_at, row.task_token) == (outcome, None, None)
    written = json.loads(objects()[row.record_key or ""])
    assert (written["outcome"], written["courier"]["execution"]) == (outcome, EXECUTION)
    event = event_of(publication)
    assert event["data"]["record"] == {"bucket": BUCKET, "key": row.record_key}
    assert (event["data"]["outcome"], event["type"]) == (outcome, f"build-courier.build.{outcome}")


@pytest.mark.parametrize("case", CASES)
def test_writing_twice_writes_the_same(container: FakeContainer, clock: ManualClock, case: str) -> None:
    passage = CASES[case][0]()
    first, before = record(container, passage), objects()
    clock.advance(7200)
    assert record(container, passage) == first
    assert objects() == before


def test_a_wait_that_timed_out_names_the_last_report_each_time_it_is_recorded(container: FakeContainer) -> None:
    container.builds.register(passage_of(), next_poll_at=NOON)
    row = container.builds.find(ref_of())
    assert row is not None
    container.builds.count_failure(row, "insights: get_build returned 500", not_found=False)
    texts = [record(container, passage_of(caught=caught("States.Timeout"))).message["email"] for _ in range(2)]
    assert "insights: get_build returned 500" in texts[0]
    assert texts[0] == texts[1]


def test_a_redrive_on_another_day_keeps_the_key_and_the_event(container: FakeContainer) -> None:
    passage = passage_of(caught=caught("States.Timeout"))
    first = record(container, passage)
    again = record(container, passage, LATER + timedelta(days=2))
    assert len(objects()) == 1
    assert event_of(again)["id"] == event_of(first)["id"]


def test_a_report_delivered_by_a_redrive_replaces_the_earlier_outcome(container: FakeContainer) -> None:
    first = record(container, ended(caught=caught("ArtifactExpiredError")))
    again = record(container, ended(artifact=artifact()))
    assert event_of(first)["data"]["record"] == event_of(again)["data"]["record"]
    assert event_of(first)["id"] != event_of(again)["id"]
    row = container.builds.find(ref_of())
    assert row is not None
    assert row.outcome is Outcome.DELIVERED


def test_a_passage_without_an_outcome_is_an_error(container: FakeContainer) -> None:
    with pytest.raises(SettingsError, match="insights/sales/b1"):
        record(container, passage_of())


@pytest.mark.parametrize(
    ("cause", "message"),
    [
        (lambda_cause("the link is dead"), "the link is dead"),
        (json.dumps({"errorType": "X", "errorMessage": "second"}), "second"),
        (lambda_cause("long", stackTrace=["x" * 50_000])[:32_768], "long"),
        (lambda_cause("y" * 50_000)[:32_768], "y" * 1999 + "…"),
        (
            lambda_cause("got https://s3.example.com/r.pdf?X-Amz-Signature=abc123 twice"),
            "got https://s3.example.com/r.pdf?… twice",
        ),
        ("", "ArtifactExpiredError"),
        ("junk", "junk"),
        ("see https://s3.example.com/r.pdf?X-Amz-Signature=abc123", "see https://s3.example.com/r.pdf?…"),
        ("[1, 2]", "[1, 2]"),
        ('{"errorMessage": 7}', "ArtifactExpiredError"),
        ('{"errorMessage": null}', "ArtifactExpiredError"),
        ("a\nb\x00c", "a b c"),
        ("{" * 30_000, "{" * 1999 + "…"),
    ],
    ids=lambda value: value[:30],
)
def test_the_message_is_read_from_any_cause(container: FakeContainer, cause: str, message: str) -> None:
    event = event_of(record(container, ended(caught=caught("ArtifactExpiredError", cause))))
    assert event["data"]["problem"] == {"name": "ArtifactExpiredError", "message": message, "advice": None}


def test_no_link_in_a_cause_is_published(container: FakeContainer) -> None:
    cause = "x" * 100 + "https://s3.example.com/r.pdf?X-Amz-Signature=abc123&X-Amz-Credential=AKIAEXAMPLE"
    for cause_text in (cause, lambda_cause(cause), lambda_cause(cause)[:-40], json.dumps([cause])):
        publication = record(container, ended(caught=caught("ArtifactExpiredError", cause_text)))
        for text in (*publication.message.values(), *(body.decode() for body in objects().values())):
            assert "abc123" not in text
            assert "AKIAEXAMPLE" not in text


def test_the_record_key_has_the_date_on_which_the_build_ended(container: FakeContainer) -> None:
    record(container, ended(outcome=Outcome.SUCCEEDED))
    record(container, ended(build_of("b2", BuildStatus.SUCCEEDED, completed=None), outcome=Outcome.SUCCEEDED))
    record(container, passage_of(build_of("b3"), caught=caught("States.Timeout")), NOON + timedelta(days=1))
    assert set(objects()) == {
        "records/source=insights/date=2026-04-15/sales/b1.json",
        "records/source=insights/date=2026-04-15/sales/b2.json",
        "records/source=insights/date=2026-04-16/sales/b3.json",
        "latest/insights/sales.json",
    }


def test_the_duration_of_a_build_is_stored_once(container: FakeContainer, table: Table) -> None:
    for _ in range(2):
        record(container, ended(outcome=Outcome.SUCCEEDED))
    record(container, passage_of(build_of("b2"), caught=caught("States.Timeout")))
    record(
        container,
        ended(build_of("b3", BuildStatus.FAILED, created=NOON, completed=NOON - HOUR), outcome=Outcome.FAILED),
    )
    took = {
        name: value for name, value in (table.get("#scope/insights/sales") or {}).items() if name.startswith("took_")
    }
    assert list(took.values()) == [3600.0]


def test_the_upload_of_an_unfinished_copy_is_aborted(container: FakeContainer) -> None:
    leave_upload(container)
    for _ in range(2):
        record(container, ended(caught=caught("ArtifactExpiredError")))
    assert s3().list_multipart_uploads(Bucket=BUCKET).get("Uploads", []) == []
    assert container.builds.checkpoint(ref_of()) is None


def test_a_refused_abort_does_not_prevent_the_record(
    container: FakeContainer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    leave_upload(container)
    refuse(monkeypatch, "AccessDenied")
    publication = record(container, ended(caught=caught("ArtifactExpiredError")))
    assert recorded_outcome(publication) == Outcome.UNDELIVERABLE
    assert "upload not aborted" in caplog.text


def test_a_throttled_abort_is_retried(container: FakeContainer, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_upload(container)
    with monkeypatch.context() as failing:
        refuse(failing, "SlowDown")
        with pytest.raises(ArtifactUnavailableError):
            record(container, ended(caught=caught("ArtifactExpiredError")))
    record(container, ended(caught=caught("ArtifactExpiredError")))
    assert s3().list_multipart_uploads(Bucket=BUCKET).get("Uploads", []) == []
    assert container.builds.checkpoint(ref_of()) is None


def leave_upload(container: FakeContainer) -> None:
    container.builds.register(passage_of(ENDED), next_poll_at=NOON)
    upload = s3().create_multipart_upload(Bucket=BUCKET, Key="artifacts/x")["UploadId"]
    container.builds.save_checkpoint(ref_of(), upload_id=upload, key="artifacts/x", text="{}")


def refuse(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    def raise_error(**_: object) -> None:
        raise ClientError({"Error": {"Code": code, "Message": "no"}}, "AbortMultipartUpload")

    monkeypatch.setattr(aws.client("s3"), "abort_multipart_upload", raise_error)


def recorded_outcome(publication: Publication) -> object:
    record = event_of(publication)["data"]["record"]["key"]
    return json.loads(objects()[record])["outcome"]


def test_uploads_of_killed_copies_are_aborted_with_an_undeliverable_report(container: FakeContainer) -> None:
    client = s3()
    container.builds.register(passage_of(ENDED), next_poll_at=NOON)
    key = artifact_key("", ref_of(), ENDED.completed_at or NOON, "report.pdf")
    elsewhere = artifact_key("", ref_of("b10"), ENDED.completed_at or NOON, "report.pdf")
    for each in (key, key, elsewhere):
        client.create_multipart_upload(Bucket=BUCKET, Key=each)
    for _ in range(2):
        record(container, ended(caught=caught("ArtifactUnavailableError")))
    assert [each["Key"] for each in client.list_multipart_uploads(Bucket=BUCKET)["Uploads"]] == [elsewhere]


@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "ListMultipartUploads"),
        ReadTimeoutError(endpoint_url="https://s3.example.com"),
    ],
    ids=["refused", "unanswered"],
)
def test_a_failed_cleanup_does_not_prevent_the_record(
    container: FakeContainer, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(aws.client("s3"), "list_multipart_uploads", fail)
    publication = record(container, ended(caught=caught("ArtifactUnavailableError")))
    assert recorded_outcome(publication) == Outcome.UNDELIVERABLE
