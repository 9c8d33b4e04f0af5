"""The checks of ``courier doctor``; each reads AWS and yields what it found."""
# ruff: noqa: D401, ARG001 - the first lines state what is checked, and every check has the same arguments

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError
from botocore.exceptions import BotoCoreError, ClientError

import courier
from cli.key_policy import policy_warnings
from cli.records import read_latest
from cli.stack import Stack, untyped_client
from cli.tables import age
from courier import aws
from courier.config.environment import EMBEDDED_TAG
from courier.errors import CourierError
from courier.sources.catalog import Sources

# The outputs of template.yaml that every stack has.
OUTPUTS: Final = frozenset(
    {
        "AlarmsTopicArn", "BucketName", "DashboardUrl", "DeadLettersUrl", "Interface", "KeyPrefix", "LedgerTableName",
        "ParameterPath", "RequestBuildFunctionName", "SecretPrefix", "StateMachineArn", "TopicArn",
    }
)  # fmt: skip
# As in template.yaml.
RUNTIME: Final = "python3.13"
SCHEDULES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "PollBuildsFunctionSchedule": "PollState",
        "DiscoverBuildsFunctionSchedule": "DiscoverState",
        "RequestBuildFunctionSchedule": "RequestState",
    }
)
_POLLER = "PollBuildsFunctionSchedule"
# The longest period of an alarm is an hour; a new alarm without data is one for the first.
_LONG_WITHOUT_DATA = timedelta(hours=2)
# Below this, copies of builds that end together wait, and Lambda refuses to reserve concurrency (docs/quota.md).
SMALL_QUOTA: Final = 100
_TICKS_SINCE = timedelta(hours=25)
_METRICS_ARE_LATE = timedelta(minutes=15)
# A layer has half a megabyte.
_LARGEST_LAYER = 20_000_000
_DOWNLOAD_SECONDS = 20
_MOST_SCOPES = 200
_DENIED = re.compile(r"AccessDenied|Unauthorized|AuthorizationError|NotAuthorized|Forbidden", re.IGNORECASE)
_UNITS = MappingProxyType({"minute": 60, "hour": 3_600, "day": 86_400})


class State(StrEnum):
    """What a check found; a note needs nothing done."""

    GOOD = "good"
    NOTE = "note"
    PROBLEM = "problem"
    UNCHECKED = "unchecked"


@dataclass(frozen=True)
class Finding:
    """One line of the diagnosis."""

    state: State
    message: str
    check: str = ""

    def as_row(self) -> dict[str, str]:
        """Return it for JSON and CSV."""
        return {"check": self.check, "state": str(self.state), "message": self.message}


@dataclass(frozen=True)
class Examined:
    """A deployed stack, with what several checks need."""

    stack: Stack
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    @cached_property
    def described(self) -> Mapping[str, Any]:
        """What CloudFormation says about the stack."""
        found: Any = aws.client("cloudformation").describe_stacks(StackName=self.stack.name)["Stacks"][0]
        return found  # type: ignore[no-any-return]

    @property
    def is_embedded(self) -> bool:
        """Whether this is the embedded AWS of ``courier run``."""
        return any(tag["Key"] == EMBEDDED_TAG for tag in self.described.get("Tags", ()))

    @cached_property
    def resources(self) -> Sequence[Mapping[str, Any]]:
        """The stack's resources."""
        return _resources(self.stack.name)

    @cached_property
    def sources(self) -> Sources:
        """The configured sources, valid or not."""
        return self.stack.container.sources.load()

    def of_type(self, name: str) -> Iterator[tuple[str, str]]:
        """Yield logical and physical id of the resources of one type."""
        for each in self.resources:
            if each["ResourceType"] == name:
                yield each["LogicalResourceId"], each.get("PhysicalResourceId", "")

    def physical_id(self, logical_id: str) -> str:
        """Return the physical id of a resource; empty if there is no such resource."""
        found = (
            each.get("PhysicalResourceId", "") for each in self.resources if each["LogicalResourceId"] == logical_id
        )
        return next(found, "")


def examine(stack: Stack) -> Iterator[Finding]:
    """Yield the findings of all checks, in the order in which an operator would look."""
    examined = Examined(stack)
    for check in _CHECKS_OF_A_RUN if examined.is_embedded else CHECKS:
        name = check.__name__.replace("_", " ").strip()
        for finding in _guarded(check, examined):
            yield Finding(finding.state, finding.message, name)


