"""Lambda's Invoke, as HTTP has it, over the functions of this process."""

import json

from local.asynchronous import AsynchronousInvoker
from local.aws_server import Headers
from local.function_runtime import FunctionRuntime, LostAnswerError, ThrottledError, new_request_id
from local.interception import Invocation

_JSON = ("Content-Type", "application/json")


class InvokeApi:
    """Answers synchronous calls with the result, asynchronous ones at once."""

    def __init__(self, runtime: FunctionRuntime, asynchronous: AsynchronousInvoker) -> None:
        self._runtime = runtime
        self._asynchronous = asynchronous

    def __call__(self, name: str, *, payload: str, asynchronous: bool) -> tuple[str, Headers, bytes]:
        """Give status line, headers and body."""
        try:
            function = self._runtime.spec(name).name
            json.loads(payload)
        except KeyError:
            return _refusal("404 Not Found", "ResourceNotFoundException", f"Function not found: {name}")
        except ValueError as exc:
            return _refusal("400 Bad Request", "InvalidRequestContentException", f"Could not parse request body: {exc}")
        if asynchronous:
            self._asynchronous.submit(function, payload)
            return "202 Accepted", [_JSON], b""
        invocation = Invocation(function=function, request_id=new_request_id(), payload=payload)
        try:
            result = self._runtime.invoke(invocation)
        except ThrottledError as exc:
            return _refusal("429 Too Many Requests", "TooManyRequestsException", str(exc))
        except LostAnswerError as exc:
            raise ConnectionAbortedError("injected") from exc
        headers = [_JSON, ("x-amzn-RequestId", invocation.request_id), ("X-Amz-Executed-Version", "$LATEST")]
        if result.error_type is not None:
            headers.append(("X-Amz-Function-Error", "Unhandled"))
        return "200 OK", headers, result.payload.encode()


def _refusal(status: str, code: str, message: str) -> tuple[str, Headers, bytes]:
    return status, [_JSON, ("x-amzn-errortype", code)], json.dumps({"Type": "User", "message": message}).encode()
