"""The HTTP interface of Lambda's Invoke, over the functions of this process."""

import json

from local.embedded.async_invocations import AsyncInvoker
from local.embedded.function_runtime import FunctionRuntime, LostResponseError, ThrottledError, new_request_id
from local.embedded.interception import Invocation
from local.embedded.server import Headers

_JSON = ("Content-Type", "application/json")
_FUNCTION_ERROR = ("X-Amz-Function-Error", "Unhandled")


class InvokeApi:
    """Responds to synchronous calls with the result, to asynchronous ones at once."""

    def __init__(self, runtime: FunctionRuntime, asynchronous: AsyncInvoker) -> None:
        self._runtime = runtime
        self._asynchronous = asynchronous

    def __call__(
        self, name: str, *, payload: str, asynchronous: bool, by_state_machine: bool
    ) -> tuple[str, Headers, bytes]:
        """Return status line, headers and body.

        moto's interpreter names every error of Lambda itself ``Exception``. Reported as errors of the function, they
        keep the names that Step Functions uses. (No upstream issue found: searched getmoto/moto, 2026-11.)
        """
        try:
            function = self._runtime.spec(name).name
            json.loads(payload)
        except KeyError:
            return _error_response("404 Not Found", "ResourceNotFoundException", f"Function not found: {name}")
        except ValueError as exc:
            return _error_response(
                "400 Bad Request", "InvalidRequestContentException", f"Could not parse request body: {exc}"
            )
        if asynchronous:
            self._asynchronous.submit(function, payload)
            return "202 Accepted", [_JSON], b""
        return self._invoke(function, payload, by_state_machine=by_state_machine)

    def _invoke(self, function: str, payload: str, *, by_state_machine: bool) -> tuple[str, Headers, bytes]:
        invocation = Invocation(function=function, request_id=new_request_id(), payload=payload)
        try:
            result = self._runtime.invoke(invocation)
        except ThrottledError as exc:
            if by_state_machine:
                return _function_error("Lambda.TooManyRequestsException", str(exc))
            return _error_response(
                "429 Too Many Requests",
                "TooManyRequestsException",
                str(exc),
                Reason="ConcurrentInvocationLimitExceeded",
            )
        except LostResponseError as exc:
            if by_state_machine:
                return _function_error("Lambda.SdkClientException", "the connection broke")
            raise ConnectionAbortedError("injected") from exc
        headers = [_JSON, ("x-amzn-RequestId", invocation.request_id), ("X-Amz-Executed-Version", "$LATEST")]
        if result.error_type is not None:
            headers.append(_FUNCTION_ERROR)
        return "200 OK", headers, result.payload.encode()


def _function_error(error_type: str, message: str) -> tuple[str, Headers, bytes]:
    document = {"errorType": error_type, "errorMessage": message}
    return "200 OK", [_JSON, _FUNCTION_ERROR], json.dumps(document).encode()


def _error_response(status: str, code: str, message: str, **more: str) -> tuple[str, Headers, bytes]:
    document = {"Type": "User", "message": message, **more}
    return status, [_JSON, ("x-amzn-errortype", code)], json.dumps(document).encode()
