"""The interface for fault injection: observe, delay, fail, lose, repeat or kill AWS calls and invocations."""

from dataclasses import dataclass

STATE_MACHINE = "state_machine"
OPERATOR = "operator"
UNKNOWN_CALLER = "unknown"

# Operations whose IAM action has another name (Service Authorization Reference).
_IAM_ACTIONS = {
    "lambda:Invoke": "lambda:InvokeFunction",
    "s3:CompleteMultipartUpload": "s3:PutObject",
    "s3:CreateMultipartUpload": "s3:PutObject",
    "s3:DeleteObjects": "s3:DeleteObject",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:HeadObject": "s3:GetObject",
    "s3:ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:ListParts": "s3:ListMultipartUploadParts",
    "s3:UploadPart": "s3:PutObject",
    "sns:PublishBatch": "sns:Publish",
    "sqs:SendMessageBatch": "sqs:SendMessage",
}


@dataclass(frozen=True, kw_only=True)
class Invocation:
    """One run of a function: its event, and how it was invoked.

    ``function``
        The name of its folder, such as ``copy_artifact``.
    ``request_id``
        Lambda's id of the run; retries of an asynchronous invocation share it.
    ``payload``
        The event, as JSON text.
    ``attempt``
        1, or more for retries of a failed asynchronous invocation.
    ``asynchronous``
        The caller does not wait for the result.
    """

    function: str
    request_id: str
    payload: str
    attempt: int = 1
    asynchronous: bool = False


@dataclass(frozen=True, kw_only=True)
class AwsCall:
    """One HTTP request to an AWS service; each retry of botocore is a request of its own.

    ``caller``
        Name of the function, or `STATE_MACHINE`, `OPERATOR` (the test or the command line), `UNKNOWN_CALLER`.
    ``action``
        IAM's name of the service and the API operation: ``dynamodb:UpdateItem``, ``s3:UploadPart``.
    ``resource``
        From the parameters: ``bucket/key``, a table, ``table/index/name``, an ARN, a path; otherwise ``*``.
    ``invocation``
        The run that makes the call.
    """

    caller: str
    action: str
    resource: str
    invocation: Invocation | None

    @property
    def iam_action(self) -> str:
        """The IAM action that the caller needs for this call."""
        return iam_action(self.action)


def iam_action(action: str) -> str:
    """Return the IAM action that an API operation needs; most have the operation's name."""
    return _IAM_ACTIONS.get(action, action)


@dataclass(frozen=True)
class AwsError:
    """AWS responds with this error; botocore decides whether to retry."""

    status: int
    code: str
    message: str = "injected"


@dataclass(frozen=True)
class DropResponse:
    """The connection breaks: before the call, which then has no effect, or after it, so that the response is lost."""


@dataclass(frozen=True)
class FalseSuccess:
    """A proxy, or a faulty store, responds in the place of AWS: with a page, or with a success that proves nothing.

    It does so before the call, which then has no effect, or after it.
    """

    body: bytes = b""
    content_type: str = "text/html"
    status: int = 200


@dataclass(frozen=True)
class IgnoreConditions:
    """The store ignores ``If-None-Match`` and ``If-Match``, as some S3-compatible ones do."""


@dataclass(frozen=True)
class Kill:
    """The function's process ends at once; no later call of it reaches AWS.

    ``error_type``
        The error that Lambda reports: ``Runtime.ExitError`` or ``Sandbox.Timedout``.
    """

    error_type: str = "Runtime.ExitError"


@dataclass(frozen=True)
class DeliverTwice:
    """The event is delivered twice, as Lambda's asynchronous invocations may be; the second result counts."""


@dataclass(frozen=True)
class Throttle:
    """Lambda has no capacity: 429 for a synchronous caller; an event waits, for as long as its maximum age allows."""


@dataclass(frozen=True)
class Discard:
    """Lambda discards the event, as it does when the event exceeds its maximum age; a synchronous caller gets 429."""


CallFault = AwsError | DropResponse | FalseSuccess | IgnoreConditions | Kill
ResponseFault = DropResponse | FalseSuccess | Kill
InvocationFault = DeliverTwice | Discard | Throttle


class Interception:
    """Lets everything pass; subclasses override what a test observes or breaks.

    The methods run on the thread of the call, so a method that blocks delays the call. Many threads call them at once.
    """

    def before_call(self, call: AwsCall) -> CallFault | None:  # noqa: ARG002
        """Decide about a call before AWS sees it."""
        return None

    def after_call(self, call: AwsCall, status: int) -> ResponseFault | None:  # noqa: ARG002
        """Decide about a call after AWS has processed it with this HTTP status."""
        return None

    def before_invocation(self, invocation: Invocation) -> InvocationFault | None:  # noqa: ARG002
        """Decide about a run before it starts."""
        return None

    def after_invocation(self, invocation: Invocation, *, error_type: str | None) -> DropResponse | None:  # noqa: ARG002
        """Decide about a run after it ended, before its caller gets the result."""
        return None