def _guarded(check: Callable[[Examined], Iterator[Finding]], examined: Examined) -> Iterator[Finding]:
    """Yield what a check finds; what it may not or cannot read is a finding too."""
    try:
        yield from check(examined)
    except CourierError as exc:
        yield Finding(State.PROBLEM, str(exc))
    except (BotoCoreError, ClientError, GetParameterError) as exc:
        # Powertools wraps botocore's error without setting the cause.
        cause = exc.__context__ if isinstance(exc, GetParameterError) and exc.__context__ else exc
        if isinstance(cause, ClientError):
            code = cause.response["Error"]["Code"]
            reason = f"AWS refuses {cause.operation_name} ({code})"
            if _DENIED.search(code):
                reason = f"your credentials may not call {cause.operation_name} ({code})"
            yield Finding(State.UNCHECKED, reason)
        else:
            yield Finding(State.UNCHECKED, " ".join(str(cause).split()))


def stack_itself(examined: Examined) -> Iterator[Finding]:
    """The stack is complete."""
    status = examined.described["StackStatus"]
    missing = sorted(OUTPUTS - examined.stack.outputs.keys())
    if "ROLLBACK" in status or "FAILED" in status:
        yield Finding(State.PROBLEM, f"{status}: the last deployment failed; see its events, then make deploy")
    elif status.endswith("_IN_PROGRESS"):
        yield Finding(State.NOTE, f"{status}: a deployment is going on; the lines below may be about either version")
    elif missing:
        yield Finding(State.PROBLEM, f"no output {', '.join(missing)}: an earlier version is deployed; make deploy")
    else:
        yield Finding(State.GOOD, f"{status}, {len(examined.resources)} resources, all outputs")


def a_local_run(examined: Examined) -> Iterator[Finding]:
    """The embedded AWS has only what a run needs."""
    yield Finding(State.NOTE, "courier run: its embedded AWS has no schedules, alarms, layers, metrics and quotas")


def schedules(examined: Examined) -> Iterator[Finding]:
    """Each schedule is enabled, and has a name that no other stack has."""
    found = dict(examined.of_type("AWS::Scheduler::Schedule"))
    client = untyped_client("scheduler")
    for logical_id, parameter in SCHEDULES.items():
        if logical_id not in found:
            yield Finding(State.PROBLEM, f"{logical_id} is missing: make deploy")
            continue
        schedule = client.get_schedule(Name=found[logical_id])
        if found[logical_id] == logical_id:
            yield Finding(State.PROBLEM, f"{logical_id} has the same name in every stack of the region: make deploy")
        if schedule["State"] == "ENABLED":
            yield Finding(State.GOOD, f"{logical_id}: {schedule['ScheduleExpression']}")
            continue
        state = State.PROBLEM if logical_id == _POLLER else State.NOTE
        yield Finding(state, f"{logical_id} is switched off: make deploy PARAMETERS={parameter}=ENABLED")


def alarms(examined: Examined) -> Iterator[Finding]:
    """No alarm is in ALARM, or without data for long."""
    nested = examined.physical_id("Monitoring")
    names = [
        each["PhysicalResourceId"]
        for each in (_resources(nested) if nested else ())
        if each["ResourceType"] == "AWS::CloudWatch::Alarm"
    ]
    if not names:
        yield Finding(State.PROBLEM, "there are none: make deploy")
        return
    found = untyped_client("cloudwatch").describe_alarms(AlarmNames=names)["MetricAlarms"]
    missing = sorted(set(names) - {alarm["AlarmName"] for alarm in found})
    if missing:
        yield Finding(State.PROBLEM, f"deleted by hand: {', '.join(missing)}; deploy with another parameter, then back")
    fine = 0
    for alarm in found:
        name, since = alarm["AlarmName"], age(examined.now, alarm["StateUpdatedTimestamp"])
        section = name.removeprefix(f"{examined.stack.name}-")
        if not alarm.get("ActionsEnabled", True):
            yield Finding(State.PROBLEM, f"{name} notifies nobody: aws cloudwatch enable-alarm-actions")
        if alarm["StateValue"] == "ALARM":
            yield Finding(State.PROBLEM, f"{name} has been in ALARM for {since}: docs/runbook.md#{section}")
        elif alarm["StateValue"] != "OK" and examined.now - alarm["StateUpdatedTimestamp"] > _LONG_WITHOUT_DATA:
            yield Finding(State.PROBLEM, f"{name} has had no data for {since}: docs/runbook.md#{section}")
        else:
            fine += 1
    if fine:
        yield Finding(State.GOOD, f"{fine} of {len(names)} are OK")


def dead_letters(examined: Examined) -> Iterator[Finding]:
    """Nothing failed after all retries."""
    url = examined.stack.outputs.get("DeadLettersUrl", "")
    queue = untyped_client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
    count = int(queue["Attributes"]["ApproximateNumberOfMessages"])
    if count:
        yield Finding(State.PROBLEM, f"{count} in the queue: docs/runbook.md#dead-letters")
    else:
        yield Finding(State.GOOD, "none")


