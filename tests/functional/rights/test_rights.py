"""What functions and state machine do is allowed, and what they are allowed is done: nothing less, nothing more.

Every call of every chaos scenario is looked up in the policies of the deployed roles: these scenarios
come past every place of the courier's code that calls AWS.
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

# Calls that name nothing; on AWS the policy is asked about the state machine (see scripts/checks/permissions.py).
NAMELESS = {"states:SendTaskSuccess": "BuildLifecycle"}

# Rights without a call of ours, each with its reason.
UNCALLED = {
    (
        "copy_artifact",
        "s3:ListBucket",
    ): "no call: without it S3 answers 403 instead of 404 for a missing key",
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
class Right:
    """One action on one resource, a pattern where it is allowed and an ARN where it was used."""

    caller: str
    action: str
    resource: str

    def covers(self, used: Right) -> bool:
        return (self.caller, self.action) == (used.caller, used.action) and fnmatchcase(used.resource, self.resource)


@pytest.fixture(scope="module")
def rights() -> Iterator[tuple[set[Right], set[Right]]]:
    """Give what is allowed, and what was used, over all scripts."""
    with ExperimentRunner() as runner:
        allowed = {right for caller, role in ROLES.items() for right in allowed_to(runner.aws, caller, role)}
        for make in SCENARIOS:
            runner.run(make())
        used = {
            Right(caller, iam_action(action), arn_of(runner.aws, action, resource))
            for caller, action, resource in runner.aws.calls()
            if caller in ROLES
        }
        yield allowed, used


def allowed_to(aws: EmbeddedAws, caller: str, role: str) -> Iterator[Right]:
    # Nobody else needs IAM, so its types are not there.
    clients: Any = aws.client
    iam, name = clients("iam"), aws.resources[role]
    for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
        document: Any = iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
        # moto keeps what CloudFormation gives a role as the text of a Python value.
        if isinstance(document, str):
            document = json.loads(document) if document.startswith('{"') else ast.literal_eval(document)
        for statement in document["Statement"]:
            assert statement["Effect"] == "Allow"
            for action in listed(statement["Action"]):
                for resource in listed(statement["Resource"]):
                    yield Right(caller, action, resource)


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


def test_every_call_is_allowed(rights: tuple[set[Right], set[Right]]) -> None:
    allowed, used = rights
    assert {right.caller for right in used} == set(ROLES)
    assert sorted(right for right in used if not any(each.covers(right) for each in allowed)) == []


def test_every_right_is_used(rights: tuple[set[Right], set[Right]]) -> None:
    allowed, used = rights
    unused = {each for each in allowed if not any(each.covers(right) for right in used)}
    assert sorted(each for each in unused if (each.caller, each.action) not in UNCALLED) == []


def test_every_exception_is_needed(rights: tuple[set[Right], set[Right]]) -> None:
    allowed, used = rights
    assert {(each.caller, each.action) for each in allowed} >= UNCALLED.keys()
    assert not {(each.caller, each.action) for each in used} & UNCALLED.keys()


def test_a_missing_and_a_needless_right_are_found(rights: tuple[set[Right], set[Right]]) -> None:
    allowed, used = rights
    taken = next(each for each in sorted(allowed) if each.action == "states:SendTaskSuccess")
    missing = {right for right in used if not any(each.covers(right) for each in allowed - {taken})}
    assert {(right.caller, right.action) for right in missing} == {(taken.caller, taken.action)}
    needless = Right("record_outcome", "s3:DeleteObject", "*")
    assert not any(needless.covers(right) for right in used)
