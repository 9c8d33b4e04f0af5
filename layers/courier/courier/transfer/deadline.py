"""When a copy has to stop: at the end of the invocation, or of its time in all."""

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import datetime

from courier.transfer.internal_errors import OutOfTimeError
from courier.transfer.options import CopyOptions

# How often a running copy is looked at; a second more or less is nothing against `stop_seconds`.
_LOOK_SECONDS = 1.0


class Deadline:
    """The time that is left.

    Parameters
    ----------
    seconds_left
        Seconds until this invocation is killed.
    clock
        The present, for the limit over all invocations.

    Attributes
    ----------
    now
        The clock.
    started_at
        When the copy began, in this invocation or an earlier one.
    had_time
        This invocation had time for something when it began.
    """

    def __init__(self, seconds_left: Callable[[], float], clock: Callable[[], datetime], options: CopyOptions) -> None:
        self._seconds_left = seconds_left
        self.now = clock
        self._options = options
        self.started_at = clock()
        self.had_time = seconds_left() > 2 * options.stop_seconds

    @property
    def is_too_long(self) -> bool:
        """Whether the copy has used up its time over all invocations."""
        return (self.now() - self.started_at).total_seconds() > self._options.longest_seconds

    @property
    def may_begin(self) -> bool:
        """Whether there is time for another part."""
        return self._seconds_left() > self._options.stop_seconds and not self.is_too_long

    def check(self) -> None:
        """See that there is time for another request of a part that was begun.

        Raises
        ------
        OutOfTimeError
            There is not.
        """
        if self._seconds_left() <= self._options.stop_seconds / 2 or self.is_too_long:
            raise OutOfTimeError

    @contextmanager
    def watch(self, cut: Callable[[], None]) -> Generator[None, None, None]:
        """Call ``cut`` from another thread once the time is up: a read may hang longer than we live."""
        done = threading.Event()

        def look() -> None:
            while not done.wait(_LOOK_SECONDS):
                try:
                    self.check()
                except OutOfTimeError:
                    cut()
                    return

        watcher = threading.Thread(target=look, name="copy-deadline", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()
