"""The functions' environment variables."""

import pytest
from samtranslator.yaml_helper import yaml_parse

from courier.config.environment import DEFAULT_SECRET_PREFIX, Environment
from courier.errors import SettingsError
from tests.support.aws import TEMPLATE


def test_a_missing_environment_variable_is_named() -> None:
    environment = Environment.from_variables({"STACK_NAME": "courier"})
    assert environment.stack == "courier"
    with pytest.raises(SettingsError, match="table"):
        environment.required("table")


def test_the_default_prefix_of_secrets_is_that_of_the_template() -> None:
    parameters = yaml_parse(TEMPLATE.read_text(encoding="utf-8"))["Parameters"]
    assert parameters["SecretPrefix"]["Default"] == DEFAULT_SECRET_PREFIX
    assert Environment.from_variables({}).secret_prefix == DEFAULT_SECRET_PREFIX
    assert Environment.from_variables({"SECRET_PREFIX": "eu/"}).secret_prefix == "eu/"
