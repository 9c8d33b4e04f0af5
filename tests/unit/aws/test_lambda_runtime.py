"""Only an entry point in Lambda tunes the garbage collector; importing the package changes nothing."""

import os
import subprocess
import sys

import pytest

from courier.aws.lambda_runtime import OBJECTS_BETWEEN_COLLECTIONS

PROGRAM = "import gc, {module}; print(gc.get_threshold()[0])"


@pytest.mark.parametrize(
    ("module", "variables", "is_tuned"),
    [
        ("courier.aws.lambda_runtime", {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001"}, True),
        ("courier.aws.lambda_runtime", {}, False),
        ("courier.aws.clients", {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001"}, False),
    ],
)
def test_the_threshold_is_set_by_entry_points_in_lambda(module: str, variables: dict[str, str], is_tuned: bool) -> None:
    result = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", PROGRAM.format(module=module)],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (int(result.stdout) == OBJECTS_BETWEEN_COLLECTIONS) is is_tuned
