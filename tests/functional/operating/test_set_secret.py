"""``courier config set-secret``, and finding the stack: what goes wrong is one line."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from local.runs.demo import DREADNODE_SECRET
from tests.functional.cli.command import courier
from tests.functional.operating.desk import Desk, aws_refuses

KEY = "dn_key_5f3e9a7c11"


def test_a_key_that_is_piped_in_is_stored_and_a_second_one_replaces_it(desk: Desk) -> None:
    desk.forget_keys()
    first = desk.command("config", "set-secret", DREADNODE_SECRET, piped=f"{KEY}\n".encode())
    assert (first.exit_code, first.out, first.err) == (0, f"{DREADNODE_SECRET}: stored\n", "")
    assert desk.key(DREADNODE_SECRET) == KEY
    second = desk.command("config", "set-secret", DREADNODE_SECRET, piped=f"{KEY}22".encode())
    assert second.out == f"{DREADNODE_SECRET}: replaced\n"
    assert desk.key(DREADNODE_SECRET) == f"{KEY}22"


@pytest.mark.parametrize(
    ("piped", "says"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (f"{KEY}\n{KEY}".encode(), "a line break"),
        (b'{"' + KEY.encode(), "is not a valid JSON object"),
        (KEY.encode() + b"\xff", "is not UTF-8 text"),
    ],
)
def test_what_is_no_key_is_refused_without_showing_it(desk: Desk, piped: bytes, says: str) -> None:
    desk.forget_keys()
    ended = desk.command("config", "set-secret", DREADNODE_SECRET, piped=piped)
    assert (ended.exit_code, ended.out) == (2, "")
    assert says in ended.complaint
    assert DREADNODE_SECRET in ended.complaint
    assert KEY not in ended.err
    assert desk.key(DREADNODE_SECRET) is None


@pytest.mark.parametrize("name", ["dreadnode", "build-courier", "x/build-courier/a", KEY])
def test_a_name_that_the_functions_may_not_read_is_refused_unseen_as_it_may_be_the_key(desk: Desk, name: str) -> None:
    ended = desk.command("config", "set-secret", name, piped=KEY.encode())
    assert ended.exit_code == 2
    words = "NAME: must be the name of a secret that begins with build-courier/, not the key itself"
    assert ended.complaint == f"courier: {words}"
    assert desk.key(name) is None


@pytest.mark.parametrize("name", ["build-courier/", "build-courier/a b"])
def test_a_name_that_secrets_manager_does_not_take_is_refused(desk: Desk, name: str) -> None:
    ended = desk.command("config", "set-secret", name, piped=KEY.encode())
    assert ended.exit_code == 2
    assert "build-courier/ must be followed by letters, digits and /_+=.@-" in ended.complaint
    assert desk.key(name) is None


def test_a_secret_that_is_being_deleted_comes_with_the_way_back(desk: Desk) -> None:
    with aws_refuses("CreateSecret", "InvalidRequestException", "is already scheduled for deletion"):
        ended = desk.command("config", "set-secret", DREADNODE_SECRET, piped=KEY.encode())
    assert ended.exit_code == 2
    assert f"aws secretsmanager restore-secret --secret-id {DREADNODE_SECRET}" in ended.complaint


def test_words_of_aws_about_the_key_are_not_repeated(desk: Desk) -> None:
    with aws_refuses("PutSecretValue", "ValidationException", f"Value '{KEY}' at 'secretString' is wrong"):
        ended = desk.command("config", "set-secret", DREADNODE_SECRET, piped=KEY.encode())
    assert ended.complaint == f"courier: {DREADNODE_SECRET} was not stored: ValidationException from PutSecretValue"


def test_a_right_that_lacks_is_one_line(desk: Desk) -> None:
    desk.push([desk.insights()], "--no-check")
    for operation in ("GetParametersByPath", "GetItem", "ListObjectsV2", "DescribeStacks"):
        with aws_refuses(operation, "AccessDeniedException", "User: you is not authorized"):
            ended = desk.command("status")
        assert ended.exit_code == 2
        assert ended.complaint == f"courier: AWS refused {operation}: User: you is not authorized"


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo terminal")
def test_a_key_that_is_typed_is_not_shown(desk: Desk) -> None:
    desk.forget_keys()
    ours, its = os.openpty()
    command = [sys.executable, "-m", "cli", "config", "set-secret", DREADNODE_SECRET, "--stack", "build-courier"]
    with subprocess.Popen(  # noqa: S603 - this very command
        command, stdin=its, stdout=its, stderr=its, start_new_session=True, env={**os.environ, "TERM": "dumb"}
    ) as process:
        os.close(its)
        shown = _read_until(ours, b"API key: ")
        os.write(ours, f"{KEY}\n".encode())
        shown += _read_until(ours, b"stored")
        assert process.wait(timeout=60) == 0
    os.close(ours)
    assert KEY.encode() not in shown
    assert desk.key(DREADNODE_SECRET) == KEY


COMMANDS = (
    ("status",),
    ("limits", "insights"),
    ("config", "set-secret", DREADNODE_SECRET),
)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_an_unknown_stack_is_one_line(desk: Desk, command: tuple[str, ...]) -> None:
    ended = courier(*command, "--stack", "nobody")
    assert (ended.exit_code, ended.out) == (2, "")
    assert ended.complaint.startswith("courier: there is no stack nobody in this account and region")


def test_a_stack_that_is_not_ours_is_one_line(desk: Desk) -> None:
    client = desk.aws.client("cloudformation")
    body = '{"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}, "Outputs": {"BucketName": {"Value": "x"}}}'
    client.create_stack(StackName="another", TemplateBody=body)
    ended = courier("status", "--stack", "another")
    assert ended.exit_code == 2
    assert ended.complaint == (
        "courier: stack another is not a Build Courier, or not complete: its status is CREATE_COMPLETE "
        "and it has no output LedgerTableName, ParameterPath"
    )


@pytest.mark.parametrize(
    ("options", "variables", "says"),
    [
        ((), ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "there are no AWS credentials"),
        ((), ("AWS_REGION", "AWS_DEFAULT_REGION"), "there is no AWS region"),
        (("--profile", "nobody"), (), "profile (nobody) could not be found"),
        (("--endpoint-url", "127.0.0.1:4566"), (), "--endpoint-url must look like http://"),
    ],
)
def test_without_a_way_to_aws_it_is_one_line(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], variables: tuple[str, ...], says: str
) -> None:
    for variable in variables:
        monkeypatch.delenv(variable)
    ended = courier("status", *options)
    assert (ended.exit_code, ended.out) == (2, "")
    assert says in ended.complaint


def test_options_last_as_long_as_the_command_and_win_over_the_environment(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    # What an operator has set for something else.
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSM", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.delenv("AWS_REGION")
    before = dict(os.environ)
    ended = courier("status", "--endpoint-url", endpoint, "--region", "eu-central-1")
    assert (ended.exit_code, ended.err) == (0, "")
    assert dict(os.environ) == before


def test_a_profile_wins_over_keys_in_the_environment(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    config = desk.folder / "aws-config"
    config.write_text("[profile other]\nregion = eu-central-1\n", encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    ended = courier("status", "--profile", "other")
    assert ended.exit_code == 2
    assert "there are no AWS credentials" in ended.complaint


def _read_until(terminal: int, text: bytes) -> bytes:
    """Read what a program shows until it has shown something, for a minute at most."""
    shown = b""
    until = time.monotonic() + 60
    while text not in shown and time.monotonic() < until:
        shown += os.read(terminal, 1024)
    return shown
