"""The calls of a definition: a request with its placeholders filled, and what the response means by rules and codes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, get_args
from urllib.parse import quote, urlencode

from courier.backoff import retry_after_seconds
from courier.errors import (
    SettingsError,
    SourceError,
    SourceExhaustedError,
    SourceRejectedError,
    SourceThrottledError,
    SourceUnauthorizedError,
    SourceUnavailableError,
)
from courier.observability.redaction import redact
from courier.providers.api_call import ApiCall
from courier.providers.error_mapping import error_from_response
from courier.providers.http_json.fields import State
from courier.providers.http_json.placeholders import fill_body, fill_path, fill_texts, values_of_response

if TYPE_CHECKING:
    from pydantic import JsonValue

    from courier.providers.api_call import Page
    from courier.providers.error_mapping import ErrorResponse
    from courier.providers.http_client import ApiClient
    from courier.providers.http_json.calls import Call, Once
    from courier.providers.http_json.definition import Definition, Rule
    from courier.providers.http_json.fields import CallName
    from courier.providers.http_json.reader import Reader

_STATES = frozenset(get_args(State))
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")
_WORDS_LIMIT = 10


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A response that was requested.

    Attributes
    ----------
    document, body
        The whole, and what is left of it without the envelope.
    headers
        As received.
    state
        What a rule or the HTTP status says; None where words have to.
    message
        The vendor's own words of the rule that fits.
    retry_after_seconds
        How long the provider asks to wait; None where it does not.
    """

    document: JsonValue
    body: JsonValue
    headers: Mapping[str, str] = field(repr=False)
    state: State | None = None
    message: str | None = None
    retry_after_seconds: float | None = None


