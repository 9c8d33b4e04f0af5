"""What the functions log, whatever level an operator chooses."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime

import boto3
import pytest
from moto import mock_aws

from courier.config.secrets import read_api_key
from courier.observability.logger import logger
from tests.support.providers import REGION

NAME, KEY = "build-courier/any", "dn_key_0123456789abcdef"


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        boto3.client("secretsmanager", region_name=REGION).create_secret(Name=NAME, SecretString=KEY)
        yield


def test_no_line_holds_a_key_even_at_debug_level(secret: None, caplog: pytest.LogCaptureFixture) -> None:
    # What Lambda does with the parameter LogLevel: it sets the level of the root logger.
    caplog.set_level(logging.DEBUG)
    logging.getLogger("library").debug("a line that is kept")
    client = boto3.client("secretsmanager", region_name=REGION)
    assert read_api_key(NAME, client=client).reveal() == KEY
    assert "a line that is kept" in caplog.text
    assert KEY not in caplog.text


def test_a_line_repeats_nothing_that_its_log_group_implies(caplog: pytest.LogCaptureFixture) -> None:
    stated = dict.fromkeys(("function_name", "function_arn", "function_memory_size"), "as in the log group")
    with logger.append_context_keys(function_request_id="r1", **stated):
        logger.info("copied", size_bytes=3, when=datetime(2026, 4, 15, tzinfo=UTC))
        line = json.loads(logger.registered_formatter.format(caplog.records[-1]))
    assert stated.keys() & line.keys() == set()
    assert (line["message"], line["function_request_id"], line["size_bytes"]) == ("copied", "r1", 3)
    assert line["when"] == "2026-04-15 00:00:00+00:00"
