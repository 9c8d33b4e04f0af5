"""The embedded AWS supports the template that this repository ships."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.embedded.embedded_aws import EmbeddedAws
from local.embedded.moto.template import LEFT_OUT

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def courier() -> Iterator[EmbeddedAws]:
    with EmbeddedAws(ROOT / "template.yaml", time_scale=0.001) as aws:
        yield aws


def test_every_function_of_the_repository_is_up(courier: EmbeddedAws) -> None:
    assert set(courier.functions) == {path.parent.name for path in (ROOT / "functions").glob("*/app.py")}


def test_every_schedule_fires_its_function_without_an_error(courier: EmbeddedAws) -> None:
    # The disabled ones too.
    for schedule in courier.schedules():
        event = json.loads((schedule.input or "").replace("<aws.scheduler.scheduled-time>", "2026-11-01T02:00:00Z"))
        result = courier.invoke_asynchronously(schedule.target, event).result().result
        assert result is not None
        assert result.error_type is None, result.payload
    assert courier.dead_letters() == []


def test_only_excused_types_are_left_out(courier: EmbeddedAws) -> None:
    resources = courier.expanded["Resources"]
    left_out = courier.left_out.keys() & resources.keys()
    assert {resources[name]["Type"] for name in left_out} <= LEFT_OUT.keys()


def test_the_state_machine_has_every_substitution(courier: EmbeddedAws) -> None:
    described = courier.client("stepfunctions").describe_state_machine(
        stateMachineArn=courier.outputs["StateMachineArn"]
    )
    assert "${" not in described["definition"]
    assert courier.resources["LedgerTable"] in described["definition"]
