"""``python -m scripts.deployment``: deploy and run the build on the second engine, and compare with the embedded AWS.

`make verify-deployment` provides the environments and the build. Exit code 1: something is not as it must be; 2: the
machine lacks something.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from scripts.deployment import frozen_build, histories, reference_jsonata
from scripts.deployment.burst import BURST_BUILDS, run_burst
from scripts.deployment.deployed_courier import DeploymentError, Execution
from scripts.deployment.paths import ROOT
from scripts.deployment.play import play
from scripts.deployment.scenario import CASES, SECOND, SECOND_PREFIX, hanging, providers, secrets, sources
from scripts.deployment.second_engine import CONCURRENCY_QUOTA, PAUSE_SCALE, EngineError, SecondEngine, second_engine
from scripts.deployment.second_engine_faults import SecondEngineFaults
from scripts.deployment.side_by_side import check_apart, delete
from scripts.deployment.upgrade import FIRST, Upgrade, upgrade_providers
from scripts.deployment.user import User

_MOST_FAULTS = 40

# What no engine here can tell.
NOT_CHECKED = (
    "rights: both engines enforce no policy (tests and checkov read the policies)",
    "keys: KmsKeyArn, and what its policy must allow",
    "redrive: the second engine has none (the embedded AWS has its own)",
    "schedules that fire: ticks were sent by hand",
    "replacement: the second engine leaves schedules and alarms alone when a stack is updated",
    "retention: the second engine ignores DeletionPolicy and UpdateReplacePolicy",
    "dashboards: the second engine skips them",
    "alarms: they are created, and not evaluated",
    "log filtering: LogLevel and the format of log lines have no effect",
    "DynamoDB: moto on both engines; the interpreter of the state machine has the same origin on both",
)


class Run:
    """The parts of a run, and what they found."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.lines: list[str] = []
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """The time since the start."""
        return time.monotonic() - self._started

    def say(self, text: str) -> None:
        """Print a line of progress."""
        print(f"{self.seconds:5.0f} s  {text}", flush=True)

    def check(self, what: str, do: Callable[[], object]) -> None:
        """Do a part of the run; its error is a fault, and the run goes on."""
        self.say(what)
        try:
            do()
        except (DeploymentError, BotoCoreError, ClientError, LookupError) as exc:
            self.faults.append(f"{what}: {exc!r}" if isinstance(exc, LookupError) else f"{what}: {exc}")
            self.say(f"FAILED: {self.faults[-1]}")


def main() -> int:
    """Run, print the summary, and return the exit code."""
    run = Run()
    with tempfile.TemporaryDirectory(prefix="verify-deployment-") as name:
        folder = Path(name)
        embedded_file = folder / "embedded.json"
        run.say("the embedded AWS plays the scenario meanwhile; the second engine starts")
        # It shares nothing with the second engine, and the first deployments take as long.
        embedded = subprocess.Popen([sys.executable, "-m", "scripts.deployment.embedded_run", embedded_file], cwd=ROOT)
        try:
            frozen_build.build()
            with second_engine() as engine:
                played, resources = _run_second_engine(run, engine, folder)
                shims = engine.shims()
        except (DeploymentError, EngineError) as exc:
            embedded.kill()
            print(f"error: {exc}", file=sys.stderr)
            return 1
        if embedded.wait() != 0:
            run.faults.append("the embedded AWS failed")
        elif played:
            _compare(run, played, resources, json.loads(embedded_file.read_text(encoding="utf-8")))
    run.lines.append(f"shims: {len(shims)}")
    run.lines += [f"  {shim.name}, used {shim.used} times: {shim.gap}" for shim in shims]
    run.faults += [f"shim {shim.name}: it was not used, so it can go" for shim in shims if not shim.used]
    _summarize(run)
    return 1 if run.faults else 0


