"""A stack whose builds an operator acts on: with its real functions, and providers with quick and slow builds."""

from __future__ import annotations

import json
from typing import Any

from courier.config import secrets
from courier.usecases import container
from local.embedded.results import Subscription
from local.simulator import (
    AirtAccount,
    BuildPlan,
    DataModel,
    JobPlan,
    Project,
    Scenario,
    ScheduledBuild,
    ScheduledJob,
    TreasureAccount,
)
from tests.functional.cli.operator_setup import OperatorSetup
from tests.support.command import CommandResult

DONE, SLOW = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
OTHER = "33333333-3333-4333-8333-333333333333"
SCOPE = "red-team/acme/main/chatbot"
# Polls are due at once.
POLLING = {"first_seconds": 0.001, "longest_seconds": 0.001}


def scenario() -> Scenario:
    """Return providers with a report that is rendered, one that takes an hour, and a build that can be canceled."""
    quick = JobPlan(queue_seconds=0, run_seconds=0, artifact_bytes=20_480)
    project = Project(
        slug="chatbot",
        uuid="2489e9ad-2ee2-4e00-8ec9-32d5f69181c0",
        jobs=(
            ScheduledJob(DONE, quick, created_offset_seconds=-60),
            ScheduledJob(OTHER, quick, created_offset_seconds=-60),
            ScheduledJob(SLOW, JobPlan(queue_seconds=0, run_seconds=3600)),
        ),
        when_started=(quick,),
    )
    model = DataModel(
        oid="5d1d4f1c-1111-4222-8333-444444444444",
        name="sales",
        builds=(ScheduledBuild(BuildPlan(run_seconds=3600)),),
        when_started=(BuildPlan(run_seconds=3600),),
    )
    small = DataModel(
        oid="5d1d4f1c-2222-4222-8333-444444444444",
        name="small",
        when_started=(BuildPlan(queue_seconds=0, run_seconds=0),),
    )
    return Scenario(treasure=TreasureAccount(models=(model, small)), airt=AirtAccount(projects=(project,)))


class Stack:
    """A stack with two configured sources, and what its operator does and sees."""

    def __init__(self, operator: OperatorSetup, subscription: Subscription) -> None:
        self.operator = operator
        self.aws = operator.aws
        self._subscription = subscription

    def configure(self, **artifact: object) -> None:
        settings: dict[str, Any] = {"artifact": artifact} if artifact else {}
        sources = [
            self.operator.insights(polling=POLLING, data_models="all"),
            self.operator.red_team(polling=POLLING, **settings),
        ]
        assert self.operator.push(sources, "--no-check").exit_code == 0
        self.forget_settings()

    def forget_settings(self) -> None:
        """Let the functions read the settings anew, as they do within a minute."""
        container._catalog.cache_clear()
        secrets._secrets.cache_clear()

    def command(self, *arguments: object, piped: bytes = b"", typed: str | None = None) -> CommandResult:
        result = self.operator.command(*arguments, piped=piped, typed=typed)
        self.aws.wait_until_idle()
        return result

    def act(self, *arguments: object) -> dict[str, Any]:
        """Run a command whose one act is done."""
        result = self.command(*arguments, "-f", "json")
        (row,) = json.loads(result.out)
        assert (result.exit_code, result.err, row["done"]) == (0, "", True), result
        return dict(row)

    def poll(self) -> None:
        self.aws.invoke("poll_builds", {})
        self.aws.wait_until_idle()

    def show(self, build: str) -> dict[str, Any]:
        return dict(json.loads(self.operator.command("show", build, "-f", "json").out))

    def notices(self) -> list[dict[str, Any]]:
        return [json.loads(notice.message) for notice in self._subscription.notices()]
