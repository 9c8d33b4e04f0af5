"""`courier copy`: the copy by hand."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from cli.copy import copy_command, parse_size
from courier.backoff import Backoff
from courier.links import ArtifactLink
from courier.transfer.options import MIB
from local.simulator import ErrorStatus, LinkExpired, Reply
from tests.functional.transfer.conftest import NewHarness
from tests.functional.transfer.harness import BUCKET, KEY, CopyHarness
from tests.support.command import courier

TARGET = f"s3://{BUCKET}/{KEY}"


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


def run(
    harness: CopyHarness, link: ArtifactLink, *options: str, target: str = TARGET, url: str | None = None
) -> Result:
    app = typer.Typer()
    app.command()(copy_command)
    allowed = f"http://{link.url.reveal().split('/')[2]}"
    given = ["--endpoint-url", harness.s3.meta.endpoint_url, "--allow-host", allowed, *options]
    return CliRunner().invoke(app, [link.url.reveal() if url is None else url, target, *given], input=link.url.reveal())


def test_copies_and_reports_it_in_one_line(new_harness: NewHarness) -> None:
    harness = new_harness(12 * MIB)
    result = run(harness, harness.locate(), "--part-size", "5MiB", "--workers", "2")
    assert result.exit_code == 0
    assert harness.stored() == harness.report
    line = result.stdout.strip()
    assert line.startswith(f"{TARGET}: {12 * MIB} bytes in ")
    assert line.endswith(f"MiB/s, sha256 {hashlib.sha256(harness.report).hexdigest()}")
    assert result.stderr == ""


def test_reads_the_link_from_standard_input(new_harness: NewHarness) -> None:
    harness = new_harness(300_000)
    assert run(harness, harness.locate(), url="-").exit_code == 0
    assert harness.stored() == harness.report


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--size", "300001"], "--size says 300001 bytes, the store has 300000"),
        (["--sha256", "0" * 64], "was expected"),
        (["--content-type", "text/csv"], "--content-type allows text/csv"),
    ],
)
def test_what_was_promised_is_checked(new_harness: NewHarness, options: list[str], says: str) -> None:
    harness = new_harness(300_000)
    result = run(harness, harness.locate(), *options)
    assert result.exit_code == 1
    assert says in result.stderr
    assert result.stderr.count("\n") == 1
    assert harness.stored() is None


def test_kept_promises_are_fine(new_harness: NewHarness) -> None:
    harness = new_harness(300_000)
    digest = hashlib.sha256(harness.report).hexdigest()
    promised = ["--size", "300000", "--sha256", digest, "--content-type", "application/pdf"]
    assert run(harness, harness.locate(), *promised).exit_code == 0


def test_failure_is_one_line_without_the_signature(new_harness: NewHarness) -> None:
    harness = new_harness(300_000)
    harness.inject(LinkExpired(), times=None)
    result = run(harness, harness.locate())
    assert result.exit_code == 1
    assert result.stderr.strip() == "courier: the store refuses the link (403 AccessDenied); ask for a fresh one"
    assert "X-Amz" not in result.output
    assert harness.stored() is None


def test_error_page_is_refused_without_any_option(new_harness: NewHarness) -> None:
    harness = new_harness(300_000)
    harness.inject(Reply(200, b"<html>sign in</html>"))
    result = run(harness, harness.locate())
    assert result.exit_code == 1
    assert "page of HTML" in result.stderr


def test_failed_copy_leaves_no_upload(new_harness: NewHarness) -> None:
    harness = new_harness(12 * MIB)
    harness.inject(ErrorStatus(404), nth=2, times=None)
    assert run(harness, harness.locate(), "--part-size", "5MiB").exit_code == 1
    assert harness.open_uploads() == []


def test_host_must_be_allowed(new_harness: NewHarness) -> None:
    harness = new_harness(300_000)
    app = typer.Typer()
    app.command()(copy_command)
    result = CliRunner().invoke(
        app, [harness.locate().url.reveal(), TARGET, "--endpoint-url", harness.s3.meta.endpoint_url]
    )
    assert result.exit_code == 1
    origin = "/".join(harness.locate().url.reveal().split("/")[:3])
    refusal = f"the link points to {origin}, --allow-host allows *.amazonaws.com; to allow it: --allow-host {origin}"
    assert result.stderr.strip() == f"courier: {refusal}"


def test_a_host_to_allow_cannot_smuggle_a_command_into_the_shell(new_harness: NewHarness) -> None:
    harness = new_harness(300_000)
    result = run(harness, harness.locate(), url="https://x;id/?q=1")
    assert result.stderr.strip().endswith("; to allow it: --allow-host 'https://x;id'")


@pytest.mark.parametrize("size_bytes", [300_000, 12 * MIB])
def test_same_bytes_that_are_stored_already_are_reported(new_harness: NewHarness, size_bytes: int) -> None:
    harness = new_harness(size_bytes)
    assert "already exists" not in run(harness, harness.locate(), "--part-size", "5MiB").stdout
    result = run(harness, harness.locate(), "--part-size", "5MiB")
    digest = hashlib.sha256(harness.report).hexdigest()
    assert result.exit_code == 0
    assert result.stdout.strip() == f"{TARGET}: already exists with the same {size_bytes} bytes, sha256 {digest}"


def test_an_s3_that_cannot_be_reached_is_named(new_harness: NewHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backoff, "wait", lambda *_, **__: None)
    harness = new_harness(300_000)
    result = run(harness, harness.locate(), "--endpoint-url", "http://127.0.0.1:1")
    assert result.exit_code == 1
    assert "failed 5 times: EndpointConnectionError at 127.0.0.1:1\n" in result.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [((), "there are no AWS credentials: log in"), (("--profile", "nobody"), "profile (nobody) could not be found")],
)
def test_credentials_are_resolved_before_the_first_byte(
    new_harness: NewHarness, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], says: str
) -> None:
    harness = new_harness(300_000)
    link = harness.locate()
    before = len(harness.providers.requests)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    origin = "/".join(link.url.reveal().split("/")[:3])
    ended = courier(
        "copy",
        link.url.reveal(),
        TARGET,
        "--endpoint-url",
        harness.s3.meta.endpoint_url,
        "--allow-host",
        origin,
        *options,
    )
    assert (ended.exit_code, ended.out) == (2, "")
    assert says in ended.error_line
    assert len(harness.providers.requests) == before


def test_a_profile_gives_the_credentials(
    new_harness: NewHarness, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    harness = new_harness(300_000)
    (tmp_path / "config").write_text("[profile mine]\naws_access_key_id = a\naws_secret_access_key = b\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert run(harness, harness.locate(), "--profile", "mine", "--region", "eu-central-1").exit_code == 0
    assert harness.stored() == harness.report


@pytest.mark.parametrize("text", ["1KB", "8 MB", "1GB", "1M", "1K", "many", "-1", "1.5MiB"])
def test_a_size_has_a_unit_that_means_one_thing_only(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"bytes, or a number with B, KiB, MiB or GiB \(not KB, MB or GB"):
        parse_size(text, "--size")


@pytest.mark.parametrize(
    ("text", "size_bytes"), [("12", 12), ("12B", 12), ("2 KiB", 2048), ("8MiB", 8 * MIB), ("3gib", 3 * 1024 * MIB)]
)
def test_a_size_is_read(text: str, size_bytes: int) -> None:
    assert parse_size(text, "--size") == size_bytes


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("s3://bkt", "the key is missing: s3://bkt/KEY"),
        ("s3://bkt/", "the key is missing: s3://bkt/KEY"),
        ("s3://bkt/folder/", "s3://bkt/folder/ is a folder; add a name: s3://bkt/folder/NAME"),
        ("s3:///key", "does not look like s3://bucket/key"),
    ],
)
def test_a_target_without_a_whole_key_is_refused_with_the_reason(target: str, says: str) -> None:
    ended = courier("copy", "https://x.amazonaws.com/report.pdf", target)
    assert ended.exit_code == 2
    assert says in ended.error_line


@pytest.mark.parametrize(
    ("options", "target"),
    [
        (["--part-size", "1MiB"], TARGET),
        (["--part-size", "many"], TARGET),
        (["--size", "-1"], TARGET),
        (["--size", "0"], TARGET),
        (["--sha256", "abc"], TARGET),
        (["--workers", "0"], TARGET),
        (["--allow-host", "https://*/"], TARGET),
        (["--ca-bundle", "/nonexistent.pem"], TARGET),
        ([], "https://bucket/key"),
        ([], "s3://bucket"),
        ([], "s3://bucket/../x"),
    ],
)
def test_wrong_usage_has_a_code_of_its_own(new_harness: NewHarness, options: list[str], target: str) -> None:
    harness = new_harness(300_000)
    result = run(harness, harness.locate(), *options, target=target)
    assert result.exit_code == 2
    assert harness.stored() is None


def test_runs_as_a_module_over_tls_with_an_authority_of_its_own(new_harness: NewHarness) -> None:
    harness = new_harness(300_000, tls=True)
    link = harness.locate()
    origin = "/".join(link.url.reveal().split("/")[:3])
    ca_file = harness.providers.ca_file
    assert ca_file is not None
    command = [sys.executable, "-m", "cli", "copy", "-", TARGET, "--endpoint-url", harness.s3.meta.endpoint_url]
    ended = subprocess.run(  # noqa: S603 - our own command
        [*command, "--allow-host", origin, "--ca-bundle", str(ca_file)],
        input=link.url.reveal(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert harness.stored() == harness.report
