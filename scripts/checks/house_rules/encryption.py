"""Rules about a customer managed key: who writes to what the key encrypts can use the key."""
# ruff: noqa: D401 - the first lines state the rules

import json
import re
from collections.abc import Iterator
from typing import Any

from cli.key_policy import ACTIONS, SERVICES, missing_grants
from local.sam.expansion import DEFAULT_LOCATION, resources_of
from local.sam.intrinsics import Template
from scripts.checks.checkout import ALL_OPTIONS, Checkout
from scripts.checks.permissions import policies_of

DOCUMENT = "docs/encryption.md"
_STORES = ("AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::SNS::Topic", "AWS::SQS::Queue")
_RESOURCE_POLICIES = ("AWS::SNS::TopicPolicy", "AWS::SQS::QueuePolicy")
# They need no right on the key: SQS and SNS use it when a message is sent or received.
_UNENCRYPTED_CALLS = {"sqs:GetQueueAttributes"}


def stores_use_the_key(checkout: Checkout) -> Iterator[str]:
    """Every table, topic and queue is encrypted with the key of the stack, if there is one."""
    encrypted = _encrypted(checkout.all_options)
    for kind in _STORES:
        for logical_id, _ in resources_of(checkout.all_options, kind):
            if logical_id not in encrypted:
                yield f"{logical_id} is not encrypted with KmsKeyArn"


def roles_can_use_the_key(checkout: Checkout) -> Iterator[str]:
    """Every role that may read or write something encrypted may use the key."""
    encrypted = _encrypted(checkout.all_options)
    users: dict[str, str] = {}
    holders: dict[str, set[str]] = {}
    for name, document in policies_of(checkout.all_options):
        role = name.partition(".")[0]
        for statement in document["Statement"]:
            actions = _listed(statement["Action"])
            if ALL_OPTIONS["KmsKeyArn"] in _listed(statement["Resource"]):
                holders.setdefault(role, set()).update(actions)
            for store in encrypted & {_logical_id(arn) for arn in _listed(statement["Resource"])}:
                if set(actions) - _UNENCRYPTED_CALLS:
                    users[role] = store
    for role, store in sorted(users.items()):
        if missing := set(ACTIONS) - holders.get(role, set()):
            yield f"{role} uses {store} and may not {' or '.join(sorted(missing))} with its key"


def key_policy_is_documented(checkout: Checkout) -> Iterator[str]:
    """The policy in the document grants what the command checks, which is what the services that write need."""
    text = (checkout.root / DOCUMENT).read_text(encoding="utf-8")
    block = re.search(r"```json\n(.*?)```", text, re.DOTALL)
    try:
        policy = json.loads(block[1] if block else "")
    except json.JSONDecodeError as exc:
        yield f"{DOCUMENT} has no policy that is JSON: {exc}"
        return
    account = DEFAULT_LOCATION.account
    for missing in missing_grants(policy, account):
        yield f"the policy in {DOCUMENT}: {missing}"
    writers = set(_writing_services(checkout.all_options))
    for service in sorted(writers ^ SERVICES.keys()):
        yield f"{service} is not both a service that writes to an encrypted store and one that `config push` checks"


def _encrypted(deployment: Template) -> set[str]:
    key = json.dumps(ALL_OPTIONS["KmsKeyArn"])
    return {
        logical_id
        for kind in _STORES
        for logical_id, resource in resources_of(deployment, kind)
        if key in json.dumps(resource["Properties"])
    }


def _writing_services(deployment: Template) -> Iterator[str]:
    """Yield the services that the policies of encrypted queues and topics allow to write."""
    encrypted = _encrypted(deployment)
    for kind in _RESOURCE_POLICIES:
        for _, resource in resources_of(deployment, kind):
            for statement in resource["Properties"]["PolicyDocument"]["Statement"]:
                stores = {_logical_id(arn) for arn in _listed(statement["Resource"])}
                if statement["Effect"] == "Allow" and encrypted & stores and isinstance(statement["Principal"], dict):
                    yield from _listed(statement["Principal"].get("Service", []))


def _logical_id(arn: Any) -> str:  # noqa: ANN401 - what a policy names as its resource
    """Return the name in an ARN, which is the logical id in a resolved deployment: ``...:table/Name/index/due``."""
    last = str(arn).rpartition(":")[2]
    return last.removeprefix("table/").partition("/")[0]


def _listed(value: Any) -> list[Any]:  # noqa: ANN401 - IAM accepts one value or a list
    return value if isinstance(value, list) else [value]
