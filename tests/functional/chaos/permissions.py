"""The permissions that the template grants, and those that functions and state machine use."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

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
    ("request_build", "s3:ListBucket"): "likewise",
    ("record_outcome", "dynamodb:GetItem"): "after a timeout of the state machine, for which no scenario waits",
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


def allowed_permissions(aws: EmbeddedAws) -> set[Permission]:
    """Return what the policies of the deployed roles allow."""
    return {permission for caller, role in ROLES.items() for permission in allowed_to(aws, caller, role)}


def used_permissions(aws: EmbeddedAws) -> set[Permission]:
    """Return what functions and state machine have used so far."""
    return {
        Permission(caller, iam_action(action), arn_of(aws, action, resource))
        for caller, action, resource in aws.calls()
        if caller in ROLES
    }


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
