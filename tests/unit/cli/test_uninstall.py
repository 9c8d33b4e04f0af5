"""``courier uninstall``: deletes a stack, and what was named; everything else stays."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import boto3
import pytest

from cli import uninstall as uninstall_module
from cli.uninstall import DESCRIPTION
from tests.support.aws_responses import aws_replies
from tests.support.command import CommandResult, courier
from tests.support.providers import REGION

ROOT = Path(__file__).resolve().parents[3]
STACK = "courier-test"
BUCKET = "reports-of-the-test"
ROLE = {
    "Type": "AWS::IAM::Role",
    "Properties": {"AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": []}},
}
RESOURCES = {
    "ReportsBucket": {
        "Type": "AWS::S3::Bucket",
        "DeletionPolicy": "Retain",
        "Properties": {"BucketName": BUCKET, "VersioningConfiguration": {"Status": "Enabled"}},
    },
    "DeadLetters": {"Type": "AWS::SQS::Queue"},
    "Role": ROLE,
    "BuildLifecycle": {
        "Type": "AWS::StepFunctions::StateMachine",
        "Properties": {
            "RoleArn": {"Fn::GetAtt": ["Role", "Arn"]},
            "DefinitionString": json.dumps({"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}}),
        },
    },
}
OUTPUTS = {"BucketName": BUCKET, "ParameterPath": f"/{STACK}/sources", "DeadLettersUrl": {"Ref": "DeadLetters"}}


@pytest.fixture
def stack(moto: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", _no_sleep)
    _create(RESOURCES)
    secrets = boto3.client("secretsmanager")
    for name in ("build-courier/used", "build-courier/unused"):
        secrets.create_secret(Name=name, SecretString="k")
    boto3.client("ssm").put_parameter(
        Name=f"/{STACK}/sources/insights", Value='{"secret": "build-courier/used"}', Type="String"
    )
    boto3.client("s3").put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    boto3.client("s3").put_object(Bucket=BUCKET, Key="artifacts/a", Body=b"1")
    boto3.client("s3").put_object(Bucket=BUCKET, Key="artifacts/a", Body=b"2")
    boto3.client("s3").delete_object(Bucket=BUCKET, Key="artifacts/a")
    boto3.client("s3").create_multipart_upload(Bucket=BUCKET, Key="artifacts/b")


def _no_sleep(_: float) -> None:
    """Stand for a pause."""


def _create(resources: dict[str, object], description: str = f"{DESCRIPTION}polls.") -> None:
    template = {
        "Description": description,
        "Resources": resources,
        "Outputs": {name: {"Value": value} for name, value in OUTPUTS.items()},
    }
    boto3.client("cloudformation").create_stack(StackName=STACK, TemplateBody=json.dumps(template))


def _run(*options: str, typed: str | None = None) -> CommandResult:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return typed is not None

    with patch.object(sys, "stdin", Terminal(typed or "")):
        return courier("uninstall", "--stack", STACK, "--region", REGION, *options)


def _exists() -> bool:
    found = boto3.client("cloudformation").list_stacks()["StackSummaries"]
    return any(each["StackName"] == STACK and each["StackStatus"] != "DELETE_COMPLETE" for each in found)


def _secrets() -> set[str]:
    return {each["Name"] for each in boto3.client("secretsmanager").list_secrets()["SecretList"]}


def _start_execution() -> None:
    client = boto3.client("stepfunctions")
    machine = client.list_state_machines()["stateMachines"][0]["stateMachineArn"]
    client.start_execution(stateMachineArn=machine, input="{}")


def test_a_dry_run_says_what_goes_and_stays_and_deletes_nothing(stack: None) -> None:
    result = _run("--dry-run")
    assert (result.exit_code, result.err) == (0, "")
    goes, _, stays = result.out.partition("Would stay:\n")
    assert "3 resources: 1 Role, 1 Queue, 1 StateMachine" in goes
    assert stays.splitlines() == [
        f"  the bucket {BUCKET} with all reports and records",
        "  secrets: build-courier/used",
        f"  parameters: /{STACK}/sources/insights",
    ]
    assert _exists()


def test_bucket_secrets_and_parameters_stay_and_their_costs_are_named(stack: None) -> None:
    result = _run("--yes")
    assert (result.exit_code, result.err) == (0, "")
    assert not _exists()
    assert boto3.client("s3").list_object_versions(Bucket=BUCKET)["Versions"]
    assert _secrets() == {"build-courier/used", "build-courier/unused"}
    assert boto3.client("ssm").get_parameters_by_path(Path=f"/{STACK}/sources")["Parameters"]
    costs = result.out.partition("What goes on costing money:\n")[2]
    assert f"the bucket {BUCKET}: its storage" in costs
    assert "secrets (1): about $0.40 a month each" in costs
    assert f"make deploy PARAMETERS=ExistingBucketName={BUCKET}" in costs


def test_what_is_named_goes_too(stack: None) -> None:
    result = _run("--yes", "--also", "bucket", "--also", "secrets", "--also", "parameters")
    assert (result.exit_code, result.err) == (0, "")
    assert boto3.client("s3").list_buckets()["Buckets"] == []
    assert _secrets() == {"build-courier/unused"}
    assert boto3.client("ssm").get_parameters_by_path(Path=f"/{STACK}/sources")["Parameters"] == []
    assert BUCKET not in result.out.partition("costing money:")[2]


@pytest.mark.parametrize(
    ("typed", "options", "goes"),
    [
        ("y\n", (), True),
        ("n\n", (), False),
        ("\n", (), False),
        (None, (), False),
        (f"{BUCKET}\ny\n", ("--also", "bucket"), True),
        ("y\ny\n", ("--also", "bucket"), False),
    ],
)
def test_a_deletion_needs_a_confirmation(stack: None, typed: str | None, options: tuple[str, ...], goes: bool) -> None:
    result = _run(*options, typed=typed)
    assert result.exit_code == (0 if goes else 1)
    assert _exists() is not goes
    if not goes:
        assert result.err.endswith("Nothing was deleted; --yes deletes without asking.\n")
        assert boto3.client("s3").list_object_versions(Bucket=BUCKET)["Versions"]


def test_it_refuses_while_executions_run_unless_they_are_to_be_stopped(stack: None) -> None:
    _start_execution()
    refused = _run("--yes")
    assert (refused.exit_code, _exists()) == (1, True)
    assert refused.err.startswith("Running executions: 1. Their builds would get neither a record nor a notice.\n")
    assert "--stop-running" in refused.err
    assert _run("--dry-run").exit_code == 0
    stopped: list[object] = []
    # moto forgets executions with their state machine.
    with aws_replies(StopExecution=lambda call: stopped.append(call())):
        assert _run("--yes", "--stop-running").exit_code == 0
    assert len(stopped) == 1
    assert not _exists()


def test_another_stack_is_never_deleted(moto: None) -> None:
    _create({"Topic": {"Type": "AWS::SNS::Topic"}, "DeadLetters": {"Type": "AWS::SQS::Queue"}}, "A database")
    result = _run("--yes")
    assert result.exit_code == 2
    assert f"stack {STACK} is not a Build Courier" in result.error_line
    assert _exists()


def test_the_description_of_the_template_is_recognised() -> None:
    text = (ROOT / "template.yaml").read_text(encoding="utf-8")
    assert f"\nDescription: >-\n  {DESCRIPTION}" in text


def test_an_absent_stack_is_one_line_with_its_region(moto: None) -> None:
    result = _run("--yes")
    assert result.exit_code == 2
    assert f"there is no stack {STACK} in region {REGION} of this account" in result.error_line


def test_a_bucket_that_the_stack_did_not_make_is_never_deleted(moto: None) -> None:
    _create({name: each for name, each in RESOURCES.items() if name != "ReportsBucket"})
    boto3.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    result = _run("--yes", "--also", "bucket")
    assert result.exit_code == 2
    assert "the stack did not make the bucket" in result.error_line
    assert _exists()
    assert ", which the stack did not make" in _run("--dry-run").out


def test_a_failed_deletion_names_the_resource_and_keeps_what_was_named(
    stack: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failed(call: Callable[[], Any]) -> object:
        response = call()
        for each in response["StackResourceSummaries"]:
            if each["LogicalResourceId"] == "Role":
                each |= {"ResourceStatus": "DELETE_FAILED", "ResourceStatusReason": "it is in use"}
        return response

    def in_state(call: Callable[[], Any]) -> object:
        response = call()
        if response["Stacks"][0]["StackStatus"] == "DELETE_COMPLETE":
            response["Stacks"][0]["StackStatus"] = "DELETE_FAILED"
        return response

    with aws_replies(ListStackResources=failed, DescribeStacks=in_state):
        result = _run("--yes", "--also", "secrets")
    assert result.exit_code == 2
    assert "AWS could not delete courier-test (DELETE_FAILED): Role: it is in use" in result.error_line
    assert "build-courier/used" in _secrets()


def test_an_interruption_says_what_is_left(stack: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(uninstall_module, "_wait", interrupted)
    result = _run("--yes", "--also", "bucket")
    assert result.exit_code == 130
    assert f"the bucket {BUCKET} with all reports and records" in result.err
    assert boto3.client("s3").list_object_versions(Bucket=BUCKET)["Versions"]
