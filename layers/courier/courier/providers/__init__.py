"""Clients of the providers' APIs, and the registry, the only place that knows all providers.

One provider request passes through, in this order: the provider's module (``treasure_insights``, ``dreadnode_airt``,
``http_json``), which implements the contract in ``base``; ``paging``, which reads a list with all its pages;
``http_client``, which sends an ``api_call`` and retries it over ``transport``; ``network_errors`` and
``error_mapping``, which turn failures into our errors; ``parsing`` and ``times``, which read the response.

The HTTP libraries are imported only when a provider is opened: functions that only read the settings start faster
without them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING

from pydantic import ValidationError

from courier.clock import Clock, utc_now
from courier.config.environment import DEFAULT_SECRET_PREFIX
from courier.config.settings import SourceSettings
from courier.config.validation import describe_validation
from courier.errors import SettingsError
from courier.observability.provider_events import ProviderCallbacks

if TYPE_CHECKING:
    from courier.config.secrets import Secret
    from courier.providers.base import Provider

# Module and class by the name of the provider: each is imported when a source names it.
PROVIDERS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "dreadnode_airt": ("dreadnode_airt", "DreadnodeAirt"),
        "http_json": ("http_json.provider", "HttpJson"),
        "treasure_insights": ("treasure_insights", "TreasureInsights"),
    }
)

# A token that is requested in the middle of a call may take this share of the limit of the call, so that both together
# stay within the time that an invocation reserves for a call (courier.usecases.events.RESERVE_SECONDS).
TOKEN_LIMIT_SHARE = 0.25

ReadSecret = Callable[[str, bool], "Secret"]
"""Returns the value of the secret of that name; with True it reads the secret again."""


def parse_source(
    document: Mapping[str, object], *, where: str = "", secret_prefix: str = DEFAULT_SECRET_PREFIX
) -> SourceSettings:
    """Check one source of the configuration.

    Parameters
    ----------
    where
        Place of the document, such as ``sources[1]``; begins the name of every wrong field.
    secret_prefix
        Beginning of the name of every secret that the stack's functions may read.

    Raises
    ------
    SettingsError
        A field is wrong; the message names each place, without the values.
    """
    model = provider_class(document, where=where).settings_model
    try:
        return model.model_validate(dict(document), context={"secret_prefix": secret_prefix})
    except ValidationError as exc:
        # Not chained: pydantic's text shows values, and a key may have been pasted into the wrong field.
        raise SettingsError(describe_validation(exc, where=where, model=model)) from None


def provider_class(document: Mapping[str, object], *, where: str = "") -> type[Provider]:
    """Return the class of the provider that a source names.

    Raises
    ------
    SettingsError
        The source names none, or an unknown one; the message lists the known ones.
    """
    place = f"{where}.provider".lstrip(".")
    known = ", ".join(sorted(PROVIDERS))
    name = document.get("provider")
    if name is None:
        raise SettingsError(f"{place}: field required, one of {known}")
    if not isinstance(name, str) or name not in PROVIDERS:
        shown = repr(name[:40]) if isinstance(name, str) else f"a {type(name).__name__}"
        raise SettingsError(f"{place}: {shown} is unknown; use one of {known}")
    module, class_name = PROVIDERS[name]
    found: type[Provider] = getattr(import_module(f"{__name__}.{module}"), class_name)
    return found


def open_provider(
    settings: SourceSettings,
    *,
    read_secret: ReadSecret | None = None,
    callbacks: ProviderCallbacks | None = None,
    call_limit_seconds: float | None = None,
    clock: Clock = utc_now,
) -> Provider:
    """Return the client of a source; it sends nothing before the first call.

    Parameters
    ----------
    read_secret
        Reads secrets; from Secrets Manager by default.
    callbacks
        Receive requests and unexpected values.
    call_limit_seconds
        Longest duration of one call with all its attempts; a minute by default.
    clock
        The time that a provider's times are compared with.
    """
    # Imported here: see the top of the file.
    from courier.config import secrets  # noqa: PLC0415
    from courier.providers.api_call import Authorize  # noqa: PLC0415
    from courier.providers.http_client import CALL_LIMIT_SECONDS, ApiClient  # noqa: PLC0415

    provider = provider_class({"provider": settings.provider})
    callbacks = callbacks or ProviderCallbacks()

    limit = call_limit_seconds or CALL_LIMIT_SECONDS

    def connect(endpoint: str, authorize: Authorize, seconds: float = limit * TOKEN_LIMIT_SHARE) -> ApiClient:
        return ApiClient(
            endpoint,
            authorize,
            source=settings.name,
            call_limit_seconds=seconds,
            ca_bundle=settings.ca_bundle,
            before_request=callbacks.before_request,
            on_request=callbacks.on_request,
            now=clock,
        )

    authorize = provider.authorize(settings, read_secret or secrets.read_secret, connect)
    return provider(settings, connect(provider.base_url(settings), authorize, limit), callbacks)
