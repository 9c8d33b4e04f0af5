"""The embedded AWS as an HTTP server: moto, wrapped to run our functions, count calls and inject faults."""

import json
import re
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from typing_extensions import override
from werkzeug.serving import ThreadedWSGIServer

from local.embedded.call_context import CALL_HEADER, CallTracker, FunctionRun
from local.embedded.interception import (
    OPERATOR,
    STATE_MACHINE,
    UNKNOWN_CALLER,
    AwsCall,
    AwsError,
    DropResponse,
    FalseSuccess,
    IgnoreConditions,
    Interception,
    Kill,
)
from local.embedded.moto.step_functions import INTERPRETER_ACCESS_KEY

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# The access key of the operator's clients.
OPERATOR_ACCESS_KEY = "operator"

_INVOCATION = re.compile(r"/2015-03-31/functions/(?P<name>.+)/invocations")
_CREDENTIAL = re.compile(r"Credential=([^/]+)/")
_CONDITIONS = ("HTTP_IF_NONE_MATCH", "HTTP_IF_MATCH")
_CALL_VARIABLE = "HTTP_" + CALL_HEADER.upper().replace("-", "_")

# Services whose errors are XML; the others use JSON.
_REST_XML = {"s3"}
_QUERY_XML = {"sns", "cloudformation"}

# Requests wait for each other: an execution's invocation waits for the calls of that function.
_MOST_REQUESTS = 4096

Headers = list[tuple[str, str]]


class InvocationPath(Protocol):
    """Serves Lambda's Invoke."""

    def __call__(
        self, name: str, *, payload: str, asynchronous: bool, by_state_machine: bool
    ) -> tuple[str, Headers, bytes]:
        """Return status line, headers and body."""


class AwsApplication:
    """The WSGI application: routes Lambda's Invoke to our functions, and everything else to moto."""

    def __init__(self, *, tracker: CallTracker, interception: Interception) -> None:
        self._tracker = tracker
        self._interception = interception
        self._invoke: InvocationPath | None = None
        self._moto: WSGIApplication = DomainDispatcherApplication(create_backend_app)
        self._lock = threading.Lock()
        self._serial = threading.Lock()
        self._calls: Counter[tuple[str, str, str]] = Counter()

    def route_invocations(self, invoke: InvocationPath) -> None:
        """Route invocations to our functions from now on; until then they go to moto's Lambda."""
        self._invoke = invoke

    def calls(self) -> Counter[tuple[str, str, str]]:
        """Count the calls so far by caller, action and resource."""
        with self._lock:
            return self._calls.copy()

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Serve one request."""
        tracked = self._tracker.take(environ.pop(_CALL_VARIABLE, None))
        if tracked is None:
            return self._serve(environ, start_response)
        call, run = _with_caller(tracked[0], environ), tracked[1]
        with self._lock:
            self._calls[call.caller, call.action, call.resource] += 1
        if call.caller == OPERATOR:
            return self._serve(environ, start_response)
        return self._intercepted(call, run, environ, start_response)

    def _intercepted(
        self, call: AwsCall, run: FunctionRun | None, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        before = self._interception.before_call(call)
        match before:
            case AwsError():
                return _respond(environ, start_response, *_error_response(call, before))
            case FalseSuccess():
                return _respond(environ, start_response, *_false_success(before))
            case IgnoreConditions():
                for name in _CONDITIONS:
                    environ.pop(name, None)
            case DropResponse() | Kill():
                _break_connection(run, before)
        response: list[tuple[str, Headers]] = []

        def hold(status: str, headers: Headers, exc_info: object = None) -> Callable[[bytes], object]:  # noqa: ARG001  # WSGI's
            response.append((status, headers))
            return lambda _: None

        body_parts = self._serve(environ, hold)
        status, headers = response[-1]
        after = self._interception.after_call(call, int(status.split()[0]))
        if after is not None:
            close = getattr(body_parts, "close", None)
            if close is not None:
                close()
            if isinstance(after, FalseSuccess):
                return _respond(environ, start_response, *_false_success(after))
            _break_connection(run, after)
        start_response(status, headers)
        return body_parts

    def _serve(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        match = _INVOCATION.fullmatch(environ.get("PATH_INFO", ""))
        if match is None or self._invoke is None:
            if not _is_conditional(environ):
                return self._moto(environ, start_response)
            with self._serial:
                return self._moto(environ, start_response)
        length = int(environ.get("CONTENT_LENGTH") or 0)
        status, headers, body = self._invoke(
            unquote(match["name"]),
            payload=environ["wsgi.input"].read(length).decode() or "{}",
            asynchronous=environ.get("HTTP_X_AMZ_INVOCATION_TYPE") == "Event",
            by_state_machine=_access_key(environ) == INTERPRETER_ACCESS_KEY,
        )
        start_response(status, [*headers, ("Content-Length", str(len(body)))])
        return [body]


class _Handler(MotoRequestHandler):
    # One connection per request: a kept connection would hold a thread as long as its client lives.
    protocol_version = "HTTP/1.0"
    # Header and body are two writes; without this the second waits 40 ms for the acknowledgement of the first.
    disable_nagle_algorithm = True
    # Seconds of silence; a client that connects and sends nothing must not delay the stop.
    timeout = 120

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Stay silent."""


