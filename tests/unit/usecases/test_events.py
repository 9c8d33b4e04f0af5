from types import SimpleNamespace

import pytest

from courier.errors import SettingsError
from courier.usecases.events import RESERVE_SECONDS, Tick, read_event, seconds_left, time_is_up


def context_with(seconds: float) -> SimpleNamespace:
    return SimpleNamespace(get_remaining_time_in_millis=lambda: int(seconds * 1000))


def test_an_invalid_event_is_reported_with_its_fields_and_without_their_values() -> None:
    with pytest.raises(SettingsError) as caught:
        read_event(Tick, {"source": "TD1 abcdef", "colour": "abcdef"})
    assert str(caught.value).startswith("the event does not fit Tick: source: ")
    assert "colour: is unknown" in str(caught.value)
    assert "abcdef" not in f"{caught.value} {caught.value.__cause__}"


@pytest.mark.parametrize("event", [None, [], "tick", 7])
def test_an_event_that_is_no_object_is_refused(event: object) -> None:
    with pytest.raises(SettingsError):
        read_event(Tick, event)


@pytest.mark.parametrize(("left", "up"), [(RESERVE_SECONDS + 1, False), (RESERVE_SECONDS - 1, True), (-1, True)])
def test_time_is_up_when_only_the_reserve_is_left(left: float, up: bool) -> None:
    assert time_is_up(context_with(left))() is up  # type: ignore[arg-type]  # as much of a context as is used
    assert seconds_left(context_with(left)) == left  # type: ignore[arg-type]  # the same
