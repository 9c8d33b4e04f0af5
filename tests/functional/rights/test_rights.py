"""Functions and state machine have exactly the permissions that they use.

Every call of every chaos scenario is compared with the policies of the deployed roles: these scenarios reach every
place of the courier's code that calls AWS.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import pytest

from local.chaos.experiment_runner import ExperimentRunner
from local.chaos.scenarios import SCENARIOS
from local.embedded.embedded_aws import EmbeddedAws
from local.embedded.interception import STATE_MACHINE, iam_action

ROLES = {
    "discover_builds": "DiscoverBuildsFunctionRole",
    "request_build": "RequestBuildFunctionRole",
    "poll_builds": "PollBuildsFunctionRole",
    "copy_artifact": "CopyArtifactFunctionRole",
    "record_outcome": "RecordOutcomeFunctionRole",
    STATE_MACHINE: "BuildLifecycleRole",
}

# Calls that name no resource; AWS evaluates the policy for the state machine (see scripts/checks/permissions.py).
NAMELESS = {"states:SendTaskSuccess": "BuildLifecycle"}

# Permissions without a call of ours, each with its reason.
UNCALLED = {
    (
        "copy_artifact",
        "s3:ListBucket",
    ): "no call: without it S3 returns 403 instead of 404 for a missing key",
    ("record_outcome", "s3:ListBucket"): "likewise",
    ("discover_builds", "sqs:SendMessage"): "Lambda itself sends failed events, with the function's role",
    ("request_build", "sqs:SendMessage"): "likewise",
    ("poll_builds", "sqs:SendMessage"): "likewise",
    **{
        (
            STATE_MACHINE,
            f"logs:{action}",
        ): "Step Functions itself sets up the delivery of its logs"
        for action in (
            "CreateLogDelivery",
            "GetLogDelivery",
            "UpdateLogDelivery",
            "DeleteLogDelivery",
            "ListLogDeliveries",
            "PutResourcePolicy",
            "DescribeResourcePolicies",
            "DescribeLogGroups",
        )
    },
}


@dataclass(frozen=True, order=True)
class Permission:
    """One action on one resource, a pattern where it is allowed and an ARN where it was used."""

    caller: str
    action: str
    resource: str

    def covers(self, used: Permission) -> bool:
        return (self.caller, self.action) == (used.caller, used.action) and fnmatchcase(used.resource, self.resource)


@pytest.fixture(scope="module")
def permissions() -> Iterator[tuple[set[Permission], set[Permission]]]:
    """Return what is allowed, and what was used, over all scenarios."""
    with ExperimentRunner() as runner:
        allowed = {permission for caller, role in ROLES.items() for permission in allowed_to(runner.aws, caller, role)}
        for make in SCENARIOS:
            runner.run(make())
        used = {
            Permission(caller, iam_action(action), arn_of(runner.aws, action, resource))
            for caller, action, resource in runner.aws.calls()
            if caller in ROLES
        }
        yield allowed, used


def allowed_to(aws: EmbeddedAws, caller: str, role: str) -> Iterator[Permission]:
    # IAM is used here only, so its type stubs are not installed.
    clients: Any = aws.client
    iam, name = clients("iam"), aws.resources[role]
    for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
        document: Any = iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
        # moto stores the policy of a role in CloudFormation as the text of a Python value.
        if isinstance(document, str):
            document = json.loads(document) if document.startswith('{"') else ast.literal_eval(document)
        for statement in document["Statement"]:
            assert statement["Effect"] == "Allow"
            for action in listed(statement["Action"]):
                for resource in listed(statement["Resource"]):
                    yield Permission(caller, action, resource)


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def arn_of(aws: EmbeddedAws, action: str, resource: str) -> str:
    if resource == "*" and action in NAMELESS:
        return aws.resources[NAMELESS[action]]
    if resource.startswith("arn:"):
        return resource
    place = f"{aws.location.region}:{aws.location.account}"
    match action.partition(":")[0]:
        case "s3":
            return f"arn:aws:s3:::{resource}"
        case "dynamodb":
            return f"arn:aws:dynamodb:{place}:table/{resource}"
        case "ssm":
            return f"arn:aws:ssm:{place}:parameter/{resource.strip('/')}"
        case "secretsmanager":
            return f"arn:aws:secretsmanager:{place}:secret:{resource}-AbCdEf"
        case service:
            raise AssertionError(f"{service} calls {resource} without an ARN")


def test_every_call_is_allowed(permissions: tuple[set[Permission], set[Permission]]) -> None:
    allowed, used = permissions
    assert {permission.caller for permission in used} == set(ROLES)
    assert sorted(permission for permission in used if not any(each.covers(permission) for each in allowed)) == []


def test_every_permission_is_used(permissions: tuple[set[Permission], set[Permission]]) -> None:
    allowed, used = permissions
    unused = {each for each in allowed if not any(each.covers(permission) for permission in used)}
    assert sorted(each for each in unused if (each.caller, each.action) not in UNCALLED) == []


def test_every_exception_is_needed(permissions: tuple[set[Permission], set[Permission]]) -> None:
    allowed, used = permissions
    assert {(each.caller, each.action) for each in allowed} >= UNCALLED.keys()
    assert not {(each.caller, each.action) for each in used} & UNCALLED.keys()


def test_a_missing_and_a_needless_permission_are_found(permissions: tuple[set[Permission], set[Permission]]) -> None:
    allowed, used = permissions
    removed = next(each for each in sorted(allowed) if each.action == "states:SendTaskSuccess")
    missing = {permission for permission in used if not any(each.covers(permission) for each in allowed - {removed})}
    assert {(permission.caller, permission.action) for permission in missing} == {(removed.caller, removed.action)}
    needless = Permission("record_outcome", "s3:DeleteObject", "*")
    assert not any(needless.covers(permission) for permission in used)
