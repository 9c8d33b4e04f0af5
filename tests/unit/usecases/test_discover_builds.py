"""``discover_builds`` over all sources, or over one."""

import pytest

from courier.errors import CourierError, SettingsError, SourceUnauthorizedError, SourceUnavailableError
from courier.usecases.events import Tick
from tests.support.container import FakeContainer
from tests.support.providers import build_of
from tests.support.usecases import discover

DOWN = SourceUnavailableError("down")


def test_every_source_is_discovered(container: FakeContainer) -> None:
    container.fakes["a"].put(build_of("b1", source="a"))
    assert discover(container) == {"a": 1, "b": 0}


def test_a_named_source_is_discovered_alone(container: FakeContainer) -> None:
    assert discover(container, Tick(source="b")) == {"b": 0}


@pytest.mark.parametrize("name", ["c", "unknown"])
def test_a_tick_for_an_unusable_source_names_it(container: FakeContainer, name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        discover(container, Tick(source=name))


@pytest.mark.parametrize("error", [DOWN, SourceUnauthorizedError("401"), SettingsError("secret x does not exist")])
def test_one_failing_source_does_not_stop_the_others(container: FakeContainer, error: CourierError) -> None:
    for name in ("a", "b"):
        container.wait_for(build_of("b1", source=name))
        container.fakes[name].put(build_of("new", source=name))
    container.fakes["a"].failures |= {"scopes": error, "get_build": error, "list_builds": error}
    discover(container)
    assert [passage.build.ref.source for passage in container.stepfunctions.passages()] == ["b"]


def test_a_source_that_is_backing_off_is_not_called(container: FakeContainer) -> None:
    container.fakes["a"].failures["list_builds"] = DOWN
    for _ in range(3):
        discover(container)
    calls = len(container.fakes["a"].calls)
    assert discover(container) == {"b": 0}
    assert len(container.fakes["a"].calls) == calls
