"""``courier uninstall``: delete a stack, and say what stays and what it costs."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from cli.shared import DEFAULT_STACK, EXIT_FAILED, EXIT_INTERRUPTED, EndpointUrl, Profile, Region, StackName, say
from courier.errors import SettingsError

if TYPE_CHECKING:
    from cli.deployment import StackChoice

# The beginning of the description of template.yaml: no other stack is deleted.
DESCRIPTION = "Build Courier "
POLL_SECONDS = 5.0
# CloudFormation itself gives up within this time.
LONGEST_SECONDS = 3_600.0
MOST_RUNNING = 1_000
_BATCH = 1_000
_DELETED = "DELETE_COMPLETE"


class Leftover(StrEnum):
    """What a stack leaves behind unless it is named."""

    BUCKET = "bucket"
    SECRETS = "secrets"
    PARAMETERS = "parameters"


@dataclass(frozen=True, kw_only=True)
class Installation:
    """What belongs to a stack, inside and outside of it."""

    name: str
    stack_id: str
    status: str
    resources: Mapping[str, str]
    types: Counter[str]
    bucket: str | None
    owns_bucket: bool
    parameters: Sequence[str]
    secrets: Sequence[str]
    key_arn: str | None
    running: Sequence[str]
    notes: Sequence[str]


def uninstall(
    stack: StackName = DEFAULT_STACK,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would go and what would stay.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Delete without asking.")] = False,
    stop_running: Annotated[
        bool,
        typer.Option(
            "--stop-running", help="Stop the executions that run; their builds get neither a record nor a notice."
        ),
    ] = False,
    also: Annotated[
        list[Leftover] | None,
        typer.Option(
            "--also",
            metavar="bucket|secrets|parameters",
            help="Delete this too: the bucket with all reports and records, the secrets that the sources name (AWS can "
            "restore them for 30 days), or the parameters with the sources. Repeatable.",
        ),
    ] = None,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Delete a deployed stack. Bucket, secrets and sources stay, unless `--also` names them.

    It shows what goes and what stays, and asks. It refuses while executions run, because their builds would get neither
    a record nor a notice: first switch off discovery and requests, and wait until the builds in flight have ended.

    **Examples**

        make deploy PARAMETERS="DiscoverState=DISABLED RequestState=DISABLED"
        courier builds --in-flight

        courier uninstall --dry-run

        courier uninstall --also secrets --also parameters

    **Exit code** 0: the stack is gone, or this was a dry run. 1: nothing was deleted. 2: an error, or AWS
    could not delete everything; the message says what. 130: interrupted; a deletion that has begun goes on in AWS.
    """
    from cli.deployment import choose_stack
    from cli.stack import aws_environment, one_line_errors

    console, errors = Console(highlight=False), Console(stderr=True, highlight=False)
    chosen = frozenset(also or ())
    choice = choose_stack(stack, region=region, profile=profile)
    with (
        aws_environment(profile=choice.profile, region=choice.region, endpoint_url=endpoint_url),
        one_line_errors(),
    ):
        found = _find(choice)
        if Leftover.BUCKET in chosen and not found.owns_bucket:
            raise SettingsError(
                f"--also bucket: the stack did not make the bucket {found.bucket or ''}, so it is not deleted"
            )
        for line in _plan(found, chosen, would=dry_run):
            say(console, line)
        if found.running and not stop_running:
            for line in _refusal(found):
                say(errors, line, style="yellow" if dry_run else "red")
        if dry_run:
            return
        if found.running and not stop_running:
            raise typer.Exit(EXIT_FAILED)
        if not yes and not _confirm(found, chosen):
            say(errors, "Nothing was deleted; --yes deletes without asking.", style="red")
            raise typer.Exit(EXIT_FAILED)
        try:
            _delete(console, found, chosen, stop_running=stop_running)
        except KeyboardInterrupt:
            say(
                errors,
                "Interrupted; what was begun goes on in AWS. Not deleted, or not completely:",
                style="red",
            )
            for line in _left(found, frozenset()):
                say(errors, f"  {line}", style="red")
            raise typer.Exit(EXIT_INTERRUPTED) from None
        say(console, f"Deleted {found.name}.")
        for line in _costs(found, chosen):
            say(console, line)


