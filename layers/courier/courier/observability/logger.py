"""The structured logger of the functions."""

import json
import logging
from collections.abc import Mapping

from aws_lambda_powertools import Logger

# Powertools adds them to every line. The function's log group already implies them, and CloudWatch bills a line by its
# bytes.
_IMPLIED_BY_LOG_GROUP = frozenset({"function_name", "function_arn", "function_memory_size"})


def _serialize(fields: Mapping[str, object]) -> str:
    """Return one log line in the format of Powertools."""
    kept = {name: value for name, value in fields.items() if name not in _IMPLIED_BY_LOG_GROUP}
    return json.dumps(kept, default=str, separators=(",", ":"))


# The service name and the level come from the template's environment variables.
# RFC 3339: the form of a timestamp that Lambda's log filter reads.
logger = Logger(json_serializer=_serialize, use_rfc3339=True)

# The level DEBUG applies to all libraries in Lambda, and botocore would log the responses of Secrets Manager.
for library in ("boto3", "botocore", "urllib3"):
    logging.getLogger(library).setLevel(logging.INFO)
