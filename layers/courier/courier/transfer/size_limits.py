"""How many bytes there must be, and may be: what is announced, promised, allowed and received."""

from dataclasses import dataclass

from courier.errors import ArtifactIncompleteError, ArtifactRefusedError
from courier.transfer.internal_errors import SourceTroubleError
from courier.transfer.proof import has_end_mark


@dataclass(frozen=True)
class Bounds:
    """Compares lengths; ``largest_bytes`` is the source's limit.

    A length that is None is not known.
    """

    largest_bytes: int

    def check_length(self, total_bytes: int | None, promised: int | None) -> None:
        """Compare the length that the store announces with the provider's promise and with the limit.

        Raises
        ------
        ArtifactRefusedError
            One of them is above the limit.
        ArtifactIncompleteError
            They differ, or there is nothing.
        """
        for length in (total_bytes, promised):
            if length is not None and length > self.largest_bytes:
                raise ArtifactRefusedError(
                    f"the report has {length} bytes, artifact.largest_bytes allows {self.largest_bytes}"
                )
        if total_bytes == 0:
            raise ArtifactIncompleteError("the report has no bytes")
        if None not in {promised, total_bytes} and promised != total_bytes:
            raise ArtifactIncompleteError(f"the provider promises {promised} bytes, the store has {total_bytes}")

    def check_received(self, received: int, promised: int | None) -> None:
        """See that what has arrived so far is not too much already.

        Raises
        ------
        ArtifactRefusedError
            It is more than the source's limit.
        ArtifactIncompleteError
            It is more than promised.
        """
        if received > self.largest_bytes:
            raise ArtifactRefusedError(f"the report has more bytes than artifact.largest_bytes, {self.largest_bytes}")
        if promised is not None and received > promised:
            raise ArtifactIncompleteError(f"the provider promises {promised} bytes, the store sends more")

    def check_end(self, received: int, promised: int | None, media: str, trailing: bytes) -> None:
        """Judge the end of an answer that did not announce its length.

        Raises
        ------
        SourceTroubleError
            It stopped early.
        """
        if promised is not None and received < promised:
            raise SourceTroubleError(f"the store ended after {received} of {promised} bytes", short=True)
        if promised is None and has_end_mark(media, trailing) is False:
            raise SourceTroubleError(f"the store ended after {received} bytes without {media}'s end mark", short=True)
