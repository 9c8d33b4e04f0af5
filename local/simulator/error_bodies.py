"""The error bodies of the two APIs and of the artifact store, each in its own envelope."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final
from xml.sax.saxutils import escape

from local.simulator.messages import JsonValue, ProviderName, SimulatedResponse, json_response

# Dreadnode's error type and title per status; only the first is documented, the others follow its form.
DREADNODE_TYPES: Final[Mapping[int, tuple[str, str]]] = {
    401: ("authentication_error", "Authentication failed"),
    400: ("invalid_request", "Invalid request"),
    403: ("access_forbidden", "Access forbidden"),
    404: ("not_found", "Not found"),
    409: ("already_exists", "Already exists"),
    422: ("validation_error", "Validation error"),
    426: ("upgrade_required", "Upgrade required"),
    429: ("rate_limited", "Rate limited"),
    500: ("internal_server_error", "Internal server error"),
    502: ("bad_gateway", "Bad gateway"),
    504: ("gateway_timeout", "Gateway timeout"),
}
S3_CODES: Final[Mapping[int, tuple[str, str]]] = {
    400: ("InvalidRequest", "Bad Request"),
    403: ("AccessDenied", "Access Denied"),
    404: ("NoSuchKey", "The specified key does not exist."),
    412: ("PreconditionFailed", "At least one of the pre-conditions you specified did not hold"),
    416: ("InvalidRange", "The requested range is not satisfiable"),
    500: ("InternalError", "We encountered an internal error. Please try again."),
    503: ("SlowDown", "Please reduce your request rate."),
}


def treasure_error(status: int, message: str) -> SimulatedResponse:
    """Return an error in the v3 envelope of Treasure Data, with all five fields."""
    title = HTTPStatus(status).phrase
    body: JsonValue = {
        "error": title,
        "message": message,
        "text": message,
        "severity": "error",
        "status_code": status,
    }
    return json_response(status, body)


def airt_error(status: int, detail: str | None = None, errors: list[JsonValue] | None = None) -> SimulatedResponse:
    """Return an error in Dreadnode's envelope; only validation errors have `errors`."""
    kind, title = DREADNODE_TYPES.get(status, ("error", HTTPStatus(status).phrase))
    body: dict[str, JsonValue] = {"code": status, "detail": detail or title, "type": kind}
    if errors is not None:
        body["errors"] = errors
    return json_response(status, body)


def store_error(
    status: int,
    code: str | None = None,
    message: str | None = None,
    *,
    elements: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> SimulatedResponse:
    """Return an error in S3's XML; `elements` are additional children of ``<Error>``."""
    usual_code, usual_message = S3_CODES.get(status, (HTTPStatus(status).phrase.replace(" ", ""), ""))
    children = {"Code": code or usual_code, "Message": message or usual_message, **(elements or {})}
    children |= {"RequestId": "SIMULATED", "HostId": "simulated"}
    inner = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in children.items())
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{inner}</Error>'
    return SimulatedResponse(status, {"Content-Type": "application/xml", **(headers or {})}, body.encode())


def error_response(provider: ProviderName, status: int, detail: str) -> SimulatedResponse:
    """Return an error with `status` in the format of `provider`."""
    match provider:
        case ProviderName.TREASURE_INSIGHTS:
            return treasure_error(status, detail)
        case ProviderName.DREADNODE_AIRT:
            return airt_error(status, detail or None)
        case _:
            return store_error(status)