class StateReplyError(SourceError):
    """An error response that says a state. Internal to this package: `Caller.send` returns its reply."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(f"the response means {reply.state}")
        self.reply = reply


class Caller:
    """Sends the calls of one source."""

    def __init__(self, definition: Definition, api: ApiClient, reader: Reader, values: Mapping[str, JsonValue]) -> None:
        self._definition = definition
        self._api = api
        self._reader = reader
        self._values = values

    def send(
        self,
        name: CallName,
        call: Call,
        values: Mapping[str, JsonValue],
        *,
        kind: str,
        starts_build: bool = False,
        addresses_build: bool = False,
        may_be_anything: bool = False,
        once: tuple[Once, str] | None = None,
        query: str | None = None,
    ) -> Reply:
        """Send one call and return its reply.

        Parameters
        ----------
        kind, starts_build, addresses_build
            See `courier.providers.error_mapping.Operation`.
        may_be_anything
            Whether a body that is not JSON is of no interest.
        once
            Where the idempotency key goes, and the key.
        query
            The whole query, in place of that of the definition: a next page.

        Raises
        ------
        SourceError
            The API refuses, by its status or by a rule.
        SettingsError
            A value is missing, or cannot be sent where the definition puts it.
        """
        # Only the call for the link is filled with values of a response.
        with values_of_response(self._api.source, "get_build") if name == "link" else nullcontext():
            request = self._request(
                name,
                call,
                {**self._values, **values},
                kind=kind,
                starts_build=starts_build,
                addresses_build=addresses_build,
                may_be_anything=may_be_anything,
                once=once,
                query=query,
            )
        try:
            page = self._api.call(request)
        except StateReplyError as exc:
            return exc.reply
        rule = self.fitting_rule(name, page.status, page.document)
        if rule is not None and rule.means not in _STATES:
            raise self._error_of_rule(rule, request, page.status, page.document, page.headers)
        return self._reply(name, call, page, rule)

    def file_address(self, path: str, query: Mapping[str, str], values: Mapping[str, JsonValue]) -> str:
        """Return the address of a file below the endpoint."""
        filled = {**self._values, **values}
        text = self._query_text(fill_texts({**self._definition.query, **query}, filled))
        return f"{self._api.endpoint}{fill_path(path, filled)}{text}"

    def headers(self, templates: Mapping[str, str], values: Mapping[str, JsonValue]) -> dict[str, str]:
        """Return headers with their values.

        Raises
        ------
        SettingsError
            A value is not printable ASCII.
        """
        filled = fill_texts(templates, {**self._values, **values})
        for name, value in filled.items():
            if not _HEADER_VALUE.fullmatch(value):
                raise SettingsError(f"{self._api.source}: the value of the header {name} must be printable ASCII")
        return filled

    def _request(
        self,
        name: CallName,
        call: Call,
        values: Mapping[str, JsonValue],
        *,
        kind: str,
        starts_build: bool,
        addresses_build: bool,
        may_be_anything: bool,
        once: tuple[Once, str] | None,
        query: str | None,
    ) -> ApiCall:
        headers = self.headers({**self._definition.headers, **call.headers}, values)
        parameters = fill_texts({**self._definition.query, **call.query}, values)
        if once is not None:
            place, key = once
            if place.header is not None:
                headers[place.header] = key
            elif place.query is not None:
                parameters[place.query] = key
        request = ApiCall(
            source=self._api.source,
            kind=kind,
            method=call.method,  # type: ignore[arg-type]  # one of five
            path=f"{fill_path(call.path, values)}{self._query_text(parameters) if query is None else f'?{query}'}",
            headers=headers,
            body=fill_body(call.body, values),
            form=None if call.form is None else fill_texts(call.form, values),
            starts_build=starts_build,
            addresses_build=addresses_build,
            may_be_delayed=True,
            may_be_empty=True,
            may_be_anything=may_be_anything,
            refuses_key=lambda page: self._refuses_key(name, page),
        )
        return replace(request, map_error=self._error_mapping(name, call, request))

    def _query_text(self, parameters: Mapping[str, str]) -> str:
        return f"?{urlencode(parameters, quote_via=quote)}" if parameters else ""

    def _reply(self, name: CallName, call: Call, page: Page, rule: Rule | None) -> Reply:
        state: State | None = rule.means if rule is not None else None  # type: ignore[assignment]  # only states get here
        if state is None and name == "status":
            state = self._definition.status.codes.get(str(page.status))
        body = page.document if call.at is None else self._reader.search(call.at, page.document, f"{name}.at")
        return Reply(
            document=page.document,
            body=body,
            headers=page.headers,
            state=state,
            message=self._words(rule, page.document),
            retry_after_seconds=retry_after_seconds(page.headers.get("Retry-After"), now=self._api.now()),
        )

    def _refuses_key(self, name: CallName, page: Page) -> bool:
        rule = self.fitting_rule(name, page.status, page.document)
        return rule is not None and rule.means == "unauthorized"

    def _error_mapping(
        self, name: CallName, call: Call, request: ApiCall
    ) -> Callable[[ErrorResponse], SourceError | None]:
        def map_error(response: ErrorResponse) -> SourceError | None:
            from courier.providers.api_call import Page  # noqa: PLC0415 - as above

            page = Page(document=response.document, headers=response.headers, status=response.status)
            rule = self.fitting_rule(name, response.status, response.document)
            if rule is not None and rule.means not in _STATES:
                return self._error_of_rule(rule, request, response.status, response.document, response.headers)
            reply = self._reply(name, call, page, rule)
            if reply.state is not None:
                return StateReplyError(reply)
            words = self._words(None, response.document)
            if words is None:
                return None
            return error_from_response(replace(response, message=words), request)

        return map_error

    def fitting_rule(self, name: CallName, status: int, document: JsonValue) -> Rule | None:
        """Return the first rule that fits; a condition that cannot be evaluated does not."""
        for position, rule in enumerate(self._definition.rules):
            if rule.of not in {None, name} or rule.code not in {None, str(status)}:
                continue
            if rule.when is None or self._reader.is_true(rule.when, document, f"rules[{position}].when"):
                return rule
        return None

    def _error_of_rule(
        self, rule: Rule, request: ApiCall, status: int, document: JsonValue, headers: Mapping[str, str]
    ) -> SourceError:
        words = self._words(rule, document)
        text = f"{request.source}: {request.kind} returned {status}" + (f": {words}" if words else "")
        wait = retry_after_seconds(headers.get("Retry-After"), now=self._api.now())
        match rule.means:
            case "throttled":
                return SourceThrottledError(text, retry_after_seconds=wait)
            case "unauthorized":
                return SourceUnauthorizedError(text)
            case "unavailable":
                return SourceUnavailableError(text, retry_after_seconds=wait)
            case "exhausted":
                return SourceExhaustedError(text)
            case _:
                return SourceRejectedError(text)

    def _words(self, rule: Rule | None, document: JsonValue) -> str | None:
        """Return the vendor's own message: where the rule says, else where the definition says."""
        errors = self._definition.errors
        expression = rule.words if rule is not None and rule.words is not None else errors.words if errors else None
        if expression is None:
            return None
        found = self._reader.search(expression, document, "words")
        texts = found if isinstance(found, list) else [found]
        shown = [text for text in texts if isinstance(text, str) and text][:_WORDS_LIMIT]
        return redact("; ".join(shown), secrets=self._api.hidden()) or None
