"""Every kind of notice, record and report, in moto's stores."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from tests.functional.consuming.deliveries import Delivery, deliver_all
from tests.support.aws import make_bucket
from tests.support.providers import REGION


@pytest.fixture(autouse=True)
def moto(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        yield


@pytest.fixture
def bucket() -> None:
    make_bucket()


@pytest.fixture
def deliveries(bucket: None) -> list[Delivery]:
    return deliver_all()


@pytest.fixture
def topic() -> str:
    return boto3.client("sns", region_name=REGION).create_topic(Name="outcomes")["TopicArn"]
