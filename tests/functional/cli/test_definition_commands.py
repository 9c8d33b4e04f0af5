"""``courier config check``, ``try`` and ``probe``, as a person types them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from tests.support.command import CommandResult, courier

KEY = "0123456789abcdef0123456789abcdef"
SOURCES = """\
sources:
  - name: survey
    provider: http_json
    endpoint: {endpoint}
    insecure: true
    secret: build-courier/survey
    api:
      auth: {{kind: header, name: X-API-TOKEN, prefix: ""}}
      status: {{get: "/exports/{{id}}"}}
      check: {{get: /whoami, count: length(items)}}
      build: {{id: id, status: state}}
      words: {{succeeded: [done]}}
      link: {{url: url, name: "{{id}}.csv"}}
"""


class Api(BaseHTTPRequestHandler):
    status: ClassVar[int] = 200
    seen: ClassVar[list[tuple[str, str | None]]] = []

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers["X-API-TOKEN"]))
        body = b'{"items": [1, 2], "message": "no"}'
        self.send_response(self.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[str]:
    Api.status = 200
    Api.seen.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def sources(tmp_path: Path, endpoint: str) -> Path:
    path = tmp_path / "sources.yaml"
    path.write_text(SOURCES.format(endpoint=endpoint), encoding="utf-8")
    return path


def probe(sources: Path, secret: object = KEY) -> CommandResult:
    file = sources.parent / "secrets.yaml"
    file.write_text(json.dumps({"build-courier/survey": secret}), encoding="utf-8")
    return courier("config", "probe", sources, "survey", "--secrets", file)


def test_a_probe_makes_one_request_and_says_what_it_read(sources: Path, endpoint: str) -> None:
    result = probe(sources)
    first, second, last = result.out.splitlines()
    assert (result.exit_code, result.err) == (0, "")
    assert first == f"credentials are sent to {endpoint}, and nowhere else"
    assert second.startswith("check: 200, after ")
    assert last == "survey: the API key works and can see 2"
    assert Api.seen == [("/whoami", KEY)]


def test_a_secret_may_be_written_as_fields(sources: Path) -> None:
    assert probe(sources, {"api_key": KEY}).exit_code == 0
    assert Api.seen == [("/whoami", KEY)]


def test_a_probe_that_is_refused(sources: Path) -> None:
    Api.status = 401
    result = probe(sources)
    assert result.exit_code == 1
    assert "check returned 401: no" in result.error_line
    assert KEY not in result.out + result.err


@pytest.mark.parametrize("secret", [7, None, {"a": KEY}, ""])
def test_a_secret_that_cannot_be_used(sources: Path, secret: object) -> None:
    result = probe(sources, secret)
    assert result.exit_code == 2
    assert "secret build-courier/survey" in result.error_line
    assert KEY not in result.err
    assert Api.seen == []


def test_nothing_is_sent_by_check_and_try(sources: Path, tmp_path: Path) -> None:
    (tmp_path / "status").write_text('{"id": "1", "state": "done", "url": "https://a/b"}', encoding="utf-8")
    assert courier("config", "check", sources).exit_code == 0
    assert courier("config", "try", sources, "-a", f"status={tmp_path / 'status'}").exit_code == 0
    assert Api.seen == []


def test_a_wrong_file_as_text_and_as_data(sources: Path) -> None:
    sources.write_text(
        sources.read_text(encoding="utf-8").replace("state:", "sate:").replace("check:", "chekc:"), "utf-8"
    )
    result = courier("config", "check", sources)
    assert result.exit_code == 2
    assert result.out == ""
    assert result.err == f"{sources}:10:7: sources[0].api.chekc: is unknown; did you mean check?\n"
    result = courier("config", "check", sources, "-f", "json")
    assert result.exit_code == 2
    assert json.loads(result.out) == [
        {
            "level": "error",
            "line": 10,
            "column": 7,
            "path": "sources[0].api.chekc",
            "message": "is unknown; did you mean check?",
        }
    ]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["other", "-a", "status=x"], "SOURCE: name one of survey"),
        (["survey"], "--answer: name at least one saved response"),
        (["survey", "-a", "x"], "--answer x: must be CALL=FILE, with one of token, preflight, start"),
        (["survey", "-a", "status=absent"], "absent: cannot be read: No such file or directory"),
        (["survey", "-a", "status=/"], "/: cannot be read: Is a directory"),
    ],
)
def test_a_wrong_option_of_try(sources: Path, arguments: list[str], expected: str) -> None:
    result = courier("config", "try", sources, *arguments)
    assert (result.exit_code, result.out) == (2, "")
    assert expected in result.error_line


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[" * 200, b"a: &a [*a]", b"- 1", b"7", b"auth: 1\nstatus: 1"])
@pytest.mark.parametrize("command", ["check", "try"])
def test_files_that_are_none(tmp_path: Path, command: str, content: bytes) -> None:
    path = tmp_path / "file.yaml"
    path.write_bytes(content)
    result = courier("config", command, path, *(["-a", f"status={path}"] if command == "try" else []))
    assert result.exit_code == 2
    assert str(path) in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"\xff", b"[1, 2", b"7", b'"x"', b"null", b"[" * 2_000, b"HTTP/1.1 500 X\r\n\r\n"]
)
@pytest.mark.parametrize("call", ["status", "check"])
def test_responses_that_are_none(sources: Path, tmp_path: Path, call: str, content: bytes) -> None:
    (tmp_path / "saved").write_bytes(content)
    result = courier("config", "try", sources, "-a", f"{call}={tmp_path / 'saved'}", columns=50)
    assert (result.exit_code, result.err) == (0, "")
    assert f"{call}  GET 127.0.0.1:" in result.out
