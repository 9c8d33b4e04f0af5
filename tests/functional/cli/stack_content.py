"""Puts builds into a deployed stack: rows in flight, records, reports, and an execution that is not polled."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta

from courier.ledger import BuildLedger, SourceLedger, Table
from courier.models import BuildStatus, Outcome, Problem, StoredArtifact
from courier.object_keys import artifact_key, execution_name
from courier.outcomes.records import Record, RecordStore, make_record
from tests.functional.cli.operator_setup import OperatorSetup
from tests.support.providers import build_of, passage_of, ref_of

NOW = datetime.now(UTC).replace(microsecond=0)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


class StackContent:
    """What lies in the stack of a test."""

    def __init__(self, operator: OperatorSetup) -> None:
        self.operator = operator
        self.bucket = operator.aws.outputs["BucketName"]
        self.prefix = operator.aws.outputs["KeyPrefix"]
        self.s3 = operator.aws.client("s3")
        table = Table(operator.aws.outputs["LedgerTableName"], operator.aws.client("dynamodb"))
        self.builds = BuildLedger(table, lambda: NOW)
        self.sources = SourceLedger(table, lambda: NOW)
        self.records = RecordStore(self.bucket, self.prefix, self.s3)

    def waits(self, build_id: str, *, source: str = "insights", scope: str = "sales", age: timedelta = HOUR) -> None:
        """Put a build in flight."""
        build = build_of(build_id, source=source, scope=scope, created=NOW - age)
        self.builds.register(passage_of(build, first_seen_at=NOW - age), next_poll_at=NOW + HOUR)

    def is_copied(self, build_id: str, *, source: str = "insights") -> None:
        """Start an execution whose build is not polled any more."""
        self.waits(build_id, source=source)
        passage = passage_of(build_of(build_id, source=source, created=NOW - HOUR), first_seen_at=NOW - HOUR)
        machine = self.operator.aws.outputs["StateMachineArn"]
        self.operator.aws.client("stepfunctions").start_execution(
            stateMachineArn=machine,
            name=execution_name(passage.build.ref),
            input=passage.model_dump_json(exclude_none=True),
        )
        self.operator.aws.wait_until_idle()
        row = self.builds.find(passage.build.ref)
        assert row is not None
        assert self.builds.mark_released(row)

    def ended(
        self,
        build_id: str,
        outcome: Outcome = Outcome.SUCCEEDED,
        *,
        source: str = "insights",
        scope: str = "sales",
        ago: timedelta = HOUR,
        content: bytes | None = None,
        problem: Problem | None = None,
        row: bool = True,
    ) -> Record:
        """Write the record of a build, its report, its head under ``latest``, and its row."""
        at = NOW - ago
        build = build_of(
            build_id, BuildStatus.SUCCEEDED, source=source, scope=scope, created=at - HOUR / 2, completed=at
        )
        passage = passage_of(
            build,
            problem=problem,
            detected_at=at,
            first_seen_at=at - HOUR / 2,
            polls=5,
            artifact=None if content is None else self._report(build_id, source, scope, at, content),
        )
        record = make_record(passage, provider="fake", outcome=outcome, ended_at=at, stack="s", execution="arn:e")
        key = self.records.key_of(record)
        self.records.write(record, key)
        if record.is_good:
            self.records.write_latest(record)
        if row:
            self.builds.close(record.build, outcome, record_key=key, build={})
        self.sources.store_duration(record.build, 1800)
        return record

    def _report(self, build_id: str, source: str, scope: str, at: datetime, content: bytes) -> StoredArtifact:
        ref = ref_of(build_id, source=source, scope=scope)
        key = artifact_key(self.prefix, ref, at, f"{build_id}.pdf")
        response = self.s3.put_object(Bucket=self.bucket, Key=key, Body=content)
        return StoredArtifact(
            bucket=self.bucket,
            key=key,
            version_id=response.get("VersionId"),
            size_bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            content_type="application/pdf",
            verified=True,
            copied_at=at,
        )


def builds_in(text: str) -> list[str]:
    """Return the ids of a list in JSON."""
    return [row["build_id"] for row in json.loads(text)]
