"""Every sample event is accepted by the model of its function."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from courier.models import BuildRequest
from courier.providers import PROVIDERS
from courier.usecases.copy_artifact import CopyRequest
from courier.usecases.events import Tick, read_event
from courier.usecases.operator_actions import OperatorAction
from courier.usecases.poll_builds import PollTick
from courier.usecases.record_outcome import RecordRequest
from courier.usecases.request_build import EventBridgeRequest

ROOT = Path(__file__).resolve().parents[3]
SAMPLES = sorted((ROOT / "events").iterdir())


def read_request(event: object) -> object:
    assert isinstance(event, dict)
    if "detail" in event:
        return read_event(EventBridgeRequest, event)
    if "action" in event:
        return read_event(OperatorAction, event)
    return read_event(Tick if set(event) <= {"scheduled_time"} else BuildRequest, event)


READERS: dict[str, Callable[[object], object]] = {
    "discover_builds": lambda event: read_event(Tick, event),
    "request_build": read_request,
    "poll_builds": lambda event: read_event(PollTick, event),
    "copy_artifact": lambda event: read_event(CopyRequest, event),
    "record_outcome": lambda event: read_event(RecordRequest, event),
}


def test_every_function_has_samples() -> None:
    functions = {path.name for path in (ROOT / "functions").iterdir() if (path / "app.py").exists()}
    assert {sample.name.split(".")[0] for sample in SAMPLES} == functions == set(READERS)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_every_sample_is_accepted_by_its_function(sample: Path) -> None:
    function, way, suffix = sample.name.split(".")
    assert way
    assert suffix == "json"
    READERS[function](json.loads(sample.read_text(encoding="utf-8")))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_samples_name_providers_that_exist(sample: Path) -> None:
    event = json.loads(sample.read_text(encoding="utf-8"))
    if "passage" in event:
        assert event["passage"]["provider"] in PROVIDERS