def subscriptions(examined: Examined) -> Iterator[Finding]:
    """Each subscriber has confirmed."""
    for output, what in (("TopicArn", "notices"), ("AlarmsTopicArn", "alarms")):
        topic = examined.stack.outputs.get(output, "")
        if not topic:
            continue
        pages = aws.client("sns").get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic)
        found = [each for page in pages for each in page["Subscriptions"]]
        pending = [each["Endpoint"] for each in found if not each["SubscriptionArn"].startswith("arn:")]
        for endpoint in pending:
            yield Finding(State.PROBLEM, f"{endpoint} gets no {what} yet: confirm the e-mail that AWS has sent")
        if not found:
            cure = "make deploy PARAMETERS=NotificationEmail=ADDRESS, or docs/consuming.md"
            yield Finding(State.NOTE, f"nobody gets {what}: {cure}")
        elif len(pending) < len(found):
            yield Finding(State.GOOD, f"{what}: {len(found) - len(pending)} confirmed")


def sources(examined: Examined) -> Iterator[Finding]:
    """Each source is valid."""
    for name, reason in sorted(examined.sources.broken.items()):
        yield Finding(State.PROBLEM, f"{name}: {reason}; correct sources.yaml, then courier config push")
    if examined.sources.usable:
        yield Finding(State.GOOD, f"valid: {', '.join(sorted(examined.sources.usable))}")
    elif not examined.sources.broken:
        yield Finding(State.PROBLEM, "there are none: courier config push sources.yaml")


def secrets(examined: Examined) -> Iterator[Finding]:
    """The secret of each source exists; its value is not read."""
    client = aws.client("secretsmanager")
    present = []
    for name in sorted({settings.secret for settings in examined.sources.usable.values()}):
        try:
            found = client.describe_secret(SecretId=name)
        except client.exceptions.ResourceNotFoundException:
            yield Finding(State.PROBLEM, f"{name} does not exist: courier config set-secret {name}")
            continue
        if found.get("DeletedDate"):
            cure = f"aws secretsmanager restore-secret --secret-id {name}"
            yield Finding(State.PROBLEM, f"{name} is scheduled for deletion: {cure}")
        else:
            present.append(name)
    if present:
        yield Finding(State.GOOD, f"present: {', '.join(present)}")


def lambda_quota(examined: Examined) -> Iterator[Finding]:
    """Functions of this account may run at once in sufficient number."""
    limits: Any = aws.client("lambda").get_account_settings()["AccountLimit"]
    total, free = limits["ConcurrentExecutions"], limits["UnreservedConcurrentExecutions"]
    text = f"{total} concurrent executions, {free} of them unreserved"
    if free < SMALL_QUOTA:
        yield Finding(State.NOTE, f"{text}: what ends together is delivered later; docs/quota.md says how to raise it")
    else:
        yield Finding(State.GOOD, text)


def last_tick(examined: Examined) -> Iterator[Finding]:
    """The poller is invoked as often as its schedule says."""
    function = examined.physical_id("PollBuildsFunction")
    response = untyped_client("cloudwatch").get_metric_statistics(
        Namespace="AWS/Lambda",
        MetricName="Invocations",
        Dimensions=[{"Name": "FunctionName", "Value": function}],
        StartTime=examined.now - _TICKS_SINCE,
        EndTime=examined.now,
        Period=300,
        Statistics=["Sum"],
    )
    seen = [point["Timestamp"] for point in response["Datapoints"] if point["Sum"] > 0]
    if not seen and examined.now - examined.described["CreationTime"] < _METRICS_ARE_LATE:
        yield Finding(State.NOTE, "none yet: the stack is new, and metrics are some minutes late")
        return
    if not seen:
        yield Finding(State.PROBLEM, "none within a day: docs/runbook.md#poller")
        return
    since = examined.now - max(seen)
    text = f"{age(examined.now, max(seen))} ago, in steps of 5 min"
    if since > _longest_gap(examined):
        yield Finding(State.PROBLEM, f"{text}: docs/runbook.md#poller")
    else:
        yield Finding(State.GOOD, text)


def _longest_gap(examined: Examined) -> timedelta:
    """Return the time without a tick that is a problem: metrics are some minutes late."""
    name = dict(examined.of_type("AWS::Scheduler::Schedule")).get(_POLLER, "")
    expression = untyped_client("scheduler").get_schedule(Name=name)["ScheduleExpression"] if name else ""
    rate = re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", expression)
    return _METRICS_ARE_LATE + timedelta(seconds=2 * int(rate[1]) * _UNITS[rate[2]]) if rate else _TICKS_SINCE


