"""What a definition reads out of saved responses, step by step: the courier's own client, with files for a network."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from requests.structures import CaseInsensitiveDict

from cli.saved_responses import MissingResponseError, SavedResponse, SavedResponses, SentRequest
from courier.backoff import Backoff
from courier.clock import stamp
from courier.config.secrets import Secret
from courier.errors import ArtifactRefusedError, CourierError
from courier.links import SecretUrl
from courier.models import Build, BuildRef, BuildRequest
from courier.observability.provider_events import ProviderCallbacks, UnexpectedValue
from courier.observability.redaction import redact
from courier.providers.api_call import Credentials
from courier.providers.http_client import ApiClient
from courier.providers.http_json.auth import Authorizer, secret_fields
from courier.providers.http_json.auth_fields import origin_of
from courier.providers.http_json.caller import Caller
from courier.providers.http_json.checks import scope_parts, templates
from courier.providers.http_json.definition import fold
from courier.providers.http_json.expressions import scalar_text
from courier.providers.http_json.placeholders import placeholders
from courier.providers.http_json.provider import HttpJson
from courier.providers.http_json.reader import Reader
from courier.providers.parsing import decode_json
from courier.transfer.content import LEADING_BYTES, check_content_type
from courier.transfer.http_client import REDIRECTS
from courier.transfer.url_policy import LinkRules

if TYPE_CHECKING:
    from datetime import datetime

    from pydantic import JsonValue

    from courier.links import ArtifactLink
    from courier.providers.api_call import Authorize
    from courier.providers.http_json.fields import Reading
    from courier.providers.http_json.settings import HttpJsonSettings

_SHOWN_CHARACTERS = 100
_BODY_CHARACTERS = 300
_SHOWN_BUILDS = 20
_CONSEQUENCES: Mapping[str, str] = {
    "SourceThrottledError": "the source backs off, and the call is made again",
    "SourceUnauthorizedError": "the key is read again; if it stays refused, the operator is notified",
    "SourceExhaustedError": "out of credits: the operator is notified",
    "SourceUnavailableError": "the call is made again",
    "SourceRejectedError": "final: a start ends as failed; other calls make the source unhealthy",
    "SourceProtocolError": "the response cannot be used: the definition does not fit it",
    "BuildNotFoundError": "the build is unknown: lost, if that lasts",
    "EmptyReportError": "the build ends as empty; nothing was started",
    "RequestUncertainError": "it is unknown whether a build was started",
    "ArtifactRefusedError": "the file is not fetched: undeliverable",
    "SettingsError": "the definition needs a value that is not there",
}


@dataclass(frozen=True)
class Row:
    """One value: what it is, what was read, and which part of the definition says so."""

    name: str
    value: str
    by: str = ""


@dataclass
class Step:
    """One call, or the file.

    ``refused``
        Why it brought nothing, and what the courier would do.
    """

    call: str
    request: str = ""
    sent: str | None = None
    response: str = ""
    rows: list[Row] = field(default_factory=list)
    refused: str | None = None
    notes: list[str] = field(default_factory=list)


class Trial:
    """One trial of a definition.

    Parameters
    ----------
    scope, build_id, values
        For the placeholders; by default the first scope, the id that the responses name, and the first request of the
        source or the names of its fields.
    """

    def __init__(
        self,
        settings: HttpJsonSettings,
        answers: Mapping[str, Sequence[Path]],
        *,
        scope: str | None = None,
        build_id: str | None = None,
        values: Mapping[str, JsonValue] | None = None,
    ) -> None:
        self.steps: list[Step] = []
        self._settings = settings
        self._definition = settings.api
        self._responses = SavedResponses(
            {
                call: [SavedResponse.read(path, is_file=call == "file") for path in paths]
                for call, paths in answers.items()
            }
        )
        self._counts = {call: len(paths) for call, paths in answers.items()}
        parts = scope_parts(settings.api)
        self._scope = scope or (settings.configured_scopes or ("/".join(parts) or "scope",))[0]
        self._build_id = build_id
        self._input = dict(values) if values is not None else _input_of(settings)
        self._api = self._connect(settings.endpoint.rstrip("/"), self._authorize(settings))
        callbacks = ProviderCallbacks(on_unexpected_value=self._note)
        self._provider = HttpJson(settings, self._api, callbacks)
        # What reads once more, for the explanation, what the client has read already: it reports nothing again.
        self._reader = Reader(lambda *_: None, self._api.hidden)
        self._caller = Caller(settings.api, self._api, self._reader, dict(settings.values))

    def run(self) -> list[Step]:
        """Make every call that there is a response to, in the order of a build's life, and return what happened."""
        if self._responses.has("check"):
            self._step("check", lambda: [Row("result", self._provider.check())])
        if self._responses.has("limits"):
            self._step("limits", lambda: [Row("limits", str(self._provider.account_limits()))])
        if self._responses.has("scopes"):
            self._step("scopes", lambda: [Row("scopes", ", ".join(self._provider.scopes()))])
        if self._responses.has("start") or self._responses.has("preflight"):
            self._step("start", self._start)
        if self._responses.has("list"):
            self._step("list", self._list)
        build: Build | None = None
        for _ in range(self._counts.get("status", 0)):
            build = self._poll() or build
        if build is not None and build.has_artifact and self._definition.link is not None:
            self._step("link", lambda: self._link(build))
        if self._responses.has("cancel"):
            self._step("cancel", self._cancel)
        return self.steps

    def _authorize(self, settings: HttpJsonSettings) -> Authorize:
        fields = {name: f"<secret.{name}>" for name in secret_fields(settings)}
        secret = Secret(settings.secret, "<secret>", fields or None)
        auth = settings.api.auth
        if auth.kind in {"oauth2", "login"} and not self._responses.has("token"):
            return lambda _: Credentials(headers={auth.header.name: f"{auth.header.prefix}<token>"})
        return Authorizer(settings, lambda *_: secret, self._connect)

    def _connect(self, endpoint: str, authorize: Authorize) -> ApiClient:
        return ApiClient(
            endpoint,
            authorize,
            source=self._settings.name,
            transport=self._responses,
            before_request=self._responses.announce,
            backoff=Backoff(attempts=1),
        )

    def _note(self, value: UnexpectedValue) -> None:
        self.steps[-1].notes.append(f"{value.kind.value.replace('_', ' ')}: {value.detail}")

    def _step(self, call: str, work: Callable[[], list[Row]]) -> None:
        step = Step(call)
        self.steps.append(step)
        before = len(self._responses.sent)
        try:
            rows = work()
        except MissingResponseError:
            raise
        except CourierError as exc:
            rows = []
            name = type(exc).__name__
            step.refused = (
                f"{name}: {str(exc).removeprefix(f'{self._settings.name}: ')} ({_CONSEQUENCES.get(name, 'an error')})"
            )
        sent = self._responses.sent[before:]
        if sent:
            self._describe(step, sent)
        step.rows += rows

    def _describe(self, step: Step, sent: Sequence[SentRequest]) -> None:
        """Write down the requests, and which rules fitted their responses."""
        last = sent[-1]
        step.request = "; ".join(dict.fromkeys(f"{one.method} {_address(one.url)}" for one in sent))
        step.sent = None if last.body is None else redact(last.body, limit=_BODY_CHARACTERS)
        step.response = ", ".join(f"{one.response.path}: {one.response.status}" for one in sent)
        for one in sent:
            rule = self._caller.fitting_rule(one.call, one.response.status, _document(one.response))  # type: ignore[arg-type]  # names of calls
            if rule is not None:
                position = self._definition.rules.index(rule)
                step.rows.append(Row(f"rule for {one.call}", rule.means, f"rules[{position}]"))

    def _start(self) -> list[Row]:
        request = BuildRequest(source=self._settings.name, scope=self._scope, input=self._input)
        build = self._provider.start_build(request, once="try")
        self._build_id = self._build_id or build.ref.build_id
        start = self._definition.start
        reading = (start.id if start is not None else None) or self._definition.build.id
        return [Row("id", build.ref.build_id, _shown_reading(reading)), Row("status", build.status.value)]

    def _list(self) -> list[Row]:
        builds = self._provider.list_builds(self._scope)
        if builds and self._build_id is None and not self._responses.has("status"):
            self._build_id = builds[0].ref.build_id
        rows = [Row(build.ref.build_id, _outcome(build)) for build in builds[:_SHOWN_BUILDS]]
        return [Row("builds", str(len(builds)), self._definition.list.each if self._definition.list else ""), *rows]

    def _poll(self) -> Build | None:
        found: list[Build] = []

        def poll() -> list[Row]:
            build = self._provider.get_build(self._ref(self._next_id()))
            found.append(build)
            return []

        self._step("status", poll)
        sent = self._responses.sent[-1]
        if sent.call == "status":
            self.steps[-1].rows += self._status_rows(sent.response, found[0] if found else None)
        return found[0] if found else None

    def _next_id(self) -> str:
        """Return the id to poll: the one that is known, or the one that the next response names."""
        if self._build_id is not None:
            return self._build_id
        named = self._read("build.id", self._definition.build.id, self._responses.upcoming("status"))
        text = scalar_text(named)
        return text.strip() if text and text.strip() else "ID"

    def _ref(self, build_id: str) -> BuildRef:
        return BuildRef(source=self._settings.name, scope=self._scope, build_id=build_id)

    def _status_rows(self, response: SavedResponse, build: Build | None) -> Iterator[Row]:
        fields = self._definition.build
        raw = self._read("build.status", fields.status, response)
        word = scalar_text(raw)
        if build is not None:
            named = self._read("build.id", fields.id, response)
            yield Row("id", build.ref.build_id, "not in this response" if named is None else _shown_reading(fields.id))
        if fields.status is not None:
            yield Row("word", "nothing" if word is None else redact(word, limit=40), _shown_reading(fields.status))
        if build is None:
            return
        yield Row("status", _outcome(build), self._decided_by(response, word))
        for name in ("created", "started", "completed"):
            if (reading := getattr(fields, name)) is not None:
                yield Row(name, _shown_time(getattr(build, f"{name}_at")), _shown_reading(reading))
        if fields.error is not None:
            yield Row("error", build.error_message or "nothing", _shown_reading(fields.error))
        for name, reading in fields.keep.items():
            kept = self._read(name, reading, response)
            yield Row(f"keep.{name}", _shown_value(kept), _shown_reading(reading))
        if build.retry_after_seconds is not None:
            yield Row("wait", f"{build.retry_after_seconds:g} s at least", "Retry-After")

    def _decided_by(self, response: SavedResponse, word: str | None) -> str:
        if self._caller.fitting_rule("status", response.status, _document(response)) is not None:
            return "the rule"
        if str(response.status) in self._definition.status.codes:
            return f"status.codes.{response.status}"
        state = dict(self._definition.words.states()).get(fold(word or ""))
        return f"words.{state}" if state else "in no list of words: it waits, and is reported"

    def _link(self, build: Build) -> list[Row]:
        link = self._provider.locate_artifact(build.ref)
        return list(self._link_rows(link))

    def _link_rows(self, link: ArtifactLink) -> Iterator[Row]:
        definition = self._definition.link
        by = "link.file" if definition is not None and definition.file is not None else "link.url"
        # A path below the endpoint is written in the definition; an address out of a response is a secret.
        yield Row("file", str(link.url) if by == "link.url" else _address(link.url.reveal()), by)
        yield Row("name", link.filename, "link.name")
        sent = ", ".join(link.credentials) if link.credentials else ""
        yield Row("credentials", f"sent in {sent}" if sent else "not sent", "link.auth")
        if link.headers:
            yield Row("headers", ", ".join(link.headers), "link.headers")
        if link.size_bytes is not None or (definition is not None and definition.bytes is not None):
            yield Row("bytes", "nothing" if link.size_bytes is None else f"{link.size_bytes:,}", "link.bytes")
        if link.sha256 is not None:
            yield Row("sha256", link.sha256, "link.sha256")
        if link.expires_at is not None or (definition is not None and definition.expires is not None):
            yield Row("expires", _shown_time(link.expires_at), "link.expires")
        yield self._host_row("host", link.url)
        if self._responses.has("file"):
            yield from self._file_rows(link)

    def _host_row(self, name: str, url: SecretUrl) -> Row:
        allowed = LinkRules.of_source(self._settings, also=self._provider.download_origins)
        try:
            allowed.check(url.reveal())
        except ArtifactRefusedError as exc:
            return Row(name, f"refused: {exc}", "artifact.hosts")
        return Row(name, "allowed", "artifact.hosts")

    def _file_rows(self, link: ArtifactLink) -> Iterator[Row]:
        """Yield what the copy would make of the response to the download."""
        saved = self._responses.upcoming("file")
        headers = CaseInsensitiveDict(saved.headers)
        yield Row("download", f"{saved.path}: {saved.status}")
        if saved.status in REDIRECTS and "Location" in headers:
            target = SecretUrl(urljoin(link.url.reveal(), str(headers["Location"]).strip()))
            yield Row("redirect", str(target), "Location")
            yield self._host_row("its host", target)
            if link.credentials and origin_of(target.reveal()) != origin_of(link.url.reveal()):
                yield Row("credentials", "not sent there")
        elif saved.status // 100 == 2:  # noqa: PLR2004 - a success
            try:
                media = check_content_type(
                    headers.get("Content-Type"),
                    saved.body[:LEADING_BYTES] or None,
                    self._settings.artifact.content_types,
                )
            except ArtifactRefusedError as exc:
                media = f"refused: {exc}"
            yield Row("content", media, "artifact.content_types")

    def _cancel(self) -> list[Row]:
        self._provider.cancel_build(self._ref(self._build_id or "ID"))
        return [Row("result", "canceled")]

    def _read(self, place: str, reading: Reading | None, response: SavedResponse) -> JsonValue:
        body = _document(response)
        if self._definition.status.at is not None:
            body = self._reader.search(self._definition.status.at, body, "status.at")
        return self._reader.value(reading, body, place, headers=CaseInsensitiveDict(response.headers))


