"""Lambda function ``poll_builds``: poll due builds, and release the executions of those that have ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import courier.aws.lambda_runtime  # noqa: F401 - first, to tune this process
from courier.config.environment import Environment
from courier.idle_check import nothing_is_in_flight
from courier.observability.logger import logger

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

IDLE = {"due": 0, "polled": 0, "released": 0, "begun": 0, "segments": 0}


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Poll the due builds of every source, or those that the event names, as far as the time allows.

    A tick with too many due builds dispatches them in segments to further invocations of this function.

    Raises
    ------
    SettingsError
        The event is no tick, or names a source that is not configured.
    """
    if nothing_is_in_flight(Environment.from_variables()):
        return IDLE
    # Imported here: these imports are three quarters of a cold start, and an idle tick needs none of them.
    from courier.usecases.container import invocation  # noqa: PLC0415
    from courier.usecases.events import read_event, time_is_up  # noqa: PLC0415
    from courier.usecases.poll_builds import PollTick, dispatch_to, poll_builds  # noqa: PLC0415

    with invocation() as container:
        summary = poll_builds(
            container,
            read_event(PollTick, event),
            time_is_up=time_is_up(context),
            dispatch=dispatch_to(context.invoked_function_arn),
        )
    logger.info("tick done", summary=summary)
    return summary
