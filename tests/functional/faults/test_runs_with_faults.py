"""``courier run`` with faults reports them, ends, and has the right exit code."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
from typing_extensions import override

from local.chaos.chaos_run import ChaosRun
from local.embedded.interception import STATE_MACHINE, AwsCall, DropResponse, Interception
from local.simulator import BuildPlan, JobPlan, Scenario, demo_scenario
from local.simulator.fault_files import read_rules
from tests.functional.end_to_end.evidence import observed_sessions
from tests.support.command import CommandResult, courier

# The demonstration at a quarter of its length.
_TICK_SECONDS = 0.25


PlanT = TypeVar("PlanT", BuildPlan, JobPlan)


def hurried(plan: PlanT) -> PlanT:
    return replace(plan, queue_seconds=plan.queue_seconds * _TICK_SECONDS, run_seconds=plan.run_seconds * _TICK_SECONDS)


def quick_scenario() -> Scenario:
    scenario = demo_scenario()
    models = tuple(
        replace(
            model,
            builds=tuple(replace(each, plan=hurried(each.plan)) for each in model.builds),
            when_started=tuple(map(hurried, model.when_started)),
        )
        for model in scenario.treasure.models
    )
    projects = tuple(
        replace(project, when_started=tuple(map(hurried, project.when_started))) for project in scenario.airt.projects
    )
    return Scenario(treasure=replace(scenario.treasure, models=models), airt=replace(scenario.airt, projects=projects))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.run_plan.demo_scenario", quick_scenario)
    monkeypatch.setattr("local.chaos.chaos_run.CHAOS_SECONDS", 5.0)


def run(folder: Path, *options: object) -> CommandResult:
    return courier("run", "--out", folder / "out", "--tick", _TICK_SECONDS, *options)


def injected(ended: CommandResult) -> Counter[str]:
    """Return the injected faults that the run printed: how often each was injected into a kind of request."""
    lines = ended.out.partition(" faults injected, ")[2].splitlines()[1:]
    found = [match for line in lines if (match := re.fullmatch(r" *(\d+)  (\w+) +(\w+).*", line))]
    return Counter({f"{match[2]} {match[3]}": int(match[1]) for match in found})


def plan(folder: Path, *rules: object) -> Path:
    path = folder / "faults.json"
    path.write_text(json.dumps({"rules": rules}), encoding="utf-8")
    return path


def test_faults_of_a_file_are_reported_and_the_promises_kept(tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "docs" / "faults.example.json").read_text(encoding="utf-8")
    rules = [*json.loads(text)["rules"], {"on": "cancel_build", "fault": "delay", "with": {"seconds": 1}}]
    ended = run(tmp_path, "--faults", plan(tmp_path, *rules))
    assert (ended.exit_code, ended.err) == (0, "")
    assert injected(ended) == {
        "list_builds error_status": 3,
        "get_job set_fields": 2,
        "artifact link_expired": 1,
        "artifact cut_body": 1,
        "cancel_build delay": 0,
    }
    assert "7 faults injected, by 5 rules" in ended.out
    assert "(no request matched)" in ended.out
    assert re.search(r"promises checked over \d+ records: all kept", ended.out)
    assert len(read_rules(text)) == 4


def test_an_outcome_that_a_fault_explains_is_reported_and_breaks_no_promise(tmp_path: Path) -> None:
    page = {"status": 200, "body": "<html>", "content_type": "application/pdf"}
    ended = run(tmp_path, "--faults", plan(tmp_path, {"on": "artifact", "fault": "reply", "with": page, "times": None}))
    assert (ended.exit_code, ended.err) == (0, "")
    explained = [line for line in ended.out.splitlines() if line.startswith("explained by a fault: red-team/")]
    assert len(explained) == 2
    assert all(line.endswith("is recorded as undeliverable and is completed") for line in explained)


def test_chaos_ends_well_and_says_what_it_was(tmp_path: Path) -> None:
    ended = run(tmp_path, "--chaos", 4)
    assert (ended.exit_code, ended.out.count("broken promise")) == (0, 0)
    assert injected(ended).total() > 3
    assert "at random from seed 4, in the first " in ended.out
    assert "all kept" in ended.out


def test_a_broken_promise_makes_the_run_fail(tmp_path: Path) -> None:
    class LosesAPublication(Interception):
        """The response to the first publication is lost, so the state machine publishes the notice again."""

        published = 0

        @override
        def after_call(self, call: AwsCall, status: int) -> DropResponse | None:
            if (call.caller, call.action) != (STATE_MACHINE, "sns:Publish"):
                return None
            LosesAPublication.published += 1
            return DropResponse() if LosesAPublication.published == 1 else None

    broken = {"on": "get_job", "fault": "error_status", "with": {"status": 503}}
    with observed_sessions(LosesAPublication()):
        ended = run(tmp_path, "--faults", plan(tmp_path, broken))
    assert ended.exit_code == 1
    assert ended.error_line == "courier: broken promise: not repeated: 1 notices were repeated, 0 are allowed"


def unchecked(ended: CommandResult) -> int:
    """Return how many builds the run says had no outcome at its end."""
    said = r"^courier: the run ended before (\d+) builds had an outcome; the promises of those were not checked$"
    (builds,) = re.findall(said, ended.err, re.MULTILINE)
    return int(builds)


def test_a_run_that_ran_out_of_time_has_broken_no_promise(tmp_path: Path) -> None:
    never = {"on": "list_builds", "fault": "error_status", "with": {"status": 503}, "nth": 3, "times": None}
    ended = run(tmp_path, "--faults", plan(tmp_path, never), "--timeout", 5)
    assert ended.exit_code == 1
    assert "broken promise" not in ended.err
    assert unchecked(ended) > 0
    assert re.search(r"promises checked over \d+ records: all kept", ended.out)


def test_a_run_that_ended_before_its_first_build_says_so(tmp_path: Path) -> None:
    ended = run(tmp_path, "--faults", plan(tmp_path, {"fault": "delay", "with": {"seconds": 9}}), "--timeout", 0.1)
    assert ended.exit_code == 1
    assert "broken promise" not in ended.err
    # The requests and the builds of the other models.
    assert unchecked(ended) >= len(demo_scenario().treasure.models)


def test_what_was_interrupted_has_broken_no_promise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(self: ChaosRun) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ChaosRun, "stop_faults_when_due", interrupt)
    ended = run(tmp_path, "--chaos", 4)
    assert ended.exit_code == 130
    assert "broken promise" not in ended.err
    assert unchecked(ended) > 0
    assert (tmp_path / "out" / "executions.json").exists()
