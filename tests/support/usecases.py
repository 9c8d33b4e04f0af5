"""The scheduled functions without Lambda: segments are polled at once, and time is never up."""

from __future__ import annotations

from courier.usecases.discover_builds import discover_builds
from courier.usecases.events import Tick
from courier.usecases.poll_builds import PollTick, poll_builds
from tests.support.container import FakeContainer


def poll(container: FakeContainer, tick: PollTick | None = None) -> dict[str, int]:
    def dispatch(event: str) -> None:
        poll(container, PollTick.model_validate_json(event))

    return poll_builds(container, tick or PollTick(), time_is_up=lambda: False, dispatch=dispatch)


def discover(container: FakeContainer, tick: Tick | None = None) -> dict[str, int]:
    return discover_builds(container, tick or Tick(), time_is_up=lambda: False)