def _find(choice: StackChoice) -> Installation:
    """Read what belongs to the stack."""
    from botocore.exceptions import ClientError

    from cli.stack import describe_stack
    from courier import aws

    described = describe_stack(choice)
    if not described.get("Description", "").startswith(DESCRIPTION):
        raise SettingsError(f"stack {choice.stack} is not a Build Courier: its description begins differently")
    client = aws.client("cloudformation")
    outputs = {each["OutputKey"]: each.get("OutputValue", "") for each in described.get("Outputs", [])}
    pages = client.get_paginator("list_stack_resources").paginate(StackName=described["StackId"])
    summaries = [
        each for page in pages for each in page["StackResourceSummaries"] if each["ResourceStatus"] != _DELETED
    ]
    resources = {each["LogicalResourceId"]: each.get("PhysicalResourceId", "") for each in summaries}
    notes: list[str] = []
    parameters: list[str] = []
    secrets: list[str] = []
    path = outputs.get("ParameterPath") or f"/{choice.stack}/sources"
    try:
        parameters, secrets = _sources(path)
    except ClientError as exc:
        notes.append(f"the sources cannot be read ({exc.response['Error']['Code']}); parameters and secrets stay")
    if letters := _dead_letters(outputs.get("DeadLettersUrl", "")):
        notes.append(f"the dead letters ({letters}) go with the queue (docs/runbook.md#dead-letters)")
    return Installation(
        name=choice.stack,
        stack_id=described["StackId"],
        status=described["StackStatus"],
        resources=resources,
        types=Counter(each["ResourceType"] for each in summaries if each["LogicalResourceId"] != "ReportsBucket"),
        bucket=outputs.get("BucketName") or resources.get("ReportsBucket"),
        owns_bucket="ReportsBucket" in resources,
        parameters=parameters,
        secrets=secrets,
        key_arn=outputs.get("KmsKeyArn") or None,
        running=_running(resources.get("BuildLifecycle", "")),
        notes=notes,
    )


def _sources(path: str) -> tuple[list[str], list[str]]:
    """Return the names of the parameters with sources, and of the secrets that they name."""
    import json

    from courier import aws

    pages = aws.client("ssm").get_paginator("get_parameters_by_path").paginate(Path=path)
    found = {each["Name"]: each["Value"] for page in pages for each in page["Parameters"]}
    secrets = set()
    for text in found.values():
        try:
            name = json.loads(text)["secret"]
        except (ValueError, TypeError, KeyError):
            continue
        secrets.add(str(name))
    return sorted(found), sorted(secrets)


def _dead_letters(url: str) -> int:
    """Return the number of messages in the dead-letter queue; 0 if it cannot be read."""
    from botocore.exceptions import ClientError

    from cli.stack import untyped_client

    if not url:
        return 0
    try:
        found = untyped_client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
    except ClientError:
        return 0
    return int(found["Attributes"]["ApproximateNumberOfMessages"])


def _running(state_machine: str) -> list[str]:
    """Return the ARNs of the executions that run, up to a limit."""
    from courier import aws

    if not state_machine:
        return []
    client = aws.client("stepfunctions")
    try:
        pages = client.get_paginator("list_executions").paginate(
            stateMachineArn=state_machine, statusFilter="RUNNING", PaginationConfig={"MaxItems": MOST_RUNNING}
        )
        return [each["executionArn"] for page in pages for each in page["executions"]]
    except client.exceptions.StateMachineDoesNotExist:
        return []


