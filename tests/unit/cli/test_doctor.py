"""``courier doctor``: a line for each check, good or with the cure, and an exit code for scripts."""

from __future__ import annotations

import io
import json
import zipfile
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
import requests
from samtranslator.yaml_helper import yaml_parse

import courier as package
from cli.diagnosis import CHECKS, OUTPUTS, RUNTIME, SCHEDULES
from cli.stack import INTERFACE
from tests.support.aws import BUCKET, make_bucket
from tests.support.aws_responses import Reply, aws_replies, refusal
from tests.support.command import CommandResult, courier
from tests.support.providers import REGION

STACK = "courier-test"
NESTED = "arn:aws:cloudformation:eu-central-1:123456789012:stack/nested/1"
NOW = datetime.now(UTC)
TEMPLATE = yaml_parse((Path(__file__).resolve().parents[3] / "template.yaml").read_text(encoding="utf-8"))
SOURCE = {
    "name": "insights",
    "provider": "treasure_insights",
    "endpoint": "https://api.example.com",
    "secret": "build-courier/td",
    "data_models": "all",
}
LAYER = f"arn:aws:lambda:{REGION}:123456789012:layer:{STACK}-courier:3"
LINK = "https://layers.example.com/layer.zip?X-Amz-Signature=secret-signature"


