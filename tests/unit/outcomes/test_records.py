"""``latest``: the newest successful build of a scope, with any number of concurrent writers."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest

from courier.errors import CourierError
from courier.models import BuildStatus, Outcome, Passage
from tests.support.aws import BUCKET, s3
from tests.support.container import FakeContainer
from tests.support.providers import HOUR, NOON, build_of
from tests.support.record_requests import artifact, ended, objects, record

pytestmark = pytest.mark.usefixtures("bucket")


def latest() -> str:
    return str(json.loads(objects()["latest/insights/sales.json"])["build"]["build_id"])


def good(build_id: str, ended_at: datetime) -> Passage:
    return ended(build_of(build_id, BuildStatus.SUCCEEDED, completed=ended_at), outcome=Outcome.SUCCEEDED)


def test_latest_is_the_newest_successful_build_and_never_moves_back(container: FakeContainer) -> None:
    for build_id, minutes, expected in (("b1", 1, "b1"), ("b3", 3, "b3"), ("b2", 2, "b3"), ("b4", 4, "b4")):
        record(container, good(build_id, NOON + timedelta(minutes=minutes)))
        assert latest() == expected


def test_a_failed_build_does_not_become_latest(container: FakeContainer) -> None:
    record(container, good("b1", NOON))
    record(container, ended(build_of("b2", BuildStatus.FAILED, completed=NOON + HOUR), outcome=Outcome.FAILED))
    assert latest() == "b1"


def test_latest_of_the_same_build_is_written_again(container: FakeContainer) -> None:
    record(container, ended(outcome=Outcome.SUCCEEDED))
    record(container, ended(artifact=artifact()))
    assert json.loads(objects()["latest/insights/sales.json"])["outcome"] == "delivered"


@pytest.mark.parametrize(("rival_ended_at", "winner"), [(NOON + HOUR, "rival"), (NOON - HOUR, "b1")])
def test_latest_holds_the_newest_after_a_race(
    container: FakeContainer, monkeypatch: pytest.MonkeyPatch, rival_ended_at: datetime, winner: str
) -> None:
    record(container, good("b0", NOON - 2 * HOUR))
    race(monkeypatch, container, [lambda: record(container, good("rival", rival_ended_at))])
    record(container, good("b1", NOON))
    assert latest() == winner


def test_one_of_two_first_builds_creates_latest(container: FakeContainer, monkeypatch: pytest.MonkeyPatch) -> None:
    race(monkeypatch, container, [lambda: record(container, good("rival", NOON + HOUR))])
    record(container, good("b1", NOON))
    assert latest() == "rival"


def test_latest_is_created_again_if_it_is_deleted_in_between(
    container: FakeContainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(container, good("b0", NOON - HOUR))
    client = s3()
    race(monkeypatch, container, [lambda: client.delete_object(Bucket=BUCKET, Key="latest/insights/sales.json")])
    record(container, good("b1", NOON))
    assert latest() == "b1"


def test_a_race_that_never_ends_is_an_error(container: FakeContainer, monkeypatch: pytest.MonkeyPatch) -> None:
    rivals: list[Callable[[], object]] = [
        partial(record, container, good(f"r{number}", NOON - HOUR + timedelta(seconds=number))) for number in range(9)
    ]
    record(container, good("b0", NOON - 2 * HOUR))
    race(monkeypatch, container, rivals)
    with pytest.raises(s3().exceptions.ClientError):
        record(container, good("b1", NOON))


@pytest.mark.parametrize("content", ["", "{}", "not json", '{"schema_version": "9", "build": 1}'])
def test_an_unreadable_latest_is_replaced(container: FakeContainer, content: str) -> None:
    put_latest(content)
    record(container, good("b1", NOON))
    assert latest() == "b1"


@pytest.mark.parametrize("believed", ["records/", "latest/"])
def test_a_success_that_proves_nothing_is_not_believed(
    container: FakeContainer, monkeypatch: pytest.MonkeyPatch, believed: str
) -> None:
    client = container.records._client
    put_object = client.put_object

    def put(**arguments: Any) -> object:  # noqa: ANN401 - boto3's own
        return {} if arguments["Key"].startswith(believed) else put_object(**arguments)

    with monkeypatch.context() as patched:
        patched.setattr(client, "put_object", put)
        with pytest.raises(CourierError, match="sends no ETag, which proves nothing"):
            record(container, good("b1", NOON))
    record(container, good("b1", NOON))
    assert latest() == "b1"
    assert any(key.startswith("records/") for key in objects())


def test_latest_of_a_newer_version_is_kept(container: FakeContainer) -> None:
    record(container, good("newer", NOON + HOUR))
    document = json.loads(objects()["latest/insights/sales.json"])
    put_latest(json.dumps({**document, "schema_version": "1.1", "outcome": "brand_new", "mood": "good"}))
    record(container, good("b1", NOON))
    assert latest() == "newer"


def put_latest(content: str) -> None:
    s3().put_object(Bucket=BUCKET, Key="latest/insights/sales.json", Body=content)


def race(monkeypatch: pytest.MonkeyPatch, container: FakeContainer, rivals: list[Callable[[], object]]) -> None:
    """Let rivals write after each read of `latest`, before the write that follows."""
    records = container.records
    read = records._read_latest

    def read_then_rival(key: str) -> Any:  # noqa: ANN401 - as the original
        latest_head = read(key)
        if rivals:
            rival = rivals.pop(0)
            waiting, rivals[:] = rivals[:], []
            rival()
            rivals[:] = waiting
        return latest_head

    monkeypatch.setattr(records, "_read_latest", read_then_rival)
