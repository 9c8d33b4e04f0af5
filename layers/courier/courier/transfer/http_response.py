"""One HTTP response, as servers really send it: its head, and exact reads of its body."""

import http.client
import re
import ssl
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from email.message import Message
from http import HTTPStatus
from typing import Final

from courier.errors import ArtifactError, ArtifactIncompleteError, ArtifactRefusedError, ArtifactUnavailableError
from courier.links import SecretUrl

# An error body is read this far to find its code; reading so small a rest is cheaper than a new connection.
_SMALL_REST_BYTES: Final = 4_096
_ERROR_CODE: Final = re.compile(rb"<Code>([A-Za-z0-9]{1,60})</Code>")
_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15}|\*)\s*\Z")
_UNSATISFIED_RANGE: Final = re.compile(r"bytes \*/(\d{1,15})\s*\Z")
# Kept as metadata of the copy, which has 2 KB in all.
_LONGEST_ETAG: Final = 256
# http.client stops at 100 header lines, and gateways that trace requests add more than that.
_MOST_HEADERS: Final = 1_000
_LONGEST_LINE: Final = 65_536
_MOST_INFORMATIONAL: Final = 20
_STATUS_LINE: Final = re.compile(rb"HTTP/(1\.[0-9]|0\.9) +([1-9][0-9]{2})(?: +([^\r\n]*))?\s*\Z")


class DownloadError(Exception):
    """A request failed in a way that may be transient: a broken connection, 5xx, fewer bytes than announced.

    Parameters
    ----------
    short
        The body ended early, as opposed to no response or an error response.
    responded
        There was a response, but not the one that was requested.
    retry_after_seconds
        What the server asks for, 0 when it does not say.
    """

    def __init__(
        self, message: str, *, short: bool = False, responded: bool = False, retry_after_seconds: float = 0.0
    ) -> None:
        super().__init__(message)
        self.short = short
        self.responded = responded or short
        self.retry_after_seconds = retry_after_seconds

    def as_permanent(self, attempts: int) -> ArtifactError:
        """Return the error for a failure that so many attempts did not cure."""
        kind = ArtifactIncompleteError if self.short else ArtifactUnavailableError
        return kind(f"{self}; gave up after {attempts} tries")


class ContradictionError(http.client.HTTPException):
    """The head of a response says two things at once."""


class RealResponse(http.client.HTTPResponse):
    """http.client's response with a reader of its own for the head.

    It skips every informational response (http.client knows 100 only, RFC 9110, 15.2), takes a thousand header lines,
    and reads equal Content-Lengths as one (RFC 9110, 8.6), where http.client would wait for the end of the connection.
    """

    def begin(self) -> None:
        """Read the head."""
        for _ in range(_MOST_INFORMATIONAL):
            version, status, reason = self._status_line()
            headers = self._header_lines()
            if status >= HTTPStatus.OK or status == HTTPStatus.SWITCHING_PROTOCOLS:
                break
        else:
            raise http.client.HTTPException("informational responses without end")
        self.status, self.reason = status, reason
        self.code = status
        self.version = 11 if version not in {"1.0", "0.9"} else 10
        self.headers = self.msg = headers
        options = {word.strip().lower() for word in ",".join(headers.get_all("Connection", [])).split(",")}
        self.will_close = "keep-alive" not in options if self.version == 10 else "close" in options  # noqa: PLR2004 - HTTP/1.0
        transfer = headers.get("Transfer-Encoding", "identity").strip().lower()
        if transfer not in {"chunked", "identity"}:
            raise http.client.UnknownTransferEncoding
        self.chunked = transfer == "chunked"
        self.chunk_left = None
        self.length = None if self.chunked else _content_length(headers)
        if status in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}:
            self.length = 0
        if self.length is None and not self.chunked:
            self.will_close = True

    def _status_line(self) -> tuple[str, int, str]:
        line = self.fp.readline(_LONGEST_LINE)
        if not line:
            raise http.client.RemoteDisconnected("the connection was closed without a response")
        match = _STATUS_LINE.match(line)
        if match is None:
            raise http.client.BadStatusLine("")
        version, status, reason = match.groups()
        return version.decode(), int(status), (reason or b"").decode("latin-1")

    def _header_lines(self) -> http.client.HTTPMessage:
        lines: list[bytes] = []
        while (line := self.fp.readline(_LONGEST_LINE)) not in {b"\r\n", b"\n", b""}:
            lines.append(line)
            if len(lines) > _MOST_HEADERS or not line.endswith(b"\n"):
                raise http.client.HTTPException("headers without end")
        # Not email.parser, which takes some bytes inside a value for the end of its line.
        headers = http.client.HTTPMessage()
        for name, _, value in (line.decode("latin-1").partition(":") for line in _unfolded(lines)):
            headers[name.strip()] = value.strip()
        return headers


def _unfolded(lines: Iterable[bytes]) -> list[bytes]:
    """Return the lines with those put together that go on with a blank (RFC 9112, 5.2)."""
    whole: list[bytes] = []
    for line in lines:
        if whole and line[:1] in {b" ", b"\t"}:
            whole[-1] = whole[-1].rstrip() + b" " + line.strip()
        else:
            whole.append(line)
    return whole


