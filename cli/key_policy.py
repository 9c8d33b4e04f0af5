"""What the policy of a customer managed KMS key must allow, which no template can grant (docs/encryption.md)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any, Final

# A sender to an encrypted queue or topic needs both ("Key management", developer guides of Amazon SQS and Amazon SNS).
ACTIONS: Final = ("kms:Decrypt", "kms:GenerateDataKey")
# What is lost when a service may not use the key.
SERVICES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "events.amazonaws.com": "requests by event that fail are lost instead of being kept in the dead-letter queue",
        "cloudwatch.amazonaws.com": "alarms are not delivered",
    }
)
# Conditions that AWS evaluates for a service. EventBridge sends no source: any condition would refuse it.
_CONDITIONS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {"cloudwatch.amazonaws.com": frozenset({"aws:sourceaccount", "aws:sourcearn"})}
)


def policy_warnings(key_arn: str) -> Iterator[str]:
    """Read the policy of a key, and yield what it lacks; a policy that cannot be read is one line too."""
    from botocore.exceptions import ClientError

    from cli.stack import untyped_client

    try:
        text = untyped_client("kms").get_key_policy(KeyId=key_arn, PolicyName="default")["Policy"]
    except ClientError as exc:
        code = exc.response["Error"]["Code"]
        yield f"the policy of the key {key_arn} cannot be read ({code}); compare it with docs/encryption.md"
        return
    for missing in missing_grants(json.loads(text), key_arn.split(":")[4]):
        yield f"the policy of the key {key_arn}: {missing}; see docs/encryption.md"


def missing_grants(policy: Mapping[str, Any], account: str) -> Iterator[str]:
    """Yield one line for each permission that the policy of a key lacks, with what it is needed for.

    A statement with a condition that cannot be evaluated here counts as absent, and ``Deny`` is not evaluated.
    """
    statements = [each for each in _listed(policy.get("Statement")) if each.get("Effect") == "Allow"]
    if not any(_names_account(each, account) and _allows(each, frozenset()) for each in statements):
        yield (
            f"it does not leave permissions to the policies of account {account}, "
            "so functions, state machine and schedules cannot use the key"
        )
    for service, loss in SERVICES.items():
        conditions = _CONDITIONS.get(service, frozenset())
        if not any(
            service in _listed(_principals(each).get("Service")) and _allows(each, conditions) for each in statements
        ):
            without = "" if conditions else " without a condition"
            yield f"it does not allow {service} {' and '.join(ACTIONS)}{without}, so {loss}"


def _names_account(statement: Mapping[str, Any], account: str) -> bool:
    names = _listed(_principals(statement).get("AWS"))
    return any(name == account or str(name).endswith(f":iam::{account}:root") for name in names)


def _allows(statement: Mapping[str, Any], conditions: frozenset[str]) -> bool:
    patterns = [str(pattern).lower() for pattern in _listed(statement.get("Action"))]
    used = {str(key).lower() for operator in statement.get("Condition", {}).values() for key in operator}
    return used <= conditions and all(
        any(fnmatchcase(action.lower(), pattern) for pattern in patterns) for action in ACTIONS
    )


def _principals(statement: Mapping[str, Any]) -> Mapping[str, Any]:
    principal = statement.get("Principal")
    return principal if isinstance(principal, dict) else {}


def _listed(value: Any) -> Sequence[Any]:  # noqa: ANN401 - IAM accepts one value or a list
    return value if isinstance(value, list) else [] if value is None else [value]
