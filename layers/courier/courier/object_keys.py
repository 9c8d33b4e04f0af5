"""Object keys in the bucket, and the name of a build's execution.

Names and ids come from providers, so every segment is encoded: it cannot leave its prefix, two
different names never share a segment, and the key stays within S3's 1,024 bytes.
"""

from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import quote

from courier.models import BuildRef

SEGMENT_LIMIT = 120
# With source, build id and filename of one segment each, every key stays below 1,024 bytes.
SCOPE_LIMIT = 400
# An execution name has at most 80 characters of [0-9A-Za-z-_].
EXECUTION_NAME_LIMIT = 80
_DIGEST_CHARACTERS = 16
# A segment must not be empty, and the stand-in for the empty name must not be the segment of another name.
_STAND_INS = {"": "_", "_": "%5F"}
# A lone surrogate is legal in JSON, so a name may hold one; it is encoded like any other character.
_ERRORS = "surrogatepass"


def segment(name: str) -> str:
    """Return a name as a safe key segment: percent-encoded, no leading dot, at most 120 characters.

    Percent-encoding keeps letters, digits and ``-_.~``, so usual ids stay readable and
    different names stay different; a name that is too long is shortened and ends in its digest.
    """
    if name in _STAND_INS:
        return _STAND_INS[name]
    encoded = quote(name, safe="", errors=_ERRORS)
    if encoded.startswith("."):
        encoded = "%2E" + encoded[1:]
    # Only shortened names are as long as the limit, so that no name can imitate the shortened form of another.
    if len(encoded) < SEGMENT_LIMIT:
        return encoded
    return f"{encoded[: SEGMENT_LIMIT - _DIGEST_CHARACTERS - 1]}~{_digest(name)}"


def scope_path(scope: str) -> str:
    """Return a scope such as ``org/workspace/project`` as a safe path of as many segments; one if it is too long."""
    path = "/".join(segment(part) for part in scope.split("/"))
    return path if len(path) <= SCOPE_LIMIT else segment(scope)


def artifact_folder(prefix: str, ref: BuildRef, day: datetime) -> str:
    """Return the prefix of the keys of all artifacts of one build; ``day`` is its completion, else its detection."""
    date = _utc_date(day).replace("-", "/")
    return f"{prefix}artifacts/{segment(ref.source)}/{scope_path(ref.scope)}/{date}/{segment(ref.build_id)}/"


def artifact_key(prefix: str, ref: BuildRef, day: datetime, filename: str) -> str:
    """Return the key of a build's artifact."""
    return artifact_folder(prefix, ref, day) + segment(filename)


def record_key(prefix: str, ref: BuildRef, day: datetime) -> str:
    """Return the key of a build's record, in Hive partitions that Athena and DuckDB read directly."""
    return (
        f"{prefix}records/source={segment(ref.source)}/date={_utc_date(day)}"
        f"/{scope_path(ref.scope)}/{segment(ref.build_id)}.json"
    )


def latest_key(prefix: str, ref: BuildRef) -> str:
    """Return the key of the newest good build of a scope."""
    return f"{prefix}latest/{segment(ref.source)}/{scope_path(ref.scope)}.json"


def execution_name(ref: BuildRef, attempt: int = 1, waits: int = 1) -> str:
    """Return the name of the one execution that a wait of an attempt at a build gets.

    Step Functions refuses a second execution of the same name for 90 days after the first has
    ended, which makes starting idempotent. The digest distinguishes builds whose readable part is the same.
    """
    readable = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in f"{ref.source}-{ref.build_id}")
    named = str(ref) if attempt == waits == 1 else f"{ref}\n{attempt}\n{waits}"
    return f"{readable[: EXECUTION_NAME_LIMIT - _DIGEST_CHARACTERS - 1]}-{_digest(named)}"


def _utc_date(moment: datetime) -> str:
    return moment.astimezone(UTC).date().isoformat()


def _digest(text: str) -> str:
    return sha256(text.encode(errors=_ERRORS)).hexdigest()[:_DIGEST_CHARACTERS]