def _content_length(headers: Message) -> int | None:
    """Return the announced length; None when there is none.

    Raises
    ------
    ContradictionError
        There are several that differ, or one that is no length.
    """
    values = {value.strip() for line in headers.get_all("Content-Length", []) for value in line.split(",")}
    if not values:
        return None
    value = values.pop()
    if values or not (value.isascii() and value.isdigit()):
        raise ContradictionError
    return int(value)


class Response:
    """The head of one response, and its body as far as it is read.

    Attributes
    ----------
    status, headers
        As received.
    host
        The host that responded, fit for a message.
    redirected_to, left_its_origin
        Where redirects have led, None where there was none, and whether that is another origin.
    """

    def __init__(self, response: http.client.HTTPResponse, host: str, give_up: Callable[[], None]) -> None:
        self._response = response
        self._give_up = give_up
        self.status = response.status
        self.headers: Message = response.headers
        self.host = host
        self.redirected_to: SecretUrl | None = None
        self.left_its_origin = False

    @property
    def length(self) -> int | None:
        """The rest of the body as announced; None when the end of the connection or of the chunks ends it."""
        return self._response.length

    @property
    def is_chunked(self) -> bool:
        """Whether the body has an end of its own: a last chunk, without which reading it fails."""
        return self._response.chunked

    @property
    def strong_etag(self) -> str | None:
        """The ETag if it identifies bytes; weak ones (RFC 9110, 8.8.1) and malformed ones do not."""
        etag = self.headers.get("ETag")
        if etag is None or len(etag) > _LONGEST_ETAG or not (etag.isascii() and etag.isprintable()):
            return None
        return etag if len(etag) > 2 and etag.startswith('"') and etag.endswith('"') else None  # noqa: PLR2004 - quotes

    def content_range(self) -> tuple[int, int, int | None]:
        """Read ``bytes first-last/total``; the total is None for ``*``.

        Raises
        ------
        DownloadError
            There is no such header.
        """
        match = _CONTENT_RANGE.match(self.headers.get("Content-Range", ""))
        if match is None:
            raise DownloadError(f"{self.host} sent {self.status} without a valid Content-Range", responded=True)
        first, last, total = match.groups()
        return int(first), int(last), None if total == "*" else int(total)

    def unsatisfied_total(self) -> int | None:
        """Return the length that a 416 announces (``bytes */total``); None when it announces none."""
        match = _UNSATISFIED_RANGE.match(self.headers.get("Content-Range", ""))
        return None if match is None else int(match[1])

    def read_into(self, view: memoryview) -> int:
        """Fill ``view``; fewer bytes than it holds mean that the body has ended.

        Raises
        ------
        DownloadError
            The connection broke, or the chunks ended early.
        """
        filled = 0
        with errors_mapped(self.host):
            while filled < len(view) and (count := self._response.readinto(view[filled:])):
                filled += count
        return filled

    def read_error(self) -> str:
        """Return status and S3's error code, such as ``403 AccessDenied``, and close.

        Only the code is taken from the body, because S3 repeats headers and parameters in it.
        """
        code = None
        with suppress(DownloadError):
            body = memoryview(bytearray(_SMALL_REST_BYTES))
            code = _ERROR_CODE.search(body[: self.read_into(body)])
        self.close()
        return f"{self.status} {code[1].decode()}" if code else str(self.status)

    def close(self) -> None:
        """End the response; a small rest is read, a larger one costs the connection."""
        if self.length is not None and self.length <= _SMALL_REST_BYTES:
            with suppress(DownloadError):
                self.read_into(memoryview(bytearray(self.length)))
        if not self._response.isclosed():
            self._give_up()
        self._response.close()


@contextmanager
def errors_mapped(host: str, hint: Callable[[], str] = str) -> Generator[None, None, None]:
    """Raise our errors, none of which contains a URL, in place of the network's; ``hint`` is added to the latter."""
    try:
        yield
    except ssl.SSLCertVerificationError as exc:
        raise ArtifactRefusedError(
            f"the certificate of {host} is not trusted ({exc.verify_message}); name its authority in ca_bundle"
        ) from exc
    except http.client.IncompleteRead:
        raise DownloadError(f"{host} ended its response early", short=True) from None
    except ContradictionError:
        raise ArtifactRefusedError(f"{host} sends Content-Lengths that contradict each other") from None
    except http.client.HTTPException as exc:
        # Their texts repeat what the server sent, which may be anything; the class name says enough.
        raise DownloadError(f"{host} does not respond in HTTP ({type(exc).__name__})") from None
    except (OSError, ValueError) as exc:
        # ValueError is what ssl raises when a connection is cut off while it is read.
        reason = f" ({exc.strerror})" if isinstance(exc, OSError) and exc.strerror else ""
        raise DownloadError(f"{host}: {type(exc).__name__}{reason}{hint()}") from exc
