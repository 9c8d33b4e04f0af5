"""Where every part goes: hashed in order, checked by S3, counted."""

import threading
import zlib
from collections.abc import Callable, Mapping

from courier.transfer.internal_errors import OutOfTimeError
from courier.transfer.proof import Sha256InOrder
from courier.transfer.s3_object import Receipt, Storage

Progress = Callable[[int, int | None], None]


class PartSink:
    """Writes the parts of one upload, from any number of threads.

    Parameters
    ----------
    digest
        The whole artifact's SHA-256; None where earlier parts were stored by somebody else, so that
        it cannot be computed on the way.
    done
        What the upload holds already.
    progress
        Told the bytes stored so far, and the total.
    """

    def __init__(
        self,
        storage: Storage,
        upload_id: str,
        *,
        digest: Sha256InOrder | None,
        done: Mapping[int, Receipt],
        total_bytes: int | None,
        progress: Progress | None,
    ) -> None:
        self._storage = storage
        self._upload_id = upload_id
        self._digest = digest
        self._total_bytes = total_bytes
        self._progress = progress
        self._lock = threading.Lock()
        self.done = dict(done)

    @property
    def done_bytes(self) -> int:
        """Bytes that the upload holds."""
        with self._lock:
            return sum(part.length for part in self.done.values())

    def store(self, number: int, body: bytearray) -> None:
        """Hash and store one part; returns when ``body`` may be used again.

        The part is hashed when its turn has come, and then uploaded. Parts arrive nearly in order, so
        that the wait is short, and it costs nothing: without it, this buffer would wait after the upload.

        Raises
        ------
        UploadGoneError
            The upload does not exist any more.
        OutOfTimeError
            The parts before this one will not come; this one is stored.
        """
        with memoryview(body) as view:
            try:
                crc32 = zlib.crc32(view) if self._digest is None else self._digest.add(number, view)
            except OutOfTimeError:
                crc32 = zlib.crc32(view)
                self._keep(number, body, crc32)
                raise
        self._keep(number, body, crc32)

    def _keep(self, number: int, body: bytearray, crc32: int) -> None:
        receipt = self._storage.upload(self._upload_id, number, body, crc32)
        with self._lock:
            self.done[number] = receipt
        if self._progress is not None:
            self._progress(self.done_bytes, self._total_bytes)

    def stop(self) -> None:
        """Let no part wait for its turn any longer."""
        if self._digest is not None:
            self._digest.stop()

    @property
    def sha256(self) -> str | None:
        """Digest of all that was stored, hexadecimal; None where it was not computed."""
        return None if self._digest is None else self._digest.hexdigest()
