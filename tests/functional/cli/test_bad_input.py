"""Each user error is one line on standard error that names its place, without values, and exit code 2."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.command import CommandResult, courier

KEY = "1234/0123456789abcdef0123456789abcdef01234567"
MODELS: dict[str, Any] = {
    "name": "models",
    "provider": "treasure_insights",
    "endpoint": "https://api.example.com",
    "secret": "build-courier/td",
}
REPORTS: dict[str, Any] = {
    "name": "reports",
    "provider": "dreadnode_airt",
    "endpoint": "https://app.example.com",
    "secret": "build-courier/dn",
    "organization": "acme",
    "workspace": "main",
    "project": "chatbot",
}
SECRETS = {"build-courier/td": KEY, "build-courier/dn": "dn_key_of_this_test"}


def run(folder: Path, *options: object, sources: object = None, secrets: object = None) -> CommandResult:
    """Run with these files; a string is written as it is, anything else as YAML."""
    for name, content in (
        ("sources.yaml", sources or {"sources": [MODELS, REPORTS]}),
        ("keys.yaml", secrets or SECRETS),
    ):
        text = content if isinstance(content, str) else yaml.safe_dump(content)
        (folder / name).write_text(text, encoding="utf-8")
    files = ("--sources", folder / "sources.yaml", "--secrets", folder / "keys.yaml", "--out", folder / "out")
    return courier("run", *files, "--until-idle", *options)


def error_line_of(result: CommandResult) -> str:
    assert result.exit_code == 2
    assert result.out == ""
    assert result.error_line.startswith("courier")
    assert KEY.partition("/")[2] not in result.err
    assert SECRETS["build-courier/dn"] not in result.err
    return result.error_line


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"provider": "jenkins"},
            "sources[0].provider: 'jenkins' is unknown; use one of dreadnode_airt, http_json, treasure_insights",
        ),
        (
            {"provider": None},
            "sources[0].provider: field required, one of dreadnode_airt, http_json, treasure_insights",
        ),
        ({"secret": None}, "sources[0].secret: field required"),
        ({"secret": KEY}, "sources[0].secret: must be the name of a secret that begins with build-courier/, not the"),
        ({"polling": {"first_seconds": 0}}, "sources[0].polling.first_seconds: "),
        ({"polling": {"first_second": 9}}, "sources[0].polling.first_second: is unknown; did you mean first_seconds?"),
        ({"name": "Not A Slug"}, "sources[0].name: "),
        ({"endpoint": "http://api.example.com"}, "sources[0]: endpoint must be https"),
        ({"endpoint": "http://api.example.com", "insecure": True}, "sources[0]: endpoint must be https"),
        ({"endpoint": "http://127.0.0.1:80"}, "sources[0]: endpoint must be https"),
        ({"endpoint": "https://me:secret@api.example.com"}, "sources[0]: endpoint must look like https://host"),
        ({"artifact": {"hosts": ["a b"]}}, "sources[0].artifact.hosts[0]: 'a b' does not look like"),
        ({"ca_bundle": "absent.pem"}, "absent.pem: cannot be read: No such file or directory"),
    ],
)
def test_an_invalid_source(tmp_path: Path, change: dict[str, Any], expected: str) -> None:
    source = {name: value for name, value in {**MODELS, **change}.items() if value is not None}
    assert expected in error_line_of(run(tmp_path, sources={"sources": [source]}))


def test_two_sources_with_one_name(tmp_path: Path) -> None:
    # Without a key the first one ends the run as well, before anything starts.
    result = run(tmp_path, sources={"sources": [{**MODELS, "secret": "build-courier/other"}] * 2})
    assert result.exit_code == 2
    assert (
        "sources[1].name: models is already used by a source above; choose another name" in result.err.splitlines()[0]
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sources:\n  - name: a\n   provider: b\n", "sources.yaml:3:4: invalid YAML: "),
        ("sources: &a [*b]", "sources.yaml:1:14: invalid YAML: found undefined alias"),
        ("sources: []\nsources: []", "sources.yaml:2:1: invalid YAML: duplicate key sources"),
        ("- name: a", "the document must have a list named sources"),
        ("sources: {}", "the document must have a list named sources"),
        ("sources: []", "sources is empty"),
        ("sources: [7]", "sources[0]: must be a map of settings"),
        ("source: []\nsources: [{}]", "unknown: source; only sources is read"),
        ("[" * 1_500, "sources.yaml:1:1501: invalid YAML"),
        ("\u0000", "sources.yaml: invalid YAML"),
    ],
)
def test_a_document_without_a_valid_list_of_sources(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in error_line_of(run(tmp_path, sources=text))


@pytest.mark.parametrize("option", ["--sources", "--secrets", "--request"])
@pytest.mark.parametrize("kind", ["absent", "directory", "binary"])
def test_an_unreadable_file(tmp_path: Path, option: str, kind: str) -> None:
    path = tmp_path / "file"
    if kind == "directory":
        path.mkdir()
    elif kind == "binary":
        path.write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe")
    expected = {"absent": "No such file", "directory": "Is a directory", "binary": "is not UTF-8 text"}
    assert f"{path}: " in (error_line := error_line_of(run(tmp_path, option, path)))
    assert expected[kind] in error_line


def test_a_file_without_read_permission() -> None:
    # Root may read everything, so the command runs as nobody, for whom pytest's own folders are closed.
    unprivileged = 65534
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o777)
        (folder / "locked").write_text("{}", encoding="utf-8")
        (folder / "locked").chmod(0)
        is_root = os.geteuid() == 0
        if is_root:
            os.seteuid(unprivileged)
        try:
            result = run(folder, "--request", folder / "locked")
        finally:
            if is_root:
                os.seteuid(0)
    assert "locked: cannot be read: Permission denied" in error_line_of(result)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({}, "/keys.yaml"),
        ({}, "source models: secret build-courier/td is missing from "),
        ({"td": KEY}, "; it has a similar name: td"),
        ({"build-courier/tdd": KEY}, "; it has a similar name: build-courier/tdd"),
        ({"build-courier/td": ""}, "source models: secret build-courier/td is empty"),
        ({"build-courier/td": None}, "source models: secret build-courier/td is empty"),
        ({"build-courier/td": "TD1 "}, "source models: secret build-courier/td holds only a prefix, no key"),
        (
            {"build-courier/td": 12340123456789},
            "source models: secret build-courier/td must be a string; put it in quotes",
        ),
        ({"build-courier/td": f"{KEY}\n{KEY}"}, "source models: secret build-courier/td holds characters that are not"),
        ({"build-courier/td": [KEY]}, "source models: secret build-courier/td must be a string"),
    ],
)
def test_an_invalid_secret_is_named_but_not_shown(tmp_path: Path, value: dict[str, object], expected: str) -> None:
    error_line = error_line_of(run(tmp_path, sources={"sources": [MODELS]}, secrets=value or {"other": KEY}))
    assert expected in error_line
    assert "12340123456789" not in error_line


@pytest.mark.parametrize(
    "text",
    [f"build-courier/td: *{KEY}", f"a: !{KEY} x", f"{KEY}", f"- {KEY}", f'{{"a": "{KEY}"', f"{KEY}: 1\n{KEY}: 1"],
)
def test_an_invalid_secrets_file_is_not_quoted(tmp_path: Path, text: str) -> None:
    assert "keys.yaml:" in error_line_of(run(tmp_path, secrets=text))


def test_no_secrets_file_at_all(tmp_path: Path) -> None:
    (tmp_path / "sources.yaml").write_text(yaml.safe_dump({"sources": [MODELS]}), encoding="utf-8")
    error_line = error_line_of(courier("run", "--sources", tmp_path / "sources.yaml", "--out", tmp_path / "out"))
    assert error_line == "courier: source models needs the secret build-courier/td: pass --secrets FILE"


@pytest.mark.parametrize(
    ("request_text", "expected"),
    [
        (
            {"source": "reports", "report": {"preset": {}, "template_id": "t"}},
            "give exactly one of preset and template_id",
        ),
        ({"source": "reports", "report": {}}, "give exactly one of preset and template_id, not none"),
        ({"source": "reports", "report": {"presets": {}}}, "report: presets is unknown"),
        ({"source": "reports", "data_model": "oid"}, "data_model: source reports renders reports"),
        ({"source": "models", "report": {"template_id": "t"}}, "report: source models builds data models"),
        ({"source": "models"}, "give exactly one of data_model, report, input and build_id, not none"),
        ({"source": "models", "data_model": "a", "report": {}}, "not data_model and report"),
        ({"source": "nobody", "data_model": "oid"}, "there is no source nobody, only models, reports"),
        ({"data_model": "oid"}, "source: field required"),
        ({"source": "models", "data_model": "oid", "more": 1}, "more: is unknown"),
        ([], "must be an object such as"),
        ("{", "invalid JSON in line 1: Expecting property name"),
        ("[" * 100_000, "invalid JSON: "),
        ("", "invalid JSON in line 1: Expecting value"),
    ],
)
def test_a_request_that_no_source_can_serve(tmp_path: Path, request_text: object, expected: str) -> None:
    path = tmp_path / "request.json"
    path.write_text(request_text if isinstance(request_text, str) else json.dumps(request_text), encoding="utf-8")
    error_line = error_line_of(run(tmp_path, "--request", path))
    assert f"{path}: " in error_line
    assert expected in error_line


@pytest.mark.parametrize(
    ("watch", "expected"),
    [
        ("reports", "must be SOURCE/SCOPE/BUILD_ID"),
        ("reports/job", "must be SOURCE/SCOPE/BUILD_ID"),
        ("reports//job", "must be SOURCE/SCOPE/BUILD_ID"),
        ("Reports/acme/main/chatbot/job", "must be SOURCE/SCOPE/BUILD_ID"),
        ("", "must be SOURCE/SCOPE/BUILD_ID"),
        ("nobody/scope/build", "there is no source nobody, only models, reports"),
        ("reports/acme/main/other/job", "scope: source reports has only acme/main/chatbot"),
    ],
)
def test_an_invalid_watch_option(tmp_path: Path, watch: str, expected: str) -> None:
    error_line = error_line_of(run(tmp_path, "--watch", watch))
    assert error_line.startswith(f"courier: --watch {watch}: ")
    assert expected in error_line


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--tick", "0"], "--tick: must be seconds from 0.05 to 86400, not 0"),
        (["--tick", "-1"], "--tick: must be seconds from 0.05 to 86400, not -1"),
        (["--tick", "nan"], "--tick: must be seconds from 0.05 to 86400, not nan"),
        (["--tick", "inf"], "--tick: must be seconds from 0.05 to 86400, not inf"),
        (["--tick", "soon"], "--tick"),
        (["--timeout", "0"], "--timeout: must be seconds above 0, not 0"),
        (["--timeout", "-5"], "--timeout: must be seconds above 0, not -5"),
        (["--timeout", "nan"], "--timeout: must be seconds above 0, not nan"),
        (["--timeout"], "--timeout"),
        (["--untill-idle"], "--until-idle"),
        (["surplus"], "surplus"),
    ],
)
def test_an_invalid_option(tmp_path: Path, options: list[str], expected: str) -> None:
    assert expected in error_line_of(run(tmp_path, *options))


@pytest.mark.parametrize(
    "options", [["--request", "r.json"], ["--watch", "a/b/c"], ["--secrets", "s.yaml"], ["--secret-prefix", "eu/"]]
)
def test_options_that_need_sources(options: list[str]) -> None:
    expected = "courier: --secrets, --secret-prefix, --request and --watch need --sources"
    assert error_line_of(courier("run", *options)) == expected


def test_the_secrets_of_a_stack_with_a_prefix_of_its_own(tmp_path: Path) -> None:
    sources = {"sources": [{**MODELS, "secret": "eu/td"}]}
    assert "must be the name of a secret that begins with build-courier/" in run(tmp_path, sources=sources).err
    result = run(tmp_path, "--secret-prefix", "eu/", sources=sources)
    assert "source models: secret eu/td is missing from " in result.err


def test_an_unknown_command() -> None:
    assert "No such command 'walk'" in error_line_of(courier("walk"))


def test_out_is_a_file_or_below_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    for out in (tmp_path / "file", tmp_path / "file" / "out"):
        assert f"--out {out}: cannot be written to: " in error_line_of(run(tmp_path, "--out", out))
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs a folder that even root cannot write to")
def test_out_is_not_writable(tmp_path: Path) -> None:
    assert "--out /proc/self/fd: cannot be written to: " in error_line_of(run(tmp_path, "--out", "/proc/self/fd"))


def test_out_holds_a_bucket_that_no_run_wrote(tmp_path: Path) -> None:
    mine = tmp_path / "project" / "bucket" / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("precious", encoding="utf-8")
    assert "is not from an earlier run; name another folder" in error_line_of(run(tmp_path, "--out", mine.parents[1]))
    assert mine.read_text(encoding="utf-8") == "precious"