class _Server(ThreadedWSGIServer):
    # 300 builds that end in one tick make their calls at once.
    request_queue_size = 1024

    def __init__(self, application: AwsApplication) -> None:
        super().__init__("127.0.0.1", 0, application, _Handler)
        # Threads are reused: starting one per request takes a twentieth of the time of a storm.
        self._pool = ThreadPoolExecutor(_MOST_REQUESTS, thread_name_prefix="embedded-aws")

    @override
    def process_request(self, request: Any, client_address: Any) -> None:
        self._pool.submit(self.process_request_thread, request, client_address)

    @override
    def server_close(self) -> None:
        super().server_close()
        # Completes the requests in progress.
        self._pool.shutdown()


class AwsServer:
    """Serves the application on a free loopback port, from `start` to `stop`."""

    def __init__(self, application: AwsApplication) -> None:
        self._server = _Server(application)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="embedded-aws")

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._server.port

    def start(self) -> None:
        """Start serving."""
        self._thread.start()

    def stop(self) -> None:
        """Complete the requests in progress, then stop."""
        if self._thread.ident is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


def _with_caller(call: AwsCall, environ: "WSGIEnvironment") -> AwsCall:
    if call.caller != UNKNOWN_CALLER:
        return call
    callers = {INTERPRETER_ACCESS_KEY: STATE_MACHINE, OPERATOR_ACCESS_KEY: OPERATOR}
    caller = callers.get(_access_key(environ), UNKNOWN_CALLER)
    return AwsCall(caller=caller, action=call.action, resource=call.resource, invocation=None)


def _is_conditional(environ: "WSGIEnvironment") -> bool:
    """Return whether moto would check first and write afterwards, with other threads in between.

    No upstream issue found (searched getmoto/moto, 2026-11).
    """
    return environ.get("HTTP_X_AMZ_TARGET", "").startswith("DynamoDB_") or (
        environ["REQUEST_METHOD"] in ("PUT", "POST") and any(name in environ for name in _CONDITIONS)
    )


def _access_key(environ: "WSGIEnvironment") -> str:
    match = _CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", ""))
    return match[1] if match else ""


def _break_connection(run: FunctionRun | None, fault: DropResponse | Kill) -> None:
    if isinstance(fault, Kill) and run is not None:
        run.killed_by = fault.error_type
    # Werkzeug closes the connection without a response on this error.
    raise ConnectionAbortedError("injected")


def _respond(
    environ: "WSGIEnvironment", start_response: "StartResponse", status: str, headers: Headers, body: bytes
) -> list[bytes]:
    start_response(status, headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def _false_success(response: FalseSuccess) -> tuple[str, Headers, bytes]:
    headers = [("Content-Length", str(len(response.body)))]
    if response.body:
        headers.append(("Content-Type", response.content_type))
    return f"{response.status} Injected", headers, response.body


def _error_response(call: AwsCall, response: AwsError) -> tuple[str, Headers, bytes]:
    service = call.action.partition(":")[0]
    request_id = str(uuid.uuid4())
    error = f"<Error><Code>{response.code}</Code><Message>{response.message}</Message></Error>"
    if service in _REST_XML:
        content_type, body = "application/xml", error
    elif service in _QUERY_XML:
        content_type = "text/xml"
        body = f"<ErrorResponse>{error}<RequestId>{request_id}</RequestId></ErrorResponse>"
    else:
        content_type = "application/x-amz-json-1.1"
        body = json.dumps({"__type": response.code, "message": response.message})
    data = body.encode()
    headers = [
        ("Content-Type", content_type),
        ("Content-Length", str(len(data))),
        ("x-amzn-errortype", response.code),
        ("x-amzn-requestid", request_id),
        ("x-amz-request-id", request_id),
    ]
    return f"{response.status} Injected", headers, data
