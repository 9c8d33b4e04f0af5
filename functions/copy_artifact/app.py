"""Lambda function ``copy_artifact``: copy the finished report of one build into the bucket."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

import courier.aws.lambda_runtime  # noqa: F401 - first, to tune this process
from courier.observability.logger import logger
from courier.usecases.container import invocation
from courier.usecases.copy_artifact import CopyRequest, copy_artifact
from courier.usecases.events import read_event, seconds_left


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any] | None:
    """Copy as much as the time of this invocation allows; return null for a build without a report.

    Raises
    ------
    CopyUnfinishedError
        The time is up; the state machine invokes the function again, and the copy continues.
    ArtifactError
        The report cannot be copied; the state machine records the reason.
    SourceUnavailableError
        The provider did not respond; the state machine retries.
    """
    request = read_event(CopyRequest, event)
    logger.append_keys(**request.passage.build.ref.log_keys())
    with invocation() as container:
        artifact = copy_artifact(container, request, seconds_left=lambda: seconds_left(context))
    return None if artifact is None else artifact.model_dump(mode="json")
