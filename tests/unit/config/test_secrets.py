"""API keys from Secrets Manager."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError, NoCredentialsError
from botocore.stub import Stubber

from courier.config.secrets import ApiKey, parse_api_key, read_api_key
from courier.errors import SettingsError, SourceUnavailableError

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

NAME = "build-courier/treasure-data"
ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:x"


@pytest.fixture
def client() -> SecretsManagerClient:
    return boto3.client(
        "secretsmanager", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
    )


def secret_value(text: str) -> dict[str, object]:
    return {"ARN": ARN, "Name": NAME, "SecretString": text}


@pytest.mark.parametrize(
    "value",
    [
        "1/key",
        "  1/key\n",
        "\ufeff1/key",
        b"1/key",
        '{"api_key": "1/key"}',
        '{"key": " 1/key "}',
        ' {"token": "1/key", "other": 5}',
        '{"api_key": "1/key", "token": "1/key"}',
    ],
)
def test_a_secret_holds_the_key_alone_or_in_an_object(value: object) -> None:
    assert parse_api_key(NAME, value) == ApiKey("1/key")


@pytest.mark.parametrize(
    "value",
    [
        "",
        " \n",
        "hush\nhush",
        "hüsh",
        b"\xff\xfehush",
        None,
        {"api_key": "hush"},
        '{"hush"',
        '{"password": "hush"}',
        '{"api_key": "hush", "key": "hush2"}',
        '{"api_key": ""}',
        '{"api_key": ["hush"]}',
        '{"a":' * 100_000,
    ],
)
def test_an_invalid_secret_is_named_and_not_shown(value: object) -> None:
    with pytest.raises(SettingsError, match=f"secret {NAME} ") as caught:
        parse_api_key(NAME, value)
    assert "hush" not in "".join(traceback.format_exception(caught.value, chain=True))
    assert caught.value.__cause__ is None


def test_repr_does_not_show_the_key() -> None:
    key = ApiKey("hush")
    assert "hush" not in f"{key} {key!r} {[key]} {vars(type(key)).get('__dict__')}"
    assert key != ApiKey("other")
    assert len({key, ApiKey("hush")}) == 1


def test_a_key_is_cached_until_a_fresh_one_is_requested(client: SecretsManagerClient) -> None:
    with Stubber(client) as stub:
        stub.add_response("get_secret_value", secret_value("old"), {"SecretId": NAME})
        stub.add_response("get_secret_value", secret_value("new"), {"SecretId": NAME})
        assert read_api_key(NAME, client=client) == ApiKey("old")
        assert read_api_key(NAME, client=client) == ApiKey("old")
        assert read_api_key(NAME, True, client=client) == ApiKey("new")
        assert read_api_key(NAME, client=client) == ApiKey("new")
        stub.assert_no_pending_responses()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("ResourceNotFoundException", "does not exist"),
        ("AccessDeniedException", "secretsmanager:GetSecretValue"),
        ("DecryptionFailure", "kms:Decrypt"),
        ("InvalidRequestException", "scheduled for deletion"),
        ("ValidationException", "has a name that"),
    ],
)
def test_a_secret_that_cannot_be_read_is_named_with_the_remedy(
    client: SecretsManagerClient, code: str, words: str
) -> None:
    with Stubber(client) as stub:
        stub.add_client_error("get_secret_value", code)
        with pytest.raises(SettingsError, match=f"^secret {NAME} .*{words}"):
            read_api_key(NAME, client=client)


def test_a_failure_of_secrets_manager_is_transient(client: SecretsManagerClient) -> None:
    with Stubber(client) as stub:
        stub.add_client_error("get_secret_value", "ThrottlingException")
        with pytest.raises(SourceUnavailableError, match=rf"{NAME} .*\(ThrottlingException\)"):
            read_api_key(NAME, client=client)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (NoCredentialsError(), SettingsError),
        (EndpointConnectionError(endpoint_url="https://x"), SourceUnavailableError),
    ],
)
def test_missing_aws_credentials_are_reported(
    client: SecretsManagerClient, monkeypatch: pytest.MonkeyPatch, error: Exception, expected: type[Exception]
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(client, "get_secret_value", fail)
    with pytest.raises(expected, match=NAME):
        read_api_key(NAME, client=client)
