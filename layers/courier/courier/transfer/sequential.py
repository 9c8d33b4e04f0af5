"""The slow way, for sources without ranges, length or validator: one connection, uploads behind it."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

from courier.transfer.deadline import Deadline
from courier.transfer.download import Look
from courier.transfer.http_client import Answer
from courier.transfer.internal_errors import SourceTroubleError
from courier.transfer.options import CopyOptions
from courier.transfer.part_plan import part_size_for, stream_part_size, workers_for
from courier.transfer.part_uploader import PartSink
from courier.transfer.proof import TRAILING_BYTES
from courier.transfer.size_limits import Bounds


def copy_stream(
    look: Look,
    answer: Answer,
    *,
    sink: PartSink,
    deadline: Deadline,
    options: CopyOptions,
    bounds: Bounds,
) -> tuple[int, bytes]:
    """Read ``answer`` to its end and store it in parts; give its length in bytes and its last bytes.

    One buffer is filled while the others are uploaded; there are never more of them than `workers_for` allows.

    Raises
    ------
    SourceTroubleError
        The answer broke off; another one has to begin at the beginning.
    ArtifactIncompleteError, ArtifactRefusedError
        It is longer than promised or allowed.
    OutOfTimeError
        The time was up first.
    """
    buffer, filled = look.buffer, look.filled
    received, number = 0, 1
    trailing = b""
    uploads: deque[Future[bytearray]] = deque()

    def upload(part: int, body: bytearray) -> bytearray:
        sink.store(part, body)
        return body

    with ThreadPoolExecutor(max(1, options.workers - 1), thread_name_prefix="copy-part") as pool:
        try:
            while True:
                deadline.check()
                wanted = len(buffer) if look.total_bytes is None else min(len(buffer), look.total_bytes - received)
                with memoryview(buffer) as view:
                    filled += answer.read_into(view[filled:wanted])
                received += filled
                bounds.check_received(received, look.promised_bytes)
                ended = filled < wanted or received == look.total_bytes
                if filled:
                    if filled < len(buffer):
                        del buffer[filled:]
                    trailing = (trailing + buffer[-TRAILING_BYTES:])[-TRAILING_BYTES:]
                    uploads.append(pool.submit(upload, number, buffer))
                    number += 1
                if ended:
                    break
                buffer, filled = _next_buffer(uploads, _part_size(number, look, bounds, options), options), 0
            for pending in uploads:
                pending.result()
        except BaseException:
            sink.stop()
            raise
    if look.total_bytes is None:
        bounds.check_end(received, look.promised_bytes, look.content_type, bytes(trailing))
    elif received < look.total_bytes:
        raise SourceTroubleError(f"{answer.host} ended after {received} of {look.total_bytes} bytes", short=True)
    return received, bytes(trailing)


def _part_size(number: int, look: Look, bounds: Bounds, options: CopyOptions) -> int:
    if look.total_bytes is not None:
        # The first part has the size that was asked for at first, which may cost one part more: a thousandth is ample.
        return part_size_for(look.total_bytes + look.total_bytes // 1_000, options.part_size_bytes)
    return stream_part_size(number, look.promised_bytes or bounds.largest_bytes, options)


def _next_buffer(uploads: deque[Future[bytearray]], size: int, options: CopyOptions) -> bytearray:
    """Wait until another buffer of this size is within the bound, and give one, used or new."""
    used: bytearray | None = None
    while len(uploads) >= workers_for(size, options):
        used = uploads.popleft().result()
    return used if used is not None and len(used) == size else bytearray(size)
