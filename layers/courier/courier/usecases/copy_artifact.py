"""Bringing one finished report home: a fresh link from the provider, the copy, its checkpoint in the ledger."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pydantic import ValidationError

from courier.errors import LedgerError, SettingsError
from courier.models import BuildRef, FrozenModel, Passage, StoredArtifact, Verdict
from courier.object_keys import artifact_key
from courier.observability.logger import logger
from courier.observability.metrics import Metric
from courier.transfer.checkpoint import Checkpoint
from courier.transfer.copy import copy
from courier.transfer.options import Destination, Expected
from courier.transfer.url_policy import LinkRules

if TYPE_CHECKING:
    from courier.ledger import BuildLedger
    from courier.links import ArtifactLink
    from courier.usecases.container import Parts


class CopyRequest(FrozenModel):
    """What the state machine hands to ``copy_artifact``."""

    passage: Passage


def deliver(parts: Parts, request: CopyRequest, *, seconds_left: Callable[[], float]) -> StoredArtifact | None:
    """Copy the report of one build into the bucket; what `courier.transfer.copy` raises is raised.

    None, without asking anybody, for a build that could have left a report and did not: it failed, say.
    """
    passage = request.passage
    if passage.verdict is not Verdict.FETCH:
        return None
    ref = passage.build.ref
    settings = parts.sources.load().get(ref.source)
    parts.budget(settings).follow()
    provider = parts.provider(settings)
    link = provider.locate_artifact(ref)
    day = passage.build.completed_at or passage.detected_at
    if day is None:
        raise SettingsError(f"{ref} came to be copied without having ended; the definition does not fit this code")
    destination = Destination(
        bucket=parts.environment.required("bucket"),
        key=artifact_key(parts.environment.prefix, ref, day, link.filename),
    )
    artifact = copy(
        _first_then(link, lambda: provider.locate_artifact(ref)),
        destination,
        s3=parts.storage,
        rules=LinkRules.of_source(settings),
        expected=Expected.of_settings(settings.artifact),
        checkpoints=LedgerCheckpointStore(parts.builds, ref, destination.key),
        seconds_left=seconds_left,
        ca_bundle=settings.ca_bundle,
        clock=parts.clock,
    )
    parts.meter(ref.source).count(Metric.COPIED_BYTES, artifact.size_bytes)
    logger.info("report delivered", key=artifact.key, size_bytes=artifact.size_bytes, sha256=artifact.sha256)
    return artifact


def _first_then(link: ArtifactLink, again: Callable[[], ArtifactLink]) -> Callable[[], ArtifactLink]:
    """Give the link that is at hand already, and ask the provider only after that."""
    at_hand = [link]
    return lambda: at_hand.pop() if at_hand else again()


class LedgerCheckpointStore:
    """Keeps a copy's checkpoint in its build's ledger row, where every invocation finds it."""

    outlives_process = True

    def __init__(self, builds: BuildLedger, ref: BuildRef, key: str) -> None:
        self._builds = builds
        self._ref = ref
        self._key = key

    def load(self) -> Checkpoint | None:
        """Give the checkpoint, read consistently."""
        text = self._builds.checkpoint(self._ref)
        if text is None:
            return None
        try:
            return Checkpoint.model_validate_json(text)
        except ValidationError as exc:
            raise LedgerError(f"the checkpoint of {self._ref} cannot be read") from exc

    def save(self, checkpoint: Checkpoint) -> Checkpoint:
        """Keep the checkpoint if there is none, and give the one that is kept then."""
        if self._builds.save_checkpoint(
            self._ref, upload_id=checkpoint.upload_id, key=self._key, text=checkpoint.model_dump_json()
        ):
            return checkpoint
        # Between the two calls the other copier may have finished and cleared its own; then ours is as good.
        return self.load() or checkpoint

    def advance(self, checkpoint: Checkpoint) -> None:
        """Put a newer state of the same upload in place."""
        self._builds.advance_checkpoint(self._ref, checkpoint.upload_id, checkpoint.model_dump_json())

    def clear(self, upload_id: str) -> None:
        """Forget the checkpoint if it is about this upload."""
        self._builds.clear_checkpoint(self._ref, upload_id)
