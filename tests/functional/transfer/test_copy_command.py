"""`courier copy`: the copy by hand."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
import typer
from botocore.awsrequest import AWSPreparedRequest
from typer.testing import CliRunner, Result

from cli.copy import copy_command, parse_size, parse_target
from courier.backoff import Backoff
from courier.links import ArtifactLink
from courier.transfer.options import MIB
from local.simulator import ErrorStatus, LinkExpired, NoLength, Reply, SetHeaders
from tests.functional.transfer.conftest import NewHarness
from tests.functional.transfer.harness import BUCKET, KEY, CopyHarness
from tests.support.command import courier

TARGET = f"s3://{BUCKET}/{KEY}"
ACCESS_POINT = "arn:aws:s3:us-east-1:123456789012:accesspoint/mine"


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
    arguments = ["--endpoint-url", harness.s3.meta.endpoint_url, "--allow-host", allowed, *options]
    return CliRunner().invoke(
        app, [link.url.reveal() if url is None else url, target, *arguments], input=link.url.reveal()
    )


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


def test_credentials_come_from_a_profile(
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
        ("s3://my bucket/key", "does not look like s3://bucket/key"),
        (f"s3://{ACCESS_POINT}", f"the key is missing: s3://{ACCESS_POINT}/KEY"),
        (
            "s3://arn:aws:s3::123456789012:accesspoint/mine.mrap/k",
            "a multi-Region access point needs another signature",
        ),
        ("s3://bkt/a\x07b", "character 2 is U+0007"),
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


@pytest.mark.parametrize(
    ("endpoint", "target", "says"),
    [
        ("127.0.0.1:9000", TARGET, "--endpoint-url: must look like http://127.0.0.1:9000"),
        ("ftp://127.0.0.1", TARGET, "--endpoint-url: must look like http://127.0.0.1:9000"),
        ("http://", TARGET, "--endpoint-url: must look like http://127.0.0.1:9000"),
        ("http://127.0.0.1:9000", f"s3://{ACCESS_POINT}/k", "an access point has an endpoint of its own on AWS"),
    ],
)
def test_endpoint_that_cannot_be_used_is_one_line_before_anything(endpoint: str, target: str, says: str) -> None:
    ended = courier("copy", "https://x.amazonaws.com/report.pdf", target, "--endpoint-url", endpoint)
    assert ended.exit_code == 2
    assert says in ended.error_line


@pytest.mark.parametrize("point", [ACCESS_POINT, ACCESS_POINT.replace("point/", "point:")])
def test_access_point_stands_for_a_bucket(point: str) -> None:
    destination = parse_target(f"s3://{point}/folder/report.pdf", None)
    assert (destination.bucket, destination.key) == (point, "folder/report.pdf")
    client = boto3.client("s3", region_name="us-east-1")
    sent: list[str] = []

    def stop(request: AWSPreparedRequest, **_: object) -> None:
        sent.append(request.url)
        raise KeyboardInterrupt

    client.meta.events.register_first("before-send.s3", stop)
    with pytest.raises(KeyboardInterrupt):
        client.head_object(Bucket=destination.bucket, Key=destination.key)
    assert sent == ["https://mine-123456789012.s3-accesspoint.us-east-1.amazonaws.com/folder/report.pdf"]


@pytest.mark.parametrize("size_bytes", [300_000, 12 * MIB])
def test_link_that_is_good_for_one_request_is_copied_without_ranges(new_harness: NewHarness, size_bytes: int) -> None:
    harness = new_harness(size_bytes)
    harness.inject(ErrorStatus(403), nth=2, times=None)
    assert run(harness, harness.locate(), "--no-ranges").exit_code == 0
    assert harness.ranges() == [None]


def test_private_addresses_are_an_option(new_harness: NewHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    harness = new_harness(300_000)
    monkeypatch.setattr(socket, "getaddrinfo", _resolving_inside(socket.getaddrinfo))
    url = harness.locate().url.reveal().replace("localhost", "storage.internal")
    origin = "/".join(url.split("/")[:3])
    refused = run(harness, harness.locate(), "--allow-host", origin, url=url)
    port = origin.rpartition(":")[2]
    advice = f"use --private-addresses, or --allow-host http://127.0.0.1:{port}"
    assert refused.stderr.strip().endswith(f"a loopback address; for self-hosted storage, {advice}")
    for option in (["--private-addresses"], ["--allow-host", f"http://127.0.0.1:{port}"]):
        # The store signs for its own name, and refuses the link; the address is no reason any more.
        result = run(harness, harness.locate(), "--allow-host", origin, *option, url=url)
        assert "the store refuses the link (403" in result.stderr


@pytest.mark.parametrize("size_bytes", [300_000, 12 * MIB])
def test_content_md5_takes_the_place_of_checksums(
    new_harness: NewHarness, monkeypatch: pytest.MonkeyPatch, size_bytes: int
) -> None:
    harness = new_harness(size_bytes)
    names: set[str] = set()

    def see(request: AWSPreparedRequest, **_: object) -> None:
        names.update(name.lower() for name in request.headers)

    def watched(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - boto3's shape
        client = make_client(*args, **kwargs)
        client.meta.events.register_first("before-send.s3", see)
        return client

    make_client = boto3.Session.client
    monkeypatch.setattr(boto3.Session, "client", watched)
    assert run(harness, harness.locate(), "--content-md5", "--part-size", "5MiB").exit_code == 0
    assert harness.stored() == harness.report
    assert "content-md5" in names
    assert not [name for name in names if name.startswith(("x-amz-checksum", "x-amz-sdk-checksum"))]


def test_what_cannot_be_verified_is_said_in_the_line(new_harness: NewHarness) -> None:
    harness = new_harness(300_000)
    harness.inject(NoLength(), times=None)
    harness.inject(SetHeaders({"Content-Type": "text/csv", "Content-Encoding": "br"}), times=None)
    result = run(harness, harness.locate(), "--no-ranges")
    assert result.stdout.strip().endswith(", Content-Encoding br, length unverified")


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


def _resolving_inside(getaddrinfo: Callable[..., Any]) -> Callable[..., Any]:
    return lambda host, *rest, **more: getaddrinfo("127.0.0.1" if host == "storage.internal" else host, *rest, **more)
