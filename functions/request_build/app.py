"""Ask a provider to start a build: by schedule, by an EventBridge event, or by hand."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from courier.observability.logger import logger
from courier.usecases.container import invocation
from courier.usecases.ticks import request


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Serve one request, or all that the sources list when the schedule fires.

    Raises
    ------
    SettingsError
        The event is no request, or does not fit its source.
    SourceUnavailableError
        The provider was not reached and started nothing; Lambda repeats the invocation.
    """
    with invocation() as parts:
        results = request(parts, event, invocation_id=context.aws_request_id)
    logger.info("requests served", builds=[str(result.build) for result in results])
    return {"results": [result.model_dump(mode="json") for result in results]}
