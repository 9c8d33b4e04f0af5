"""What a definition makes of an API's responses."""

from __future__ import annotations

import re
from typing import Any

import pytest

from courier.errors import (
    ArtifactRefusedError,
    BuildNotFoundError,
    EmptyReportError,
    RequestUncertainError,
    SettingsError,
    SourceError,
    SourceExhaustedError,
    SourceProtocolError,
    SourceRejectedError,
    SourceThrottledError,
    SourceUnauthorizedError,
    SourceUnavailableError,
)
from courier.models import AccountLimits, BuildRequest, BuildStatus, Outcome
from tests.unit.providers.fake_api import LostAfterSending, Reply
from tests.unit.providers.http_json.described import REF, Described, job

REQUEST = BuildRequest(source="vendor", input={"kind": "orders"})


@pytest.mark.parametrize(
    ("word", "status"),
    [("new", "queued"), ("BUSY", "running"), (" Done ", "succeeded"), ("bad", "failed"), ("odd", "unknown")],
)
def test_words_are_states_without_regard_to_case(word: str, status: str) -> None:
    described = Described(job(word))
    build = described.client.get_build(REF)
    assert build.status == status
    assert build.status.is_terminal == (status in {"succeeded", "failed"})
    assert described.details == (["unknown_status: odd"] if word == "odd" else [])
    assert build.provider_status == ("odd" if word == "odd" else None)


@pytest.mark.parametrize(("value", "word"), [(10, "10"), (True, "true"), (False, "false"), (1.5, "1.5")])
def test_words_that_are_no_texts_are_their_json(value: object, word: str) -> None:
    described = Described(Reply(json={"id": "b1", "state": value}), api={"words": {"succeeded": [word]}})
    assert described.client.get_build(REF).status is BuildStatus.SUCCEEDED


def test_a_response_about_another_build_is_an_error() -> None:
    described = Described(Reply(json={"id": "b2", "state": "done"}))
    with pytest.raises(SourceProtocolError, match="another build"):
        described.client.get_build(REF)


@pytest.mark.parametrize("document", [{}, {"state": None}, {"state": {"a": 1}}, [], None, "text"])
def test_a_response_without_a_status_is_an_error_and_no_end(document: object) -> None:
    with pytest.raises(SourceProtocolError, match="no status"):
        Described(Reply(json=document)).client.get_build(REF)


@pytest.mark.parametrize(
    ("created", "ended"),
    [
        ("2026-04-15T12:00:00Z", "2026-04-15T12:00:00.1234567Z"),
        (1_776_254_400, "1776254400000"),
        (1_776_254_400.5, 1_776_254_400_000),
    ],
)
def test_times_are_read_in_every_form(created: object, ended: object) -> None:
    build = Described(job("done", created=created, ended=ended)).client.get_build(REF)
    assert build.created_at is not None
    assert build.completed_at is not None
    assert build.created_at.date() == build.completed_at.date()


def test_the_status_of_http_is_a_state_where_the_definition_says_so() -> None:
    api = {
        "status": {"get": "/jobs/{id}", "codes": {202: "running", 204: "empty", 422: "failed", 410: "gone"}},
        "errors": {"words": "message"},
    }
    waiting = Described(Reply(202, body=b"", headers={"Retry-After": "120"}), api=api).client.get_build(REF)
    assert (waiting.status, waiting.retry_after_seconds) == (BuildStatus.RUNNING, 120)
    empty = Described(Reply(204, body=b""), api=api).client.get_build(REF)
    assert (empty.status, empty.ended_as, empty.has_artifact) == (BuildStatus.SUCCEEDED, Outcome.EMPTY, False)
    failed = Described(Reply(422, json={"message": "no rows"}), api=api).client.get_build(REF)
    assert (failed.status, failed.error_message) == (BuildStatus.FAILED, "no rows")
    gone = Described(Reply(410, body=b""), api=api).client.get_build(REF)
    assert (gone.status, gone.ended_as) == (BuildStatus.FAILED, Outcome.LOST)
    assert Described(job("done"), api=api).client.get_build(REF).status is BuildStatus.SUCCEEDED


