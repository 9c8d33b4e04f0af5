"""A tenth of what `make chaos` tries breaks no promise; this file runs one half of it, and looks at what a tenth is."""

from __future__ import annotations

import pytest

from local.chaos.campaign import tenth
from local.chaos.experiments import Experiment
from tests.functional.chaos.tenth import failures, findings_of_half, planned


@pytest.fixture(scope="module")
def experiments() -> list[Experiment]:
    return planned()


def test_a_tenth_has_every_fault_and_every_script(experiments: list[Experiment]) -> None:
    chosen = tenth(experiments)
    assert len({id(experiment) for experiment in chosen}) == len(chosen)
    assert 0.1 <= len(chosen) / len(experiments) <= 0.12
    assert {each.fault for each in chosen} == {each.fault for each in experiments}
    assert len({each.fault for each in experiments}) >= 40
    assert sum(each.fault.startswith("killed") for each in chosen) >= 2


def test_the_first_half_of_a_tenth_breaks_no_promise(experiments: list[Experiment]) -> None:
    assert failures(findings_of_half(experiments, 0)) == {}
