"""What LocalStack 4.14.0 lacks without Docker and Java, or does differently from AWS; each gap with its shim.

A shim names its gap, checks before it is applied that the gap is still there, and counts how often it was used. So a
shim that a later LocalStack no longer needs stops the run, until it is removed.
"""

import functools
import json
import os
import platform
import random
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml
from botocore.exceptions import ClientError

# Real seconds per second of a Retry's pause.
PAUSE_SCALE_VARIABLE = "COURIER_PAUSE_SCALE"
# Where the shims report, as JSON: {name: {"gap": text, "used": count}}.
REPORT_PATH = "/_courier/shims"

_THROTTLED = "TooManyRequestsException"


class Shim(ABC):
    """One gap of LocalStack, and what closes it."""

    name: str
    gap: str

    def __init__(self) -> None:
        self.used = 0

    @abstractmethod
    def is_needed(self) -> bool:
        """Return whether the gap is still there."""

    @abstractmethod
    def apply(self) -> None:
        """Close the gap."""


class LegacyCloudFormation(Shim):
    """Selected by a variable, before LocalStack is imported."""

    name = "older CloudFormation engine"
    gap = "the newer engine rejects a Ref to a role that SAM adds (PROVIDER_OVERRIDE_CLOUDFORMATION=engine-legacy)"

    def is_needed(self) -> bool:
        """Let the newer engine create a change set of such a template."""
        from localstack.services.cloudformation.engine.validations import ValidationError  # noqa: PLC0415
        from localstack.services.cloudformation.v2.provider import CloudformationProviderV2  # noqa: PLC0415

        function = {"Runtime": "python3.13", "Handler": "app.handler", "CodeUri": "s3://bucket/key"}
        policy = {"PolicyName": "more", "PolicyDocument": {}, "Roles": [{"Ref": "PollRole"}]}
        template = {
            "Transform": "AWS::Serverless-2016-10-31",
            "Resources": {
                "Poll": {"Type": "AWS::Serverless::Function", "Properties": function},
                "More": {"Type": "AWS::IAM::Policy", "Properties": policy},
            },
        }
        request = {
            "StackName": "gap",
            "ChangeSetName": "gap",
            "ChangeSetType": "CREATE",
            "TemplateBody": json.dumps(template),
            "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        }
        caller = SimpleNamespace(account_id="000000000000", region="us-east-1")
        try:
            CloudformationProviderV2().create_change_set(caller, request)
        except ValidationError as exc:
            return "[PollRole]" in str(exc)
        return False

    def apply(self) -> None:
        """Count the change sets."""
        from localstack.services.cloudformation.provider import CloudformationProvider  # noqa: PLC0415

        _count_calls(self, CloudformationProvider, "create_change_set")


class StackDescription(Shim):
    """Leaves out the description of the change set."""

    name = "description of a stack"
    gap = "LocalStack takes the change set's description for the stack's, which is the template's on AWS"

    def is_needed(self) -> bool:
        """Make a stack with both."""
        from localstack.services.cloudformation.engine.entities import Stack  # noqa: PLC0415

        stack = Stack(
            account_id="000000000000",
            region_name="us-east-1",
            metadata={"StackName": "gap", "Description": "of the change set"},
            template={"Description": "of the template", "Resources": {}},
        )
        return bool(stack.describe_details()["Description"] == "of the change set")

    def apply(self) -> None:
        """Remove it from the request."""
        from localstack.services.cloudformation.provider import CloudformationProvider  # noqa: PLC0415

        original = CloudformationProvider.create_change_set

        @functools.wraps(original)
        def create_change_set(provider: object, context: object, request: dict[str, Any]) -> object:
            self.used += request.pop("Description", None) is not None
            return original(provider, context, request)

        CloudformationProvider.create_change_set = create_change_set


class TopicUpdate(Shim):
    """Keeps the generated name of a topic."""

    name = "update of a topic"
    gap = "LocalStack replaces a topic whose name CloudFormation generated at every update"

    def is_needed(self) -> bool:
        """Update a topic without a change."""
        provider = _topic_provider()
        previous = {"TopicArn": "arn", "TopicName": "topic-1"}
        request = SimpleNamespace(
            desired_state={}, previous_state=previous, aws_client_factory=_Recorder(), custom_context={}
        )
        itself = SimpleNamespace(create=lambda _: SimpleNamespace(status=None))
        return getattr(provider.update(itself, request), "resource_model", None) is None

    def apply(self) -> None:
        """Let the name be the earlier one."""
        provider = _topic_provider()
        original = provider.update

        def update(itself: object, request: Any) -> object:  # noqa: ANN401
            if not request.desired_state.get("TopicName"):
                self.used += 1
                request.desired_state["TopicName"] = request.previous_state["TopicName"]
            return original(itself, request)

        provider.update = update


class DeletionAfterUpdate(Shim):
    """Deletes what the stack has now."""

    name = "deletion after an update"
    gap = "LocalStack deletes the resources of the template that a stack was created with, and fails on those that went"

    def is_needed(self) -> bool:
        """Delete a stack whose only resource went."""
        stack = SimpleNamespace(
            set_stack_status=lambda _: None,
            resources={},
            template_original={"Resources": {"Gone": {"Type": "AWS::SNS::Topic"}}},
            resolved_conditions={},
            resolved_parameters={},
        )
        try:
            _template_deployer()("000000000000", "us-east-1", stack).delete_stack()
        except KeyError:
            return True
        return False

    def apply(self) -> None:
        """Replace the template's resources before the deletion."""
        deployer = _template_deployer()
        original = deployer.delete_stack

        def delete_stack(itself: Any) -> None:  # noqa: ANN401
            stack = itself.stack
            now = {name: stack.template_resources[name] for name in stack.resources}
            self.used += now.keys() != stack.template_original["Resources"].keys()
            stack.template_original["Resources"] = now
            original(itself)

        deployer.delete_stack = delete_stack


class PythonJsonata(Shim):
    """Evaluates with jsonata-python."""

    name = "JSONata in Python"
    gap = "LocalStack evaluates JSONata with a Java library from Maven, which is not installed"

    def is_needed(self) -> bool:
        """Check that the Java library is missing."""
        from localstack.services.stepfunctions.packages import jpype_jsonata_package  # noqa: PLC0415

        return not jpype_jsonata_package.get_installer().is_installed()

    def apply(self) -> None:
        """Replace the function that would start Java."""
        from jsonata.jsonata import Jsonata  # noqa: PLC0415
        from localstack.services.stepfunctions.asl.jsonata import jsonata  # noqa: PLC0415

        def evaluate(expression: str) -> object:
            self.used += 1
            try:
                # Converting to JSON and back removes the library's own list class, and refuses functions.
                return json.loads(json.dumps(Jsonata(expression).evaluate(None)))
            except Exception as exc:
                raise jsonata.JSONataException("UNKNOWN", str(exc)) from exc

        jsonata._eval_jsonata = evaluate  # noqa: SLF001


class YamlDefinition(Shim):
    """Converts the definition to JSON."""

    name = "state machine in YAML"
    gap = "LocalStack's CloudFormation takes JSON only in DefinitionS3Location; AWS takes YAML too"

    def is_needed(self) -> bool:
        """Read a definition in YAML."""
        body = SimpleNamespace(read=lambda: b"StartAt: One")
        store = SimpleNamespace(get_object=lambda **_: {"Body": body})
        provider = _state_machine_provider()
        definition = provider._get_definition(  # noqa: SLF001
            provider, {"DefinitionS3Location": {"Bucket": "a", "Key": "b"}}, store
        )
        return bool(definition == "StartAt: One")

    def apply(self) -> None:
        """Convert what the provider reads."""
        provider = _state_machine_provider()
        original = provider._get_definition  # noqa: SLF001

        def get_definition(*arguments: Any) -> str:  # noqa: ANN401
            self.used += 1
            return json.dumps(yaml.safe_load(original(*arguments)))

        provider._get_definition = get_definition  # noqa: SLF001


class AlarmThreshold(Shim):
    """Converts the threshold to a number."""

    name = "alarm threshold as text"
    gap = "LocalStack passes an alarm's Threshold on as text where it comes from a parameter, which CloudWatch refuses"

    def is_needed(self) -> bool:
        """Create an alarm at a recorder."""
        seen: dict[str, object] = {}
        cloudwatch = SimpleNamespace(put_metric_alarm=seen.update, describe_alarms=lambda **_: {"MetricAlarms": []})
        provider = _alarm_provider()
        request = SimpleNamespace(
            desired_state={"AlarmName": "a", "Threshold": "3600"},
            aws_client_factory=SimpleNamespace(cloudwatch=cloudwatch),
            custom_context={},
        )
        cloudwatch.put_metric_alarm = lambda **properties: seen.update(properties)
        provider.create(provider, request)
        return isinstance(seen["Threshold"], str)

    def apply(self) -> None:
        """Convert before the alarm is created."""
        provider = _alarm_provider()
        original = provider.create

        def create(itself: object, request: Any) -> object:  # noqa: ANN401
            threshold = request.desired_state.get("Threshold")
            if isinstance(threshold, str):
                self.used += 1
                request.desired_state["Threshold"] = float(threshold)
            return original(itself, request)

        provider.create = create


class LambdaProcesses(Shim):
    """Runs each execution environment as a process of awslambdaric."""

    name = "Lambda as processes"
    gap = "LocalStack runs functions only in Docker"

    def is_needed(self) -> bool:
        """Check that there is no other executor."""
        from localstack.services.lambda_.invocation.runtime_executor import EXECUTOR_PLUGIN_MANAGER  # noqa: PLC0415

        return list(EXECUTOR_PLUGIN_MANAGER.list_names()) == ["docker"]

    def apply(self) -> None:
        """Replace the executor where it is looked up."""
        from localstack.services.lambda_ import provider  # noqa: PLC0415
        from localstack.services.lambda_.invocation import execution_environment, version_manager  # noqa: PLC0415

        from scripts.deployment.engine.lambda_processes import ProcessExecutor  # noqa: PLC0415

        for module in (execution_environment, version_manager, provider):
            module.get_runtime_executor = lambda: ProcessExecutor
        _count_calls(self, ProcessExecutor, "invoke")


class NativeLayer(Shim):
    """Takes the layer's native modules from a layer that was built for this machine."""

    name = "native modules of the layer"
    gap = "the layer is built for arm64, and this machine cannot load its native modules"

    def is_needed(self) -> bool:
        """Check the machine."""
        return platform.machine() != "aarch64"

    def apply(self) -> None:
        """Count the layers that are replaced; `lambda_processes` replaces them."""
        from scripts.deployment.engine import lambda_processes  # noqa: PLC0415

        original = lambda_processes.runnable_layer

        def runnable_layer(layer: Path) -> Path:
            runnable = original(layer)
            self.used += runnable != layer
            return runnable

        lambda_processes.runnable_layer = runnable_layer


class MotoDynamoDb(Shim):
    """Starts moto's server."""

    name = "DynamoDB by moto"
    gap = "LocalStack needs DynamoDB Local, a Java program that is not installed"

    def is_needed(self) -> bool:
        """Check that the program is missing."""
        from localstack.services.dynamodb.packages import dynamodblocal_package  # noqa: PLC0415

        return not dynamodblocal_package.get_installer().is_installed()

    def apply(self) -> None:
        """Replace the start of the program."""
        from localstack.services.dynamodb.server import DynamodbServer  # noqa: PLC0415
        from localstack.utils.run import FuncThread  # noqa: PLC0415

        def start(server: Any) -> object:  # noqa: ANN401
            self.used += 1
            # The server exits when its input ends, with this process at the latest.
            process = subprocess.Popen(
                [sys.executable, "-m", "scripts.deployment.engine.dynamodb_server", str(server.port)],
                stdin=subprocess.PIPE,
            )
            thread = FuncThread(lambda *_: process.wait())
            thread.start()
            return thread

        DynamodbServer.do_start_thread = start


class LambdaErrorNames(Shim):
    """Names Lambda's own errors as Step Functions does."""

    name = "names of Lambda's errors"
    gap = "the state machine names every error of Lambda itself 'Exception'; AWS says Lambda.TooManyRequestsException"

    def is_needed(self) -> bool:
        """Let the interpreter name an error."""
        return bool(_name_of_throttling() == "Exception")

    def apply(self) -> None:
        """Name it by its code."""
        from localstack.services.stepfunctions.asl.component.common.error_name.custom_error_name import (  # noqa: PLC0415
            CustomErrorName,
        )

        state = _lambda_state()
        original = state._from_error  # noqa: SLF001

        def from_error(itself: object, env: object, ex: Exception) -> Any:  # noqa: ANN401
            failure = original(itself, env=env, ex=ex)
            if isinstance(ex, ClientError):
                self.used += 1
                name = f"Lambda.{ex.response['Error']['Code']}"
                failure.error_name = CustomErrorName(name)
                failure.event_details["lambdaFunctionFailedEventDetails"]["error"] = name
            return failure

        state._from_error = from_error  # noqa: SLF001


class ShortPauses(Shim):
    """Lets a Retry's pauses pass faster, at the longest that their jitter allows."""

    name = "pauses before retries"
    gap = "the state machine's pauses take their full time, and jitter makes them unpredictable"

    def is_needed(self) -> bool:
        """Check that the interpreter waits on the real clock."""
        retrier, jitter = _retry_modules()
        return retrier.time is time and jitter.random is random

    def apply(self) -> None:
        """Scale the pauses."""
        scale = float(os.environ[PAUSE_SCALE_VARIABLE])
        retrier, jitter = _retry_modules()

        def sleep(seconds: float) -> None:
            self.used += 1
            time.sleep(seconds * scale)

        retrier.time = SimpleNamespace(sleep=sleep)
        jitter.random = SimpleNamespace(uniform=lambda _, longest: longest)


SHIMS = (
    LegacyCloudFormation,
    StackDescription,
    TopicUpdate,
    DeletionAfterUpdate,
    PythonJsonata,
    YamlDefinition,
    AlarmThreshold,
    LambdaProcesses,
    NativeLayer,
    MotoDynamoDb,
    LambdaErrorNames,
    ShortPauses,
)


def apply_all() -> None:
    """Check every gap, then close it, and serve the report.

    Raises
    ------
    SystemExit
        A gap is closed; its shim has to go.
    """
    from localstack.http import Response  # noqa: PLC0415
    from localstack.services.edge import ROUTER  # noqa: PLC0415

    shims = [shim() for shim in SHIMS if shim is not NativeLayer or NativeLayer().is_needed()]
    if unneeded := [shim.name for shim in shims if not shim.is_needed()]:
        raise SystemExit(f"error: LocalStack closes the gap itself now, so remove the shim: {', '.join(unneeded)}")
    for shim in shims:
        shim.apply()

    def report(_: object) -> object:
        return Response.for_json({shim.name: {"gap": shim.gap, "used": shim.used} for shim in shims})

    ROUTER.add(REPORT_PATH, report)


def _count_calls(shim: Shim, owner: type[Any], method: str) -> None:
    original: Callable[..., Any] = getattr(owner, method)

    # LocalStack finds the operations of a service by the names and attributes of these methods.
    @functools.wraps(original)
    def counted(*arguments: Any, **named: Any) -> object:  # noqa: ANN401
        shim.used += 1
        return original(*arguments, **named)

    setattr(owner, method, counted)


def _state_machine_provider() -> Any:  # noqa: ANN401
    from localstack.services.stepfunctions.resource_providers.aws_stepfunctions_statemachine import (  # noqa: PLC0415
        StepFunctionsStateMachineProvider,
    )

    return StepFunctionsStateMachineProvider


class _Recorder:
    """Accepts every call, and returns an empty response."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return self

    def __call__(self, **_: object) -> dict[str, object]:
        return {}


def _template_deployer() -> Any:  # noqa: ANN401
    from localstack.services.cloudformation.engine.template_deployer import TemplateDeployer  # noqa: PLC0415

    return TemplateDeployer


def _topic_provider() -> Any:  # noqa: ANN401
    from localstack.services.sns.resource_providers.aws_sns_topic import SNSTopicProvider  # noqa: PLC0415

    return SNSTopicProvider


def _alarm_provider() -> Any:  # noqa: ANN401
    from localstack.services.cloudwatch.resource_providers.aws_cloudwatch_alarm import (  # noqa: PLC0415
        CloudWatchAlarmProvider,
    )

    return CloudWatchAlarmProvider


def _lambda_state() -> Any:  # noqa: ANN401
    from localstack.services.stepfunctions.asl.component.state.state_execution.state_task.state_task_lambda import (  # noqa: PLC0415
        StateTaskLambda,
    )

    return StateTaskLambda


def _name_of_throttling() -> str:
    response: Any = {"Error": {"Code": _THROTTLED, "Message": "Rate Exceeded."}, "ResponseMetadata": {}}
    env = SimpleNamespace(next_state_name="", event_history_context=SimpleNamespace(source_event_id=0))
    failure = _lambda_state()._from_error(None, env=env, ex=ClientError(response, "Invoke"))  # noqa: SLF001
    return str(failure.error_name.error_name)


def _retry_modules() -> tuple[Any, Any]:
    from localstack.services.stepfunctions.asl.component.common.retry import (  # noqa: PLC0415
        jitter_strategy_decl,
        retrier_decl,
    )

    return retrier_decl, jitter_strategy_decl
