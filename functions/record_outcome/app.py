"""Lambda function ``record_outcome``: record how a build ended, and return the notice for the state machine."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

import courier.aws.lambda_runtime  # noqa: F401 - first, to tune this process
from courier.observability.logger import logger
from courier.usecases.container import invocation
from courier.usecases.events import read_event
from courier.usecases.record_outcome import RecordRequest, record_outcome, waits_on


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 - Lambda passes it
    """Write the record, close the ledger row and return the notice; repeating it changes nothing.

    Return nothing where the build waits on in another execution.

    Raises
    ------
    SettingsError
        The execution ended without an outcome: the state machine does not fit this code.
    """
    request = read_event(RecordRequest, event)
    logger.append_keys(**request.passage.build.ref.log_keys())
    with invocation() as container:
        if waits_on(container, request):
            return {}
        return record_outcome(container, request).model_dump(mode="json")
