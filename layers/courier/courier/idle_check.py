"""Whether anything is in flight at all: asked each minute, before anything else is imported.

An idle stack calls the poller some 43,800 times a month, and nothing is all that most cold starts find.
"""

from courier import aws
from courier.config.environment import Environment

# As in template.yaml: only builds in flight are in this index.
DUE_INDEX = "due"


def nothing_is_in_flight(environment: Environment) -> bool:
    """Look for any row in the index of builds in flight; costs half a read unit."""
    answer = aws.client("dynamodb").scan(
        TableName=environment.required("table"), IndexName=DUE_INDEX, Select="COUNT", Limit=1
    )
    return answer["Count"] == 0
