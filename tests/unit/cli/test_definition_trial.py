"""What a definition reads out of saved responses, with the courier's own client and without a network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from cli.definition_trial import Step, Trial
from cli.saved_responses import MissingResponseError, SavedResponse
from cli.source_files import check_file
from courier.errors import SettingsError
from courier.providers.http_json.settings import HttpJsonSettings
from courier.providers.http_json.shipped import FOLDER

SOURCE = """\
sources:
  - name: survey
    provider: http_json
    endpoint: https://api.example.com/v3
    secret: build-courier/survey
    scopes: [SV_1]
    requests: [{input: {format: csv}}]
    artifact: {hosts: ["*.files.example.com"], content_types: [text/csv]}
    api:
      auth: {kind: header, name: X-API-TOKEN, prefix: ""}
      start: {post: "/surveys/{scope}/exports", body: {format: "{input.format}"}}
      status: {get: "/surveys/{scope}/exports/{id}", codes: {202: running}}
      list: {get: "/surveys/{scope}/exports", each: items, next: {query: after, value: next}}
      build: {id: id, status: state, created: created, keep: {file: file}}
      words: {running: [busy], succeeded: [done], failed: [failed]}
      rules:
        - {code: 429, means: throttled, words: message}
        - {when: "code == `7`", means: refused, words: message}
      link: {url: url, bytes: size, expires: until, name: "{id}.csv"}
