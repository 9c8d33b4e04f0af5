"""The copy: from a link that a provider hands out into S3, complete and proven, or nothing at all.

::

    engine       the public `copy` and `abandon`
    terms        what the caller may say: options, expectations
    copier       the course of one copy: which way, and when to pause
    parallel     parts by several workers         stream       one connection, for sources without ranges
    source       the first look, exact parts      answers      what the head of an answer says
    fresh_links  another link when one dies       connection   the bare HTTP client
    rules        which hosts and addresses        bounds       how many bytes
    proof        content, the hash in order       sink         hash, checksum and count parts
    storage      every call to S3                 destination  the key, and what lies there
    publish      conditional create, once         uploads      none is left behind
    plan         parts and memory                 deadline, backoff, checkpoint, signals
"""

from courier.backoff import Backoff
from courier.transfer.checkpoint import Checkpoint, CheckpointStore, MemoryCheckpointStore
from courier.transfer.copy import abandon, copy
from courier.transfer.destination import Destination, storage_config
from courier.transfer.options import CopyOptions, Expected
from courier.transfer.url_policy import LinkRules

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
