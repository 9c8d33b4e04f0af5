"""Where things lie in the bucket, and what a build's execution is called.

Names and ids come from providers, so every segment is made safe: it cannot leave its prefix, two
different names never share a segment, and the key stays within S3's 1,024 bytes.
"""

from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import quote

from courier.models import BuildRef

# Five segments of this length and the fixed parts stay below 1,024 bytes.
SEGMENT_LIMIT = 120
# An execution name has at most 80 characters of [0-9A-Za-z-_].
EXECUTION_NAME_LIMIT = 80
_DIGEST_CHARACTERS = 16


def segment(name: str) -> str:
    """Make one name a safe key segment: percent-encoded, no leading dot, at most 120 characters.

    Percent-encoding keeps letters, digits and ``-_.~``, so usual ids stay readable and
    different names stay different; a name that is too long is cut and ends in its digest.
    """
    encoded = quote(name, safe="")
    if encoded.startswith("."):
        encoded = "%2E" + encoded[1:]
    if len(encoded) <= SEGMENT_LIMIT:
        return encoded or "_"
    return f"{encoded[: SEGMENT_LIMIT - _DIGEST_CHARACTERS - 1]}~{_digest(name)}"


def scope_path(scope: str) -> str:
    """Make a scope such as ``org/workspace/project`` a safe path of as many segments."""
    return "/".join(segment(part) for part in scope.split("/"))


def artifact_key(prefix: str, ref: BuildRef, day: datetime, filename: str) -> str:
    """Key of a build's report; ``day`` is the build's completion, else its detection."""
    utc = day.astimezone(UTC)
    return (
        f"{prefix}artifacts/{segment(ref.source)}/{scope_path(ref.scope)}/{utc:%Y/%m/%d}"
        f"/{segment(ref.build_id)}/{segment(filename)}"
    )


def record_key(prefix: str, ref: BuildRef, day: datetime) -> str:
    """Key of a build's record, in Hive partitions that Athena and DuckDB read as they are."""
    utc = day.astimezone(UTC)
    return (
        f"{prefix}records/source={segment(ref.source)}/date={utc:%Y-%m-%d}"
        f"/{scope_path(ref.scope)}/{segment(ref.build_id)}.json"
    )


def latest_key(prefix: str, ref: BuildRef) -> str:
    """Key under which the newest good build of a scope is found."""
    return f"{prefix}latest/{segment(ref.source)}/{scope_path(ref.scope)}.json"


def execution_name(ref: BuildRef) -> str:
    """Name of the one execution that a build gets.

    Step Functions refuses a second execution of the same name for 90 days after the first has
    ended, which makes starting idempotent. The digest tells apart what the readable part cuts.
    """
    readable = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in f"{ref.source}-{ref.build_id}")
    return f"{readable[: EXECUTION_NAME_LIMIT - _DIGEST_CHARACTERS - 1]}-{_digest(str(ref))}"


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:_DIGEST_CHARACTERS]