def _plan(found: Installation, chosen: frozenset[Leftover], *, would: bool) -> Iterator[str]:
    """Yield what goes and what stays."""
    yield f"Stack {found.name} ({found.stack_id.split(':')[3]}, account {found.stack_id.split(':')[4]}, {found.status})"
    yield "Would go:" if would else "Goes:"
    kinds = [f"{count} {name.rpartition('::')[2]}" for name, count in sorted(found.types.items())]
    yield f"  {found.types.total()} resources: {', '.join(kinds)}"
    yield "  with the ledger, the logs, and the subscriptions of both topics"
    if Leftover.BUCKET in chosen:
        yield f"  the bucket {found.bucket} with all reports and records"
    if Leftover.SECRETS in chosen:
        yield f"  secrets: {', '.join(found.secrets) or 'none'}"
    if Leftover.PARAMETERS in chosen:
        yield f"  parameters: {', '.join(found.parameters) or 'none'}"
    yield "Would stay:" if would else "Stays:"
    for line in [*_left(found, chosen)] or ["nothing"]:
        yield f"  {line}"
    for note in found.notes:
        yield f"Note: {note}"


def _left(found: Installation, chosen: frozenset[Leftover]) -> Iterator[str]:
    if found.bucket and Leftover.BUCKET not in chosen:
        origin = "" if found.owns_bucket else ", which the stack did not make"
        yield f"the bucket {found.bucket} with all reports and records{origin}"
    if found.secrets and Leftover.SECRETS not in chosen:
        yield f"secrets: {', '.join(found.secrets)}"
    if found.parameters and Leftover.PARAMETERS not in chosen:
        yield f"parameters: {', '.join(found.parameters)}"
    if found.key_arn:
        yield f"the key {found.key_arn}"


def _refusal(found: Installation) -> Iterator[str]:
    more = " or more" if len(found.running) == MOST_RUNNING else ""
    yield f"Running executions: {len(found.running)}{more}. Their builds would get neither a record nor a notice."
    yield "Drain first: make deploy PARAMETERS='DiscoverState=DISABLED RequestState=DISABLED', then wait until"
    yield "courier builds --in-flight lists none. Or pass --stop-running."


def _confirm(found: Installation, chosen: frozenset[Leftover]) -> bool:
    """Ask; without a terminal the answer is no."""
    if not sys.stdin.isatty():
        return False
    if Leftover.BUCKET in chosen:
        question = "All reports and records will be lost. Type the bucket's name to delete it"
        if str(typer.prompt(question, default="", show_default=False, err=True)).strip() != found.bucket:
            return False
    return typer.confirm(f"Delete {found.name}?", err=True)


def _delete(console: Console, found: Installation, chosen: frozenset[Leftover], *, stop_running: bool) -> None:
    from courier import aws

    machine = found.resources.get("BuildLifecycle", "")
    if stop_running:
        _stop(found.running)
    client = aws.client("cloudformation")
    if found.status != "DELETE_IN_PROGRESS":
        client.delete_stack(StackName=found.stack_id)
    _wait(console, found, machine if stop_running else "")
    if Leftover.PARAMETERS in chosen:
        for start in range(0, len(found.parameters), 10):
            aws.client("ssm").delete_parameters(Names=list(found.parameters[start : start + 10]))
        say(console, f"Deleted parameters: {len(found.parameters)}")
    if Leftover.SECRETS in chosen:
        _delete_secrets(console, found.secrets)
    if Leftover.BUCKET in chosen and found.bucket:
        _delete_bucket(console, found.bucket)


def _stop(executions: Sequence[str]) -> None:
    from courier import aws

    client = aws.client("stepfunctions")
    for arn in executions:
        try:
            client.stop_execution(executionArn=arn, error="Uninstalled", cause="courier uninstall --stop-running")
        except client.exceptions.ExecutionDoesNotExist:
            continue


