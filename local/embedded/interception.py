"""The seam for faults: what a test may observe, delay, answer itself, lose, repeat or kill."""

from dataclasses import dataclass

STATE_MACHINE = "state_machine"
OPERATOR = "operator"
UNKNOWN_CALLER = "unknown"

# Operations whose right has another name (Service Authorization Reference).
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
    """One run of a function: what it is called with, and by which way.

    ``function``
        The folder's name, such as ``copy_artifact``.
    ``request_id``
        Lambda's id of the run; a repetition of an asynchronous call keeps it.
    ``payload``
        The event, as JSON text.
    ``attempt``
        1, or more for the repetitions of a failed asynchronous call.
    ``asynchronous``
        Nobody waits for the result.
    """

    function: str
    request_id: str
    payload: str
    attempt: int = 1
    asynchronous: bool = False


@dataclass(frozen=True, kw_only=True)
class AwsCall:
    """One HTTP request to an AWS service; a retry of botocore is another one.

    ``caller``
        Name of the function, or `STATE_MACHINE`, `OPERATOR` (the test or the command line), `UNKNOWN_CALLER`.
    ``action``
        The API's operation after IAM's name of the service: ``dynamodb:UpdateItem``, ``s3:UploadPart``.
    ``resource``
        What the parameters name: ``bucket/key``, a table, ``table/index/name``, an ARN, a path; ``*`` if nothing.
    ``invocation``
        The function's run that it belongs to.
    """

    caller: str
    action: str
    resource: str
    invocation: Invocation | None

    @property
    def iam_action(self) -> str:
        """The IAM action that the caller needs for it."""
        return iam_action(self.action)


def iam_action(action: str) -> str:
    """Give the IAM action that an API operation needs; most have the same name."""
    return _IAM_ACTIONS.get(action, action)


@dataclass(frozen=True)
class AwsError:
    """AWS answers this error instead; botocore decides whether to try again."""

    status: int
    code: str
    message: str = "injected"


@dataclass(frozen=True)
class DropResponse:
    """The connection breaks. Before the call: it had no effect. After: it had, and nobody learns it."""


@dataclass(frozen=True)
class Kill:
    """The function's process ends here and now; nothing of it reaches AWS afterwards.

    ``error_type``
        What Lambda reports: ``Runtime.ExitError``, or ``Sandbox.Timedout``.
    """

    error_type: str = "Runtime.ExitError"


@dataclass(frozen=True)
class DeliverTwice:
    """The event arrives twice, as Lambda's asynchronous calls may; the second result is the one that counts."""


@dataclass(frozen=True)
class Throttle:
    """Lambda has no capacity: 429 to a caller that waits; an asynchronous call is tried again."""


CallFault = AwsError | DropResponse | Kill
InvocationFault = DeliverTwice | Throttle


class Interception:
    """Lets everything pass; override what a test wants to see or to break.

    The methods run on the thread of the call, so blocking in one makes the call late. They are
    called from many threads at once.
    """

    def before_call(self, call: AwsCall) -> CallFault | None:  # noqa: ARG002
        """Decide about a call before AWS sees it."""
        return None

    def after_call(self, call: AwsCall, status: int) -> DropResponse | Kill | None:  # noqa: ARG002
        """Decide about a call after AWS has carried it out, with the HTTP status of its answer."""
        return None

    def before_invocation(self, invocation: Invocation) -> InvocationFault | None:  # noqa: ARG002
        """Decide about a run before it starts."""
        return None

    def after_invocation(self, invocation: Invocation, *, error_type: str | None) -> DropResponse | None:  # noqa: ARG002
        """Decide about a run after it ended, before its caller learns it."""
        return None
