"""``courier config set-secret``, and how every command finds the stack; each error is one line."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from local.runs.demo import DREADNODE_SECRET, TREASURE_SECRET
from tests.functional.cli.operator_setup import OperatorSetup, aws_refuses
from tests.support.command import courier

KEY = "dn_key_5f3e9a7c11"


def test_a_piped_key_is_stored_and_a_second_one_replaces_it(operator: OperatorSetup) -> None:
    operator.delete_keys()
    first = operator.command("config", "set-secret", DREADNODE_SECRET, piped=f"{KEY}\n".encode())
    assert (first.exit_code, first.out, first.err) == (0, f"{DREADNODE_SECRET}: stored\n", "")
    assert operator.key(DREADNODE_SECRET) == KEY
    second = operator.command("config", "set-secret", DREADNODE_SECRET, piped=f"{KEY}22".encode())
    assert second.out == f"{DREADNODE_SECRET}: replaced\n"
    assert operator.key(DREADNODE_SECRET) == f"{KEY}22"


@pytest.mark.parametrize(
    ("piped", "expected"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (f"{KEY}\n{KEY}".encode(), "a line break"),
        (b'{"' + KEY.encode(), "is not a valid JSON object"),
        (KEY.encode() + b"\xff", "is not UTF-8 text"),
    ],
)
def test_an_invalid_key_is_refused_without_showing_it(operator: OperatorSetup, piped: bytes, expected: str) -> None:
    operator.delete_keys()
    result = operator.command("config", "set-secret", DREADNODE_SECRET, piped=piped)
    assert (result.exit_code, result.out) == (2, "")
    assert expected in result.error_line
    assert DREADNODE_SECRET in result.error_line
    assert KEY not in result.err
    assert operator.key(DREADNODE_SECRET) is None


def test_a_new_key_is_tried_at_its_source_before_it_is_stored(operator: OperatorSetup) -> None:
    operator.push([operator.insights(), operator.insights("second"), operator.red_team()], "--no-check")
    old = operator.key(TREASURE_SECRET)
    result = operator.command("config", "set-secret", TREASURE_SECRET, piped=b"1/wrong-key")
    assert (result.exit_code, result.out) == (2, "")
    first, second, last = result.err.splitlines()
    assert first.startswith("courier: insights: ")
    assert second.startswith("courier: second: ")
    assert "401" in first
    assert last == "The key was not stored; --no-check stores it nevertheless."
    assert "wrong-key" not in result.err
    assert operator.key(TREASURE_SECRET) == old

    good = operator.scenario.treasure.key.encode()
    result = operator.command("config", "set-secret", TREASURE_SECRET, piped=good)
    assert (result.exit_code, result.err) == (0, "")
    assert "insights: the API key works" in result.out
    assert result.out.splitlines()[-1] == f"{TREASURE_SECRET}: replaced"
    assert operator.no_secret_in(result)

    result = operator.command("config", "set-secret", TREASURE_SECRET, "--no-check", piped=b"1/wrong-key")
    assert (result.exit_code, result.out) == (0, f"{TREASURE_SECRET}: replaced\n")
    assert operator.key(TREASURE_SECRET) == "1/wrong-key"


@pytest.mark.parametrize("name", ["build-courier", "x/build-courier/a", KEY])
def test_a_name_outside_the_prefix_is_refused_but_not_shown_because_it_may_be_the_key(
    operator: OperatorSetup, name: str
) -> None:
    result = operator.command("config", "set-secret", name, piped=KEY.encode())
    assert result.exit_code == 2
    expected = "NAME: must be the name of a secret that begins with build-courier/, not the key itself"
    assert result.error_line == f"courier: {expected}"
    assert operator.key(name) is None


def test_a_name_that_lacks_only_the_prefix_is_completed(operator: OperatorSetup) -> None:
    result = operator.command("config", "set-secret", "dreadnode", piped=KEY.encode())
    assert result.exit_code == 2
    assert result.error_line.endswith("NAME: must begin with build-courier/; did you mean build-courier/dreadnode?")
    assert operator.key("dreadnode") is None


@pytest.mark.parametrize("name", ["build-courier/", "build-courier/a b"])
def test_a_name_that_secrets_manager_rejects_is_refused(operator: OperatorSetup, name: str) -> None:
    result = operator.command("config", "set-secret", name, piped=KEY.encode())
    assert result.exit_code == 2
    assert "build-courier/ must be followed by letters, digits and /_+=.@-" in result.error_line
    assert operator.key(name) is None


def test_a_secret_scheduled_for_deletion_is_reported_with_the_command_that_restores_it(operator: OperatorSetup) -> None:
    with aws_refuses("CreateSecret", "InvalidRequestException", "is already scheduled for deletion"):
        result = operator.command("config", "set-secret", DREADNODE_SECRET, piped=KEY.encode())
    assert result.exit_code == 2
    assert f"aws secretsmanager restore-secret --secret-id {DREADNODE_SECRET}" in result.error_line


def test_a_message_of_aws_about_the_key_is_not_repeated(operator: OperatorSetup) -> None:
    with aws_refuses("PutSecretValue", "ValidationException", f"Value '{KEY}' at 'secretString' is wrong"):
        result = operator.command("config", "set-secret", DREADNODE_SECRET, piped=KEY.encode())
    assert result.error_line == f"courier: {DREADNODE_SECRET} was not stored: ValidationException from PutSecretValue"


def test_a_missing_permission_is_reported_in_one_line(operator: OperatorSetup) -> None:
    operator.push([operator.insights()], "--no-check")
    for operation in ("GetParametersByPath", "GetItem", "ListObjectsV2", "DescribeStacks"):
        with aws_refuses(operation, "AccessDeniedException", "User: you is not authorized"):
            result = operator.command("status")
        assert result.exit_code == 2
        assert result.error_line == f"courier: AWS refused {operation}: User: you is not authorized"


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo terminal")
def test_a_typed_key_is_not_shown(operator: OperatorSetup) -> None:
    operator.delete_keys()
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
    assert operator.key(DREADNODE_SECRET) == KEY


COMMANDS = (
    ("status",),
    ("limits", "insights"),
    ("config", "set-secret", DREADNODE_SECRET),
)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_an_unknown_stack_is_reported_in_one_line(operator: OperatorSetup, command: tuple[str, ...]) -> None:
    result = courier(*command, "--stack", "nobody")
    assert (result.exit_code, result.out) == (2, "")
    assert result.error_line.startswith("courier: there is no stack nobody in region eu-central-1 of this account")


def test_another_stack_is_reported_in_one_line(operator: OperatorSetup) -> None:
    client = operator.aws.client("cloudformation")
    body = '{"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}, "Outputs": {"BucketName": {"Value": "x"}}}'
    client.create_stack(StackName="another", TemplateBody=body)
    result = courier("status", "--stack", "another")
    assert result.exit_code == 2
    assert result.error_line == (
        "courier: stack another is not a Build Courier, or not complete: its status is CREATE_COMPLETE "
        "and it has no output LedgerTableName, ParameterPath"
    )


@pytest.mark.parametrize(
    ("options", "variables", "expected"),
    [
        ((), ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "there are no AWS credentials"),
        ((), ("AWS_REGION", "AWS_DEFAULT_REGION"), "there is no AWS region"),
        (("--profile", "nobody"), (), "profile (nobody) could not be found"),
        (("--endpoint-url", "127.0.0.1:4566"), (), "--endpoint-url must look like http://"),
    ],
)
def test_without_access_to_aws_the_reason_is_one_line(
    operator: OperatorSetup,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    variables: tuple[str, ...],
    expected: str,
) -> None:
    for variable in variables:
        monkeypatch.delenv(variable)
    result = courier("status", *options)
    assert (result.exit_code, result.out) == (2, "")
    assert expected in result.error_line


def test_options_override_the_environment_for_the_duration_of_the_command(
    operator: OperatorSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    # What an operator has set for something else.
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSM", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.delenv("AWS_REGION")
    before = dict(os.environ)
    result = courier("status", "--endpoint-url", endpoint, "--region", "eu-central-1")
    assert (result.exit_code, result.err) == (0, "")
    assert dict(os.environ) == before


def test_a_profile_overrides_keys_in_the_environment(operator: OperatorSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    config = operator.folder / "aws-config"
    config.write_text("[profile other]\nregion = eu-central-1\n", encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    result = courier("status", "--profile", "other")
    assert result.exit_code == 2
    assert "there are no AWS credentials" in result.error_line


def _read_until(terminal: int, text: bytes) -> bytes:
    """Read what a program shows until it has shown something, for a minute at most."""
    shown = b""
    until = time.monotonic() + 60
    while text not in shown and time.monotonic() < until:
        shown += os.read(terminal, 1024)
    return shown
