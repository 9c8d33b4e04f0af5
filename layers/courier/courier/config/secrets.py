"""The API keys of the sources, read from Secrets Manager."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from courier import aws
from courier.errors import SettingsError, SourceUnavailableError

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.parameters import SecretsProvider
    from mypy_boto3_secretsmanager import SecretsManagerClient

    from courier.config.settings import SourceSettings

# A rotated key takes effect at once, because the provider returns 401 to the old one. This only bounds how long a warm
# function keeps using a key that still works but is about to be retired.
MAX_AGE_SECONDS = 900

_VERSION_CHARACTERS = 16
_FIELDS = ("api_key", "key", "token")

_REMEDIES = {
    "ResourceNotFoundException": "does not exist; create it (courier config set-secret {name}), "
    "or correct the source's secret setting",
    "AccessDeniedException": "cannot be read: access denied; the function needs secretsmanager:GetSecretValue on it "
    "(and kms:Decrypt on its KMS key, if that is customer managed)",
    "DecryptionFailure": "cannot be decrypted; the function needs kms:Decrypt on its KMS key",
    "InvalidRequestException": "cannot be read; it may be scheduled for deletion",
    "InvalidParameterException": "has a name that Secrets Manager does not accept",
    "ValidationException": "has a name that Secrets Manager does not accept",
}


class ApiKey:
    """An API key, which ``repr`` does not show."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the key; never pass the result to a log, an exception or a payload."""
        return self._text

    def __repr__(self) -> str:
        return "ApiKey(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ApiKey) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


class Secret:
    """The value of a secret, which ``repr`` does not show: one key, or a JSON object of named fields."""

    __slots__ = ("_fields", "_text", "name")

    def __init__(self, name: str, text: str, fields: Mapping[str, object] | None = None) -> None:
        self.name = name
        self._text = text
        self._fields = fields

    def key(self) -> ApiKey:
        """Return the API key.

        Raises
        ------
        SettingsError
            The secret is an object that holds none, or several.
        """
        if self._fields is None:
            return ApiKey(self._text)
        found = {str(value).strip() for field in _FIELDS if isinstance(value := self._fields.get(field), str)}
        if len(found) != 1:
            fields = ", ".join(_FIELDS)
            raise SettingsError(f"secret {self.name} is a JSON object, so it must hold the key in one of {fields}")
        return ApiKey(_checked(self.name, found.pop()))

    def field(self, name: str) -> str:
        """Return one field.

        Raises
        ------
        SettingsError
            The secret is no object, or has no such field; the message names it.
        """
        if self._fields is None:
            raise SettingsError(f"secret {self.name} must be a JSON object with the field {name}")
        value = self._fields.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str):
            raise SettingsError(f"secret {self.name} has no field {name}, or not as text")
        return value.strip()

    def check(self) -> tuple[str, ...]:
        """Return the names of the fields; empty for a secret that is one key, in a field or by itself.

        Raises
        ------
        SettingsError
            No source could use it: there are no fields, or one of them is no text.
        """
        if self._fields is None or any(name in self._fields for name in _FIELDS):
            self.key()
            return ()
        if not self._fields:
            raise SettingsError(f"secret {self.name} is an empty JSON object")
        for name in self._fields:
            self.field(name)
        return tuple(self._fields)

    def texts(self) -> tuple[str, ...]:
        """Return every text in it, for redaction."""
        if self._fields is None:
            return (self._text,)
        return tuple(value.strip() for value in self._fields.values() if isinstance(value, str))

    def __repr__(self) -> str:
        return f"Secret({self.name!r}, …)"


def read_secret(name: str, fresh: bool = False, *, client: SecretsManagerClient | None = None) -> Secret:
    """Return the value of a secret.

    Parameters
    ----------
    name
        Name of the secret.
    fresh
        Read the secret even if it was read within the last minutes.

    Raises
    ------
    SettingsError
        The secret is missing, empty or unreadable; the message names it and the missing permission.
    SourceUnavailableError
        Secrets Manager does not respond; a later attempt may succeed.
    """
    # Imported here: functions that call no provider read no key.
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
        if code in _REMEDIES:
            raise SettingsError(f"secret {name} {_REMEDIES[code].format(name=name)}") from exc
        raise SourceUnavailableError(f"secret {name} is temporarily unavailable ({code})") from exc
    return parse_secret(name, value)


def read_api_key(name: str, fresh: bool = False, *, client: SecretsManagerClient | None = None) -> ApiKey:
    """Return the API key in a secret, as `read_secret` reads it.

    Raises
    ------
    SettingsError
        As with `read_secret`; or the secret holds no key.
    SourceUnavailableError
        As with `read_secret`.
    """
    return read_secret(name, fresh, client=client).key()


def config_version(settings: SourceSettings) -> str:
    """Return a version that changes with the settings of a source or with its secret, and reveals neither.

    The secret is named by its version id in Secrets Manager; a secret that cannot be read has a version too.
    """
    # Imported here: only an unhealthy source asks for its version.
    from hashlib import sha256  # noqa: PLC0415

    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    try:
        secret = aws.client("secretsmanager").get_secret_value(SecretId=settings.secret)["VersionId"]
    except (BotoCoreError, ClientError) as exc:
        secret = type(exc).__name__
    return sha256(f"{settings.model_dump_json()} {secret}".encode()).hexdigest()[:_VERSION_CHARACTERS]


@lru_cache(maxsize=1)
def _secrets(client: SecretsManagerClient) -> SecretsProvider:
    """Return the cache of secrets of one client; a new client gets a new cache."""
    from aws_lambda_powertools.utilities.parameters import SecretsProvider  # noqa: PLC0415 - as above

    return SecretsProvider(boto3_client=client)


def parse_api_key(name: str, value: object) -> ApiKey:
    """Return the key in a secret's value: the value itself, or one field of a JSON object.

    Raises
    ------
    SettingsError
        There is none, or there are several; the message names the secret and shows nothing of it.
    """
    return parse_secret(name, value).key()


def parse_secret(name: str, value: object) -> Secret:
    """Return a secret's value: a text, or a JSON object of named fields.

    Raises
    ------
    SettingsError
        It is neither; the message names the secret and shows nothing of it.
    """
    text = _decode(name, value)
    if not text.startswith("{"):
        return Secret(name, _checked(name, text))
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        # Not chained: the exception of the json module carries the whole text.
        raise SettingsError(f"secret {name} is not a valid JSON object") from None
    return Secret(name, "", document)


def _decode(name: str, value: object) -> str:
    try:
        text = value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        text = None
    if not isinstance(text, str):
        raise SettingsError(f"secret {name} is not text")
    return text.strip().removeprefix("\ufeff").strip()


def _checked(name: str, text: str) -> str:
    if not text:
        raise SettingsError(f"secret {name} is empty")
    if not (text.isascii() and text.isprintable()):
        raise SettingsError(f"secret {name} holds characters that are not valid in an API key, such as a line break")
    return text
