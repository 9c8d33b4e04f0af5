"""The paths of builds through the real state machine, by what is known when they are first seen."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from local.embedded.embedded_aws import EmbeddedAws
from local.embedded.results import ExecutionReport
from tests.functional.upgrades.samples import sample

TEMPLATE = Path(__file__).parents[3] / "template.yaml"
BY_THE_COPY = ("RouteBuild", "WaitForReport", "CopyArtifact", "RecordOutcome", "Notify")
WITHOUT_A_COPY = ("RouteBuild", "WaitForBuild", "RecordOutcome", "Notify")


@pytest.fixture(scope="module")
def courier() -> Iterator[EmbeddedAws]:
    with EmbeddedAws(TEMPLATE) as aws:
        yield aws


def waiting(build_id: str, **fields: object) -> dict[str, Any]:
    """Give a passage of an earlier version that waits, and says nothing of reports unless ``fields`` does."""
    passage = {**sample("executions", "wait"), **fields}
    ref = {**passage["build"]["ref"], "build_id": build_id}
    return {**passage, "build": {**passage["build"], "ref": ref}}


def run_to_its_end(
    courier: EmbeddedAws, passage: Mapping[str, Any], payload: Mapping[str, Any] | None
) -> ExecutionReport:
    arn = courier.start_execution("BuildLifecycle", passage)
    courier.wait_until_idle()
    if payload is not None:
        (token,) = [row["task_token"] for row in courier.ledger_rows() if "task_token" in row]
        client = courier.client("stepfunctions")
        client.send_task_success(taskToken=str(token), output=json.dumps({**payload, "build": passage["build"]}))
        courier.wait_until_idle()
    (run,) = [run for run in courier.executions() if run.arn == arn]
    return run


@pytest.mark.parametrize(
    ("said", "way"),
    [
        pytest.param({"leaves_report": False}, WITHOUT_A_COPY, id="no report ever"),
        pytest.param({"leaves_report": True}, BY_THE_COPY, id="a report perhaps"),
        pytest.param({}, BY_THE_COPY, id="a passage of an earlier version"),
    ],
)
def test_a_build_that_fails_while_it_is_waited_for_is_recorded_as_failed(
    courier: EmbeddedAws, said: Mapping[str, object], way: tuple[str, ...]
) -> None:
    build_id = f"failed-{len(courier.executions())}"
    run = run_to_its_end(courier, waiting(build_id, **said), sample("news", "failed"))
    assert (run.status, run.states) == ("SUCCEEDED", way)
    (row,) = [row for row in courier.ledger_rows() if str(row["build"]).endswith(f"/{build_id}")]
    assert row["outcome"] == "failed"
    text = courier.client("s3").get_object(Bucket=courier.outputs["BucketName"], Key=str(row["record_key"]))["Body"]
    record = json.loads(text.read())
    assert (record["artifact"], record["problem"]["name"]) == (None, "BuildFailed")


def test_a_copy_of_nothing_makes_no_request(courier: EmbeddedAws) -> None:
    run = run_to_its_end(courier, waiting("nothing-to-copy"), sample("news", "failed"))
    assert "CopyArtifact" in run.states
    assert [call for call in courier.calls() if call[0] == "copy_artifact"] == []


def test_a_build_that_had_ended_when_it_was_seen_is_not_waited_for(courier: EmbeddedAws) -> None:
    run = run_to_its_end(courier, sample("executions", "ended"), None)
    assert (run.status, run.states) == ("SUCCEEDED", ("RouteBuild", "RecordOutcome", "Notify"))