@pytest.mark.parametrize(
    ("means", "error"),
    [
        ("throttled", SourceThrottledError),
        ("unauthorized", SourceUnauthorizedError),
        ("refused", SourceRejectedError),
        ("unavailable", SourceUnavailableError),
        ("exhausted", SourceExhaustedError),
    ],
)
def test_a_rule_turns_a_good_status_into_an_error(means: str, error: type[SourceError]) -> None:
    rules = [{"when": "success == `false`", "means": means, "words": "errors[].message"}]
    reply = Reply(json={"success": False, "errors": [{"message": "slow down"}, {"message": "please"}]})
    with pytest.raises(error, match=r"get_build returned 200: slow down; please") as caught:
        Described(reply, api={"rules": rules}).client.get_build(REF)
    assert type(caught.value) is error


def test_the_first_rule_that_fits_decides_before_codes_and_words() -> None:
    rules = [
        {"of": "list", "when": "state", "means": "failed"},
        {"code": 400, "when": "error == 'NOT_READY'", "means": "running"},
        {"when": "state == 'done' && rows == `0`", "means": "empty"},
    ]
    assert Described(Reply(400, json={"error": "NOT_READY"}), api={"rules": rules}).client.get_build(REF).status == (
        "running"
    )
    assert Described(job("done", rows=0), api={"rules": rules}).client.get_build(REF).ended_as is Outcome.EMPTY
    assert Described(job("done", rows=2), api={"rules": rules}).client.get_build(REF).ended_as is None


def test_a_rule_that_cannot_be_evaluated_does_not_fit_and_is_reported_once() -> None:
    rules = [{"when": "contains(detail, 'x')", "means": "failed"}]
    described = Described(job("busy", detail=None), api={"rules": rules})
    for _ in range(3):
        assert described.client.get_build(REF).status is BuildStatus.RUNNING
    assert described.details == ["unreadable_value: rules[0].when: contains(detail, 'x'): contains() received null"]


def test_a_status_may_be_requested_by_post_and_lie_in_an_envelope() -> None:
    api = {"status": {"post": "/poll", "body": {"job": "{id}"}, "at": "data"}}
    described = Described(Reply(json={"data": {"id": "b1", "state": "done", "url": "https://x/y"}}), api=api)
    assert described.client.get_build(REF).has_artifact
    assert (described.fake.sent[0].method, described.fake.sent[0].body) == ("POST", {"job": "b1"})
    described.fake.transport.steps = [Reply(503), job("x")]
    with pytest.raises(SourceProtocolError):
        described.client.get_build(REF)
    assert len(described.fake.sent) == 3, "a POST that only reads is repeated"


def test_a_start_sends_what_the_request_says_and_leaves_out_what_it_does_not() -> None:
    described = Described(Reply(201, json={"id": 17, "state": "new"}))
    build = described.client.start_build(REQUEST)
    assert (build.ref.build_id, build.status) == ("17", BuildStatus.QUEUED)
    assert described.fake.sent[0].body == {"kind": "orders"}
    described.client.start_build(BuildRequest(source="vendor", input={"kind": ["a"], "to": 7}))
    assert described.fake.sent[1].body == {"kind": ["a"], "to": 7}


@pytest.mark.parametrize(
    ("start", "reply", "build_id"),
    [
        (
            {"id": {"header": "Location", "match": "jobs/([^/?]+)"}},
            Reply(202, body=b"", headers={"Location": "/jobs/a-1?v=2"}),
            "a-1",
        ),
        (
            {"id": {"header": "Location", "match": "jobs/([^/?]+)"}},
            Reply(202, body=b"Accepted", headers={"Location": "https://o/jobs/a-1"}),
            "a-1",
        ),
        ({"id": {"read": "uri", "match": "Operation/([0-9]+)"}}, Reply(json={"uri": "gid://x/Operation/7"}), "7"),
        ({"id": {"scope": True}}, Reply(202, body=b""), "started-2026-04-15T12-00-00Z"),
        ({"at": "result[0]"}, Reply(json={"result": [{"id": "z"}]}), "z"),
    ],
)
def test_the_id_is_found_where_the_definition_says(start: dict[str, Any], reply: Reply, build_id: str) -> None:
    described = Described(reply, api={"start": {"post": "/jobs", **start}})
    assert described.client.start_build(BuildRequest(source="vendor", input={})).ref.build_id == build_id


