"""Rules of the template, looked at as deployed with its defaults and with every option used."""
# ruff: noqa: D401 - the first lines state the rules

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from local.embedded.schedules import Schedule, schedules
from local.sam.expansion import DEFAULT_LOCATION, function_folders, resources_of
from local.sam.intrinsics import Resolver, Template, TemplateError
from scripts.judges.case import Case
from scripts.judges.rights import policies_of

# Statements that may name every resource, each with its reason.
WILDCARDS = {
    "DeliverLogs": "log delivery knows no resources ('Logging using CloudWatch Logs', Step Functions developer guide)",
}
# AWS's own policies that SAM adds; whatever else comes by name brings rights that nobody here has read.
MANAGED_POLICIES = {
    "AWSLambdaBasicExecutionRole": "writes logs; SAM gives it to every function",
    "AWSXrayWriteOnlyAccess": "sends traces, which know no resources; SAM adds it where tracing is on",
}

# A partition in an ARN (a pattern may allow any), a region, an account.
_PLACE = re.compile(r"arn:aws:|\b(?:af|ap|ca|cn|eu|il|me|mx|sa|us)(?:-gov|-iso[a-z]?)?-[a-z]+-\d\b|\b\d{12}\b")


def rights_are_exact(case: Case) -> Iterator[str]:
    """No statement allows all resources or all actions, except where AWS knows no narrower way."""
    for deployment in (case.plain, case.everything):
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
                    yield f"{logical_id} brings {arn}"


def functions_have_log_groups(case: Case) -> Iterator[str]:
    """Each function writes into a log group of its own that forgets."""
    groups = dict(resources_of(case.plain, "AWS::Logs::LogGroup"))
    for logical_id, function in resources_of(case.plain, "AWS::Lambda::Function"):
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
            yield f"{logical_id} keeps its lines forever"


def words_agree(case: Case) -> Iterator[str]:
    """One word names the folder, the logical id, the log group and the substitution."""
    folders = function_folders(case.expanded)
    groups = dict(resources_of(case.plain, "AWS::Logs::LogGroup"))
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
    for name, value in case.substitutions.items():
        if ":function:" in str(value) and name != f"{value.rpartition(':')[2]}Arn":
            yield f"the substitution {name} stands for {value.rpartition(':')[2]}"
    there = {path.parent.name for path in (case.root / "functions").glob("*/app.py")}
    for word in sorted(there ^ {Path(folder).name for folder in folders.values()}):
        yield f"functions/{word} is not both a folder with an app.py and a function of the template"


def schedules_are_sound(case: Case) -> Iterator[str]:
    """Schedules parse; a tick is not repeated, and what could not be handed over is kept."""
    try:
        found = schedules(case.expanded)
    except TemplateError as exc:
        yield str(exc)
        return
    yield from (finding for schedule in found for finding in _check_schedule(schedule))
    for logical_id, rule in resources_of(case.plain, "AWS::Events::Rule"):
        for target in rule["Properties"].get("Targets", []):
            if "DeadLetterConfig" not in target:
                yield f"{logical_id} has no dead-letter queue"


def asynchronous_functions_keep_failures(case: Case) -> Iterator[str]:
    """A function that nobody waits for sends what it failed at to a queue, after a bounded number of tries."""
    called = {schedule.target for schedule in schedules(case.expanded) if schedule.target_kind == "function"}
    for _, rule in resources_of(case.plain, "AWS::Events::Rule"):
        called |= {str(target["Arn"]).rpartition(":")[2] for target in rule["Properties"].get("Targets", [])}
    configured = {
        str(config["Properties"]["FunctionName"]): config["Properties"]
        for _, config in resources_of(case.plain, "AWS::Lambda::EventInvokeConfig")
    }
    for function in sorted(called):
        config = configured.get(function, {})
        if not config.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination"):
            yield f"{function} is called asynchronously and has no failure destination"
        if not {"MaximumRetryAttempts", "MaximumEventAgeInSeconds"} <= config.keys():
            yield f"{function} is called asynchronously without saying how often and how long to try"


def dashboards_parse(case: Case) -> Iterator[str]:
    """No tool reads the JSON inside a dashboard."""
    for deployment in (case.plain, case.everything):
        for logical_id, dashboard in resources_of(deployment, "AWS::CloudWatch::Dashboard"):
            try:
                body = json.loads(dashboard["Properties"]["DashboardBody"])
            except (json.JSONDecodeError, TypeError) as exc:
                yield f"{logical_id} is no JSON: {exc}"
                continue
            if not isinstance(body, dict) or not body.get("widgets"):
                yield f"{logical_id} shows nothing"


def options_are_all_judged(case: Case) -> Iterator[str]:
    """Every condition of the template holds in one of the two judged deployments, and fails in the other."""
    for name, condition in case.expanded.get("Conditions", {}).items():
        kept = [_decides(deployment, name) for deployment in (case.plain, case.everything)]
        if kept[0] == kept[1]:
            yield f"condition {name} ({json.dumps(condition)}) is the same with and without every option"


def nothing_names_a_place(case: Case) -> Iterator[str]:
    """The same files work in every region, account and partition."""
    definition = "statemachine/build_lifecycle.asl.yaml"
    for name in ("template.yaml", *case.nested, definition, "samplconfig.toml"):
        text = (case.root / name).read_text(encoding="utf-8")
        for number, line in enumerate(text.splitlines(), start=1):
            if match := _PLACE.search(line):
                yield f"{name}:{number} names {match[0]}"


def _decides(deployment: Template, condition: str) -> bool:
    return Resolver(deployment, DEFAULT_LOCATION).condition(condition)


def _check_schedule(schedule: Schedule) -> Iterator[str]:
    name = schedule.logical_id
    if schedule.dead_letter_queue is None:
        yield f"{name} has no dead-letter queue"
    # Requests are worth a second try of handing them over; a tick is followed by the next one.
    if "Request" not in name and schedule.retry_attempts:
        yield f"{name} is a tick, and is repeated {schedule.retry_attempts} times"
    if schedule.input is not None:
        try:
            json.loads(schedule.input)
        except json.JSONDecodeError as exc:
            yield f"{name} sends no JSON: {exc}"


def _listed(value: Any) -> list[Any]:  # noqa: ANN401 - IAM takes one or many
    return value if isinstance(value, list) else [value]
