"""The copy: from a link that a provider hands out into S3, complete and proven, or nothing at all.

::

    engine      the public `copy` and `abandon`
    copier      the course of one copy: which way, when to pause, what to leave behind
    parallel    parts by several workers          stream   one connection, for sources without ranges
    source      the first look, exact parts, fresh links
    connection  the bare HTTP client              rules    which hosts and addresses it may talk to
    sink        hash, checksum and count parts    storage  every call to S3
    publish     conditional create, once          proof    content, end marks, the hash in order
    plan        parts and memory                  deadline, backoff, checkpoint, signals
"""

from courier.transfer.backoff import Backoff
from courier.transfer.checkpoint import Checkpoint, CheckpointStore, MemoryCheckpointStore
from courier.transfer.copier import Expected
from courier.transfer.engine import abandon, copy
from courier.transfer.plan import CopyOptions
from courier.transfer.rules import LinkRules
from courier.transfer.storage import Destination, storage_config

__all__ = [
    "Backoff",
    "Checkpoint",
    "CheckpointStore",
    "CopyOptions",
    "Destination",
    "Expected",
    "LinkRules",
    "MemoryCheckpointStore",
    "abandon",
    "copy",
    "storage_config",
]
