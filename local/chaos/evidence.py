"""The evidence of one experiment, as plain data: the only input of the checker."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from local.embedded.embedded_aws import EmbeddedAws
from local.embedded.results import ExecutionReport, ReceivedNotice
from local.simulator import BuildState, LoggedRequest, ProviderName, SimulatedProviders

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# Objects below this size are kept as text; reports are compared by their digest.
_TEXT_BYTES = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class StoredVersion:
    """One version of one object; ``text`` of JSON objects only."""

    key: str
    size_bytes: int
    sha256: str
    is_latest: bool
    text: str | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class ExpectedArtifact:
    """The report of a finished job in the provider's store."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class SubmittedRequest:
    """One build request that was sent to the courier: its event's id, source and scope.

    ``existing_build_id`` is set when the request is to track an existing build instead of starting one.
    """

    request_id: str
    source: str
    scope: str
    existing_build_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The final state of S3, subscribers, the ledger, Step Functions and the providers.

    ``sources``
        Names of the sources by provider and scope.
    ``history``
        Ids of builds that had ended before the courier started, which it may ignore.
    ``scheduled``
        Ids of the builds that the courier was not requested to start.
    ``secrets``
        API keys, and the secret values of signed links.
    """

    objects: Sequence[StoredVersion]
    open_uploads: Sequence[str]
    notices: Sequence[ReceivedNotice]
    rows: Sequence[Mapping[str, object]]
    executions: Sequence[ExecutionReport]
    histories: Sequence[str]
    logs: Sequence[str]
    dead_letters: Sequence[str]
    provider_builds: Sequence[BuildState]
    expected_artifacts: Mapping[str, ExpectedArtifact]
    requests: Sequence[LoggedRequest]
    sources: Mapping[tuple[ProviderName, str], str]
    submitted: Sequence[SubmittedRequest] = ()
    scheduled: frozenset[str] = frozenset()
    history: frozenset[str] = frozenset()
    secrets: Sequence[str] = field(default=(), repr=False)

    @property
    def records(self) -> dict[str, StoredVersion]:
        """The newest version of each record, by key."""
        return {o.key: o for o in self.objects if o.is_latest and o.key.startswith("records/")}


def stored_versions(s3: S3Client, bucket: str) -> list[StoredVersion]:
    """Read all versions of all objects of a bucket, the oldest first."""
    found = []
    pages = s3.get_paginator("list_object_versions").paginate(Bucket=bucket)
    for entry in [entry for page in pages for entry in page.get("Versions", [])]:
        body = s3.get_object(Bucket=bucket, Key=entry["Key"], VersionId=entry["VersionId"])["Body"].read()
        found.append(
            StoredVersion(
                key=entry["Key"],
                size_bytes=len(body),
                sha256=hashlib.sha256(body).hexdigest(),
                is_latest=entry["IsLatest"],
                text=body.decode("utf-8", "replace")
                if len(body) < _TEXT_BYTES and entry["Key"].endswith(".json")
                else None,
            )
        )
    return found


def expected_artifacts(providers: SimulatedProviders) -> dict[str, ExpectedArtifact]:
    """Return size and digest of every report in the providers' store."""
    found = {}
    for build in providers.builds:
        if build.artifact_bytes is not None:
            content = providers.artifact_bytes(build.build_id)
            found[build.build_id] = ExpectedArtifact(
                size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest()
            )
    return found


def collect(
    aws: EmbeddedAws,
    providers: SimulatedProviders,
    *,
    notices: Sequence[ReceivedNotice],
    dead_letters: Sequence[str],
    first_line: int,
    sources: Mapping[tuple[ProviderName, str], str],
    submitted: Sequence[SubmittedRequest],
    scheduled: frozenset[str],
    history: frozenset[str],
    secrets: Sequence[str],
) -> Evidence:
    """Collect the evidence; the logs of this experiment start at ``first_line``."""
    s3 = aws.client("s3")
    return Evidence(
        objects=stored_versions(s3, aws.outputs["BucketName"]),
        open_uploads=[upload["Key"] for upload in aws.open_multipart_uploads()],
        notices=notices,
        rows=aws.ledger_rows(),
        executions=aws.executions(),
        histories=aws.history_texts(),
        logs=[line.text for line in aws.logs()[first_line:]],
        dead_letters=dead_letters,
        provider_builds=providers.builds,
        expected_artifacts=expected_artifacts(providers),
        requests=list(providers.requests),
        sources=sources,
        submitted=submitted,
        scheduled=scheduled,
        history=history,
        secrets=secrets,
    )
