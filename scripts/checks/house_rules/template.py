"""Rules about the template, deployed with its defaults and with every option set."""
# ruff: noqa: D401 - the first lines state the rules

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from local.embedded.schedules import Schedule, schedules
from local.sam.expansion import DEFAULT_LOCATION, function_folders, resources_of
from local.sam.intrinsics import Resolver, Template, TemplateError
from scripts.checks.checkout import Checkout
from scripts.checks.permissions import policies_of

# Statements that may allow every resource, each with its reason.
WILDCARDS = {
    "DeliverLogs": "log delivery has no resource ('Logging using CloudWatch Logs', Step Functions developer guide)",
}
# AWS managed policies that SAM adds. Any other managed policy would grant permissions that no review has seen.
MANAGED_POLICIES = {
    "AWSLambdaBasicExecutionRole": "writes logs; SAM attaches it to every function",
    "AWSXrayWriteOnlyAccess": "sends traces, which are not tied to resources; SAM attaches it where tracing is on",
}

# A partition in an ARN (a pattern may allow any), a region, an account.
_NAME_PROPERTIES = {
    "AlarmName", "BucketName", "DashboardName", "FunctionName", "GroupName", "LayerName", "LogGroupName", "Name",
    "QueueName", "RoleName", "StateMachineName", "TableName", "TopicName",
}  # fmt: skip
_LOCATION = re.compile(r"arn:aws:|\b(?:af|ap|ca|cn|eu|il|me|mx|sa|us)(?:-gov|-iso[a-z]?)?-[a-z]+-\d\b|\b\d{12}\b")


def permissions_are_exact(checkout: Checkout) -> Iterator[str]:
    """No statement allows all resources or all actions, except where AWS supports nothing narrower."""
    for deployment in (checkout.defaults, checkout.all_options):
        for policy, document in policies_of(deployment):
            statements = document["Statement"]
            for statement in statements if isinstance(statements, list) else [statements]:
                if "*" in _listed(statement.get("Resource")) and statement.get("Sid") not in WILDCARDS:
                    yield f"{policy}: {statement.get('Sid', 'a statement')} allows every resource"
                for action in _listed(statement["Action"]):
                    if "*" in action:
                        yield f"{policy}: {statement.get('Sid', 'a statement')} allows {action}"
        for logical_id, role in resources_of(deployment, "AWS::IAM::Role"):
            for arn in role["Properties"].get("ManagedPolicyArns", []):
                if arn.rpartition("/")[2] not in MANAGED_POLICIES:
                    yield f"{logical_id} attaches {arn}"


def functions_have_log_groups(checkout: Checkout) -> Iterator[str]:
    """Each function writes to a log group of its own that expires its events."""
    groups = dict(resources_of(checkout.defaults, "AWS::Logs::LogGroup"))
    for logical_id, function in resources_of(checkout.defaults, "AWS::Lambda::Function"):
        expected = f"{logical_id.removesuffix('Function')}LogGroup"
        logging = function["Properties"].get("LoggingConfig", {})
        if expected not in groups:
            yield f"{logical_id} has no {expected}"
        elif logging.get("LogGroup") != expected:
            yield f"{logical_id} does not write into {expected}"
        if logging.get("LogFormat") != "JSON":
            yield f"{logical_id} does not log as JSON"
    for logical_id, group in groups.items():
        if "RetentionInDays" not in group["Properties"]:
            yield f"{logical_id} never expires its events"


def physical_names_are_unique(checkout: Checkout) -> Iterator[str]:
    """No resource has a name that a second stack in the same region would have too."""
    for logical_id, resource in checkout.all_options["Resources"].items():
        for name in _NAME_PROPERTIES & resource.get("Properties", {}).keys():
            value = resource["Properties"][name]
            # The name of another resource is a reference, resolved to its logical id.
            is_reference = value != logical_id and value in checkout.all_options["Resources"]
            is_literal = isinstance(value, str) and not is_reference
            if is_literal and DEFAULT_LOCATION.stack_name not in value:
                yield f"{logical_id} has the same {name} in every stack"


def metric_lines_pass_the_log_filter(checkout: Checkout) -> Iterator[str]:
    """Lambda keeps lines of the level INFO, among which it counts the lines that carry metrics."""
    levels = checkout.defaults["Parameters"]["LogLevel"]["AllowedValues"]
    for level in sorted(set(levels) - {"TRACE", "DEBUG", "INFO"}):
        yield f"LogLevel {level} drops the metrics, so that alarms stay silent"


