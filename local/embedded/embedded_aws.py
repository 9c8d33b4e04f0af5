"""The embedded AWS: deploys the template into moto, in this process, and runs its functions and state machine.

A process can run only one at a time: moto's state, the environment and the standard output are shared.
"""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from local.embedded.async_invocations import AsyncInvoker, AsyncResult
from local.embedded.call_context import CallTracker
from local.embedded.deployment import Deployment, deploy
from local.embedded.function_runtime import (
    FunctionRuntime,
    FunctionUsage,
    HandlerLoader,
    InvocationResult,
    new_request_id,
)
from local.embedded.interception import Interception, Invocation
from local.embedded.invoke_api import InvokeApi
from local.embedded.log_capture import LogCapture, LogLine
from local.embedded.moto.object_versions import set_version_id
from local.embedded.moto.step_functions import (
    failed_executions,
    forget_executions,
    more_are_working,
    moto_patched,
    raw_executions,
    redrive,
    running_executions,
    stop_executions,
    working_executions,
)
from local.embedded.operator_clients import OperatorClients
from local.embedded.results import (
    ExecutionReport,
    MirroredObject,
    Subscription,
    drain_queue,
    mirror_bucket,
    report_execution,
    scan_table,
)
from local.embedded.sandbox_env import sandbox, shared_environment
from local.embedded.schedules import Schedule, schedules
from local.embedded.server import AwsApplication, AwsServer
from local.sam.expansion import DEFAULT_LOCATION, expand
from local.sam.intrinsics import StackLocation

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import MultipartUploadTypeDef

# moto's default account.
_ACCOUNT = DEFAULT_LOCATION.account

_one = threading.Lock()

# The interval at which `EmbeddedAws.wait_until_idle` checks.
_IDLE_CHECK_SECONDS = 0.02
# PutLogEvents takes up to 10,000 events of 1 MB together.
_MOST_LOG_EVENTS = 500


