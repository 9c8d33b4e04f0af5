"""What subscribers receive: CloudEvents within the limits of SNS, in the published schemas."""

import json
import re
import string
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.models import (
    AccountLimits,
    Build,
    BuildRef,
    BuildStatus,
    NextStep,
    Outcome,
    Passage,
    Problem,
    StoredArtifact,
)
from courier.outcomes.notices import Publication, build_notice, source_notice
from courier.outcomes.records import Record, make_record
from tests.support.providers import NOON

SCHEMAS = Path(__file__).resolve().parents[3] / "docs" / "schemas"
# Publish: "The maximum size of a message is 256 KB", attributes included.
SNS_LIMIT_BYTES = 256 * 1024
EXECUTION = "arn:aws:states:eu-central-1:123456789012:execution:m:n"

texts = st.text(max_size=300)
# The longest is what JSON escapes twice: a quote becomes three characters, a control character seven.
longest = st.sampled_from(['"', "\\", "\x01", "漢", "🚀", "a", "\n"]).map(lambda character: character * 10_000)
problems = st.none() | st.builds(
    Problem, name=st.just("BuildFailed"), message=texts | longest, advice=st.none() | texts | longest
)
identifiers = st.text(
    st.characters(exclude_characters="/\x7f", exclude_categories=("Cc", "Cs")), min_size=1, max_size=200
)
refs = st.builds(BuildRef, source=st.just("insights"), scope=identifiers, build_id=identifiers)
moments = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds are naive
artifacts = st.none() | st.builds(
    StoredArtifact,
    bucket=st.just("reports"),
    key=texts,
    version_id=st.none() | texts,
    size_bytes=st.integers(0, 5 * 1024**4),
    sha256=st.text(string.hexdigits, min_size=64, max_size=64),
    content_type=texts,
    verified=st.booleans(),
    copied_at=moments,
)
gigabytes = st.none() | st.floats(0, 1e6)
limits = st.none() | st.builds(AccountLimits, build_size_gb=gigabytes, query_size_gb=gigabytes)


@st.composite
def records(draw: st.DrawFn) -> Record:
    build = Build(
        ref=draw(refs),
        status=BuildStatus.UNKNOWN,
        created_at=draw(st.none() | moments),
        completed_at=draw(st.none() | moments),
        error_message=draw(st.none() | longest),
    )
    passage = Passage(
        provider="treasure_insights",
        build=build,
        verdict=NextStep.RECORD,
        first_seen_at=draw(moments),
        detected_at=draw(st.none() | moments),
        wait_seconds=60,
        limits=draw(limits),
        problem=draw(problems),
        artifact=draw(artifacts),
    )
    outcome = draw(st.sampled_from(Outcome))
    return make_record(
        passage, provider="treasure_insights", outcome=outcome, ended_at=NOON, stack="courier", execution=EXECUTION
    )


def record_of(
    build_id: str = "b1", scope: str = "sales", outcome: Outcome = Outcome.FAILED, **fields: object
) -> Record:
    build = Build(ref=BuildRef(source="insights", scope=scope, build_id=build_id), status=BuildStatus.FAILED)
    usual = {"provider": "treasure_insights", "build": build, "verdict": "record", "first_seen_at": NOON}
    passage = Passage.model_validate({**usual, "detected_at": NOON, "wait_seconds": 60, **fields})
    return make_record(
        passage, provider="treasure_insights", outcome=outcome, ended_at=NOON, stack="courier", execution=EXECUTION
    )


def announce(record: Record) -> Publication:
    return build_notice(record, bucket="reports", key="records/source=insights/date=2026-04-15/sales/b1.json")


def event_of(publication: Publication) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(publication.message["default"])
    return event


def schema(name: str) -> jsonschema.Draft202012Validator:
    document = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    return jsonschema.Draft202012Validator(document, format_checker=jsonschema.FormatChecker())


RECORD_SCHEMA, NOTICE_SCHEMA = schema("record"), schema("notice")


