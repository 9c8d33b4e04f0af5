"""A definition that ships, opened as a provider against the simulated vendor that plays it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from courier.models import BuildRef, BuildRequest
from courier.observability.provider_events import ProviderCallbacks, RequestAttempt, UnexpectedValue
from courier.providers.base import Provider
from local.runs.vendor_demo import open_vendor
from local.simulator import ManualClock, SimulatedVendor, load_vendor

SOURCE = "vendor"
# Longer than any course, shorter than any link of a test lives.
END_SECONDS = 30


@dataclass
class Played:
    vendor: SimulatedVendor
    clock: ManualClock
    attempts: list[RequestAttempt] = field(default_factory=list)
    unexpected: list[UnexpectedValue] = field(default_factory=list)

    def open(self, **more: object) -> Provider:
        callbacks = ProviderCallbacks(on_request=self.attempts.append, on_unexpected_value=self.unexpected.append)
        return open_vendor(self.vendor, clock=self.clock, callbacks=callbacks, **more)

    @property
    def request(self) -> BuildRequest:
        scenario = self.vendor.scenario
        return BuildRequest(source=SOURCE, scope=scenario.scope, input=scenario.input)

    def start(self, provider: Provider, *words: str, files: int = 1) -> BuildRef:
        """Start a build that goes through these words, or through the usual ones."""
        if words:
            self.vendor.plan(*words, files=files)
        return provider.start_build(self.request).ref

    def end(self) -> None:
        self.clock.advance(END_SECONDS)


@contextmanager
def playing(name: str, *, wait: Callable[[float], object] | None = lambda _: None) -> Iterator[Played]:
    """Play a definition on a clock that stands still; with ``wait`` None, delays are real."""
    clock = ManualClock()
    with SimulatedVendor(load_vendor(name), clock=clock, wait=wait) as vendor:
        yield Played(vendor, clock)