"""
LINK = "https://a.files.example.com/exports/1.csv?X-Amz-Signature=0123456789abcdef"
DONE = {"id": "E1", "state": "DONE", "created": "2026-01-02T03:04:05Z", "url": LINK, "size": 12, "until": 1798761600}


def trial(
    folder: Path, answers: Mapping[str, object], *, source: str = SOURCE, build_id: str | None = None
) -> list[Step]:
    """Try the responses; one is a JSON value, or a text that is written as it is."""
    path = folder / "sources.yaml"
    path.write_text(source, encoding="utf-8")
    checked = check_file(path)
    assert checked.problems == ()
    settings = checked.sources[0]
    assert isinstance(settings, HttpJsonSettings)
    files: dict[str, list[Path]] = {}
    for call, answer in answers.items():
        for index, one in enumerate(answer if isinstance(answer, list) else [answer]):
            file = folder / f"{call}-{index}"
            file.write_bytes(one if isinstance(one, bytes) else json.dumps(one).encode())
            files.setdefault(call, []).append(file)
    return Trial(settings, files, build_id=build_id).run()


def rows(step: Step) -> dict[str, tuple[str, str]]:
    return {row.name: (row.value, row.by) for row in step.rows}


def test_a_build_from_its_start_to_its_file(tmp_path: Path) -> None:
    start, running, done, link = trial(
        tmp_path, {"start": {"id": "E1"}, "status": [b"HTTP/1.1 202 Accepted\r\nRetry-After: 90\r\n\r\n", DONE]}
    )
    assert start.request == "POST api.example.com/v3/surveys/SV_1/exports"
    assert start.sent == '{"format": "csv"}'
    assert rows(start)["id"] == ("E1", "id")
    assert running.request == "GET api.example.com/v3/surveys/SV_1/exports/E1"
    assert rows(running)["status"] == ("running", "status.codes.202")
    assert rows(running)["created"] == ("nothing", "created")
    assert rows(running)["wait"] == ("90 s at least", "Retry-After")
    assert rows(done)["word"] == ("DONE", "state")
    assert rows(done)["status"] == ("succeeded, with a file", "words.succeeded")
    assert rows(done)["created"] == ("2026-01-02T03:04:05.000Z", "created")
    assert rows(done)["keep.file"] == ("nothing", "file")
    assert rows(link) == {
        "file": ("https://a.files.example.com/…/1.csv", "link.url"),
        "name": ("E1.csv", "link.name"),
        "credentials": ("not sent", "link.auth"),
        "bytes": ("12", "link.bytes"),
        "expires": ("2027-01-01T00:00:00.000Z", "link.expires"),
        "host": ("allowed", "artifact.hosts"),
    }
    assert all(step.refused is None and step.notes == [] for step in (start, running, done, link))


def test_nothing_that_is_secret_is_shown(tmp_path: Path) -> None:
    failed = {"id": "E1", "state": "failed", "file": LINK, "created": LINK}
    steps = trial(tmp_path, {"status": [failed, {**DONE, "id": "E1"}]})
    assert "0123456789abcdef" not in str(steps)
    assert rows(steps[0])["keep.file"][0] == "https://a.files.example.com/…/1.csv"


@pytest.mark.parametrize(
    ("response", "refused", "row"),
    [
        (
            b'HTTP/2 429\r\ncontent-type: application/json\r\n\r\n{"message": "slow"}',
            "SourceThrottledError: get_build returned 429: slow",
            ("throttled", "rules[0]"),
        ),
        ({"code": 7, "message": "no"}, "SourceRejectedError: get_build returned 200: no", ("refused", "rules[1]")),
        ({"id": "E2", "state": "done"}, "SourceProtocolError: get_build returned another build", None),
        ({"id": "E1"}, "SourceProtocolError: get_build returned no status", None),
        (b"<html>", "SourceProtocolError: get_build returned 200 with a body that is not JSON", None),
    ],
)
def test_what_is_refused_and_by_which_rule(
    tmp_path: Path, response: object, refused: str, row: tuple[str, str] | None
) -> None:
    (step,) = trial(tmp_path, {"status": response}, build_id="E1")
    assert step.refused is not None
    assert step.refused.startswith(refused)
    assert rows(step).get("rule for status") == row


def test_an_unknown_word_waits_and_is_noted(tmp_path: Path) -> None:
    (step,) = trial(tmp_path, {"status": {"id": "E1", "state": "resting"}})
    assert rows(step)["status"] == ("unknown (resting)", "in no list of words: it waits, and is reported")
    assert step.notes == ["unknown status: resting"]


def test_a_host_that_is_not_allowed(tmp_path: Path) -> None:
    steps = trial(tmp_path, {"status": {**DONE, "url": "https://elsewhere.example.org/1.csv?sig=1"}})
    value, by = rows(steps[-1])["host"]
    assert (by, value) == (
        "artifact.hosts",
        "refused: the link points to https://elsewhere.example.org, artifact.hosts allows *.files.example.com",
    )


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (
            b"HTTP/2 302\r\nLocation: https://b.files.example.com/1.csv?sig=0123456789\r\n\r\n",
            {
                "redirect": ("https://b.files.example.com/…/1.csv", "Location"),
                "its host": ("allowed", "artifact.hosts"),
                "credentials": ("not sent there", ""),
            },
        ),
        (
            b"HTTP/2 302\r\nLocation: https://evil.example.org/1.csv\r\n\r\n",
            {
                "its host": (
                    (
                        "refused: the link points to https://evil.example.org, artifact.hosts allows "
                        "*.files.example.com, api.example.com"
                    ),
                    "artifact.hosts",
                )
            },
        ),
        (b"HTTP/2 200\r\nContent-Type: text/csv\r\n\r\n", {"content": ("text/csv", "artifact.content_types")}),
        (
            b"HTTP/2 200\r\nContent-Type: text/html\r\n\r\n<html>",
            {
                "content": (
                    "refused: the store sends 'text/html', artifact.content_types allows text/csv",
                    "artifact.content_types",
                )
            },
        ),
        (b"HTTP/2 404\r\n\r\n", {}),
    ],
)
def test_the_response_to_the_download(tmp_path: Path, head: bytes, expected: Mapping[str, tuple[str, str]]) -> None:
    source = SOURCE.replace("url: url, ", 'file: "/exports/{id}/file", ')
    step = trial(tmp_path, {"status": DONE, "file": head}, source=source)[-1]
    assert rows(step).items() >= expected.items()
    assert "0123456789" not in str(step)


def test_a_saved_download_needs_its_head(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="has no status and headers"):
        trial(tmp_path, {"status": DONE, "file": b"a,b"})


def test_pages_of_a_list(tmp_path: Path) -> None:
    pages = [{"items": [{"id": "A", "state": "busy"}], "next": "x"}, {"items": [{"id": "B", "state": "done"}, {}]}]
    (step,) = trial(tmp_path, {"list": pages})
    assert step.request.endswith("GET api.example.com/v3/surveys/SV_1/exports?after=x")
    assert rows(step)["builds"] == ("2", "items")
    assert rows(step)["B"][0] == "succeeded, with a file"
    assert step.notes == ["malformed entry: a build without a usable id and status"]


def test_a_response_that_is_missing_is_named(tmp_path: Path) -> None:
    source = (FOLDER / "amazon-sp-api-reports@1.yaml").read_text(encoding="utf-8")
    status = {"reportId": "1", "processingStatus": "DONE", "reportDocumentId": "D"}
    with pytest.raises(MissingResponseError, match="add --answer link=FILE"):
        trial(tmp_path, {"status": status}, source=source)


def test_an_access_token_is_read_where_its_response_is_saved(tmp_path: Path) -> None:
    source = (FOLDER / "amazon-sp-api-reports@1.yaml").read_text(encoding="utf-8")
    answers = {"status": {"reportId": "1", "processingStatus": "IN_QUEUE"}}
    (step,) = trial(tmp_path, answers, source=source)
    assert rows(step)["status"][0] == "queued"
    (step,) = trial(tmp_path, {**answers, "token": {"access": "x"}}, source=source)
    assert step.refused is not None
    assert "get_token returned no usable token at access_token" in step.refused


@pytest.mark.parametrize(
    "content",
    [
        b"HTTP/1.1 200 OK\r\nA: 1\r\n\r\nHTTP/1.1 404 No\r\nContent-Type: text/plain\r\n\r\nx",
        b"HTTP/2 404 \nContent-Type: text/plain\nContent-Length: 9\n\nx",
    ],
)
def test_what_curl_prints(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "saved"
    path.write_bytes(content)
    saved = SavedResponse.read(path)
    assert (saved.status, saved.body, list(saved.headers)) == (404, b"x", [("Content-Type", "text/plain")])


def test_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "saved"
    path.write_bytes(b"\x1f\x8bxx")
    with pytest.raises(SettingsError, match="damaged"):
        SavedResponse.read(path)
    with pytest.raises(SettingsError, match="No such file"):
        SavedResponse.read(tmp_path / "absent")
