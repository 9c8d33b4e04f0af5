"""Each promise is checked: evidence in which exactly one promise is broken violates that promise."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from local.chaos.checker import PROMISES, Allowance, check, count_unfinished, execution_build
from local.chaos.evidence import Evidence, ExpectedArtifact, StoredVersion, SubmittedRequest
from local.embedded.results import ReceivedNotice

Planting = Callable[[Evidence], Evidence]


def version(evidence: Evidence, start: str) -> StoredVersion:
    return next(version for version in evidence.objects if version.key.startswith(start) and version.is_latest)


def with_object(evidence: Evidence, old: StoredVersion | None, *new: StoredVersion) -> Evidence:
    return replace(evidence, objects=[*(each for each in evidence.objects if each is not old), *new])


def edited(found: StoredVersion, **changes: object) -> StoredVersion:
    return replace(found, text=json.dumps({**json.loads(found.text or ""), **changes}), sha256="other")


def delivered_record(evidence: Evidence) -> StoredVersion:
    return next(each for each in evidence.records.values() if '"delivered"' in (each.text or ""))


def with_row(evidence: Evidence, **changes: object) -> Evidence:
    changed, *rest = (row for row in evidence.rows if not str(row["build"]).startswith("#"))
    others = [row for row in evidence.rows if str(row["build"]).startswith("#")]
    return replace(evidence, rows=[{**changed, **changes}, *rest, *others])


def with_notice(evidence: Evidence, change: Callable[[dict[str, Any]], Mapping[str, Any]]) -> Evidence:
    first, *rest = evidence.notices
    return replace(evidence, notices=[replace(first, message=json.dumps(change(json.loads(first.message)))), *rest])


def first_run(evidence: Evidence, **changes: Any) -> Evidence:  # noqa: ANN401 - any of its fields
    first, *rest = evidence.executions
    return replace(evidence, executions=[replace(first, **changes), *rest])


def about(notice: ReceivedNotice, subject: str) -> bool:
    return bool(json.loads(notice.message)["subject"] == subject)


def without_a_record(evidence: Evidence) -> Evidence:
    return with_object(evidence, delivered_record(evidence))


def with_two_records(evidence: Evidence) -> Evidence:
    record = delivered_record(evidence)
    source, _, rest = record.key.partition("/date=")
    return with_object(evidence, None, replace(record, key=f"{source}/date=2020-01-01{rest[10:]}"))


def with_a_false_outcome(evidence: Evidence) -> Evidence:
    record = next(each for each in evidence.records.values() if '"failed"' in (each.text or ""))
    return with_object(evidence, record, edited(record, outcome="canceled"))


def with_a_record_of_nothing(evidence: Evidence) -> Evidence:
    record = delivered_record(evidence)
    build = {**json.loads(record.text or "")["build"], "build_id": "nobody"}
    return with_object(evidence, None, replace(edited(record, build=build), key=record.key + "x"))


def with_an_artifact_written_twice(evidence: Evidence) -> Evidence:
    return with_object(evidence, None, replace(version(evidence, "artifacts/"), is_latest=False))


def with_a_record_rewritten(evidence: Evidence) -> Evidence:
    return with_object(evidence, None, replace(delivered_record(evidence), is_latest=False, sha256="other"))


def with_a_damaged_artifact(evidence: Evidence) -> Evidence:
    artifact = version(evidence, "artifacts/")
    return with_object(evidence, artifact, replace(artifact, sha256="other"))


def with_an_artifact_that_no_provider_has(evidence: Evidence) -> Evidence:
    return replace(
        evidence,
        expected_artifacts={
            name: ExpectedArtifact(size_bytes=1, sha256="other") for name in evidence.expected_artifacts
        },
    )


def without_an_artifact(evidence: Evidence) -> Evidence:
    return with_object(evidence, version(evidence, "artifacts/"))


def with_an_artifact_too_many(evidence: Evidence) -> Evidence:
    artifact = version(evidence, "artifacts/")
    return with_object(evidence, None, replace(artifact, key="artifacts/a/b/2026/01/01/nobody/report.pdf"))


def with_an_artifact_of_a_failed_build(evidence: Evidence) -> Evidence:
    failed = next(each for each in evidence.records.values() if '"failed"' in (each.text or ""))
    artifact = json.loads(delivered_record(evidence).text or "")["artifact"]
    return with_object(evidence, failed, edited(failed, artifact=artifact))


def with_an_execution_that_runs(evidence: Evidence) -> Evidence:
    return first_run(evidence, status="RUNNING")


def with_an_execution_that_failed(evidence: Evidence) -> Evidence:
    return first_run(evidence, status="FAILED", error="Lambda.Unknown")


def with_a_loop(evidence: Evidence) -> Evidence:
    return first_run(evidence, states=("WaitForBuild",) * 60)


def with_endless_polls(evidence: Evidence) -> Evidence:
    poll = next(entry for entry in evidence.requests if entry.target.build_id)
    return replace(evidence, requests=[poll] * 1000)


def without_a_notice(evidence: Evidence) -> Evidence:
    return replace(evidence, notices=evidence.notices[1:])


def without_a_notice_about(evidence: Evidence, subject: str) -> Evidence:
    return replace(evidence, notices=[notice for notice in evidence.notices if not about(notice, subject)])


def with_another_id_for_a_repetition(evidence: Evidence) -> Evidence:
    return with_notice(
        replace(evidence, notices=[evidence.notices[0], *evidence.notices]), lambda event: {**event, "id": "another"}
    )


def with_a_notice_about_nothing(evidence: Evidence) -> Evidence:
    return with_notice(
        evidence, lambda event: {**event, "data": {**event["data"], "record": {"bucket": "b", "key": "nowhere"}}}
    )


def with_a_repeated_notice(evidence: Evidence) -> Evidence:
    return replace(evidence, notices=[*evidence.notices, evidence.notices[0]])


def with_a_report_started_twice(evidence: Evidence) -> Evidence:
    started = next(build for build in evidence.provider_builds if build.build_id not in evidence.scheduled)
    return replace(
        evidence, provider_builds=[*evidence.provider_builds, replace(started, completed=None, build_id="the second")]
    )


def with_a_request_that_led_nowhere(evidence: Evidence) -> Evidence:
    submitted = evidence.submitted[0]
    return replace(
        evidence,
        submitted=[
            *evidence.submitted,
            SubmittedRequest(request_id="forgotten", source=submitted.source, scope=submitted.scope),
        ],
    )


def with_an_open_upload(evidence: Evidence) -> Evidence:
    return replace(evidence, open_uploads=["artifacts/a"])


def with_an_object_elsewhere(evidence: Evidence) -> Evidence:
    return with_object(evidence, None, StoredVersion(key="tmp/x", size_bytes=0, sha256="", is_latest=True))


def with_a_row_in_flight(evidence: Evidence) -> Evidence:
    return with_row(evidence, next_poll_at="2026-01-01T00:00:00.000Z")


def with_a_row_that_points_nowhere(evidence: Evidence) -> Evidence:
    return with_row(evidence, record_key="records/none")


def without_latest(evidence: Evidence) -> Evidence:
    return with_object(evidence, version(evidence, "latest/"))


def with_an_old_latest(evidence: Evidence) -> Evidence:
    latest = version(evidence, "latest/")
    times = {**json.loads(latest.text or "")["timeline"], "completed_at": "2020-01-01T00:00:00Z"}
    return with_object(evidence, latest, edited(latest, timeline=times))


def with_a_key_in_the_log(evidence: Evidence) -> Evidence:
    return replace(evidence, logs=[*evidence.logs, f"asked with Bearer {evidence.secrets[-1]}"])


def with_a_link_in_a_history(evidence: Evidence) -> Evidence:
    history = json.dumps([{"name": "execution"}, ["https://store.example.com/r.pdf?X-Amz-Signature=1"]])
    return replace(evidence, histories=[history])


PLANTED: Mapping[str, tuple[Planting, ...]] = {
    "one record": (without_a_record, with_two_records),
    "true record": (with_a_false_outcome, with_a_record_of_nothing),
    "written once": (with_an_artifact_written_twice, with_a_record_rewritten),
    "true artifact": (
        with_a_damaged_artifact,
        with_an_artifact_that_no_provider_has,
        without_an_artifact,
        with_an_artifact_too_many,
        with_an_artifact_of_a_failed_build,
    ),
    "executions end": (with_an_execution_that_runs, with_an_execution_that_failed),
    "no loops": (with_a_loop, with_endless_polls),
    "announced": (without_a_notice, with_another_id_for_a_repetition, with_a_notice_about_nothing),
    "not repeated": (with_a_repeated_notice,),
    "started once": (with_a_report_started_twice,),
    "never silent": (with_a_request_that_led_nowhere,),
    "no open upload": (with_an_open_upload,),
    "nothing elsewhere": (with_an_object_elsewhere,),
    "closed ledger": (with_a_row_in_flight, with_a_row_that_points_nowhere),
    "true latest": (without_latest, with_an_old_latest),
    "no leak": (with_a_key_in_the_log, with_a_link_in_a_history),
}


def test_an_undisturbed_run_breaks_no_promise(of_insights: Evidence, of_reports: Evidence) -> None:
    assert check(of_insights) == []
    assert check(of_reports) == []
    assert Counter(json.loads(each.text or "")["outcome"] for each in of_reports.records.values()) == {
        "delivered": 2,
        "failed": 1,
        "empty": 1,
    }


def build_name(record: StoredVersion) -> str:
    build = json.loads(record.text or "")["build"]
    return f"{build['source']}/{build['scope']}/{build['build_id']}"


def test_of_a_run_that_was_stopped_early_only_the_builds_that_ended_are_checked(of_reports: Evidence) -> None:
    unfinished = build_name(delivered_record(of_reports))
    ended = frozenset(build_name(each) for each in of_reports.records.values()) - {unfinished}
    stopped = without_a_notice_about(without_a_record(of_reports), unfinished)
    stopped = replace(
        stopped,
        rows=[{**row, "next_poll_at": "soon"} if row["build"] == unfinished else row for row in stopped.rows],
        executions=[
            replace(run, status="RUNNING") if execution_build(run) == unfinished else run for run in stopped.executions
        ],
        open_uploads=[f"artifacts/{unfinished}/report.pdf"],
    )
    assert {violation.promise for violation in check(stopped)} > {"one record", "executions end", "closed ledger"}
    assert check(stopped, Allowance(ended=ended)) == []
    assert count_unfinished(stopped, ended) == 1
    assert count_unfinished(of_reports, ended | {unfinished}) == 0
    with_open_requests = with_a_request_that_led_nowhere(stopped)
    assert check(with_open_requests, Allowance(ended=ended)) == []
    assert count_unfinished(with_open_requests, ended) == 2


@pytest.mark.parametrize("promise", ["written once", "true artifact", "announced", "closed ledger", "no open upload"])
def test_a_breach_by_a_build_that_ended_is_found_in_a_run_that_was_stopped_early(
    of_reports: Evidence, promise: str
) -> None:
    ended = frozenset(build_name(each) for each in of_reports.records.values())
    for plant in PLANTED[promise]:
        assert promise in {violation.promise for violation in check(plant(of_reports), Allowance(ended=ended))}


def test_every_promise_has_a_planted_breach() -> None:
    assert PLANTED.keys() == PROMISES.keys()


@pytest.mark.parametrize(
    ("promise", "plant"),
    [pytest.param(name, plant, id=plant.__name__) for name, plants in PLANTED.items() for plant in plants],
)
def test_a_breach_is_found(of_reports: Evidence, promise: str, plant: Planting) -> None:
    assert promise in {violation.promise for violation in check(plant(of_reports))}


def test_what_a_fault_explains_is_allowed(of_reports: Evidence) -> None:
    assert check(with_a_repeated_notice(of_reports), Allowance(repeated_notices=1)) == []
    assert not [
        violation
        for violation in check(with_a_false_outcome(of_reports), Allowance(outcomes=frozenset({"canceled"})))
        if violation.promise == "true record"
    ]


def test_the_build_of_a_failed_execution_waits_for_its_redrive(of_reports: Evidence) -> None:
    run = next(run for run in of_reports.executions if "delivered" in (run.output or ""))
    ref = json.loads(run.input)["build"]["ref"]
    record = next(
        each
        for each in of_reports.records.values()
        if json.loads(each.text or "")["build"]["build_id"] == ref["build_id"]
    )
    subject = f"{ref['source']}/{ref['scope']}/{ref['build_id']}"
    broken = replace(
        with_object(of_reports, record),
        executions=[replace(each, status="FAILED") if each is run else each for each in of_reports.executions],
        notices=[notice for notice in of_reports.notices if not about(notice, subject)],
    )
    waiting = check(broken, Allowance(failed_executions=True))
    # What its report had been `latest` for is gone with the record in this evidence, and only that is told.
    assert {violation.promise for violation in waiting} <= {"true latest"}
    assert "executions end" in {violation.promise for violation in check(broken)}
