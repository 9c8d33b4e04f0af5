"""What the functions log, whatever level an operator chooses."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

import courier.observability  # noqa: F401 - every function imports it, and it sets the levels
from courier.credentials import read_api_key
from tests.fakes import REGION

NAME, KEY = "build-courier/any", "dn_key_0123456789abcdef"


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        boto3.client("secretsmanager", region_name=REGION).create_secret(Name=NAME, SecretString=KEY)
        yield


def test_a_key_is_in_no_line_even_when_everything_is_logged(secret: None, caplog: pytest.LogCaptureFixture) -> None:
    # What Lambda does with the parameter LogLevel: it sets the level of the root logger.
    caplog.set_level(logging.DEBUG)
    logging.getLogger("somebody").debug("a line that is kept")
    client = boto3.client("secretsmanager", region_name=REGION)
    assert read_api_key(NAME, client=client).reveal() == KEY
    assert "a line that is kept" in caplog.text
    assert KEY not in caplog.text