@pytest.mark.parametrize("bad", [None, "", "a/b", "..", ".", {"a": 1}, "x" * 201, "a\nb"])
def test_a_start_without_a_usable_id_is_uncertain(bad: object) -> None:
    with pytest.raises(RequestUncertainError, match="names no usable id"):
        Described(Reply(json={"id": bad})).client.start_build(REQUEST)


def test_a_form_has_its_values_as_texts() -> None:
    start = {"post": "/jobs", "form": {"type": "{input.type}", "a[from]": "{input.from}", "to": "{input.to?}"}}
    described = Described(Reply(json={"id": "b1"}), api={"start": start})
    described.client.start_build(BuildRequest(source="vendor", input={"type": "a b", "from": 17}))
    assert described.fake.sent[0].body == "type=a+b&a%5Bfrom%5D=17"
    assert described.fake.sent[0].headers["Content-Type"] == "application/x-www-form-urlencoded"


def test_a_second_step_names_the_id_and_its_failure_leaves_a_build() -> None:
    api = {"start": {"post": "/jobs", "then": {"post": "/jobs/{id}/enqueue"}}}
    described = Described(Reply(json={"id": "b1"}), Reply(400, json={"error": "no"}), api=api)
    assert described.client.start_build(BuildRequest(source="vendor", input={})).ref == REF
    assert [sent.path for sent in described.fake.sent] == ["/jobs", "/jobs/b1/enqueue"]


def test_an_idempotency_key_makes_a_lost_start_harmless() -> None:
    api = {"start": {"post": "/jobs", "once": {"header": "Idempotency-Key"}}}
    lost = LostAfterSending(ConnectionResetError())
    described = Described(lost, Reply(json={"id": "b1"}), api=api)
    request = BuildRequest(source="vendor", input={})
    assert described.client.repeats_starts
    assert described.client.start_build(request, once="r1").ref == REF
    keys = {sent.headers["Idempotency-Key"] for sent in described.fake.sent}
    assert len(described.fake.sent) == 2
    assert len(keys) == 1
    described.fake.transport.steps = [lost]
    with pytest.raises(SourceUnavailableError):
        described.client.start_build(request, once="r1")
    assert {sent.headers["Idempotency-Key"] for sent in described.fake.sent} == keys
    without = Described(lost)
    with pytest.raises(RequestUncertainError):
        without.client.start_build(REQUEST, once="r1")
    assert len(without.fake.sent) == 1


def test_a_dry_run_finds_what_would_be_empty() -> None:
    preflight = {"post": "/check", "body": "{input}", "empty": "sections[].title", "optional": True}
    described = Described(Reply(json={"sections": [{"title": "a"}, {"title": "b"}]}), api={"preflight": preflight})
    with pytest.raises(EmptyReportError, match="would be empty in a, b") as caught:
        described.client.start_build(REQUEST)
    assert caught.value.sections == ("a", "b")
    older = Described(Reply(400, json={"error": "what?"}), Reply(json={"id": "b1"}), api={"preflight": preflight})
    assert older.client.start_build(REQUEST).ref == REF
    rule = [{"of": "start", "code": 422, "when": "error == 'empty'", "means": "empty", "words": "error"}]
    with pytest.raises(EmptyReportError, match=r": empty$"):
        Described(Reply(422, json={"error": "empty"}), api={"rules": rule}).client.start_build(REQUEST)


