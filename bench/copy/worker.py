"""One Python contestant in a process of its own: ``python -m bench.copy.worker NAME``.

It says ``ready`` once everything is imported and its clients are made, then takes one job per line on
standard input and answers each with what the copy took. The end of the input ends it.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Final, cast
from urllib.parse import urlsplit

from bench.copy.measure import InProcessMeter, Usage

# Every client gets the same patience, far more than is needed.
_SECONDS: Final = 60
_PIECE_BYTES: Final = 1024**2


@dataclass(frozen=True)
class Place:
    """What stays the same from job to job: the S3 endpoint, its bucket, and the PEM file to trust."""

    endpoint: str
    bucket: str
    authority: str


@dataclass(frozen=True)
class Job:
    """One copy: from where, to which key, and how long the report is."""

    url: str
    key: str
    size_bytes: int


@dataclass(frozen=True)
class Done:
    """What one copy took, and the SHA-256 that the contestant computed, if it does."""

    usage: Usage
    sha256: str | None

    @classmethod
    def parse(cls, line: bytes) -> Done:
        """Read a worker's answer."""
        answer = json.loads(line)
        return cls(Usage(**answer["usage"]), answer["sha256"])


Copy = Callable[[Job], str | None]


def build_courier(place: Place) -> Copy:
    """Give the copy of this repository."""
    import boto3  # noqa: PLC0415 - a contestant loads what it needs and no more

    from courier.links import ArtifactLink, SecretUrl  # noqa: PLC0415
    from courier.transfer.checkpoint import MemoryCheckpointStore  # noqa: PLC0415
    from courier.transfer.copy import copy  # noqa: PLC0415
    from courier.transfer.options import CopyOptions, Destination, Expected  # noqa: PLC0415
    from courier.transfer.s3_calls import storage_config  # noqa: PLC0415
    from courier.transfer.url_policy import LinkRules  # noqa: PLC0415

    # The sink stands for Amazon S3, which honours conditions: its keys are not looked at before each write.
    options = CopyOptions(honours_conditions=True)
    s3 = boto3.client("s3", endpoint_url=place.endpoint, verify=place.authority, config=storage_config(options.workers))
    ca_bundle = Path(place.authority).read_text("ascii")

    def run(job: Job) -> str | None:
        link = ArtifactLink(url=SecretUrl(job.url), size_bytes=job.size_bytes, expires_at=None, filename="report")
        stored = copy(
            lambda: link,
            Destination(bucket=place.bucket, key=job.key),
            s3=s3,
            rules=LinkRules.parse([urlsplit(job.url).netloc]),
            expected=Expected(content_types=(), largest_bytes=job.size_bytes),
            checkpoints=MemoryCheckpointStore(),
            seconds_left=lambda: math.inf,
            ca_bundle=ca_bundle,
            options=options,
        )
        return stored.sha256

    return run


def requests_upload_fileobj(place: Place) -> Copy:
    """Give what most programs do: the raw body of requests into boto3's managed upload."""
    import boto3  # noqa: PLC0415
    import requests  # noqa: PLC0415

    s3 = boto3.client("s3", endpoint_url=place.endpoint, verify=place.authority)

    def run(job: Job) -> None:
        with requests.get(job.url, stream=True, verify=place.authority, timeout=_SECONDS) as response:
            response.raise_for_status()
            s3.upload_fileobj(cast("IO[bytes]", response.raw), place.bucket, job.key)

    return run


def requests_put_object(place: Place) -> Copy:
    """Give what operators of workflow engines do: the whole body in memory."""
    import boto3  # noqa: PLC0415
    import requests  # noqa: PLC0415

    s3 = boto3.client("s3", endpoint_url=place.endpoint, verify=place.authority)

    def run(job: Job) -> None:
        response = requests.get(job.url, verify=place.authority, timeout=_SECONDS)
        response.raise_for_status()
        s3.put_object(Bucket=place.bucket, Key=job.key, Body=response.content)

    return run


def requests_obstore(place: Place) -> Copy:
    """Give the stream of requests to obstore, Rust's object_store behind Python."""
    import obstore  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415 - lives in .venv-bench
    import requests  # noqa: PLC0415

    store = obstore.store.S3Store(place.bucket, endpoint=place.endpoint, virtual_hosted_style_request=False)

    def run(job: Job) -> None:
        with requests.get(job.url, stream=True, verify=place.authority, timeout=_SECONDS) as response:
            response.raise_for_status()
            obstore.put(store, job.key, response.iter_content(_PIECE_BYTES))

    return run


CONTESTANTS: Final[dict[str, Callable[[Place], Copy]]] = {
    "build-courier": build_courier,
    "requests-upload-fileobj": requests_upload_fileobj,
    "requests-put-object": requests_put_object,
    "requests-obstore": requests_obstore,
}


def main() -> None:
    """Take jobs until the input ends."""
    _, name, place = sys.argv
    copy = CONTESTANTS[name](Place(**json.loads(place)))
    print("ready", flush=True)
    for line in sys.stdin:
        job = Job(**json.loads(line))
        with InProcessMeter() as meter:
            sha256 = copy(job)
        print(json.dumps(asdict(Done(meter.usage, sha256))), flush=True)


if __name__ == "__main__":
    main()
