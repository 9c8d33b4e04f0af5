"""What ``courier config push`` says about the policy of a customer managed key."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from cli import stack as deployed
from cli.key_policy import missing_grants
from tests.functional.cli.operator_setup import OperatorSetup, aws_refuses

ACCOUNT = "123456789012"
DOCUMENT = Path(__file__).parents[3] / "docs/encryption.md"


def documented_policy() -> dict[str, Any]:
    block = re.search(r"```json\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    policy: dict[str, Any] = json.loads(block[1])
    return policy


@pytest.fixture
def key(operator: OperatorSetup, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the ARN of a key that the stack names as its own."""
    clients: Any = operator.aws.client
    arn: str = clients("kms").create_key()["KeyMetadata"]["Arn"]
    monkeypatch.setattr(deployed, "_outputs", lambda _: {**operator.aws.outputs, "KmsKeyArn": arn})
    return arn


def put_policy(operator: OperatorSetup, key: str, policy: dict[str, Any]) -> None:
    clients: Any = operator.aws.client
    clients("kms").put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(policy))


def test_the_documented_policy_lacks_nothing(operator: OperatorSetup, key: str) -> None:
    put_policy(operator, key, documented_policy())
    result = operator.push([operator.insights()], "--no-check")
    assert (result.exit_code, result.err) == (0, "")


def test_each_missing_statement_is_reported_and_the_push_goes_on(operator: OperatorSetup, key: str) -> None:
    policy = documented_policy()
    put_policy(operator, key, {**policy, "Statement": policy["Statement"][:1]})
    result = operator.push([operator.insights()], "--no-check")
    assert result.exit_code == 0
    assert operator.parameters().keys() == {"insights"}
    events, cloudwatch = result.err.splitlines()
    assert events.startswith(
        f"courier: the policy of the key {key}: it does not allow events.amazonaws.com kms:Decrypt"
    )
    assert "so alarms are not delivered; see docs/encryption.md" in cloudwatch


def test_a_policy_that_cannot_be_read_is_reported(operator: OperatorSetup, key: str) -> None:
    with aws_refuses("GetKeyPolicy", "AccessDeniedException", "no kms:GetKeyPolicy"):
        result = operator.push([operator.insights()], "--no-check")
    assert result.exit_code == 0
    assert result.error_line == (
        f"courier: the policy of the key {key} cannot be read (AccessDeniedException); "
        "compare it with docs/encryption.md"
    )


@pytest.mark.parametrize(
    ("number", "change", "words"),
    [
        (0, {"Principal": {"AWS": "arn:aws:iam::999999999999:root"}}, "policies of account"),
        (0, {"Effect": "Deny"}, "policies of account"),
        (1, {"Action": "kms:Decrypt"}, "events.amazonaws.com"),
        (1, {"Condition": {"StringEquals": {"aws:SourceAccount": ACCOUNT}}}, "events.amazonaws.com"),
        (1, {"Principal": "*"}, "events.amazonaws.com"),
        (2, {"Condition": {"StringEquals": {"kms:ViaService": "sns.eu-west-1.amazonaws.com"}}}, "cloudwatch"),
    ],
)
def test_a_statement_that_does_not_suffice_is_found(number: int, change: dict[str, Any], words: str) -> None:
    policy = documented_policy()
    policy["Statement"][number].update(change)
    (missing,) = missing_grants(policy, ACCOUNT)
    assert words in missing


@pytest.mark.parametrize(
    ("number", "change"),
    [
        (0, {"Principal": {"AWS": [ACCOUNT, "arn:aws:iam::999999999999:root"]}}),
        (0, {"Action": ["kms:Decrypt", "kms:Generate*"]}),
        (1, {"Principal": {"Service": ["events.amazonaws.com", "sns.amazonaws.com"]}, "Action": "kms:*"}),
        (2, {"Condition": {}}),
    ],
)
def test_other_statements_that_suffice_are_accepted(number: int, change: dict[str, Any]) -> None:
    policy = documented_policy()
    policy["Statement"][number].update(change)
    assert list(missing_grants(policy, ACCOUNT)) == []
