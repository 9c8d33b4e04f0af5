"""The models of a definition, the ``api`` of a source: what a vendor's API speaks, as data.

`checks` says what is wrong with a definition as a whole, `settings` what is wrong with a source that uses it, and
`shipped` loads the definitions that come with the courier.

What a reader of the vendor's documentation should know:

- Each field of ``build`` and ``link`` is an expression, ``{read, match}`` or ``{header, match}``.
- Every call takes ``query``, ``headers``, ``body`` or ``form``, and ``at``, which strips an envelope.
- Rules decide before HTTP statuses (``status.codes``), and these before words. A word that is in no list waits.
- Credentials stand under ``auth`` only. ``token_url`` may be a path on the endpoint's origin, and a source may replace
  ``token_url`` and ``also_for``.
- A definition without ``{scope}`` needs no scopes; its only one is ``main``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    Field,
    JsonValue,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    StringConstraints,
    ValidationInfo,
    model_serializer,
    model_validator,
)

from courier.config.validation import report_problems
from courier.models import StrictModel
from courier.providers.http_json.auth_fields import Auth
from courier.providers.http_json.calls import (
    Call,
    Check,
    Limits,
    Listing,
    Preflight,
    ReadingCall,
    Scopes,
    Start,
    Status,
)
from courier.providers.http_json.fields import (
    CallName,
    Code,
    ErrorName,
    Expression,
    Headers,
    Name,
    Path,
    Read,
    ReadId,
    State,
    Text,
    Texts,
    Word,
)


class BuildFields(StrictModel):
    """Where a response holds what is known of a build.

    ``id``
        The id. Without it, responses are not compared with the id that was requested, and nothing can be listed.
    ``status``
        The vendor's word for the state.
    ``created``, ``started``, ``completed``
        Times: ISO 8601, or seconds or milliseconds since 1970.
    ``error``
        Why a build failed, for its record and notice.
    ``keep``
        Further values of the status response, by name, for placeholders under ``link``.
    """

    id: ReadId | None = None
    status: Read | None = None
    created: Read | None = None
    started: Read | None = None
    completed: Read | None = None
    error: Read | None = None
    keep: dict[Name, Read] = Field({})


class Words(StrictModel):
    """The vendor's words for each state, in any case. A word that is in no list waits, and is reported.

    ``queued``, ``running``
        The build goes on.
    ``succeeded``
        It has ended well, and its file can be fetched.
    ``failed``, ``canceled``
        It has ended otherwise.
    ``empty``
        A good end that leaves nothing to fetch.
    ``gone``
        The build, or its file, is no longer available.
    """

    queued: tuple[Word, ...] = ()
    running: tuple[Word, ...] = ()
    succeeded: tuple[Word, ...] = ()
    failed: tuple[Word, ...] = ()
    canceled: tuple[Word, ...] = ()
    empty: tuple[Word, ...] = ()
    gone: tuple[Word, ...] = ()

    def states(self) -> Iterator[tuple[str, State]]:
        """Yield each word as it is compared, with its state."""
        for state in get_args(State):
            for word in getattr(self, state):
                yield fold(word), state


def fold(word: str) -> str:
    """Return a word as it is compared."""
    return word.strip().lower()


class Rule(StrictModel):
    """A condition over a response that decides before codes and words do; the first rule that fits decides.

    ``of``
        The call; every call by default.
    ``code``
        The HTTP status; any by default.
    ``when``
        Expression over the whole body that must be true, as JMESPath understands it.
    ``means``
        A state, or an error: ``throttled`` (later), ``unauthorized`` (the key), ``refused`` (never), ``unavailable``
        (again soon), ``exhausted`` (out of credits).
    ``words``
        Expression for the vendor's own message.
    """

    of: CallName | None = None
    code: Code | None = None
    when: Expression | None = None
    means: State | ErrorName
    words: Expression | None = None

    @model_validator(mode="after")
    def _has_a_condition(self) -> Self:
        if self.code is None and self.when is None:
            raise ValueError("name code, when, or both: a rule without a condition would always fit")
        return self


class Errors(StrictModel):
    """Where an error response holds the vendor's own message.

    ``words``
        Expression for a text, or for a list of texts.
    """

    words: Expression


class Link(StrictModel):
    """Where the file of a build is; a definition without it describes builds that leave none.

    ``url``
        Its address, in the status response, or in the response to ``get`` or ``post``, a call of its own.
    ``file``
        Its path below the endpoint, in place of ``url``; it is requested with our credentials, and may redirect.
    ``get``, ``post``
        Path of a call of its own, whose response holds ``url``.
    ``query``, ``body``, ``at``
        Of that call, as of every call; ``query`` also of ``file``.
    ``each``
        Expression for the list of files, where there may be several.
    ``pick``
        Expression over that list for the one to fetch. Exactly one must be left.
    ``auth``
        Whether the file is requested with our credentials: true, false, or an expression. They go to the endpoint's
        origin and to ``auth.also_for``, nowhere else.
    ``headers``
        Fixed headers that the vendor prescribes for the download.
    ``headers_from``
        Expression for an object with such headers.
    ``bytes``, ``sha256``
        Its length and its SHA-256, which the copy is checked against. Like ``url``, they are read from the entry of
        ``each`` first, then from the whole response.
    ``expires``
        When the link expires.
    ``gzip``
        Whether the stored bytes are compressed, so that ``.gz`` is added to the name; ``Content-Encoding`` is none of
        its business.
    ``none_when``
        Expression that is true where a finished build left no file.
    ``none_means``
        What that means, ``empty`` by default. Without ``none_when``, a finished build that has no ``url``, or no entry
        of ``each``, left none. With neither, such a build ends as undeliverable.
    ``name``
        Name to store the file under, before it is made safe; ``{n}`` counts the entries of ``each``.
    """

    url: Read | None = None
    file: Path | None = None
    get: Path | None = None
    post: Path | None = None
    query: Texts = Field({})
    headers: Headers = Field({})
    headers_from: Expression | None = None
    body: JsonValue = None
    at: Expression | None = None
    each: Expression | None = None
    pick: Expression | None = None
    auth: bool | Expression | None = None
    bytes: Read | None = None
    sha256: Read | None = None
    expires: Read | None = None
    gzip: Read | None = None
    none_when: Expression | None = None
    none_means: Literal["empty", "gone"] | None = None
    name: Text

    @property
    def call(self) -> ReadingCall | None:
        """The call of its own that returns the address; None where there is none."""
        if self.get is None and self.post is None:
            return None
        return ReadingCall(get=self.get, post=self.post, query=self.query, body=self.body, at=self.at)

    @model_validator(mode="after")
    def _names_one_file(self) -> Self:
        if (self.url is None) == (self.file is None):
            raise ValueError("name exactly one of url and file")
        has_call = self.get is not None or self.post is not None
        if has_call and self.file is not None:
            raise ValueError("file is a path that is known without a call; use url, or leave get and post out")
        if not has_call and (self.body is not None or self.at is not None):
            raise ValueError("body and at belong to get or post")
        if self.query and not has_call and self.file is None:
            raise ValueError("query belongs to file, get or post; an address has its own")
        if has_call and (self.none_when is not None or self.none_means is not None):
            raise ValueError("none_when and none_means are read from the status response, so they exclude get and post")
        if self.pick is not None and self.each is None:
            raise ValueError("pick chooses among the files of each, which is missing")
        if self.file is not None and self.none_means is not None and self.none_when is None:
            raise ValueError("none_when: field required with none_means, because file has no url that could be absent")
        return self


class Advice(StrictModel):
    """What the vendor's documentation suggests; ``{build_gb}`` and ``{query_gb}`` are the account's limits.

    ``failed``
        After a failed build.
    ``query``
        After queries on a finished build fail.
    """

    failed: str | None = None
    query: str | None = None


class Definition(StrictModel):
    """What one API speaks.

    ``auth``
        How requests are authorized.
    ``headers``, ``query``
        On every call to the endpoint.
    ``scope_parts``
        Names for the parts of a scope, such as ``organization/project``.
    ``start``
        Starts a build.
    ``preflight``
        A dry run before that.
    ``status``
        Reads the status of one build.
    ``list``
        Lists the builds of a scope, also those that the courier did not start.
    ``cancel``
        Cancels a build, where the source says ``cancel_on_timeout``.
    ``scopes``
        Finds the scopes, where the source says ``scopes: all``.
    ``check``
        A harmless call that proves the key.
    ``limits``
        Reads the limits of the account.
    ``build``
        Where a response holds what is known of a build.
    ``words``
        What the vendor's words mean.
    ``rules``
        What responses mean by other marks; they decide before HTTP statuses and words do.
    ``errors``
        Where an error response holds the vendor's own message.
    ``link``
        Where the file is; without it, builds leave none.
    ``advice``
        For notices of failed builds.
    """

    auth: Auth
    headers: Headers = Field({})
    query: Texts = Field({})
    scope_parts: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*(/[a-z][a-z0-9_]*)+$")] | None = None
    start: Start | None = None
    preflight: Preflight | None = None
    status: Status
    list: Listing | None = None
    cancel: Call | None = None
    scopes: Scopes | None = None
    check: Check | None = None
    limits: Limits | None = None
    build: BuildFields = BuildFields()
    words: Words = Words()
    rules: tuple[Rule, ...] = ()
    errors: Errors | None = None
    link: Link | None = None
    advice: Advice = Advice()
    # The name of a definition that comes with the courier; a parameter then holds no more than that.
    _name: str | None = PrivateAttr(None)

    def named(self, name: str) -> Self:
        """Return the definition under the name by which sources refer to it."""
        named = self.model_copy()
        named._name = name  # noqa: SLF001 - our own
        return named

    @model_serializer(mode="wrap")
    def _by_name(self, handler: SerializerFunctionWrapHandler) -> Any:  # noqa: ANN401 - a name, or the whole
        return self._name or handler(self)

    @model_validator(mode="after")
    def _can_work(self, info: ValidationInfo) -> Self:
        # Imported here: the checks read the models.
        from courier.providers.http_json.checks import problems  # noqa: PLC0415

        report_problems(list(problems(self)), self, info)
        return self
