"""The functions' environment variables."""

import pytest

from courier.config.environment import Environment
from courier.errors import SettingsError


def test_a_missing_environment_variable_is_named() -> None:
    environment = Environment.from_variables({"STACK_NAME": "courier"})
    assert environment.stack == "courier"
    with pytest.raises(SettingsError, match="table"):
        environment.required("table")