def test_requests_that_do_not_fit_send_nothing() -> None:
    described = Described(Reply(), scopes=["a", "b"])
    for request, words in (
        (BuildRequest(source="vendor", data_model="m"), "data_model: .* use input"),
        (BuildRequest(source="vendor", report={}), "report: .* use input"),
        (BuildRequest(source="vendor", input={"kind": "x"}), "scope: source vendor has several"),
        (BuildRequest(source="vendor", input={"kind": "x"}, scope="c"), "scope: source vendor has only a, b"),
        (BuildRequest(source="vendor", input={}, scope="a"), "input.kind: field required"),
        (BuildRequest(source="vendor", input={"kind": "x", "knd": "y"}, scope="a"), "input.knd: is unknown"),
    ):
        with pytest.raises(SettingsError, match=words):
            described.client.start_build(request)
    assert described.fake.sent == []
    no_start = Described(Reply(), api={"start": None})
    with pytest.raises(SettingsError, match="has no start"):
        no_start.client.request_scope(REQUEST)


def test_a_finished_build_without_a_file_is_empty_and_not_delivered() -> None:
    link = {"url": "url", "none_means": "empty", "name": "{id}"}
    build = Described(job("done", url=None), api={"link": link}).client.get_build(REF)
    assert (build.status, build.has_artifact, build.ended_as) == (BuildStatus.SUCCEEDED, False, Outcome.EMPTY)
    assert Described(job("done", url="https://x/y"), api={"link": link}).client.get_build(REF).ended_as is None
    counted = {"file": "/f/{id}", "none_when": "rows == `0`", "none_means": "gone", "name": "{id}"}
    build = Described(job("done", rows=0), api={"link": counted}).client.get_build(REF)
    assert (build.ended_as, build.has_artifact) == (Outcome.LOST, False)


def test_a_link_proves_a_file_whatever_the_word_for_success_is() -> None:
    build = Described(job("brand new word", url="https://x/y")).client.get_build(REF)
    assert (build.status, build.has_artifact) == (BuildStatus.UNKNOWN, True)


def test_lists_are_read_entry_by_entry() -> None:
    api = {"list": {"get": "/jobs", "query": {"limit": "2"}, "each": "data"}}
    entries = [{"id": 1, "state": "new"}, {"id": "a/b", "state": "new"}, "x", {"id": 3}, {"id": "4", "state": "odd"}]
    described = Described(Reply(json={"data": entries}), api=api)
    builds = described.client.list_builds("main")
    assert [(build.ref.build_id, build.status) for build in builds] == [("1", "queued"), ("4", "unknown")]
    assert described.details == [
        "malformed_entry: a build without a usable id and status",
        "unknown_status: odd",
    ]
    with pytest.raises(SourceProtocolError, match="no list at data"):
        Described(Reply(json={"error": "x"}), api=api).client.list_builds("main")


def test_a_build_that_seems_empty_in_a_list_is_left_to_its_own_response() -> None:
    api = {
        "list": {"get": "/jobs", "each": "@"},
        "link": {"url": "url", "none_means": "empty", "name": "{id}"},
        "words": {"succeeded": ["done"], "empty": ["nothing"]},
    }
    entries = [
        {"id": "1", "state": "done"},
        {"id": "2", "state": "done", "url": "https://x"},
        {"id": "3", "state": "nothing"},
    ]
    builds = Described(Reply(json=entries), api=api).client.list_builds("main")
    assert [build.ref.build_id for build in builds] == ["2", "3"]