def check_publication(publication: Publication) -> None:
    assert re.fullmatch(r"[\x21-\x7e][\x20-\x7e]{0,98}", publication.subject)
    attributes = publication.attributes
    assert all(value == {"DataType": "String", "StringValue": value["StringValue"]} for value in attributes.values())
    assert all(value["StringValue"] for value in attributes.values())
    message = json.dumps(publication.message)
    sizes = [len(name) + len("String") + len(value["StringValue"].encode()) for name, value in attributes.items()]
    assert len(message.encode()) + sum(sizes) <= SNS_LIMIT_BYTES
    # SNS requires "default"; the other protocols may have their own text.
    assert set(publication.message) >= {"default"}
    event = event_of(publication)
    NOTICE_SCHEMA.validate(event)
    # CloudEvents 1.0.2, "Required attributes": non-empty strings; "source" a URI reference; RFC 3339 time.
    assert event["specversion"] == "1.0"
    assert all(isinstance(event[name], str) and event[name] for name in ("id", "source", "type", "subject"))
    assert re.fullmatch(r"/build-courier/[A-Za-z0-9-]+/[a-z0-9-]+", event["source"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", event["time"])


@given(records())
def test_any_record_and_its_notice_fit_sns_cloudevents_and_their_schemas(record: Record) -> None:
    RECORD_SCHEMA.validate(json.loads(record.model_dump_json()))
    check_publication(announce(record))


@given(problems.filter(lambda problem: problem is not None), moments)
def test_any_source_notice_fits_sns_cloudevents_and_its_schema(problem: Problem, now: datetime) -> None:
    for problem_or_none in (problem, None):
        publication = source_notice(
            source="insights",
            provider="treasure_insights",
            stack="courier",
            since=NOON,
            problem=problem_or_none,
            now=now,
        )
        check_publication(publication)


@given(records())
def test_a_record_is_read_back_as_it_was_written(record: Record) -> None:
    assert Record.model_validate_json(record.model_dump_json()) == record


@pytest.mark.parametrize("outcome", Outcome)
def test_notices_have_the_attributes_for_filter_policies(outcome: Outcome) -> None:
    attributes = announce(record_of(outcome=outcome)).attributes
    assert {name: value["StringValue"] for name, value in attributes.items()} == {
        "source": "insights",
        "provider": "treasure_insights",
        "scope": "sales",
        "outcome": outcome.value,
    }


def test_the_same_outcome_of_the_same_build_has_the_same_id() -> None:
    later = record_of(detected_at=NOON + timedelta(days=1), polls=7)
    assert event_of(announce(record_of()))["id"] == event_of(announce(later))["id"]


def test_other_outcomes_builds_scopes_and_stacks_have_other_ids() -> None:
    base = record_of()
    others = [
        record_of(outcome=Outcome.DELIVERED),
        record_of("b2"),
        record_of(scope="people"),
        base.model_copy(update={"courier": base.courier.model_copy(update={"stack": "other"})}),
    ]
    ids = {event_of(announce(record))["id"] for record in (base, *others)}
    assert len(ids) == 5


def test_each_health_change_has_its_own_id() -> None:
    problem = Problem(name="SourceUnauthorizedError", message="401")
    ids = [
        event_of(source_notice(source="s", provider="p", stack="c", since=since, problem=problem_or_none, now=now))[
            "id"
        ]
        for since in (NOON, NOON + timedelta(days=1))
        for problem_or_none in (problem, None)
        for now in (NOON, NOON + timedelta(hours=1))
    ]
    assert [ids[n] == ids[n + 1] for n in (0, 2, 4, 6)] == [True] * 4
    assert len(set(ids)) == 4


def test_a_subject_of_hostile_names_is_one_harmless_line() -> None:
    subject = announce(record_of("\u202egnp.exe漢", scope="a\u2028b", outcome=Outcome.FAILED)).subject
    assert subject == "[build-courier] failed: insights a?b ?gnp.exe?"


def test_the_email_says_what_happened_in_plain_words() -> None:
    text = announce(
        record_of(
            limits=AccountLimits(build_size_gb=8),
            problem=Problem(name="BuildFailed", message="no memory", advice="Use less data."),
        )
    ).message["email"]
    lines = text.splitlines()
    assert lines[0] == "Build b1 of sales (treasure_insights, source insights): failed."
    assert "Limits     build size 8 GB, query size not reported" in lines
    assert "BuildFailed: no memory" in lines
    assert "Use less data." in lines
    assert "Record     s3://reports/records/source=insights/date=2026-04-15/sales/b1.json" in lines


def test_unreported_limits_are_not_shown_as_numbers() -> None:
    assert "8 GB" not in announce(record_of(limits=AccountLimits())).message["email"]


@pytest.mark.parametrize("verified", [True, False])
def test_the_email_says_what_could_not_be_verified(verified: bool) -> None:
    stored = {"bucket": "reports", "key": "artifacts/b1.csv", "size_bytes": 3, "sha256": "0" * 64}
    artifact = {**stored, "content_type": "text/csv", "verified": verified, "copied_at": NOON}
    email = announce(record_of(outcome=Outcome.DELIVERED, artifact=artifact)).message["email"]
    assert ("length unverified: nothing shows whether the report is complete" in email) is not verified
