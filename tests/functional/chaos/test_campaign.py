"""All scenarios without a fault use exactly what is permitted, and a tenth of the campaign breaks no promise.

These scenarios reach every place of the courier's code that calls AWS. Their calls are compared with the policies of
the deployed roles, and the campaign is planned from them: a fault for each of these places.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from local.chaos import provider_faults
from local.chaos.campaign import Chunk, one_of_each, plan_experiments, run_chunk, tenth
from local.chaos.experiment_runner import ExperimentRunner
from local.chaos.experiments import Experiment
from tests.functional.chaos.permissions import ROLES, UNCALLED, Permission, allowed_permissions, used_permissions


@dataclass(frozen=True, kw_only=True)
class Undisturbed:
    """What all scenarios used of AWS without a fault, and the campaign that was planned from them."""

    experiments: list[Experiment]
    allowed: set[Permission]
    used: set[Permission]


@pytest.fixture(scope="module")
def undisturbed() -> Undisturbed:
    with ExperimentRunner() as runner:
        return Undisturbed(
            experiments=plan_experiments(runner),
            allowed=allowed_permissions(runner.aws),
            used=used_permissions(runner.aws),
        )


def test_every_call_is_allowed(undisturbed: Undisturbed) -> None:
    allowed, used = undisturbed.allowed, undisturbed.used
    assert {permission.caller for permission in used} == set(ROLES)
    assert sorted(permission for permission in used if not any(each.covers(permission) for each in allowed)) == []


def test_every_permission_is_used(undisturbed: Undisturbed) -> None:
    allowed, used = undisturbed.allowed, undisturbed.used
    unused = {each for each in allowed if not any(each.covers(permission) for permission in used)}
    assert sorted(each for each in unused if (each.caller, each.action) not in UNCALLED) == []


def test_every_exception_is_needed(undisturbed: Undisturbed) -> None:
    allowed, used = undisturbed.allowed, undisturbed.used
    assert {(each.caller, each.action) for each in allowed} >= UNCALLED.keys()
    assert not {(each.caller, each.action) for each in used} & UNCALLED.keys()


def test_a_missing_and_a_needless_permission_are_found(undisturbed: Undisturbed) -> None:
    allowed, used = undisturbed.allowed, undisturbed.used
    removed = next(each for each in sorted(allowed) if each.action == "states:SendTaskSuccess")
    missing = {permission for permission in used if not any(each.covers(permission) for each in allowed - {removed})}
    assert {(permission.caller, permission.action) for permission in missing} == {(removed.caller, removed.action)}
    needless = Permission("record_outcome", "s3:DeleteObject", "*")
    assert not any(needless.covers(permission) for permission in used)


def test_a_tenth_of_the_campaign_has_every_fault(undisturbed: Undisturbed) -> None:
    experiments = undisturbed.experiments
    chosen = tenth(experiments)
    assert 0.1 <= len(chosen) / len(experiments) <= 0.12
    assert {each.fault for each in chosen} == {each.fault for each in experiments}
    assert len({each.fault for each in experiments}) >= 40
    assert len({str(each) for each in chosen}) == len(chosen)
    # The faults of providers share runs: see test_provider_faults.
    assert {str(each) for each in one_of_each(list(provider_faults.experiments()))} <= {str(each) for each in chosen}
    assert {"insights", "reports", "large"} <= {each.scenario for each in chosen}


def test_faults_of_aws_and_killed_functions_break_no_promise(undisturbed: Undisturbed) -> None:
    shared = {str(experiment) for experiment in one_of_each(list(provider_faults.experiments()))}
    experiments = [each for each in tenth(undisturbed.experiments) if str(each) not in shared]
    results = run_chunk(Chunk(experiments=experiments))
    assert [result.experiment for result in results] == [str(experiment) for experiment in experiments]
    assert {
        result.experiment: [str(violation) for violation in result.violations] or "not injected"
        for result in results
        if result.violations or not result.injected
    } == {}
