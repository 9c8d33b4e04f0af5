"""A small stack with one of everything that the embedded AWS supports, and the real one."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.embedded.embedded_aws import EmbeddedAws
from local.embedded.interception import (
    AwsCall,
    CallFault,
    DropResponse,
    Interception,
    Invocation,
    InvocationFault,
    ResponseFault,
)

TEMPLATE = """
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Parameters:
  Beat: {Type: String, Default: rate(1 minute)}
  Mail: {Type: String, Default: ""}
Conditions:
  HasMail: !Not [!Equals [!Ref Mail, ""]]
Globals:
  Function:
    Runtime: python3.13
    Handler: app.handler
    Timeout: 60
    Layers: [!Ref SharedLayer]
    Environment:
      Variables:
        TABLE: !Ref Table
        BUCKET: !Ref Store
        POWERTOOLS_SERVICE_NAME: small
Resources:
  Store:
    Type: AWS::S3::Bucket
    DeletionPolicy: Retain
    Properties:
      VersioningConfiguration: {Status: Enabled}
      NotificationConfiguration: {EventBridgeConfiguration: {EventBridgeEnabled: true}}
  StorePolicy:
    Type: AWS::S3::BucketPolicy
    Properties:
      Bucket: !Ref Store
      PolicyDocument: {Version: "2012-10-17", Statement: []}
  Topic:
    Type: AWS::SNS::Topic
  MailSubscription:
    Type: AWS::SNS::Subscription
    Condition: HasMail
    Properties: {TopicArn: !Ref Topic, Protocol: email, Endpoint: !Ref Mail}
  DeadLetters:
    Type: AWS::SQS::Queue
  Table:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: build, AttributeType: S}]
      KeySchema: [{AttributeName: build, KeyType: HASH}]
      TimeToLiveSpecification: {AttributeName: expires_at, Enabled: true}
  Setting:
    Type: AWS::SSM::Parameter
    Properties: {Type: String, Name: !Sub "/${AWS::StackName}/setting", Value: hello}
  SharedLayer:
    Type: AWS::Serverless::LayerVersion
    Properties: {ContentUri: layers/shared, RetentionPolicy: Delete}
  WorkFunction:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: functions/work
      MemorySize: 512
      Policies:
        - Version: "2012-10-17"
          Statement: [{Effect: Allow, Action: dynamodb:GetItem, Resource: !GetAtt Table.Arn}]
        - !If [HasMail, {Version: "2012-10-17", Statement: []}, !Ref AWS::NoValue]
      EventInvokeConfig:
        MaximumRetryAttempts: 1
        MaximumEventAgeInSeconds: 100
        DestinationConfig: {OnFailure: {Type: SQS, Destination: !GetAtt DeadLetters.Arn}}
      Events:
        Tick:
          Type: ScheduleV2
          Properties:
            ScheduleExpression: !Ref Beat
            Input: '{"at": "<aws.scheduler.scheduled-time>"}'
            RetryPolicy: {MaximumRetryAttempts: 0}
            DeadLetterConfig: {Arn: !GetAtt DeadLetters.Arn}
        Never:
          Type: ScheduleV2
          Properties: {ScheduleExpression: rate(2 minutes), State: DISABLED, Input: '{"never": true}'}
        Nightly:
          Type: ScheduleV2
          Properties: {ScheduleExpression: "cron(0 5 * * ? *)", ScheduleExpressionTimezone: Europe/Berlin, Input: '{}'}
  Machine:
    Type: AWS::Serverless::StateMachine
    Properties:
      DefinitionUri: statemachine/machine.asl.yaml
      DefinitionSubstitutions:
        WorkFunctionArn: !GetAtt WorkFunction.Arn
        Table: !Ref Table
        TopicArn: !Ref Topic
      Policies:
        - Version: "2012-10-17"
          Statement: [{Effect: Allow, Action: sns:Publish, Resource: !Ref Topic}]
  Alarm:
    Type: AWS::CloudWatch::Alarm
    Properties:
      Namespace: AWS/States
      MetricName: ExecutionsFailed
      Statistic: Sum
      Period: 60
      EvaluationPeriods: 1
      Threshold: 0
      ComparisonOperator: GreaterThanThreshold
Outputs:
  StoreName: {Value: !Ref Store}
  MachineArn: {Value: !Ref Machine}
  AlarmName: {Value: !Ref Alarm}
"""

DEFINITION = """
QueryLanguage: JSONata
StartAt: Kind
States:
  Kind:
    Type: Choice
    Choices:
      - Condition: "{% $states.input.wait = false %}"
        Next: Work
    Default: WaitForToken
  WaitForToken:
    Type: Task
    Resource: arn:aws:states:::aws-sdk:dynamodb:updateItem.waitForTaskToken
    TimeoutSeconds: 3600
    Arguments:
      TableName: ${Table}
      Key: {build: {S: "{% $states.input.name %}"}}
      UpdateExpression: SET task_token = :token
      ExpressionAttributeValues: {":token": {S: "{% $states.context.Task.Token %}"}}
    Output: "{% $merge([$states.input, $states.result]) %}"
    Next: Work
  Work:
    Type: Task
    Resource: ${WorkFunctionArn}
    TimeoutSeconds: 60
    Arguments: "{% $states.input %}"
    Retry:
      - ErrorEquals: [NotYetError]
        IntervalSeconds: 30
        MaxAttempts: 3
        BackoffRate: 2
      - ErrorEquals: [Lambda.TooManyRequestsException, Lambda.SdkClientException, Runtime.ExitError]
        IntervalSeconds: 1
        MaxAttempts: 2
    Catch:
      - ErrorEquals: [HopelessError]
        Output: {caught: "{% $states.errorOutput %}"}
        Next: WorkAgain
    Next: WorkAgain
  WorkAgain:
    Type: Task
    Resource: arn:aws:states:::lambda:invoke
    TimeoutSeconds: 60
    Arguments:
      FunctionName: ${WorkFunctionArn}
      Payload: "{% $states.input %}"
    Output: "{% $states.result.Payload %}"
    Next: Announce
  Announce:
    Type: Task
    Resource: arn:aws:states:::sns:publish
    TimeoutSeconds: 60
    Arguments:
      TopicArn: ${TopicArn}
      Subject: done
      Message: "{% $string({'default': 'It said: ' & $string($states.input)}) %}"
      MessageStructure: json
      MessageAttributes: {outcome: {DataType: String, StringValue: delivered}}
    End: true
