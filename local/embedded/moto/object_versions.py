"""Restores the version id of an object: moto invents one at each write, and records name it."""

from moto.s3.models import s3_backends

from local.sam.intrinsics import StackLocation


def set_version_id(location: StackLocation, bucket: str, key: str, version_id: str) -> None:
    """Restore the id that the current version of an object had in an earlier run."""
    # moto stores a backend per partition, and has no call for this.
    s3_backends[location.account]["aws"].get_bucket(bucket).keys[key]._version_id = version_id  # noqa: SLF001
