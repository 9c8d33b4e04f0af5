"""Logs and metrics of the functions: structured, in one namespace, and without secrets."""

import json
import logging
from collections.abc import Mapping

from aws_lambda_powertools import Logger

# Powertools puts them into every line. Each function has a log group of its own that says as much, and a line is
# billed by its bytes.
_SAID_BY_THE_LOG_GROUP = frozenset({"function_name", "function_arn", "function_memory_size"})


def _as_line(fields: Mapping[str, object]) -> str:
    """Write one line of the log, as Powertools does."""
    said = {name: value for name, value in fields.items() if name not in _SAID_BY_THE_LOG_GROUP}
    return json.dumps(said, default=str, separators=(",", ":"))


# The service name, the level and the namespace come from the template's environment variables.
logger = Logger(json_serializer=_as_line)

# At the level DEBUG, Lambda lets every library speak, and botocore repeats the answers of Secrets Manager.
for talkative in ("boto3", "botocore", "urllib3"):
    logging.getLogger(talkative).setLevel(logging.INFO)