def _run_second_engine(run: Run, engine: SecondEngine, folder: Path) -> tuple[dict[str, Execution], Mapping[str, str]]:
    """Run all parts, and return the executions of the scenario and the resources of their stack."""
    played: dict[str, Execution] = {}
    resources: dict[str, str] = {}

    user = User(engine, folder)
    with providers(hangs=True) as simulated, upgrade_providers() as of_first:
        upgrade = Upgrade(user, of_first.url)

        def play_scenario() -> None:
            courier = user.stack(SECOND)
            resources.update(courier.resources)
            played.update(
                play(courier, SecondEngineFaults(lambda: hanging(simulated)), lambda text: run.say(f"{SECOND}: {text}"))
            )

        run.check(f"{FIRST}: deploy the first version, configure it, request builds", upgrade.begin)
        run.check(f"{SECOND}: deploy beside it", lambda: user.deploy(SECOND, {"SecretPrefix": SECOND_PREFIX}))
        run.check(f"{FIRST}: update in place, and end the builds in flight", lambda: run.lines.extend(upgrade.finish()))
        run.check(
            f"{SECOND}: set-secret, config push, status",
            lambda: user.configure(SECOND, sources(simulated.url, secret_prefix=SECOND_PREFIX), secrets(SECOND_PREFIX)),
        )
        run.check("two stacks share nothing", lambda: run.lines.append(check_apart(user, FIRST, SECOND)))
        run.check(
            f"{FIRST}: {BURST_BUILDS} builds end at once, with {CONCURRENCY_QUOTA} concurrent executions",
            lambda: run.lines.append(run_burst(user.stack(FIRST), run.say)),
        )
        run.check(f"{SECOND}: {len(CASES)} scenarios", play_scenario)
        run.check("delete both stacks", lambda: run.lines.append(delete(user, FIRST, SECOND)))
    return played, resources


def _compare(run: Run, played: dict[str, Execution], resources: Mapping[str, str], embedded: dict[str, Any]) -> None:
    run.say("compare the histories, and evaluate the expressions with the reference implementation")
    theirs = embedded["executions"]
    names = (histories.logical_names(resources), histories.logical_names(embedded["resources"]))
    differences = [
        difference
        for case in played
        for difference in histories.compare(case, played[case].events, theirs[case]["events"], names=names)
    ]
    unexplained, explained, unused = histories.explain(differences)
    run.faults += [f"histories: {difference}" for difference in unexplained]
    run.faults += [f"histories: no difference needs the explanation {reason!r}" for reason in unused]
    events = sum(len(execution.events) for execution in played.values())
    run.lines.append(
        f"histories: {len(played)} executions, {events} events; {len(unexplained)} differences without an explanation, "
        f"{explained.total()} with one of {len(explained)}:"
    )
    run.lines += [f"  {count}: {reason}" for reason, count in explained.items()]
    evaluations = embedded["expressions"]
    if not reference_jsonata.is_available():
        run.lines.append("expressions: not checked, because node or npm is missing")
        return
    wrong = reference_jsonata.differing(evaluations)
    missing = reference_jsonata.not_evaluated(embedded["definition"], evaluations)
    run.faults += [f"expressions: {line}" for line in wrong]
    run.faults += [f"expressions: not evaluated in any scenario: {each}" for each in missing]
    run.lines.append(f"expressions: {len(evaluations)} evaluations, {len(wrong)} differ from the reference")


def _summarize(run: Run) -> None:
    print(f"\nsecond engine: LocalStack, pauses before retries {1 / PAUSE_SCALE:.0f} times as fast")
    print(f"stacks: {FIRST} (updated from the first version), {SECOND}; scenarios: {len(CASES)}; {run.seconds:.0f} s")
    for line in run.lines:
        print(line)
    print("not checked here:")
    for line in NOT_CHECKED:
        print(f"  {line}")
    for fault in run.faults[:_MOST_FAULTS]:
        print(f"error: {fault}", file=sys.stderr)
    if len(run.faults) > _MOST_FAULTS:
        print(f"error: {len(run.faults) - _MOST_FAULTS} more", file=sys.stderr)
    print(f"{'FAILED' if run.faults else 'passed'}: {len(run.faults)} faults")


if __name__ == "__main__":
    sys.exit(main())
