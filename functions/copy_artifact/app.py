"""Copy the finished report of one build into the bucket."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from courier.observability.logger import logger
from courier.usecases.container import invocation
from courier.usecases.copy_artifact import CopyRequest, deliver
from courier.usecases.events import read_event, seconds_left


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any] | None:
    """Copy as much as this invocation's time allows; gives null for a build that left no report.

    Raises
    ------
    CopyUnfinishedError
        The time was up; the state machine calls again, and the copy goes on.
    ArtifactError
        The report cannot be brought home; the state machine records the reason.
    SourceUnavailableError
        The provider did not answer; the state machine tries again.
    """
    request = read_event(CopyRequest, event)
    logger.append_keys(**request.passage.build.ref.log_keys())
    with invocation() as parts:
        artifact = deliver(parts, request, seconds_left=lambda: seconds_left(context))
    return None if artifact is None else artifact.model_dump(mode="json")