@pytest.mark.parametrize(
    ("following", "pages", "paths"),
    [
        (
            {"query": "after", "value": "data[-1].id", "more": "more"},
            [
                Reply(json={"data": [{"id": "1", "state": "new"}], "more": True}),
                Reply(json={"data": [], "more": False}),
            ],
            ["/jobs?v=1&limit=2", "/jobs?v=1&limit=2&after=1"],
        ),
        (
            {"query": "token", "value": "next", "alone": True},
            [Reply(json={"data": [{"id": "1", "state": "new"}], "next": "a b/+"}), Reply(json={"data": []})],
            ["/jobs?v=1&limit=2", "/jobs?v=1&token=a%20b%2F%2B"],
        ),
        (
            {"link": "next"},
            [
                Reply(
                    json={"data": [{"id": "1", "state": "new"}]},
                    headers={"Link": '<https://api.example.com/jobs?page=2>; rel="next"'},
                ),
                Reply(json={"data": []}),
            ],
            ["/jobs?v=1&limit=2", "/jobs?page=2"],
        ),
        (
            {"url": '"@odata.nextLink"'},
            [
                Reply(json={"data": [{"id": "1", "state": "new"}], "@odata.nextLink": "/jobs?$skip=1"}),
                Reply(json={"data": []}),
            ],
            ["/jobs?v=1&limit=2", "/jobs?$skip=1"],
        ),
    ],
)
def test_pages_are_followed(following: dict[str, Any], pages: list[Reply], paths: list[str]) -> None:
    listing = {"get": "/jobs", "query": {"limit": "2"}, "each": "data", "next": following}
    described = Described(*pages, api={"list": listing, "query": {"v": "1"}})
    assert len(described.client.list_builds("main")) == 1
    assert [sent.path for sent in described.fake.sent] == paths
    assert described.details == []


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/jobs?page=2",
        "/admin?page=2",
        "https://api.example.com.evil.example/jobs?p=2",
        "//evil.example/jobs?x=1",
        "/jobs",
    ],
)
def test_a_next_page_elsewhere_is_not_followed_but_reported(address: str) -> None:
    listing = {"get": "/jobs", "each": "data", "next": {"url": "next"}}
    described = Described(Reply(json={"data": [], "next": address}), api={"list": listing})
    assert described.client.list_builds("main") == []
    assert len(described.fake.sent) == 1
    assert described.details == ["unread_page: list_builds: a next page whose link is not followed"]


def test_a_cursor_that_does_not_advance_ends_the_list() -> None:
    listing = {"get": "/jobs", "each": "data", "next": {"query": "after", "value": "next"}}
    described = Described(Reply(json={"data": [], "next": "same"}), api={"list": listing})
    described.client.list_builds("main")
    assert len(described.fake.sent) == 2
    assert described.details == ["unread_page: list_builds: a next page whose link is not followed"]


def test_scopes_are_found_by_a_call() -> None:
    api = {
        "scopes": {"get": "/projects", "each": "[].name"},
        "status": {"get": "/{a}/{b}/jobs/{id}"},
        "scope_parts": "a/b",
    }
    described = Described(Reply(json=[{"name": "x/y"}, {"name": "z"}, {"name": None}]), api=api, scopes="all")
    assert described.client.scopes() == ["x/y"]
    assert described.details == ["malformed_entry: a scope without a usable name"]
    assert Described(Reply(), api=api, scopes=["x/y"]).client.scopes() == ("x/y",)
    ref = REF.model_copy(update={"scope": "x y/ö"})
    fake = Described(job("new"), api=api, scopes="all")
    fake.client.get_build(ref)
    assert fake.fake.sent[0].path == "/x%20y/%C3%B6/jobs/b1"


def test_cancel_limits_advice_and_check() -> None:
    api = {
        "cancel": {"post": "/jobs/{id}/cancel"},
        "limits": {"get": "/account", "build_gb": "size", "query_gb": "other"},
        "check": {"get": "/me", "count": "length(jobs)"},
        "advice": {"failed": "Stay below {build_gb} GB; queries have {query_gb}."},
    }
    described = Described(Reply(204, body=b""), Reply(json={"size": "2.5"}), Reply(json={"jobs": [1, 2]}), api=api)
    described.client.cancel_build(REF)
    limits = described.client.account_limits()
    assert limits == AccountLimits(build_size_gb=2.5)
    assert described.client.failure_advice(limits) == "Stay below 2.5 GB; queries have ?."
    assert described.client.failure_advice(None) == "Stay below ? GB; queries have ?."
    assert described.client.check() == "vendor: the API key works and can see 2"
    assert [(sent.method, sent.path) for sent in described.fake.sent] == [
        ("POST", "/jobs/b1/cancel"),
        ("GET", "/account"),
        ("GET", "/me"),
    ]


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (Reply(404, json={"error": "x"}), "works; it was asked for a build that cannot exist"),
        (Reply(422, json={"error": "x"}), "refuses the id of a build that cannot exist"),
        (Reply(json={}), "says nothing"),
        (job("done"), "says nothing|works"),
    ],
)
def test_a_check_without_a_call_requests_a_build_that_cannot_exist(reply: Reply, sentence: str) -> None:
    described = Described(reply)
    assert re.search(sentence, described.client.check())
    assert described.fake.sent[0].path == "/jobs/00000000-0000-0000-0000-000000000000"


