"""The check of service integrations finds faults that no linter finds."""

import copy
from typing import Any

import pytest

from scripts.checks.checkout import Checkout, Definition
from scripts.checks.integrations import check_task, integrations

TOKEN = "{% $states.context.Task.Token %}"
WAIT: Definition = {
    "Type": "Task",
    "Resource": "arn:aws:states:::aws-sdk:dynamodb:updateItem.waitForTaskToken",
    "TimeoutSeconds": 3600,
    "Arguments": {
        "TableName": "ledger",
        "Key": {"build": {"S": "{% $states.input.build %}"}},
        "UpdateExpression": "SET task_token = :token",
        "ExpressionAttributeValues": {":token": {"S": TOKEN}},
    },
    "Retry": [{"ErrorEquals": ["DynamoDb.InternalServerErrorException", "States.Timeout"]}],
}
PUBLISH: Definition = {
    "Type": "Task",
    "Resource": "arn:aws:states:::sns:publish",
    "Arguments": {"TopicArn": "arn:aws:sns:eu-central-1:123456789012:t", "Message": {"default": "x"}},
}
INVOKE: Definition = {"Type": "Task", "Resource": "arn:aws:lambda:eu-central-1:123456789012:function:CopyArtifact"}


def changed(task: Definition, *path: str, value: object = None) -> Definition:
    """Return a copy of the task with one value set, or removed where it is None."""
    result = copy.deepcopy(task)
    place: Any = result
    for name in path[:-1]:
        place = place[name]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return result


@pytest.mark.parametrize("task", [WAIT, PUBLISH, INVOKE])
def test_a_sound_task_is_left_alone(task: Definition) -> None:
    assert list(check_task(task)) == []


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (changed(WAIT, "Resource", value="arn:aws:states:::aws-sdk:dynamo:updateItem"), "no service 'dynamo'"),
        (changed(WAIT, "Resource", value="arn:aws:states:::aws-sdk:dynamodb:updateRow"), "no action 'updateRow'"),
        (changed(WAIT, "Resource", value="arn:aws:states:::aws-sdk:dynamodb:UpdateItem"), "no action 'UpdateItem'"),
        (changed(WAIT, "Resource", value="arn:aws:states:::aws-sdk:dynamodb:updateItem.sync"), "no pattern 'sync'"),
        (changed(WAIT, "Resource", value="arn:aws:states:::dynamodb:query"), "no action 'query'"),
        (changed(WAIT, "Resource", value="arn:aws:states:::dynamodb:updateItem.waitForTaskToken"), "no pattern"),
        (changed(WAIT, "Resource", value="arn:aws:s3:::bucket"), "neither a function nor"),
        (changed(WAIT, "Arguments", "Table", value="ledger"), "no parameter 'Table'"),
        (changed(WAIT, "Arguments", "TableName"), "needs the parameter 'TableName'"),
        (changed(WAIT, "Arguments", "Key", value={"build": {"Text": "x"}}), "no parameter 'Text'"),
        (changed(WAIT, "Arguments", "Key", value=["build"]), "must be a map"),
        (changed(WAIT, "Arguments", "ReturnValues", value="SOME"), "must be one of NONE"),
        (changed(WAIT, "Arguments", "ExpressionAttributeValues", ":token", "S", value="x"), "never passes it on"),
        (changed(WAIT, "TimeoutSeconds"), "without TimeoutSeconds"),
        (changed(WAIT, "HeartbeatSeconds", value=7200), "longer than TimeoutSeconds"),
        (
            changed(WAIT, "Retry", value=[{"ErrorEquals": ["DynamoDB.InternalServerErrorException"]}]),
            "cannot end this Task",
        ),
        (changed(WAIT, "Retry", value=[{"ErrorEquals": ["DynamoDb.SlowDownException"]}]), "cannot end this Task"),
        (changed(WAIT, "Catch", value=[{"ErrorEquals": ["States.Timedout"]}]), "cannot end this Task"),
        (changed(PUBLISH, "Resource", value="arn:aws:states:::ses:sendEmail"), "no optimised integration 'ses'"),
        (changed(PUBLISH, "Arguments", "topicArn", value="x"), "no parameter 'topicArn'"),
        (changed(INVOKE, "Retry", value=[{"ErrorEquals": ["Lambda.Throttled"]}]), "cannot end this Task"),
    ],
)
def test_a_fault_is_named(task: Definition, words: str) -> None:
    findings = list(check_task(task))
    assert any(words in finding for finding in findings), findings


def test_the_real_state_machine_is_sound(checkout: Checkout) -> None:
    result = integrations(checkout)
    assert result.findings == ()
    assert result.checked.startswith("6 tasks")