def last_copy(examined: Examined) -> Iterator[Finding]:
    """Reports arrive."""
    records = read_latest(examined.stack, None, most=_MOST_SCOPES).records.values()
    record = next((each for each in records if each.artifact is not None), None)
    if record is None:
        yield Finding(State.NOTE, "no report has been delivered yet")
    else:
        yield Finding(State.GOOD, f"{age(examined.now, record.ended_at)} ago: {record.build}")


def functions(examined: Examined) -> Iterator[Finding]:
    """The functions can run, on the runtime and with the package that belong to this command."""
    client = aws.client("lambda")
    layers = set()
    fine = 0
    for logical_id, name in examined.of_type("AWS::Lambda::Function"):
        found: Any = client.get_function_configuration(FunctionName=name)
        state, update = found.get("State", "Active"), found.get("LastUpdateStatus", "Successful")
        if state not in {"Active", "Inactive"} or update == "Failed":
            reason = found.get("StateReason") or found.get("LastUpdateStatusReason") or "no reason"
            yield Finding(State.PROBLEM, f"{logical_id} is {state}, its last update {update}: {reason}")
        elif found.get("Runtime") != RUNTIME:
            yield Finding(State.PROBLEM, f"{logical_id} runs on {found.get('Runtime')}, not on {RUNTIME}: make deploy")
        else:
            fine += 1
        layers |= {layer["Arn"] for layer in found.get("Layers", [])}
    if fine:
        yield Finding(State.GOOD, f"{fine} ready, on {RUNTIME}")
    yield from _package(sorted(layers))


def _package(layers: Sequence[str]) -> Iterator[Finding]:
    """Compare the package in the layer with the one of this command."""
    own = Path(courier.__file__).parent
    for arn in layers:
        if not re.search(r":layer:([\w-]+-courier|CourierLayer):\d+$", arn):
            continue
        content = _package_in(arn)
        if not content:
            yield Finding(State.UNCHECKED, f"the package in {arn} cannot be read")
            continue
        version = re.search(r'__version__ = "(.+)"', content.get("__init__.py", b"").decode(errors="replace"))
        here = {path.relative_to(own).as_posix(): path.read_bytes() for path in own.rglob("*.py")}
        different = sorted(name for name in here.keys() | content.keys() if here.get(name) != content.get(name))
        text = f"the package is {version[1] if version else 'unknown'}, this command {courier.__version__}"
        if different:
            more = f"{len(different)} modules differ, such as {different[0]}"
            yield Finding(State.NOTE, f"{text}; {more}: make deploy, or use the command of that version")
        else:
            yield Finding(State.GOOD, f"{text}, with the same code")


def _package_in(layer: str) -> dict[str, bytes]:
    """Download the modules of the package in a layer; empty if that fails. The presigned link is a secret."""
    import requests

    location = aws.client("lambda").get_layer_version_by_arn(Arn=layer)["Content"].get("Location", "")
    try:
        with requests.get(location, timeout=_DOWNLOAD_SECONDS, stream=True) as response:
            if response.status_code != requests.codes.ok:
                return {}
            with zipfile.ZipFile(io.BytesIO(response.raw.read(_LARGEST_LAYER))) as archive:
                return {
                    name.removeprefix("python/courier/"): archive.read(name)
                    for name in archive.namelist()
                    if name.startswith("python/courier/") and name.endswith(".py")
                }
    except (requests.RequestException, zipfile.BadZipFile, OSError, ValueError):
        return {}


def key_policy(examined: Examined) -> Iterator[Finding]:
    """The policy of a key of yours allows what the stack needs."""
    if examined.stack.key_arn is None:
        yield Finding(State.GOOD, "keys of AWS encrypt everything, except the alarms topic")
        return
    warnings = list(policy_warnings(examined.stack.key_arn))
    for warning in warnings:
        state = State.UNCHECKED if "cannot be read" in warning else State.PROBLEM
        yield Finding(state, warning)
    if not warnings:
        yield Finding(State.GOOD, f"{examined.stack.key_arn} has what docs/encryption.md lists")


CHECKS: Final = (
    stack_itself, schedules, alarms, dead_letters, subscriptions, sources, secrets, lambda_quota, last_tick, last_copy,
    functions, key_policy,
)  # fmt: skip
_CHECKS_OF_A_RUN: Final = (a_local_run, dead_letters, subscriptions, sources, secrets, last_copy, functions)


def _resources(stack: str) -> Sequence[Mapping[str, Any]]:
    pages = aws.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
    return [each for page in pages for each in page["StackResourceSummaries"]]