"""

HANDLER = """
import json
import os
from concurrent.futures import ThreadPoolExecutor

import boto3
from aws_lambda_powertools import Logger
from botocore.config import Config

logger = Logger()
attempts = {}


class NotYetError(Exception):
    pass


class HopelessError(Exception):
    pass


def client(service):
    return boto3.session.Session().client(service)


@logger.inject_lambda_context
def handler(event, context):
    logger.info("working", data=event)
    do = event.get("do", "echo")
    if do == "fail":
        raise HopelessError("no way")
    if do == "not yet":
        attempts["not yet"] = attempts.get("not yet", 0) + 1
        if attempts["not yet"] < 3:
            raise NotYetError("later")
    if do == "put":
        with ThreadPoolExecutor(2) as pool:
            s3 = client("s3")
            bodies = {"a/one": b"1", "a/two": b"2"}
            list(pool.map(lambda key: s3.put_object(Bucket=os.environ["BUCKET"], Key=key, Body=bodies[key]), bodies))
    if do == "put and clean up":
        s3 = boto3.session.Session().client("s3", config=Config(retries={"total_max_attempts": 1}))
        try:
            s3.put_object(Bucket=os.environ["BUCKET"], Key="kept", Body=b"x")
            s3.put_object(Bucket=os.environ["BUCKET"], Key="second", Body=b"x")
        except Exception:
            logger.info("survived")
            s3.put_object(Bucket=os.environ["BUCKET"], Key="excuse", Body=b"x")
        finally:
            s3.delete_object(Bucket=os.environ["BUCKET"], Key="kept")
    if do == "create":
        put = client("s3").put_object
        return {"etag": put(Bucket=os.environ["BUCKET"], Key="a/one", Body=b"1", IfNoneMatch="*").get("ETag")}
    if do == "read":
        client("dynamodb").get_item(TableName=os.environ["TABLE"], Key={"build": {"S": "x"}})
    if do == "context":
        return {
            "name": context.function_name,
            "memory": context.memory_limit_in_mb,
            "left": context.get_remaining_time_in_millis(),
            "arn": context.invoked_function_arn,
        }
    if do == "unspeakable":
        return object()
    return {"echo": event}
"""


@pytest.fixture(scope="session")
def small_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small stack as files."""
    root = tmp_path_factory.mktemp("small")
    for folder in ("functions/work", "layers/shared", "statemachine"):
        (root / folder).mkdir(parents=True)
    (root / "template.yaml").write_text(TEMPLATE, encoding="utf-8")
    (root / "statemachine/machine.asl.yaml").write_text(DEFINITION, encoding="utf-8")
    (root / "functions/work/app.py").write_text(HANDLER, encoding="utf-8")
    return root / "template.yaml"


@pytest.fixture(scope="module")
def small(small_template: Path) -> Iterator[EmbeddedAws]:
    """The running small stack; the tests of a module share it, and none of them may start another."""
    with EmbeddedAws(small_template, time_scale=0.001) as aws:
        yield aws


class _Switch(Interception):
    """Passes everything on to the interception of the current test."""

    def __init__(self) -> None:
        self.to = Interception()

    def before_call(self, call: AwsCall) -> CallFault | None:
        return self.to.before_call(call)

    def after_call(self, call: AwsCall, status: int) -> ResponseFault | None:
        return self.to.after_call(call, status)

    def before_invocation(self, invocation: Invocation) -> InvocationFault | None:
        return self.to.before_invocation(invocation)

    def after_invocation(self, invocation: Invocation, *, error_type: str | None) -> DropResponse | None:
        return self.to.after_invocation(invocation, error_type=error_type)


@pytest.fixture(scope="module")
def switched(small_template: Path) -> Iterator[tuple[EmbeddedAws, _Switch]]:
    """The running small stack, and the switch that passes its calls on."""
    switch = _Switch()
    with EmbeddedAws(small_template, interception=switch, time_scale=0.001) as aws:
        yield aws, switch


@pytest.fixture
def disturbed(switched: tuple[EmbeddedAws, _Switch]) -> Iterator[Callable[[Interception], EmbeddedAws]]:
    """Return a function that sets the test's own interception, over a small stack that holds nothing."""
    aws, switch = switched

    def start(interception: Interception) -> EmbeddedAws:
        switch.to = interception
        return aws

    yield start
    switch.to = Interception()
    aws.wait_until_idle()
    aws.forget_executions()
    aws.dead_letters()
    s3, bucket = aws.client("s3"), aws.resources["Store"]
    for version in s3.list_object_versions(Bucket=bucket).get("Versions", []):
        s3.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])
