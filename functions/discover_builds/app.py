"""Lambda function ``discover_builds``: find builds that others started, and start an execution for each new one."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

import courier.aws.lambda_runtime  # noqa: F401 - first, to tune this process
from courier.observability.logger import logger
from courier.usecases.container import invocation
from courier.usecases.discover_builds import discover_builds
from courier.usecases.events import Tick, read_event, time_is_up


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Search every source for new builds, or the one that the event names.

    Raises
    ------
    SettingsError
        The event is no tick, or names a source that is not configured.
    """
    with invocation() as container:
        begun = discover_builds(container, read_event(Tick, event), time_is_up=time_is_up(context))
    logger.info("discovery done", begun=begun)
    return {"begun": begun}
