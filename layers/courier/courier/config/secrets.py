"""The API keys of the sources, by the names of their secrets in Secrets Manager."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING

from courier import aws
from courier.errors import SettingsError, SourceUnavailableError

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.parameters import SecretsProvider
    from mypy_boto3_secretsmanager import SecretsManagerClient

# A rotated key is noticed at once, because the provider returns 401 to the old one; this only bounds how long a warm
# function goes on with a key that still works but is to be retired.
MAX_AGE_SECONDS = 900

_FIELDS = ("api_key", "key", "token")

_HELP = {
    "ResourceNotFoundException": "does not exist; store it (courier config set-secret {name}), "
    "or correct the source's secret",
    "AccessDeniedException": "may not be read; the function needs secretsmanager:GetSecretValue on it "
    "(and kms:Decrypt on its key, if that is your own)",
    "DecryptionFailure": "cannot be decrypted; the function needs kms:Decrypt on its key",
    "InvalidRequestException": "cannot be read; it may be scheduled for deletion",
    "InvalidParameterException": "has a name that Secrets Manager does not accept",
    "ValidationException": "has a name that Secrets Manager does not accept",
}


class ApiKey:
    """An API key as a value that does not show itself."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Give the key; never pass the result to a log, an exception or a payload."""
        return self._text

    def __repr__(self) -> str:
        return "ApiKey(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ApiKey) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


def read_api_key(name: str, fresh: bool = False, *, client: SecretsManagerClient | None = None) -> ApiKey:
    """Read the key that a secret holds.

    Parameters
    ----------
    name
        Of the secret.
    fresh
        Fetch it even if it was fetched within the last minutes.

    Raises
    ------
    SettingsError
        The secret is missing, empty, unreadable, or holds no key; the text names it and the right that lacks.
    SourceUnavailableError
        Secrets Manager does not answer; another try later may succeed.
    """
    # Imported here: functions without a source to ask never read a key.
    from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError  # noqa: PLC0415

    try:
        secrets = _secrets(client or aws.client("secretsmanager"))
        value = secrets.get(name, max_age=MAX_AGE_SECONDS, force_fetch=fresh)
    except (GetParameterError, BotoCoreError) as exc:
        # Powertools wraps what botocore raised, without naming it as the cause.
        cause = exc.__context__ if isinstance(exc, GetParameterError) else exc
        if isinstance(cause, NoCredentialsError | NoRegionError):
            raise SettingsError(f"secret {name} cannot be read without AWS credentials and a region") from exc
        code = cause.response["Error"]["Code"] if isinstance(cause, ClientError) else type(cause).__name__
        if code in _HELP:
            raise SettingsError(f"secret {name} {_HELP[code].format(name=name)}") from exc
        raise SourceUnavailableError(f"secret {name} could not be read just now ({code})") from exc
    return parse_api_key(name, value)


@lru_cache(maxsize=1)
def _secrets(client: SecretsManagerClient) -> SecretsProvider:
    """Give the cache of secrets that belongs to a client, so that it goes when the client goes."""
    from aws_lambda_powertools.utilities.parameters import SecretsProvider  # noqa: PLC0415 - as above

    return SecretsProvider(boto3_client=client)


def parse_api_key(name: str, value: object) -> ApiKey:
    """Find the key in a secret's value: the value itself, or one field of a JSON object.

    Raises
    ------
    SettingsError
        There is none, or there are several; the text names the secret and shows nothing of it.
    """
    text = _decode(name, value)
    if text.startswith("{"):
        text = _key_of_object(name, text)
    if not text:
        raise SettingsError(f"secret {name} is empty")
    if not (text.isascii() and text.isprintable()):
        raise SettingsError(f"secret {name} holds characters that no API key has, such as a line break")
    return ApiKey(text)


def _decode(name: str, value: object) -> str:
    try:
        text = value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        text = None
    if not isinstance(text, str):
        raise SettingsError(f"secret {name} holds no text")
    return text.strip().removeprefix("\ufeff").strip()


def _key_of_object(name: str, text: str) -> str:
    fields = ", ".join(_FIELDS)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        # Not chained: the exception of the JSON module carries the whole text.
        raise SettingsError(f"secret {name} begins like a JSON object and is none") from None
    found = {str(document[field]).strip() for field in _FIELDS if isinstance(document.get(field), str)}
    if len(found) != 1:
        raise SettingsError(f"secret {name} is a JSON object, so it must hold the key in one of {fields}")
    return found.pop()
