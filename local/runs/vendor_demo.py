"""The demonstration of ``courier run --provider``: a courier configured for one simulated vendor."""

from __future__ import annotations

from difflib import get_close_matches

from courier.clock import Clock
from courier.config.secrets import parse_secret
from courier.config.settings import SourceSettings
from courier.errors import SettingsError
from courier.models import BuildRequest
from courier.observability.provider_events import ProviderCallbacks
from courier.providers import open_provider, parse_source
from courier.providers.base import Provider
from courier.providers.http_json.shipped import load_shipped
from local.runs.demo import POLLING
from local.simulator import SimulatedVendor, VendorScenario, load_vendor, vendor_names


def vendor_named(name: str) -> VendorScenario:
    """Return what the simulated vendor of a definition plays.

    Raises
    ------
    SettingsError
        No definition has this name; the message lists those that there are.
    """
    try:
        return load_vendor(name)
    except KeyError:
        known = [full.partition("@")[0] for full in vendor_names()]
        near = get_close_matches(name.partition("@")[0], known, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}? " if near else ""
        raise SettingsError(f"--provider: no such definition; {hint}known: {', '.join(known)}") from None


def open_vendor(
    vendor: SimulatedVendor, *, clock: Clock, callbacks: ProviderCallbacks | None = None, **more: object
) -> Provider:
    """Return the client of a source that reaches a simulated vendor; further fields are its settings."""
    return open_provider(
        parse_source(vendor.source(**more)),
        read_secret=lambda name, _: parse_secret(name, vendor.secret),
        callbacks=callbacks,
        clock=clock,
    )


def vendor_demo(vendor: SimulatedVendor) -> tuple[SourceSettings, tuple[BuildRequest, ...]]:
    """Configure a source, and plan one build for each end that the vendor has: good, failed and empty."""
    scenario = vendor.scenario
    *before, last = scenario.job.course.words
    vendor.plan(*before, last)
    failed = next((word for word, state in scenario.job.states.items() if state.means == "failed"), None)
    if failed is not None:
        vendor.plan(*before, failed)
    if scenario.job.empty is not None:
        vendor.plan_empty()
    count = 1 + (failed is not None) + (scenario.job.empty is not None)
    name = scenario.api.partition("@")[0]
    request = BuildRequest(source=name, scope=scenario.scope, input=scenario.input)
    return parse_source(vendor.source(name=name, secret=f"build-courier/{name}", polling=POLLING)), (request,) * count


def introduce(scenario: VendorScenario) -> list[str]:
    """Return what the demonstration shows, one line each."""
    shipped = load_shipped(scenario.api)
    return [
        f"Simulated: {shipped.title}, as the definition {scenario.api} describes it.",
        f"To use it with an account, name it in a source: `api: {scenario.api}` (docs/providers.md).",
    ]
