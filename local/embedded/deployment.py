"""Deploy an expanded template into the moto server, and read back what the functions need to run."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from courier.config.environment import EMBEDDED_TAG
from local.embedded.function_spec import FunctionSpec
from local.embedded.moto.step_functions import created_state_machine
from local.embedded.moto.template import MotoTemplate, for_moto
from local.embedded.moto.unsupported_properties import check_properties, put_properties
from local.embedded.operator_clients import OperatorClients
from local.sam.expansion import function_folders, resources_of
from local.sam.intrinsics import LogicalId, Resolver, StackLocation, Template, TemplateError

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

# Lambda's defaults.
_DEFAULT_RETRY_ATTEMPTS = 2
_DEFAULT_EVENT_AGE_SECONDS = 21_600


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """A deployed stack.

    ``outputs``
        The outputs that the template declares.
    ``resources``
        Physical ids by logical id, where there is one.
    ``types``
        Resource types by logical id.
    ``left_out``
        What was not created, with the reason.
    """

    outputs: dict[str, str]
    resources: dict[str, str]
    types: dict[str, str]
    left_out: dict[str, str]
    functions: tuple[FunctionSpec, ...]

    def only(self, resource_type: str) -> str:
        """Return the physical id of the one resource of a type.

        Raises
        ------
        TemplateError
            There is none, or more than one.
        """
        found = [self.resources[name] for name, of_type in self.types.items() if of_type == resource_type]
        if len(found) != 1:
            raise TemplateError(
                f"the template has {len(found)} resources of type {resource_type}, so its id must be given"
            )
        return found[0]


def deploy(expanded: Template, *, root: Path, location: StackLocation, client: OperatorClients) -> Deployment:
    """Create the stack.

    Parameters
    ----------
    expanded
        From `local.sam.expansion.expand`.
    root
        The template's folder, to which the functions' folders are relative.
    client
        Makes clients for the moto server.

    Raises
    ------
    TemplateError
        The template has something that the embedded AWS cannot create and does not excuse.
    """
    resolver = Resolver(expanded, location)
    prepared = for_moto(expanded, location)
    check_properties(prepared.body)
    cloudformation = client("cloudformation")
    try:
        cloudformation.create_stack(
            StackName=location.stack_name,
            TemplateBody=json.dumps(prepared.body),
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
            Tags=[{"Key": EMBEDDED_TAG, "Value": "true"}],
        )
    except (ClientError, ResponseParserError) as exc:
        # moto answers an unexpected request with an HTML page; its traceback is on standard error.
        raise TemplateError(f"moto could not create the stack: {exc}") from exc
    stack = cloudformation.describe_stacks(StackName=location.stack_name)["Stacks"][0]
    outputs = {output["OutputKey"]: output.get("OutputValue", "") for output in stack.get("Outputs", [])}
    entries = cloudformation.describe_stack_resources(StackName=location.stack_name)["StackResources"]
    resources = {
        entry["LogicalResourceId"]: entry["PhysicalResourceId"] for entry in entries if "PhysicalResourceId" in entry
    }
    put_properties(prepared.body, resolver, resources, client("s3"))
    _create_state_machines(prepared, location, resources, outputs, client)
    return Deployment(
        outputs={name: value for name, value in outputs.items() if name in expanded.get("Outputs", {})},
        resources=resources,
        types={name: resource["Type"] for name, resource in prepared.body["Resources"].items()},
        left_out=prepared.left_out,
        functions=tuple(_functions(expanded, resolver, root, resources, client("lambda"))),
    )


def _create_state_machines(
    prepared: MotoTemplate,
    location: StackLocation,
    resources: dict[str, str],
    outputs: dict[str, str],
    client: OperatorClients,
) -> None:
    """Create each state machine again through the API, and so in the interpreter, under the ARN that it already has."""
    for logical_id, resource in resources_of(prepared.body, "AWS::StepFunctions::StateMachine"):
        plain = created_state_machine(location, resources[logical_id])
        created = client("stepfunctions").create_state_machine(
            name=plain.name,
            definition=prepared.definition(logical_id, plain.definition, outputs),
            roleArn=plain.role_arn,
            type=resource["Properties"].get("StateMachineType", "STANDARD"),
        )
        if created["stateMachineArn"] != plain.arn:
            raise TemplateError(f"{logical_id}: the interpreter created {created['stateMachineArn']} for {plain.arn}")


def _functions(
    expanded: Template, resolver: Resolver, root: Path, resources: dict[str, str], client: "LambdaClient"
) -> Iterable[FunctionSpec]:
    asynchronous = _asynchronous_settings(expanded, resolver)
    for logical_id, folder in function_folders(expanded).items():
        deployed = client.get_function_configuration(FunctionName=resources[logical_id])
        settings = asynchronous.get(logical_id, {})
        destination = settings.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination")
        yield FunctionSpec(
            name=Path(folder).name,
            logical_id=logical_id,
            physical_name=deployed["FunctionName"],
            arn=deployed["FunctionArn"],
            folder=root / folder,
            handler=deployed["Handler"],
            timeout_seconds=int(deployed["Timeout"]),
            memory_megabytes=int(deployed["MemorySize"]),
            variables=deployed.get("Environment", {}).get("Variables", {}),
            reserved_concurrency=_reserved_concurrency(expanded, resolver, logical_id),
            event_age_seconds=int(settings.get("MaximumEventAgeInSeconds", _DEFAULT_EVENT_AGE_SECONDS)),
            retry_attempts=int(settings.get("MaximumRetryAttempts", _DEFAULT_RETRY_ATTEMPTS)),
            failure_queue=destination.name if isinstance(destination, LogicalId) else None,
        )


def _reserved_concurrency(expanded: Template, resolver: Resolver, logical_id: str) -> int | None:
    properties = expanded["Resources"][logical_id]["Properties"]
    reserved = resolver.value(properties.get("ReservedConcurrentExecutions"))
    # Absent, or AWS::NoValue.
    return None if reserved is None or isinstance(reserved, LogicalId) else int(str(reserved))


def _asynchronous_settings(expanded: Template, resolver: Resolver) -> dict[str, Template]:
    settings = {}
    for _, resource in resources_of(expanded, "AWS::Lambda::EventInvokeConfig"):
        properties = resolver.properties(resource)
        function = properties["FunctionName"]
        if isinstance(function, LogicalId):
            settings[function.name] = properties
    return settings
