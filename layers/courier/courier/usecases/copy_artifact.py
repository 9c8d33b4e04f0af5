"""``copy_artifact``: copy one finished report into the bucket, with a fresh link and a checkpoint in the ledger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import ValidationError

from courier.errors import LedgerError, SettingsError
from courier.models import BuildRef, FrozenModel, NextStep, Outcome, Passage, StoredArtifact
from courier.object_keys import artifact_key
from courier.observability.logger import logger
from courier.observability.metrics import Metric
from courier.transfer.checkpoint import Checkpoint
from courier.transfer.copy import copy
from courier.transfer.options import CopyOptions, Destination, Expected
from courier.transfer.url_policy import LinkRules

if TYPE_CHECKING:
    from courier.ledger import BuildLedger
    from courier.links import ArtifactLink
    from courier.usecases.container import Container


class CopyRequest(FrozenModel):
    """The event that the state machine sends to ``copy_artifact``."""

    passage: Passage


def copy_artifact(
    container: Container, request: CopyRequest, *, seconds_left: Callable[[], float]
) -> StoredArtifact | None:
    """Copy the report of one build into the bucket.

    Return None, without any request, for a build that has no report, such as a failed one.

    Raises
    ------
    CourierError
        As `courier.transfer.copy` does, and for requests to the provider.
    """
    passage = request.passage
    if passage.verdict is not NextStep.FETCH:
        return None
    ref = passage.build.ref
    settings = container.sources.load().get(ref.source)
    container.rate_limit(settings).expect_open_minute()
    provider = container.provider(settings)
    link = provider.locate_artifact(ref)
    day = passage.build.completed_at or passage.detected_at
    if day is None:
        raise SettingsError(f"{ref} has not ended, so it cannot be copied; the state machine does not fit this code")
    destination = Destination(
        bucket=container.environment.required("bucket"),
        key=artifact_key(container.environment.prefix, ref, day, link.filename),
    )
    artifact = copy(
        _first_then(link, lambda: provider.locate_artifact(ref)),
        destination,
        s3=container.copy_client,
        rules=LinkRules.of_source(settings, also=provider.download_origins),
        expected=replace(Expected.of_settings(settings.artifact), sha256=link.sha256),
        checkpoints=LedgerCheckpointStore(container.builds, ref, destination.key),
        seconds_left=seconds_left,
        ca_bundle=settings.ca_bundle,
        options=CopyOptions(ranges=settings.artifact.ranges),
        clock=container.clock,
        still_wanted=lambda: _is_wanted(container.builds, ref),
    )
    container.meter(ref.source).count(Metric.COPIED_BYTES, artifact.size_bytes)
    logger.info("report delivered", key=artifact.key, size_bytes=artifact.size_bytes, sha256=artifact.sha256)
    return artifact


def _is_wanted(builds: BuildLedger, ref: BuildRef) -> bool:
    """Whether the build is not recorded as undeliverable: an invocation may outlive its execution's patience.

    Read right before the report is published, after which `record_outcome` finds no upload of this copy to abort.
    """
    row = builds.find(ref)
    return row is None or row.outcome is not Outcome.UNDELIVERABLE


def _first_then(link: ArtifactLink, locate: Callable[[], ArtifactLink]) -> Callable[[], ArtifactLink]:
    """Return a function that returns ``link`` first, and requests a fresh one on every later call."""
    unused = [link]
    return lambda: unused.pop() if unused else locate()


class LedgerCheckpointStore:
    """Stores a copy's checkpoint in the ledger row of its build, where every invocation finds it."""

    outlives_process = True

    def __init__(self, builds: BuildLedger, ref: BuildRef, key: str) -> None:
        self._builds = builds
        self._ref = ref
        self._key = key

    def load(self) -> Checkpoint | None:
        """Return the checkpoint, read consistently."""
        text = self._builds.checkpoint(self._ref)
        if text is None:
            return None
        try:
            return Checkpoint.model_validate_json(text)
        except ValidationError as exc:
            raise LedgerError(f"the checkpoint of {self._ref} cannot be read") from exc

    def save(self, checkpoint: Checkpoint) -> Checkpoint:
        """Store the checkpoint if there is none, and return the stored one."""
        if self._builds.save_checkpoint(
            self._ref, upload_id=checkpoint.upload_id, key=self._key, text=checkpoint.model_dump_json()
        ):
            return checkpoint
        # Between the two calls the other copier may have finished and cleared its own checkpoint; then ours is valid.
        return self.load() or checkpoint

    def advance(self, checkpoint: Checkpoint) -> None:
        """Replace the checkpoint by a newer state of the same upload."""
        self._builds.advance_checkpoint(self._ref, checkpoint.upload_id, checkpoint.model_dump_json())

    def clear(self, upload_id: str) -> None:
        """Delete the checkpoint if it belongs to this upload."""
        self._builds.clear_checkpoint(self._ref, upload_id)