def _input_of(settings: HttpJsonSettings) -> dict[str, JsonValue]:
    """Return the input of the source's first request, or the names of the fields that the definition uses."""
    if settings.requests:
        return dict(settings.requests[0].input)
    values: dict[str, Any] = {}
    for place, text, _ in templates(settings.api):
        for found in placeholders(text) if place.startswith(("start", "preflight")) else ():
            if found.name == "input" and found.field is not None and not found.is_optional:
                *parents, name = found.field.split(".")
                holder = values
                for parent in parents:
                    holder = holder.setdefault(parent, {})
                holder[name] = f"<{found}>"
    return values


def _document(response: SavedResponse) -> JsonValue:
    headers = {name.lower(): value for name, value in response.headers}
    try:
        return decode_json(response.body, content_type=headers.get("content-type", ""))
    except ValueError:
        return None


def _address(url: str) -> str:
    """Return host, path and the names of the query's parameters with their values, which are ours."""
    return redact(url.partition("://")[2].replace("%3C", "<").replace("%3E", ">"), limit=_BODY_CHARACTERS)


def _outcome(build: Build) -> str:
    ended = f", ends as {build.ended_as.value}" if build.ended_as is not None else ""
    unknown = f" ({build.provider_status})" if build.provider_status is not None else ""
    file = ", with a file" if build.has_artifact else ""
    return f"{build.status.value}{unknown}{ended}{file}"


def _shown_reading(reading: Reading | None) -> str:
    if reading is None:
        return ""
    source = f"header {reading.header}" if reading.header is not None else (reading.read or "the scope")
    return f"{source}, {reading.match}" if reading.match is not None else source


def _shown_time(at: datetime | None) -> str:
    return "nothing" if at is None else stamp(at)


def _shown_value(value: JsonValue) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if value is None:
        return "nothing"
    return str(SecretUrl(text)) if "://" in text else redact(text, limit=_SHOWN_CHARACTERS)
