"""Look at the waiting builds that are due, and release the executions of those that have ended."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from courier.handling import read_event, time_is_up
from courier.observability import logger
from courier.ticks import PollTick, poll
from courier.wiring import invocation


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Serve every source, or what the event names, as far as the time allows.

    A tick that finds too much for itself hands it over in segments, to further invocations of this function.

    Raises
    ------
    SettingsError
        The event is no tick, or names a source that is not configured.
    """
    with invocation() as parts:
        summary = poll(
            parts,
            read_event(PollTick, event),
            time_is_up=time_is_up(context),
            dispatch=parts.dispatcher(context.invoked_function_arn),
        )
    logger.info("tick done", summary=summary)
    return summary