def test_a_check_with_a_refused_key_says_so() -> None:
    with pytest.raises(SourceUnauthorizedError):
        Described(Reply(401, json={"error": "no"})).client.check()


def test_a_build_that_is_gone_is_not_found_when_its_file_is_wanted() -> None:
    api = {"words": {"succeeded": ["done"], "gone": ["expired"]}}
    with pytest.raises(BuildNotFoundError, match="gone"):
        Described(job("expired"), api=api).client.locate_artifact(REF)
    with pytest.raises(SourceProtocolError, match="no link"):
        Described(job("busy")).client.locate_artifact(REF)


def test_a_definition_without_a_link_leaves_no_file() -> None:
    described = Described(job("done"), api={"link": None})
    assert not described.client.leaves_reports
    assert not described.client.get_build(REF).has_artifact
    with pytest.raises(SettingsError, match="no artifact"):
        described.client.locate_artifact(REF)


def test_a_definition_without_list_or_cancel_says_so() -> None:
    described = Described(Reply())
    assert (described.client.can_list, described.client.can_cancel) == (False, False)
    with pytest.raises(SettingsError, match="cannot list"):
        described.client.list_builds("main")
    with pytest.raises(SettingsError, match="cancel_on_timeout"):
        described.client.cancel_build(REF)


def test_a_refused_key_in_a_good_response_is_read_again_once() -> None:
    rules = [{"when": "code == `601`", "means": "unauthorized"}]
    described = Described(Reply(json={"code": 601}), job("done"), api={"rules": rules}, keys=("old", "new"))
    assert described.client.get_build(REF).status is BuildStatus.SUCCEEDED
    assert described.fake.fetched == [False, True]
    with pytest.raises(SourceUnauthorizedError):
        Described(Reply(json={"code": 601}), api={"rules": rules}, keys=("old", "new")).client.get_build(REF)


def test_one_of_several_files_must_be_left() -> None:
    link = {"each": "files", "pick": "[?type=='csv']", "url": "url", "bytes": "size", "name": "{id}-{n}"}
    files = [
        {"name": "a.json", "type": "json", "url": "https://x/a", "size": 1},
        {"name": "b.csv", "type": "csv", "url": "https://x/b?sig=hush", "size": 2},
    ]
    found = Described(job("done", files=files), api={"link": link}).client.locate_artifact(REF)
    assert (found.url.reveal(), found.size_bytes, found.filename) == ("https://x/b?sig=hush", 2, "b1-2")
    for left, words in (([], "0 files"), ([files[1], {**files[1], "name": "c.csv"}], r"2 files.*b\.csv, c\.csv")):
        with pytest.raises(ArtifactRefusedError, match=words):
            Described(job("done", files=left), api={"link": link}).client.locate_artifact(REF)
    texts = {"each": "urls", "url": "@", "name": "{id}"}
    urls = ["https://x/a.csv?sig=hush", "https://x/b.csv?sig=hush"]
    described = Described(job("done", urls=urls), api={"link": texts})
    with pytest.raises(ArtifactRefusedError, match="the build has 2 files") as caught:
        described.client.locate_artifact(REF)
    assert "hush" not in str(caught.value)
    assert "a.csv, b.csv" in str(caught.value)
