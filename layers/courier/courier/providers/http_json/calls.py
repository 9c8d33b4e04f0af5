"""The models of the calls: one request each, and how its response is read."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, JsonValue, model_validator

from courier.models import StrictModel
from courier.providers.http_json.fields import Code, Expression, HeaderName, Headers, Path, ReadId, State, Texts

_METHODS = ("get", "post", "put", "patch", "delete")


class Call(StrictModel):
    """One request, and how its response is unwrapped.

    ``get``, ``post``, ``put``, ``patch``, ``delete``
        The path below the endpoint; exactly one of them.
    ``query``, ``headers``
        Besides those of all calls.
    ``body``
        Sent as JSON.
    ``form``
        Sent form-encoded.
    ``at``
        Expression that strips an envelope, such as ``data`` or ``result[0]``. Rules and error texts read the whole.
    """

    allowed_methods: ClassVar[tuple[str, ...]] = _METHODS
    get: Path | None = None
    post: Path | None = None
    put: Path | None = None
    patch: Path | None = None
    delete: Path | None = None
    query: Texts = Field({})
    headers: Headers = Field({})
    body: JsonValue = None
    form: Texts | None = None
    at: Expression | None = None

    @property
    def method(self) -> str:
        """The HTTP method."""
        return next(method for method in _METHODS if getattr(self, method) is not None).upper()

    @property
    def path(self) -> str:
        """The path, with placeholders."""
        return str(getattr(self, self.method.lower()))

    @model_validator(mode="after")
    def _is_one_request(self) -> Self:
        named = [method for method in _METHODS if getattr(self, method) is not None]
        if len(named) != 1 or named[0] not in self.allowed_methods:
            allowed = ", ".join(self.allowed_methods)
            raise ValueError(f"name exactly one of {allowed} with its path, not {' and '.join(named) or 'none'}")
        if self.body is not None and self.form is not None:
            raise ValueError("body and form exclude each other")
        if named == ["get"] and (self.body is not None or self.form is not None):
            raise ValueError("a GET has no body; use query, or post")
        return self


class ReadingCall(Call):
    """A call that changes nothing, so that it may be repeated: GET, or POST where the API wants a body."""

    allowed_methods = ("get", "post")


class Once(StrictModel):
    """Where the vendor takes an idempotency key; the courier puts a key of its own request there.

    ``header``
        Name of a header.
    ``query``
        Name of a query parameter.
    """

    header: HeaderName | None = None
    query: str | None = None

    @model_validator(mode="after")
    def _is_one_place(self) -> Self:
        if (self.header is None) == (self.query is None):
            raise ValueError("name exactly one of header and query")
        return self


class Start(Call):
    """How a build is started.

    ``id``
        Where the response holds the id; ``build.id`` by default.
    ``then``
        A second step, which names the id: a vendor that creates a job, and then enqueues it.
    ``once``
        Makes a repeated start harmless, so that a lost response does not end the request.
    """

    allowed_methods = ("post", "get", "put")
    id: ReadId | None = None
    then: Call | None = None
    once: Once | None = None


class Preflight(ReadingCall):
    """A dry run before each start.

    ``empty``
        Expression for the names of what would be empty; nothing is started if there is one.
    ``optional``
        The vendor may refuse the dry run, as an older version does that has none.
    """

    empty: Expression
    optional: bool = False


class Status(ReadingCall):
    """How the status of one build is read.

    ``codes``
        HTTP statuses that are the state themselves. A status of 400 or more must be named here, or in a rule, to
        count as a state.
    ``longest_gap_seconds``
        The vendor drops a build that is polled less often.
    """

    codes: dict[Code, State] = Field({})
    longest_gap_seconds: Annotated[float, Field(ge=10, le=86_400)] | None = None


class Next(StrictModel):
    """How a list continues; exactly one of three ways.

    ``query``
        A query parameter.
    ``value``
        Of ``query``: expression for its value in the page before.
    ``more``
        Of ``query``: expression that must be true for there to be another page.
    ``alone``
        Of ``query``: the next page takes no other parameter of the list.
    ``link``
        The relation in the ``Link`` header, which is ``next``.
    ``url``
        Expression for the address of the next page. Only its query is used.
    """

    query: str | None = None
    value: Expression | None = None
    more: Expression | None = None
    alone: bool = False
    link: Literal["next"] | None = None
    url: Expression | None = None

    @model_validator(mode="after")
    def _advances(self) -> Self:
        if [self.query, self.link, self.url].count(None) != 2:  # noqa: PLR2004 - one of three
            raise ValueError("name exactly one of query (with value), link and url")
        if (self.query is None) != (self.value is None):
            raise ValueError("query and value belong together: a parameter, and where the page before holds its value")
        if self.query is None and (self.more is not None or self.alone):
            raise ValueError("more and alone belong to query")
        return self


class Listing(ReadingCall):
    """How the builds of a scope are listed, also those that the courier did not start.

    ``each``
        Expression for the list of builds, such as ``data`` or ``@``; each is read as ``build`` says.
    ``next``
        How the list continues; without it, there is one page.
    """

    each: Expression
    next: Next | None = None


class Scopes(ReadingCall):
    """How the scopes are found, where the source says ``scopes: all``.

    ``each``
        Expression for the list of scopes, such as ``data[].id``.
    ``next``
        How the list continues.
    """

    each: Expression
    next: Next | None = None


class Check(ReadingCall):
    """One harmless call, for ``courier config push`` and ``probe``; without it, a build that cannot exist is requested.

    ``count``
        Expression for something to count in the response, for the message.
    """

    count: Expression | None = None


class Limits(ReadingCall):
    """Where the limits of the account stand.

    ``build_gb``, ``query_gb``
        Expressions for them, in GB.
    """

    build_gb: Expression | None = None
    query_gb: Expression | None = None