def function_names_agree(checkout: Checkout) -> Iterator[str]:
    """The folder, the logical id, the log group and the substitution of a function have the same name."""
    folders = function_folders(checkout.expanded)
    groups = dict(resources_of(checkout.defaults, "AWS::Logs::LogGroup"))
    for logical_id, folder in folders.items():
        word = Path(folder).name
        pascal = "".join(part.capitalize() for part in word.split("_"))
        if not re.fullmatch(r"[a-z]+_[a-z]+", word):
            yield f"{folder} is not named verb_noun"
        if folder != f"functions/{word}" or logical_id != f"{pascal}Function":
            yield f"{logical_id} takes its code from {folder}"
        group = groups.get(f"{pascal}LogGroup", {}).get("Properties", {})
        if not str(group.get("LogGroupName", f"/{word}")).endswith(f"/{word}"):
            yield f"{pascal}LogGroup is not named after {word}"
    for name, value in checkout.substitutions.items():
        if ":function:" in str(value) and name != f"{value.rpartition(':')[2]}Arn":
            yield f"the substitution {name} refers to {value.rpartition(':')[2]}"
    folder_names = {path.parent.name for path in (checkout.root / "functions").glob("*/app.py")}
    for word in sorted(folder_names ^ {Path(folder).name for folder in folders.values()}):
        yield f"functions/{word} is not both a folder with an app.py and a function of the template"


def schedules_are_valid(checkout: Checkout) -> Iterator[str]:
    """Schedules parse, a tick is not retried, and undeliverable events go to a dead-letter queue."""
    try:
        found = schedules(checkout.expanded)
    except TemplateError as exc:
        yield str(exc)
        return
    yield from (finding for schedule in found for finding in _check_schedule(schedule))
    for logical_id, rule in resources_of(checkout.defaults, "AWS::Events::Rule"):
        for target in rule["Properties"].get("Targets", []):
            if "DeadLetterConfig" not in target:
                yield f"{logical_id} has no dead-letter queue"


def asynchronous_functions_keep_failures(checkout: Checkout) -> Iterator[str]:
    """A function that is invoked asynchronously sends failed events to a queue after a bounded number of retries."""
    invoked = {schedule.target for schedule in schedules(checkout.expanded) if schedule.target_kind == "function"}
    for _, rule in resources_of(checkout.defaults, "AWS::Events::Rule"):
        invoked |= {str(target["Arn"]).rpartition(":")[2] for target in rule["Properties"].get("Targets", [])}
    configured = {
        str(config["Properties"]["FunctionName"]): config["Properties"]
        for _, config in resources_of(checkout.defaults, "AWS::Lambda::EventInvokeConfig")
    }
    for function in sorted(invoked):
        config = configured.get(function, {})
        if not config.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination"):
            yield f"{function} is invoked asynchronously and has no failure destination"
        if not {"MaximumRetryAttempts", "MaximumEventAgeInSeconds"} <= config.keys():
            yield f"{function} is invoked asynchronously without a limit of retries and event age"


def dashboards_parse(checkout: Checkout) -> Iterator[str]:
    """The body of each dashboard is JSON with widgets, which no other tool checks."""
    for deployment in (checkout.defaults, checkout.all_options):
        for logical_id, dashboard in resources_of(deployment, "AWS::CloudWatch::Dashboard"):
            try:
                body = json.loads(dashboard["Properties"]["DashboardBody"])
            except (json.JSONDecodeError, TypeError) as exc:
                yield f"{logical_id} is not JSON: {exc}"
                continue
            if not isinstance(body, dict) or not body.get("widgets"):
                yield f"{logical_id} has no widgets"


def every_condition_is_checked(checkout: Checkout) -> Iterator[str]:
    """Every condition of the template is true in one of the two checked deployments and false in the other."""
    for name, condition in checkout.expanded.get("Conditions", {}).items():
        values = [_decides(deployment, name) for deployment in (checkout.defaults, checkout.all_options)]
        if values[0] == values[1]:
            yield f"condition {name} ({json.dumps(condition)}) has the same value with and without every option"


def no_region_or_account_is_named(checkout: Checkout) -> Iterator[str]:
    """The files name no region, account or partition, so they work in all of them."""
    definition = "statemachine/build_lifecycle.asl.yaml"
    for name in ("template.yaml", *checkout.nested, definition, "samplconfig.toml"):
        text = (checkout.root / name).read_text(encoding="utf-8")
        for number, line in enumerate(text.splitlines(), start=1):
            if match := _LOCATION.search(line):
                yield f"{name}:{number} names {match[0]}"


def _decides(deployment: Template, condition: str) -> bool:
    return Resolver(deployment, DEFAULT_LOCATION).condition(condition)


def _check_schedule(schedule: Schedule) -> Iterator[str]:
    name = schedule.logical_id
    if schedule.dead_letter_queue is None:
        yield f"{name} has no dead-letter queue"
    # An undelivered request is worth a retry; a tick is followed by the next one.
    if "Request" not in name and schedule.retry_attempts:
        yield f"{name} is a tick and is retried {schedule.retry_attempts} times"
    if schedule.input is not None:
        try:
            json.loads(schedule.input)
        except json.JSONDecodeError as exc:
            yield f"{name} has an input that is not JSON: {exc}"


def _listed(value: Any) -> list[Any]:  # noqa: ANN401 - IAM accepts one value or a list
    return value if isinstance(value, list) else [value]
