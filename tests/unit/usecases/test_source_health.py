"""The health of a source, as the functions change it together."""

import pytest

from courier.errors import SettingsError, SourceUnauthorizedError
from courier.usecases.request_build import request_build
from local.simulator import ManualClock
from tests.support.container import FakeContainer
from tests.support.providers import FakeProvider, build_of
from tests.support.usecases import discover, poll

UNAUTHORIZED = SourceUnauthorizedError("401")


def notified(container: FakeContainer, attribute: str) -> list[str]:
    return [notice.attributes[attribute]["StringValue"] for notice in container.published]


def test_a_source_whose_client_cannot_be_made_is_reported_and_fails_no_tick(
    container: FakeContainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    container.wait_for(build_of("b1", source="a"))

    def refuse(settings: object, **_: object) -> FakeProvider:
        raise SettingsError("ca_bundle is no certificate")

    monkeypatch.setattr(container, "provider", refuse)
    for _ in range(2):
        poll(container)
        discover(container)
    assert sorted(notified(container, "source")) == ["a", "b"]


def test_a_discovery_that_calls_nothing_does_not_report_a_recovery(
    container: FakeContainer, clock: ManualClock
) -> None:
    container.fakes["a"].forget_how_to_list()
    container.wait_for(build_of("b1", source="a"))
    container.fakes["a"].failures["get_build"] = UNAUTHORIZED
    for _ in range(5):
        poll(container)
        clock.advance(901)
        discover(container)
    assert notified(container, "health") == ["unhealthy"]


def test_all_functions_together_report_a_dead_key_once(container: FakeContainer, clock: ManualClock) -> None:
    provider = container.fakes["a"]
    provider.failures |= dict.fromkeys(("scopes", "get_build", "start_build"), UNAUTHORIZED)
    provider.forget_how_to_list()
    container.wait_for(build_of("b1", source="a"))
    for _ in range(3):
        poll(container)
        discover(container)
        with pytest.raises(SourceUnauthorizedError):
            request_build(container, {"source": "a", "data_model": "sales"}, invocation_id=f"i{clock():%M%S}")
        clock.advance(901)
    assert len(container.published) == 1