def _wait(console: Console, found: Installation, state_machine: str) -> None:
    """Wait until CloudFormation has deleted the stack; a state machine is deleted only when no execution runs."""
    from courier import aws

    client = aws.client("cloudformation")
    said, ends_at = -1, time.monotonic() + LONGEST_SECONDS
    while True:
        status = client.describe_stacks(StackName=found.stack_id)["Stacks"][0]["StackStatus"]
        if status == _DELETED:
            return
        pages = client.get_paginator("list_stack_resources").paginate(StackName=found.stack_id)
        summaries = [each for page in pages for each in page["StackResourceSummaries"]]
        if status != "DELETE_IN_PROGRESS":
            failed = [
                f"{each['LogicalResourceId']}: {each.get('ResourceStatusReason', 'no reason')}"
                for each in summaries
                if each["ResourceStatus"] == "DELETE_FAILED"
            ]
            raise SettingsError(
                f"AWS could not delete {found.name} ({status}): {'; '.join(failed) or 'no reason'}; "
                "remove the reason, then run courier uninstall again"
            )
        done = sum(each["ResourceStatus"] == _DELETED for each in summaries)
        if done != said:
            say(console, f"{done} of {len(summaries)} resources deleted ...")
            said = done
        if time.monotonic() > ends_at:
            raise SettingsError(f"{found.name} is still {status} after an hour; run courier uninstall again to wait")
        time.sleep(POLL_SECONDS)
        _stop(_running(state_machine))


def _delete_secrets(console: Console, secrets: Sequence[str]) -> None:
    from courier import aws

    client = aws.client("secretsmanager")
    for name in secrets:
        try:
            client.delete_secret(SecretId=name)
        except client.exceptions.ResourceNotFoundException:
            continue
        say(console, f"Deleted the secret {name}; until 30 days from now: aws secretsmanager restore-secret")


def _delete_bucket(console: Console, bucket: str) -> None:
    """Delete all versions, uploads and the bucket."""
    from courier import aws

    client = aws.client("s3")
    deleted = 0
    for page in client.get_paginator("list_object_versions").paginate(
        Bucket=bucket, PaginationConfig={"PageSize": _BATCH}
    ):
        versions: list[Any] = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        keys: list[Any] = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in versions]
        for start in range(0, len(keys), _BATCH):
            batch = keys[start : start + _BATCH]
            response = client.delete_objects(Bucket=bucket, Delete={"Objects": batch, "Quiet": True})
            if errors := response.get("Errors"):
                raise SettingsError(f"{bucket}: {errors[0].get('Key')} was not deleted: {errors[0].get('Message')}")
            deleted += len(batch)
        say(console, f"Deleted {deleted} versions of objects ...")
    for uploads in client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
        for upload in uploads.get("Uploads", []):
            client.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    client.delete_bucket(Bucket=bucket)
    say(console, f"Deleted the bucket {bucket}.")


def _costs(found: Installation, chosen: frozenset[Leftover]) -> Iterator[str]:
    """Yield what goes on costing money, and how to use again what stays."""
    yield "What goes on costing money:"
    costs = []
    if found.bucket and Leftover.BUCKET not in chosen:
        costs.append(f"the bucket {found.bucket}: its storage")
    if found.secrets and Leftover.SECRETS not in chosen:
        costs.append(f"secrets ({len(found.secrets)}): about $0.40 a month each")
    if found.parameters and Leftover.PARAMETERS not in chosen:
        costs.append(f"parameters ({len(found.parameters)}): about $0.05 a month for each above 4 KB")
    if found.key_arn:
        costs.append(f"the key {found.key_arn}: about $1 a month")
    costs.append("SAM's bucket with the uploaded code (stack aws-sam-cli-managed-default, shared by all stacks)")
    for cost in costs:
        yield f"  {cost}"
    if found.bucket and Leftover.BUCKET not in chosen:
        yield f"To use the bucket again: make deploy PARAMETERS=ExistingBucketName={found.bucket}"
