"""One Python contestant in a process of its own: ``python -m bench.copy.worker NAME``.

It prints ``ready`` after its imports, with its clients created, then reads one task per line from standard input and
prints the measurements of each copy. It ends with its input.
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

# All clients have the same timeout, far longer than needed.
_TIMEOUT_SECONDS: Final = 60
_PIECE_BYTES: Final = 1024**2


@dataclass(frozen=True)
class Sink:
    """The destination of all tasks: the S3 endpoint, its bucket, and the PEM file to trust."""

    endpoint: str
    bucket: str
    authority: str


@dataclass(frozen=True)
class CopyTask:
    """One copy: the URL, the destination key, and the size of the report."""

    url: str
    key: str
    size_bytes: int


@dataclass(frozen=True)
class CopyResult:
    """The usage of one copy, and the SHA-256 if the contestant computes one."""

    usage: Usage
    sha256: str | None

    @classmethod
    def parse(cls, line: bytes) -> CopyResult:
        """Parse a line of a worker."""
        result = json.loads(line)
        return cls(Usage(**result["usage"]), result["sha256"])


Copy = Callable[[CopyTask], str | None]


def build_courier(sink: Sink) -> Copy:
    """Return the copy of this repository."""
    import boto3  # noqa: PLC0415 - a contestant imports only what it needs

    from courier.links import ArtifactLink, SecretUrl  # noqa: PLC0415
    from courier.transfer.checkpoint import MemoryCheckpointStore  # noqa: PLC0415
    from courier.transfer.copy import copy  # noqa: PLC0415
    from courier.transfer.options import CopyOptions, Destination, Expected  # noqa: PLC0415
    from courier.transfer.s3_calls import storage_config  # noqa: PLC0415
    from courier.transfer.url_policy import LinkRules  # noqa: PLC0415

    # The sink stands for Amazon S3, which honours conditions, so no key is read before each write.
    options = CopyOptions(honours_conditions=True)
    s3 = boto3.client("s3", endpoint_url=sink.endpoint, verify=sink.authority, config=storage_config(options.workers))
    ca_bundle = Path(sink.authority).read_text("ascii")

    def run(task: CopyTask) -> str | None:
        link = ArtifactLink(url=SecretUrl(task.url), size_bytes=task.size_bytes, expires_at=None, filename="report")
        stored = copy(
            lambda: link,
            Destination(bucket=sink.bucket, key=task.key),
            s3=s3,
            rules=LinkRules.parse([urlsplit(task.url).netloc]),
            expected=Expected(content_types=(), largest_bytes=task.size_bytes),
            checkpoints=MemoryCheckpointStore(),
            seconds_left=lambda: math.inf,
            ca_bundle=ca_bundle,
            options=options,
        )
        return stored.sha256

    return run


def requests_upload_fileobj(sink: Sink) -> Copy:
    """Return the usual way: the raw body of requests into boto3's managed upload."""
    import boto3  # noqa: PLC0415
    import requests  # noqa: PLC0415

    s3 = boto3.client("s3", endpoint_url=sink.endpoint, verify=sink.authority)

    def run(task: CopyTask) -> None:
        with requests.get(task.url, stream=True, verify=sink.authority, timeout=_TIMEOUT_SECONDS) as response:
            response.raise_for_status()
            s3.upload_fileobj(cast("IO[bytes]", response.raw), sink.bucket, task.key)

    return run


def requests_put_object(sink: Sink) -> Copy:
    """Return the way of workflow engines' operators: the whole body in memory."""
    import boto3  # noqa: PLC0415
    import requests  # noqa: PLC0415

    s3 = boto3.client("s3", endpoint_url=sink.endpoint, verify=sink.authority)

    def run(task: CopyTask) -> None:
        response = requests.get(task.url, verify=sink.authority, timeout=_TIMEOUT_SECONDS)
        response.raise_for_status()
        s3.put_object(Bucket=sink.bucket, Key=task.key, Body=response.content)

    return run


def requests_obstore(sink: Sink) -> Copy:
    """Return the stream of requests into obstore, a Python binding of Rust's object_store."""
    import obstore  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415 - installed in .venv-bench
    import requests  # noqa: PLC0415

    store = obstore.store.S3Store(sink.bucket, endpoint=sink.endpoint, virtual_hosted_style_request=False)

    def run(task: CopyTask) -> None:
        with requests.get(task.url, stream=True, verify=sink.authority, timeout=_TIMEOUT_SECONDS) as response:
            response.raise_for_status()
            obstore.put(store, task.key, response.iter_content(_PIECE_BYTES))

    return run


CONTESTANTS: Final[dict[str, Callable[[Sink], Copy]]] = {
    "build-courier": build_courier,
    "requests-upload-fileobj": requests_upload_fileobj,
    "requests-put-object": requests_put_object,
    "requests-obstore": requests_obstore,
}


def main() -> None:
    """Run tasks until the input ends."""
    _, name, sink = sys.argv
    copy = CONTESTANTS[name](Sink(**json.loads(sink)))
    print("ready", flush=True)
    for line in sys.stdin:
        task = CopyTask(**json.loads(line))
        with InProcessMeter() as meter:
            sha256 = copy(task)
        print(json.dumps(asdict(CopyResult(meter.usage, sha256))), flush=True)


if __name__ == "__main__":
    main()