class Patient:
    """A stack in which everything is well, and the replies of AWS that moto does not give."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        make_bucket()
        self.values = dict.fromkeys(OUTPUTS, "x") | {"BucketName": BUCKET, "ParameterPath": f"/{STACK}/sources"}
        self.values |= {"SecretPrefix": "build-courier/", "Interface": str(INTERFACE)}
        queue = boto3.client("sqs").create_queue(QueueName="letters")["QueueUrl"]
        self.values["DeadLettersUrl"] = queue
        sns = boto3.client("sns")
        for output in ("TopicArn", "AlarmsTopicArn"):
            self.values[output] = sns.create_topic(Name=output)["TopicArn"]
            sns.subscribe(TopicArn=self.values[output], Protocol="sqs", Endpoint=f"arn:aws:sqs:{REGION}:1:q")
        self.values["KeyPrefix"] = ""
        template = {
            "Resources": {"T": {"Type": "AWS::SNS::Topic"}},
            "Outputs": {name: {"Value": value} for name, value in self.values.items()},
        }
        boto3.client("cloudformation").create_stack(StackName=STACK, TemplateBody=json.dumps(template))
        self.schedules = {name: f"{STACK}-{name}-1A" for name in SCHEDULES}
        for physical in self.schedules.values():
            self.put_schedule(physical)
        self.alarm = {
            "AlarmName": f"{STACK}-poller",
            "StateValue": "OK",
            "StateUpdatedTimestamp": NOW - timedelta(days=2),
        }
        self.put_source(SOURCE)
        boto3.client("secretsmanager").create_secret(Name="build-courier/td", SecretString="k")
        self.function: dict[str, Any] = {"Runtime": RUNTIME, "State": "Active", "Layers": [{"Arn": LAYER}]}
        self.package = {path: path.read_bytes() for path in Path(package.__file__).parent.rglob("*.py")}
        self.quota = {"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 1000}
        self.tick = NOW - timedelta(minutes=6)
        self.replies: dict[str, Reply] = {
            "ListStackResources": lambda _: {"StackResourceSummaries": self._resources()},
            "DescribeAlarms": lambda _: {"MetricAlarms": [self.alarm]},
            "GetFunctionConfiguration": lambda _: self.function,
            "GetAccountSettings": lambda _: {"AccountLimit": self.quota},
            "GetMetricStatistics": lambda _: {
                "Datapoints": [
                    {"Timestamp": self.tick - timedelta(minutes=5), "Sum": 5},
                    {"Timestamp": self.tick, "Sum": 1},
                ]
            },
            "GetLayerVersionByArn": lambda _: {"Content": {"Location": LINK}},
        }
        monkeypatch.setattr("requests.get", self._download)

    def put_schedule(self, name: str, state: str = "ENABLED", expression: str = "rate(1 minute)") -> None:
        """Create or replace a schedule."""
        client = boto3.client("scheduler")
        arguments: dict[str, Any] = {
            "Name": name,
            "State": state,
            "ScheduleExpression": expression,
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "Target": {"Arn": f"arn:aws:lambda:{REGION}:1:function:f", "RoleArn": "arn:aws:iam::1:role/r"},
        }
        try:
            client.update_schedule(**arguments)
        except client.exceptions.ResourceNotFoundException:
            client.create_schedule(**arguments)

    def put_source(self, source: object, name: str = "insights") -> None:
        text = json.dumps(source)
        boto3.client("ssm").put_parameter(Name=f"/{STACK}/sources/{name}", Value=text, Type="String", Overwrite=True)

    def examine(self, *options: str, **replies: Reply) -> CommandResult:
        with aws_replies(**{**self.replies, **replies}):
            return courier("doctor", "--stack", STACK, "--region", REGION, *options)

    def lines(self, **replies: Reply) -> list[str]:
        """Return the lines of what is not good."""
        lines = [" ".join(line.split()) for line in self.examine(**replies).out.splitlines()[1:]]
        return [line for line in lines if not line.startswith("good ")]

    def _resources(self) -> list[dict[str, str]]:
        found = [
            ("Monitoring", "AWS::CloudFormation::Stack", NESTED),
            ("Alarm", "AWS::CloudWatch::Alarm", f"{STACK}-poller"),
        ]
        found += [(name, "AWS::Scheduler::Schedule", physical) for name, physical in self.schedules.items()]
        found += [("PollBuildsFunction", "AWS::Lambda::Function", "f")]
        names = ("LogicalResourceId", "ResourceType", "PhysicalResourceId")
        return [dict(zip(names, each, strict=True)) for each in found]

    def _download(self, url: str, **_: object) -> object:
        assert url == LINK
        content = io.BytesIO()
        root = Path(package.__file__).parent
        with zipfile.ZipFile(content, "w") as archive:
            for path, text in self.package.items():
                archive.writestr(f"python/courier/{path.relative_to(root).as_posix()}", text)
        content.seek(0)
        response = SimpleNamespace(status_code=200, raw=content)
        return nullcontext(response)


@pytest.fixture
def patient(moto: None, monkeypatch: pytest.MonkeyPatch) -> Patient:
    return Patient(monkeypatch)


def test_a_stack_that_is_well_has_only_good_lines(patient: Patient) -> None:
    result = patient.examine()
    assert (result.exit_code, result.err) == (0, ""), result.out
    heading, *lines = result.out.splitlines()
    assert heading == f"Stack {STACK}, region {REGION}"
    states = {line.split()[0] for line in lines}
    assert states == {"good", "note"}
    (note,) = [line for line in lines if line.startswith("note")]
    assert "no report has been delivered yet" in note


def test_json_has_every_finding(patient: Patient) -> None:
    rows = json.loads(patient.examine("-f", "json").out)
    assert {row["check"] for row in rows} == {check.__name__.replace("_", " ") for check in CHECKS}
    assert all(row.keys() == {"check", "state", "message"} for row in rows)


def test_switched_off_and_equally_named_schedules(patient: Patient) -> None:
    patient.put_schedule(patient.schedules["PollBuildsFunctionSchedule"], "DISABLED")
    patient.put_schedule(patient.schedules["RequestBuildFunctionSchedule"], "DISABLED")
    patient.schedules["DiscoverBuildsFunctionSchedule"] = "DiscoverBuildsFunctionSchedule"
    patient.put_schedule("DiscoverBuildsFunctionSchedule")
    polls, same, requests = [line for line in patient.lines() if "schedules" in line]
    assert polls.startswith(
        "problem schedules PollBuildsFunctionSchedule is switched off: make deploy PARAMETERS=PollSt"
    )
    assert "has the same name in every stack of the region: make deploy" in same
    assert requests.startswith("note ")
    del patient.schedules["PollBuildsFunctionSchedule"]
    assert "problem schedules PollBuildsFunctionSchedule is missing: make deploy" in patient.lines()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"StateValue": "ALARM"}, "has been in ALARM for 2 d: docs/runbook.md#poller"),
        ({"StateValue": "INSUFFICIENT_DATA"}, "has had no data for 2 d: docs/runbook.md#poller"),
        ({"StateValue": "INSUFFICIENT_DATA", "StateUpdatedTimestamp": NOW}, None),
        ({"ActionsEnabled": False}, "notifies nobody: aws cloudwatch enable-alarm-actions"),
        ({"AlarmName": "other"}, f"deleted by hand: {STACK}-poller"),
    ],
)
def test_alarms(patient: Patient, change: dict[str, object], expected: str | None) -> None:
    patient.alarm |= change
    found = [line for line in patient.lines() if " alarms " in line]
    assert len(found) == (expected is not None)
    assert expected is None or expected in found[0]
    assert patient.examine().exit_code == (expected is not None)


def test_dead_letters_unconfirmed_and_absent_subscribers(patient: Patient) -> None:
    boto3.client("sqs").send_message(QueueUrl=patient.values["DeadLettersUrl"], MessageBody="x")
    subscribers = [{"SubscriptionArn": "PendingConfirmation", "Endpoint": "ops@example.com"}]
    lines = patient.lines(ListSubscriptionsByTopic=lambda _: {"Subscriptions": subscribers})
    assert "problem dead letters 1 in the queue: docs/runbook.md#dead-letters" in lines
    assert [line for line in lines if "ops@example.com gets no alarms yet: confirm the e-mail" in line]
    lines = patient.lines(ListSubscriptionsByTopic=lambda _: {"Subscriptions": []})
    assert [line for line in lines if line.startswith("note subscriptions nobody gets notices: ")]


def test_sources_and_secrets(patient: Patient) -> None:
    patient.put_source({**SOURCE, "name": "other", "secret": "build-courier/absent"}, "other")
    patient.put_source({"name": "broken"}, "broken")
    boto3.client("secretsmanager").delete_secret(SecretId="build-courier/td")
    lines = patient.lines()
    assert [line for line in lines if line.startswith("problem sources broken: provider: field required")]
    absent = "problem secrets build-courier/absent does not exist: courier config set-secret build-courier/absent"
    assert absent in lines
    assert [line for line in lines if "build-courier/td is scheduled for deletion: aws secretsmanager restore" in line]


def test_a_stack_without_sources(patient: Patient) -> None:
    boto3.client("ssm").delete_parameter(Name=f"/{STACK}/sources/insights")
    assert "problem sources there are none: courier config push sources.yaml" in patient.lines()


def test_a_small_quota_is_a_note(patient: Patient) -> None:
    patient.quota |= {"ConcurrentExecutions": 10, "UnreservedConcurrentExecutions": 10}
    (line,) = [line for line in patient.lines() if "lambda quota" in line]
    assert line.startswith("note lambda quota 10 concurrent executions, 10 of them unreserved: ")
    assert patient.examine().exit_code == 0


@pytest.mark.parametrize(
    ("minutes", "expression", "is_late"),
    [
        (14, "rate(1 minute)", False),
        (20, "rate(1 minute)", True),
        (134, "rate(1 hour)", False),
        (136, "rate(1 hour)", True),
        (1400, "cron(0 5 * * ? *)", False),
    ],
)
def test_a_tick_is_late_by_its_schedule(patient: Patient, minutes: int, expression: str, is_late: bool) -> None:
    patient.put_schedule(patient.schedules["PollBuildsFunctionSchedule"], expression=expression)
    patient.tick = datetime.now(UTC) - timedelta(minutes=minutes)
    assert bool([line for line in patient.lines() if "last tick" in line]) is is_late


def test_no_tick_at_all(patient: Patient) -> None:
    none: Reply = lambda _: {"Datapoints": []}  # noqa: E731
    assert [line for line in patient.lines(GetMetricStatistics=none) if line.startswith("note last tick none yet")]

    def old(call: Any) -> object:  # noqa: ANN401
        response = call()
        response["Stacks"][0]["CreationTime"] = NOW - timedelta(minutes=16)
        return response

    lines = patient.lines(GetMetricStatistics=none, DescribeStacks=old)
    assert [line for line in lines if line.startswith("problem last tick none within a day")]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"Runtime": "python3.12"}, "PollBuildsFunction runs on python3.12, not on python3.13: make deploy"),
        (
            {"State": "Failed", "StateReason": "no key"},
            "PollBuildsFunction is Failed, its last update Successful: no key",
        ),
    ],
)
def test_a_function_that_cannot_run(patient: Patient, change: dict[str, str], expected: str) -> None:
    patient.function |= change
    assert f"problem functions {expected}" in patient.lines()


def test_another_version_in_the_layer_is_a_note(patient: Patient) -> None:
    init = Path(package.__file__)
    patient.package[init] = b'__version__ = "0.0.9"\n'
    (line,) = [line for line in patient.lines() if "functions" in line]
    assert line.startswith(f"note functions the package is 0.0.9, this command {package.__version__}; 1 modules differ")


def test_a_layer_that_cannot_be_read_shows_no_link(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(url: str, **_: object) -> object:
        raise requests.ConnectionError(url)

    monkeypatch.setattr("requests.get", broken)
    result = patient.examine()
    assert result.exit_code == 3
    assert f"the package in {LAYER} cannot be read" in result.out
    assert "secret-signature" not in result.out + result.err


def test_a_missing_permission_is_a_line_and_exit_code_3(patient: Patient) -> None:
    without_sources = (
        "DescribeAlarms", "GetSchedule", "GetQueueAttributes", "ListSubscriptionsByTopic", "GetAccountSettings",
        "GetMetricStatistics", "ListObjectsV2", "GetFunctionConfiguration", "GetParametersByPath",
    )  # fmt: skip
    for operations in (without_sources, ("DescribeSecret",)):
        result = patient.examine(**{operation: refusal(operation) for operation in operations})
        assert (result.exit_code, result.err) == (3, "")
        for operation in operations:
            assert f"your credentials may not call {operation} (AccessDeniedException)" in result.out


def test_an_earlier_version_and_a_failed_deployment(patient: Patient) -> None:
    def reply(change: dict[str, str], without: str = "") -> Reply:
        def described(call: Any) -> object:  # noqa: ANN401
            response = call()
            stack = response["Stacks"][0] | change
            stack["Outputs"] = [each for each in stack["Outputs"] if each["OutputKey"] != without]
            return {"Stacks": [stack]}

        return described

    lines = patient.lines(DescribeStacks=reply({}, "SecretPrefix"))
    assert "problem stack itself no output SecretPrefix: an earlier version is deployed; make deploy" in lines
    lines = patient.lines(DescribeStacks=reply({"StackStatus": "UPDATE_ROLLBACK_COMPLETE"}))
    assert [line for line in lines if line.startswith("problem stack itself UPDATE_ROLLBACK_COMPLETE: the last dep")]


def test_the_key_policy_of_a_customer_managed_key(patient: Patient) -> None:
    key = f"arn:aws:kms:{REGION}:123456789012:key/1"

    def described(call: Any) -> object:  # noqa: ANN401
        response = call()
        response["Stacks"][0]["Outputs"].append({"OutputKey": "KmsKeyArn", "OutputValue": key})
        return response

    policy = {"Policy": json.dumps({"Statement": []})}
    lines = patient.lines(DescribeStacks=described, GetKeyPolicy=lambda _: policy)
    assert len([line for line in lines if line.startswith("problem key policy the policy of the key")]) >= 2
    lines = patient.lines(DescribeStacks=described, GetKeyPolicy=refusal("GetKeyPolicy"))
    assert [line for line in lines if line.startswith("unchecked key policy")]


def test_50_columns_show_every_word(patient: Patient) -> None:
    with aws_replies(**patient.replies):
        result = courier("doctor", "--stack", STACK, "--region", REGION, columns=50)
    assert "docs/runbook" not in result.out
    assert "no report has been delivered yet" in " ".join(result.out.split())


def test_what_is_checked_is_what_the_template_has() -> None:
    assert {name for name, output in TEMPLATE["Outputs"].items() if "Condition" not in output} == OUTPUTS
    assert TEMPLATE["Globals"]["Function"]["Runtime"] == RUNTIME
    for logical_id, parameter in SCHEDULES.items():
        function = TEMPLATE["Resources"][logical_id.removesuffix("Schedule")]
        assert function["Properties"]["Events"]["Schedule"]["Properties"]["State"] == {"Ref": parameter}
