"""Hooks for every HTTP exchange of a function, called on its thread before the request and after the response.

These are the points at which killing a function makes a difference: what it computes in between has no effect outside.
An exchange is identified by the function, the call, and the place in the code that makes it.
"""

from __future__ import annotations

import contextvars
import http.client
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from unittest.mock import patch
from urllib.parse import urlsplit

from botocore import handlers

import courier
from local.embedded.call_context import FunctionKilledError, current_run

_CODE = f"{Path(courier.__file__).parent}/"
# The number of our own stack frames in a place: enough to distinguish its callers, few enough to stay readable.
_FRAMES = 4
# The words of the providers' paths that identify the operation.
_PATH_WORDS = frozenset({"reporting", "datamodels", "builds", "airt", "projects", "reports", "build", "preflight"})
_IAM_PREFIXES = {"sfn": "states", "secrets-manager": "secretsmanager"}

_operation: contextvars.ContextVar[str | None] = contextvars.ContextVar("operation", default=None)


@dataclass(frozen=True, order=True)
class Exchange:
    """One kind of exchange: the function, its call, and the place in the code.

    ``call``
        An AWS operation such as ``dynamodb:UpdateItem``, or method and path of a provider's API.
    ``place``
        ``module.function:line`` of our code, innermost first.
    """

    function: str
    call: str
    place: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.function}: {self.call} at {' < '.join(self.place[:2])}"


class ExchangeHook(Protocol):
    """Observes exchanges; an exception that it raises ends the exchange."""

    def before(self, exchange: Exchange) -> None:
        """Handle an exchange before the request is sent."""

    def after(self, exchange: Exchange) -> None:
        """Handle an exchange after the response arrived, before the function gets it."""


def kill_function() -> None:
    """End the calling function at once; it makes no further call."""
    run = current_run.get()
    if run is not None:
        run.killed_by = "Runtime.ExitError"
    raise FunctionKilledError("Runtime.ExitError")


@contextmanager
def exchanges_hooked(hook: ExchangeHook) -> Iterator[None]:
    """Call the hook for every exchange of a function.

    Must be active before the functions create their clients, which is when botocore reads its hooks.
    """
    put, get = http.client.HTTPConnection.putrequest, http.client.HTTPConnection.getresponse
    exchanges: dict[int, Exchange] = {}

    def putrequest(connection: http.client.HTTPConnection, method: str, url: str, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - http.client's own
        run = current_run.get()
        if run is None:
            return put(connection, method, url, *args, **kwargs)
        # A killed function makes no further call.
        run.check()
        call = _operation.get() or f"{method} {'report' if connection.host == 'localhost' else _shape(url)}"
        exchange = Exchange(run.invocation.function, call, _place())
        exchanges[id(connection)] = exchange
        hook.before(exchange)
        return put(connection, method, url, *args, **kwargs)

    def getresponse(connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
        response = get(connection)
        run = current_run.get()
        exchange = exchanges.pop(id(connection), None)
        if run is None or exchange is None:
            return response
        try:
            run.check()
            hook.after(exchange)
        except BaseException:
            response.close()
            raise
        return response

    noted = ("request-created", _note_operation)
    forgotten = ("response-received", _forget_operation)
    handlers.BUILTIN_HANDLERS.extend((noted, forgotten))
    try:
        with patch.multiple(http.client.HTTPConnection, putrequest=putrequest, getresponse=getresponse):
            yield
    finally:
        handlers.BUILTIN_HANDLERS.remove(noted)
        handlers.BUILTIN_HANDLERS.remove(forgotten)


def _note_operation(event_name: str, operation_name: str, **_: object) -> None:
    service = event_name.split(".")[1]
    _operation.set(f"{_IAM_PREFIXES.get(service, service)}:{operation_name}")


def _forget_operation(**_: object) -> None:
    _operation.set(None)


def _shape(url: str) -> str:
    """Return a provider's path without its ids and names."""
    parts = urlsplit(url).path.strip("/").split("/")
    return "/".join(part for part in parts if part in _PATH_WORDS)


def _place() -> tuple[str, ...]:
    """Return the frames of our own code that lead here, innermost first."""
    places: list[str] = []
    frame = sys._getframe(2)  # noqa: SLF001 - inspect.stack() reads source files, a hundred times slower
    while frame is not None and len(places) < _FRAMES:
        path = frame.f_code.co_filename
        if path.startswith(_CODE):
            module = path.removeprefix(_CODE).removesuffix(".py").replace("/", ".")
            places.append(f"{module}.{frame.f_code.co_name}:{frame.f_lineno}")
        frame = frame.f_back  # type: ignore[assignment]  # None at the end
    return tuple(places)
