"""The copy of one artifact from a link into S3: complete and proven, or nothing at all."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from courier.backoff import Backoff
from courier.clock import utc_now
from courier.links import ArtifactLink
from courier.models import StoredArtifact
from courier.transfer.checkpoint import CheckpointStore
from courier.transfer.copy_job import Connecting, Copier
from courier.transfer.deadline import Deadline
from courier.transfer.download import SourceReader
from courier.transfer.http_client import Resolver, resolve, shared_tls_context
from courier.transfer.link_refresh import LinkHolder
from courier.transfer.multipart_cleanup import UploadCleanup
from courier.transfer.options import CopyOptions, Destination, Expected
from courier.transfer.part_uploader import Progress
from courier.transfer.publisher import Publisher
from courier.transfer.s3_object import Storage
from courier.transfer.size_limits import Bounds
from courier.transfer.url_policy import LinkRules

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


def copy(
    locate: Callable[[], ArtifactLink],
    destination: Destination,
    *,
    s3: "S3Client",
    rules: LinkRules,
    expected: Expected,
    checkpoints: CheckpointStore,
    seconds_left: Callable[[], float],
    ca_bundle: str | None = None,
    options: CopyOptions | None = None,
    backoff: Backoff | None = None,
    clock: Callable[[], datetime] = utc_now,
    resolver: Resolver = resolve,
    progress: Progress | None = None,
) -> StoredArtifact:
    """Copy the artifact behind a link to its destination.

    Up to one part it takes one GET and one PutObject; else parts are fetched and stored in parallel,
    or one after another where the source has no ranges. Memory: see `CopyOptions.part_size_bytes`.

    Parameters
    ----------
    locate
        Asks the provider for the link; called first, and again when a link is refused.
    s3
        Made with `storage_config`, else every part is hashed three times.
    seconds_left
        Seconds until this process is killed; infinite where nobody does.
    ca_bundle
        PEM text of the authority behind self-hosted storage.
    progress
        Told the bytes stored so far and the total, from several threads.

    Raises
    ------
    CopyUnfinishedError
        The time is up; call again, and the copy goes on from its checkpoint. It got further this time.
    ArtifactUnavailableError
        Source or destination do not answer; call again later.
    ArtifactExpiredError
        The provider keeps handing out links that are refused.
    ArtifactIncompleteError
        Fewer or more bytes than promised; or the copy gets no further, or takes too long.
    ArtifactRefusedError
        Host, address, size, content or checksum are not what is allowed or expected.
    ArtifactChangedError
        The source object changed while it was read, and again on the second try.
    ArtifactConflictError
        Another object lies under the key.
    SettingsError
        S3 refuses us, or a setting cannot be read.
    SourceError
        From ``locate``.
    """
    options = options or CopyOptions()
    backoff = backoff or Backoff()
    deadline = Deadline(seconds_left, clock, options)
    storage = Storage(s3, destination, backoff)
    copier = Copier(
        reader=SourceReader(
            LinkHolder(locate),
            backoff=backoff,
            deadline=deadline,
            content_types=expected.content_types,
            bounds=Bounds(expected.largest_bytes),
        ),
        storage=storage,
        publisher=Publisher(
            storage, destination, expected_sha256=expected.sha256, clock=clock, check_time=deadline.check
        ),
        checkpoints=checkpoints,
        uploads=UploadCleanup(storage, checkpoints),
        deadline=deadline,
        options=options,
        backoff=backoff,
        expected=expected,
        connecting=Connecting(rules=rules, tls=partial(shared_tls_context, ca_bundle), resolver=resolver),
        progress=progress,
    )
    return copier.run()
