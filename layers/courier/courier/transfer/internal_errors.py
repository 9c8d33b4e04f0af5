"""What the parts of a copy tell each other; none of these leaves the package, `engine` turns them into our errors."""


class LinkRefusedError(Exception):
    """The object store refuses the link (4xx); a fresh one may help."""


class SourceTroubleError(Exception):
    """One request went wrong in a way that may pass: a broken connection, 5xx, fewer bytes than announced.

    Parameters
    ----------
    short
        The answer ended early, as opposed to no answer or an error.
    retry_after_seconds
        What the server asks for, 0 when it does not say.
    """

    def __init__(self, message: str, *, short: bool = False, retry_after_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.short = short
        self.retry_after_seconds = retry_after_seconds


class OutOfTimeError(Exception):
    """The time of this invocation, or of the whole copy, is up."""


class UploadGoneError(Exception):
    """The multipart upload does not exist any more: completed or aborted by another copier, or expired."""


class KeyExistsError(Exception):
    """The conditional create found an object under the key."""


class StartOverError(Exception):
    """An attempt is spoilt and nothing of it is left; another one may succeed.

    Parameters
    ----------
    final
        What to raise when there is no other attempt.
    """

    def __init__(self, final: Exception) -> None:
        super().__init__(str(final))
        self.final = final
