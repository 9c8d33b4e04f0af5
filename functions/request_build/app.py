"""Lambda function ``request_build``: request a build by schedule, by an EventBridge event, or by hand."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

import courier.aws.lambda_runtime  # noqa: F401 - first, to tune this process
from courier.models import FrozenModel
from courier.observability.logger import logger
from courier.usecases.container import invocation
from courier.usecases.events import read_event
from courier.usecases.operator_actions import OperatorAction, perform_action
from courier.usecases.request_build import request_build


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Process one request, or, when the schedule fires, all requests that the sources configure; or an operator's act.

    Raises
    ------
    SettingsError
        The event is no request, or does not fit its source.
    SourceUnavailableError
        The provider was not reached and has started nothing; Lambda retries the invocation.
    """
    results: list[FrozenModel]
    with invocation() as container:
        if "action" in event:
            results = [perform_action(container, read_event(OperatorAction, event))]
        else:
            results = [*request_build(container, event, invocation_id=context.aws_request_id)]
    logger.info("event processed", results=len(results))
    return {"results": [result.model_dump(mode="json") for result in results]}
