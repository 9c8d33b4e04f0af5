"""One copy: from a link that a provider returns to an object in S3, complete and verified, or nothing at all."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from courier.backoff import Backoff
from courier.clock import utc_now
from courier.links import ArtifactLink
from courier.models import StoredArtifact
from courier.transfer.checkpoint import CheckpointStore
from courier.transfer.content import SizeLimits
from courier.transfer.copy_job import CopyJob
from courier.transfer.download import Download
from courier.transfer.http_client import HttpClient, Resolver, resolve, shared_tls_context
from courier.transfer.link_refresh import LinkRefresher
from courier.transfer.options import CopyOptions, Deadline, Destination, Expected
from courier.transfer.parts import Progress
from courier.transfer.publisher import Publisher
from courier.transfer.s3_object import S3Object
from courier.transfer.upload_cleanup import UploadCleanup
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
    still_wanted: Callable[[], bool] = lambda: True,
    on_existing: Callable[[], None] = lambda: None,
) -> StoredArtifact:
    """Copy the artifact behind a link to its destination.

    Up to one part takes one GET and one PutObject; else parts are downloaded and uploaded in parallel,
    or one after another where the store serves no ranges. Memory: see `CopyOptions.part_size_bytes`.

    Parameters
    ----------
    locate
        Requests the link from the provider; called first, and again when a link is refused.
    s3
        Made with `storage_config`, else every part is hashed three times.
    seconds_left
        Seconds until this process is killed; infinite if it is not.
    ca_bundle
        PEM text of the authority behind self-hosted storage.
    progress
        Receives the bytes stored so far and the total, from several threads.
    still_wanted, on_existing
        See `Publisher`.

    Raises
    ------
    CopyUnfinishedError
        The time is up; call again, and the copy resumes from its checkpoint. It made progress this time.
    ArtifactUnavailableError
        The artifact's store or S3 does not respond; call again later.
    ArtifactExpiredError
        The provider keeps returning links that are refused.
    ArtifactIncompleteError
        Fewer or more bytes than promised; or the copy makes no progress, or takes too long.
    ArtifactRefusedError
        Host, address, size, content or checksum is not what is allowed or expected.
    ArtifactChangedError
        The artifact changed while it was read, and again on the second attempt.
    ArtifactConflictError
        Another object has the key.
    SettingsError
        S3 refuses us, or a setting cannot be read.
    SourceError
        From ``locate``.
    """
    options = options or CopyOptions()
    backoff = backoff or Backoff()
    deadline = Deadline(seconds_left, clock, options)
    s3_object = S3Object(
        s3, destination, backoff, content_md5=options.content_md5, honours_conditions=options.honours_conditions
    )
    tls = partial(shared_tls_context, ca_bundle)
    return CopyJob(
        download=Download(
            LinkRefresher(locate),
            new_client=partial(HttpClient, rules, options, tls=tls, resolve=resolver),
            backoff=backoff,
            deadline=deadline,
            content_types=expected.content_types,
            limits=SizeLimits(expected.largest_bytes),
            ranges=options.ranges,
        ),
        s3_object=s3_object,
        publisher=Publisher(
            s3_object,
            destination,
            expected_sha256=expected.sha256,
            clock=clock,
            check_time=deadline.check,
            still_wanted=still_wanted,
            on_existing=on_existing,
        ),
        checkpoints=checkpoints,
        cleanup=UploadCleanup(s3_object, checkpoints),
        deadline=deadline,
        options=options,
        backoff=backoff,
        expected=expected,
        progress=progress,
    ).run()