class EmbeddedAws:
    """The stack of a template, up inside a ``with`` block.

    Parameters
    ----------
    template
        ``template.yaml``; its folder holds the functions' code.
    parameters
        The template's parameters.
    region, stack_name
        The location that the stack reports.
    interception
        Observes calls and injects faults; by default it lets everything pass.
    clock
        Monotonic seconds, with which the remaining time of a function is measured.
    time_scale
        Real seconds per second of a Retry's pause, in the state machine and between asynchronous attempts. Timeouts
        are not scaled.
    concurrency_quota
        The most runs of functions at once, as the quota of an account enforces it; by default any number.
    load_handler
        Returns the handler of a function; by default that of the checkout's module, in this process.
    pause
        Waits before a Retry and before an asynchronous retry, in seconds of the definition; returns True when the
        embedded AWS stops. By default it uses the real clock, scaled by ``time_scale``.

    Attributes
    ----------
    expanded
        The CloudFormation template that SAM produces.
    client
        ``client("s3")`` and so on: an operator's clients, which are never intercepted.
    endpoint
        The URL at which other processes reach it.
    """

    client: OperatorClients
    endpoint: str

    def __init__(
        self,
        template: Path,
        *,
        parameters: Mapping[str, str] | None = None,
        region: str = DEFAULT_LOCATION.region,
        stack_name: str = DEFAULT_LOCATION.stack_name,
        interception: Interception | None = None,
        clock: Callable[[], float] = time.monotonic,
        time_scale: float = 1.0,
        concurrency_quota: int | None = None,
        load_handler: HandlerLoader | None = None,
        pause: Callable[[float], bool] | None = None,
    ) -> None:
        self.location = StackLocation(region=region, account=_ACCOUNT, stack_name=stack_name)
        self.expanded = expand(template, parameters=parameters, region=region)
        self._root = template.parent
        self._interception = interception or Interception()
        self._clock = clock
        self._time_scale = time_scale
        self._concurrency_quota = concurrency_quota
        self._load_handler = load_handler
        self._pause = pause or self._wait
        self._stopping = threading.Event()
        self._exit = ExitStack()
        self._logs = LogCapture()
        self._log_streams: set[str] = set()
        self._tracker = CallTracker()
        self._application = AwsApplication(tracker=self._tracker, interception=self._interception)
        self._deployment: Deployment
        self._runtime: FunctionRuntime
        self._asynchronous: AsyncInvoker

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def start(self) -> None:
        """Start the server, deploy the stack, load the functions; once.

        Raises
        ------
        TemplateError
            The template has something that is not supported; nothing is left running.
        RuntimeError
            Another one is up in this process, or this one was started before.
        """
        if self._stopping.is_set() or not _one.acquire(blocking=False):
            raise RuntimeError("only one embedded AWS can be up in a process, and each only once")
        with ExitStack() as stack:
            stack.callback(_one.release)
            stack.enter_context(moto_patched(self._pause))
            stack.enter_context(self._tracker.installed())
            server = AwsServer(self._application)
            stack.callback(server.stop)
            stack.enter_context(sandbox(port=server.port, region=self.location.region))
            stack.enter_context(self._logs.attached())
            server.start()
            # On exit the server responds until the last execution has ended, in the same environment.
            stack.callback(server.stop)
            stack.callback(stop_executions, self.location)
            self.endpoint = f"http://127.0.0.1:{server.port}"
            self.client = OperatorClients(endpoint=self.endpoint, region=self.location.region)
            stack.callback(self.client.close)
            self._deployment = deploy(self.expanded, root=self._root, location=self.location, client=self.client)
            self._start_functions(stack)
            # First on exit: end every pause.
            stack.callback(self._stopping.set)
            self._exit = stack.pop_all()

    def stop(self) -> None:
        """Let running functions end, abort executions, and restore the process; a second call does nothing."""
        self._exit.close()

    def _start_functions(self, stack: ExitStack) -> None:
        stack.enter_context(shared_environment(self._deployment.functions))
        self._runtime = FunctionRuntime(
            self._deployment.functions,
            logs=self._logs,
            interception=self._interception,
            clock=self._clock,
            concurrency_quota=self._concurrency_quota,
            load_handler=self._load_handler,
        )
        self._runtime.load()
        self._logs.take_over_loggers()
        self._asynchronous = AsyncInvoker(self._runtime, pause=self._pause, to_queue=self._send_to_queue)
        stack.callback(self._asynchronous.stop)
        self._application.route_invocations(InvokeApi(self._runtime, self._asynchronous))

    # ------------------------------------------------------------------ what was deployed

    @property
    def outputs(self) -> dict[str, str]:
        """The outputs of the stack."""
        return self._deployment.outputs

    @property
    def resources(self) -> dict[str, str]:
        """Physical ids by logical ids."""
        return self._deployment.resources

    @property
    def left_out(self) -> dict[str, str]:
        """What of the template was not created, with the reason."""
        return self._deployment.left_out

    @property
    def functions(self) -> tuple[str, ...]:
        """The functions' names: those of their folders."""
        return self._runtime.names

    def schedules(self) -> list[Schedule]:
        """Return the schedules of the template; `local.embedded.scheduler.Scheduler` fires them."""
        return schedules(self.expanded, location=self.location)

    # ------------------------------------------------------------------ operations

    def invoke(self, function: str, event: object) -> InvocationResult:
        """Invoke a function and wait for it; ``function`` is its folder's name, logical id, physical name or ARN.

        Raises
        ------
        ThrottledError
            The quota is used up, or the interception injects it.
        LostResponseError
            The interception injects it.
        """
        name = self._runtime.spec(function).name
        return self._runtime.invoke(Invocation(function=name, request_id=new_request_id(), payload=json.dumps(event)))

    def invoke_asynchronously(self, function: str, event: object) -> "Future[AsyncResult]":
        """Send an event as EventBridge does: retried on errors, then sent to the failure queue."""
        return self._asynchronous.submit(self._runtime.spec(function).name, json.dumps(event))

    def start_execution(self, state_machine: str, event: object) -> str:
        """Start an execution of the state machine with this logical id, and return its ARN."""
        started = self.client("stepfunctions").start_execution(
            stateMachineArn=self.resources[state_machine], name=new_request_id(), input=json.dumps(event)
        )
        return started["executionArn"]

    def redrive(self, execution_arn: str) -> None:
        """Resume a failed execution at the state that failed, as RedriveExecution does.

        Raises
        ------
        MotoError
            There is no such execution, or it has not failed.
        """
        redrive(self.location, execution_arn)

    def subscribe(self, topic_arn: str | None = None) -> Subscription:
        """Subscribe a new queue to the topic (the only one, unless named), without raw delivery."""
        topic = topic_arn or self._deployment.only("AWS::SNS::Topic")
        sqs = self.client("sqs")
        queue_url = sqs.create_queue(QueueName=f"subscriber-{new_request_id()}")["QueueUrl"]
        queue = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        self.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue)
        return Subscription(sqs, queue_url)

    # ------------------------------------------------------------------ results

    def busy(self) -> bool:
        """Return whether an execution or an asynchronous invocation has not ended."""
        return self._asynchronous.under_way > 0 or running_executions(self.location) > 0

    def active_count(self) -> int:
        """Count the executions and asynchronous invocations that have not ended and do not wait for a task token."""
        return self._asynchronous.under_way + working_executions(self.location)

    def is_idle(self, waiting: int) -> bool:
        """Return whether at most ``waiting`` executions and asynchronous invocations are active; quicker than counting.

        Invocations come first: while one of them runs, hundreds of executions need not be checked.
        """
        rest = waiting - self._asynchronous.under_way
        return rest >= 0 and not more_are_working(self.location, rest)

    def wait_until_idle(self, timeout_seconds: float = 30.0) -> None:
        """Wait until nothing is active: what still runs waits for a task token.

        Raises
        ------
        TimeoutError
            Something is still active after so many real seconds.
        """
        for _ in range(int(timeout_seconds / _IDLE_CHECK_SECONDS)):
            if self.active_count() == 0:
                return
            self._stopping.wait(_IDLE_CHECK_SECONDS)
        raise TimeoutError(f"the embedded AWS is still active after {timeout_seconds} s")

    def forget_executions(self) -> None:
        """Abort and forget every execution; their names can be used again."""
        stop_executions(self.location)
        forget_executions(self.location)

    def executions(self) -> list[ExecutionReport]:
        """Return a report of every execution, oldest first."""
        return [report_execution(run) for run in raw_executions(self.location)]

    def failed_executions(self) -> list[str]:
        """Return the ARNs of the executions that have failed and were not redriven."""
        return failed_executions(self.location)

    def history_texts(self) -> list[str]:
        """Return the description and history of every execution as text, for searching."""
        return [json.dumps([run.description, run.history]) for run in raw_executions(self.location)]

    def usage(self) -> dict[str, FunctionUsage]:
        """Return invocations, errors and durations per function."""
        return self._runtime.usage()

    def calls(self) -> Counter[tuple[str, str, str]]:
        """Count AWS calls by caller, action and resource (`local.embedded.interception.AwsCall`)."""
        return self._application.calls()

    def logs(self, function: str | None = None) -> list[LogLine]:
        """Return the log lines of one function, or of all."""
        return self._logs.lines(function)

    def new_logs(self, seen: int) -> list[LogLine]:
        """Return the complete log lines after the first ``seen`` ones."""
        return self._logs.complete_lines(seen)

    def publish_logs(self, lines: Sequence[LogLine]) -> None:
        """Put log lines into the functions' log groups, where `courier logs` and other clients search them."""
        # Logs are written here only, so the type stubs are not installed.
        clients: Any = self.client
        by_function: dict[str, list[dict[str, object]]] = {}
        for line in lines:
            event = {"timestamp": round(time.time() * 1000), "message": line.text}
            by_function.setdefault(line.function, []).append(event)
        for function, events in by_function.items():
            place = {"logGroupName": f"/{self.location.stack_name}/{function}", "logStreamName": "functions"}
            if function not in self._log_streams:
                clients("logs").create_log_stream(**place)
                self._log_streams.add(function)
            for first in range(0, len(events), _MOST_LOG_EVENTS):
                clients("logs").put_log_events(**place, logEvents=events[first : first + _MOST_LOG_EVENTS])

    def ledger_rows(self) -> list[dict[str, object]]:
        """Return all rows of the table (the only one)."""
        return scan_table(self.client("dynamodb"), self._deployment.only("AWS::DynamoDB::Table"))

    def dead_letters(self, queue_url: str | None = None) -> list[str]:
        """Receive and delete the messages of the dead-letter queue (the only queue of the template, unless named)."""
        return drain_queue(self.client("sqs"), queue_url or self._deployment.only("AWS::SQS::Queue"))

    def mirror_bucket(self, folder: Path, known: MutableMapping[str, MirroredObject] | None = None) -> list[Path]:
        """Copy the objects of the bucket (the only one) into a folder: see `local.embedded.results.mirror_bucket`."""
        return mirror_bucket(self.client("s3"), self._deployment.only("AWS::S3::Bucket"), folder, known)

    def restore_object(self, key: str, body: bytes, properties: MirroredObject) -> MirroredObject:
        """Put an object of an earlier run into the bucket (the only one), and return its properties as they are now."""
        bucket = self._deployment.only("AWS::S3::Bucket")
        encoding: Any = {"ContentEncoding": properties.content_encoding} if properties.content_encoding else {}
        response = self.client("s3").put_object(
            Bucket=bucket,
            Key=key,
            Body=body,
            ContentType=properties.content_type,
            Metadata=properties.metadata,
            **encoding,
        )
        if properties.version_id is not None and "VersionId" in response:
            set_version_id(self.location, bucket, key, properties.version_id)
        return replace(properties, etag=response["ETag"])

    def open_multipart_uploads(self) -> list["MultipartUploadTypeDef"]:
        """Return the multipart uploads of the bucket (the only one) that were neither completed nor aborted."""
        bucket = self._deployment.only("AWS::S3::Bucket")
        return self.client("s3").list_multipart_uploads(Bucket=bucket).get("Uploads", [])

    def _wait(self, seconds: float) -> bool:
        return self._stopping.wait(seconds * self._time_scale)

    def _send_to_queue(self, queue: str, document: str) -> None:
        self.client("sqs").send_message(QueueUrl=self.resources[queue], MessageBody=document)
