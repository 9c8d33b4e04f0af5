"""Runs that end early or with an error: time is up, Ctrl-C, a source or the courier itself fails."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from local.embedded.interception import STATE_MACHINE, AwsCall, AwsError, Interception
from tests.functional.end_to_end.evidence import observed_sessions
from tests.functional.end_to_end.independent_server import DN_KEY, TD_KEY, Job, ServerState, independent_server, report
from tests.support.command import courier

Options = list[object]


@pytest.fixture
def configured(tmp_path: Path) -> Iterator[Callable[[ServerState], Options]]:
    """Serve a state, and return the options that name its sources."""
    with ExitStack() as stack:

        def configure(state: ServerState) -> Options:
            endpoint = {"endpoint": stack.enter_context(independent_server(state)), "insecure": True}
            airt = {"provider": "dreadnode_airt", "organization": "acme", "workspace": "main", "project": "p"}
            sources = [
                {**endpoint, "name": "td", "provider": "treasure_insights", "secret": "build-courier/td"},
                {**endpoint, **airt, "name": "dn", "secret": "build-courier/dn"},
            ]
            (tmp_path / "sources.yaml").write_text(yaml.safe_dump({"sources": sources}), encoding="utf-8")
            secrets = {"build-courier/td": TD_KEY, "build-courier/dn": DN_KEY}
            (tmp_path / "secrets.yaml").write_text(yaml.safe_dump(secrets), encoding="utf-8")
            files = ["--sources", tmp_path / "sources.yaml", "--secrets", tmp_path / "secrets.yaml"]
            return [*files, "--out", tmp_path / "out", "--tick", 0.1]

        yield configure


def test_a_build_that_is_still_running_is_named_when_time_is_up(configured: Callable[[ServerState], Options]) -> None:
    options = configured(ServerState(builds={"m": ["endless"]}, never_finished=frozenset({"endless"})))
    ended = courier("run", *options, "--until-idle", "--timeout", 4, columns=80)
    assert ended.exit_code == 1
    assert ended.error_line == "courier: td/m/endless was still running when the run ended"
    assert (Path(str(options[5])) / "usage.json").exists()
    # On a terminal there was a table during the run, which was erased at its end.
    table, _, summary = ended.out.rpartition("\x1b[2K")
    assert "endless  running" in table
    assert "│" not in summary


def test_a_failed_execution_fails_the_run(configured: Callable[[ServerState], Options]) -> None:
    class NoTopic(Interception):
        def before_call(self, call: AwsCall) -> AwsError | None:
            if (call.caller, call.action) == (STATE_MACHINE, "sns:Publish"):
                return AwsError(403, "AuthorizationError", "no right to publish")
            return None

    options = configured(ServerState(builds={"m": ["b1"]}))
    with observed_sessions(NoTopic()):
        ended = courier("run", *options, "--until-idle", "--timeout", 20)
    assert ended.exit_code == 1
    assert ended.error_line.startswith("courier: execution td-b1-")
    assert "no right to publish" in ended.error_line
    (run,) = json.loads((Path(str(options[5])) / "executions.json").read_text(encoding="utf-8"))
    assert (run["status"], run["outcome"]) == ("FAILED", None)


def test_an_unreachable_source_fails_the_run_and_is_named(
    configured: Callable[[ServerState], Options], tmp_path: Path
) -> None:
    options = configured(ServerState(builds={"m": ["b1"]}))
    sources = yaml.safe_load((tmp_path / "sources.yaml").read_text(encoding="utf-8"))["sources"]
    sources.append({**sources[0], "name": "gone", "endpoint": "http://127.0.0.1:1"})
    (tmp_path / "sources.yaml").write_text(yaml.safe_dump({"sources": sources}), encoding="utf-8")
    ended = courier("run", *options, "--until-idle", "--timeout", 30)
    assert ended.exit_code == 1
    assert ended.error_line == (
        "courier: source gone cannot be polled: gone: list_models cannot connect: Connection refused"
    )
    assert "succeeded      td/m/b1" in ended.out


def test_a_run_without_builds_prints_a_hint(configured: Callable[[ServerState], Options]) -> None:
    ended = courier("run", *configured(ServerState(builds={"m": []})), "--until-idle", "--timeout", 20)
    assert (ended.exit_code, ended.err) == (0, "")
    assert "backfill_hours" in ended.out


def test_ctrl_c_ends_the_run_in_the_middle_of_a_copy_and_keeps_the_results(
    configured: Callable[[ServerState], Options],
) -> None:
    jobs = {"job": Job(report(500_000), 0), "slow": Job(report(5_000_000), 0, drips=True)}
    state = ServerState(builds={"m": ["endless"]}, never_finished=frozenset({"endless"}), jobs=jobs)
    options = [*configured(state), "--watch", "dn/acme/main/p/job", "--watch", "dn/acme/main/p/slow"]
    command = [sys.executable, "-m", "cli", "run", *map(str, options)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own command
        assert process.stdout is not None
        lines: list[str] = []
        # Reading blocks until something is lines, and ends with the process.
        while not any("delivered" in line for line in lines) and (line := process.stdout.readline()):
            lines.append(line)
        assert state.dripping.wait(20)
        process.send_signal(signal.SIGINT)
        # The copy would take four minutes more.
        try:
            out, err = process.communicate(timeout=30)
        except subprocess.TimeoutExpired as exc:
            process.kill()
            raise AssertionError(f"still there: {lines} {exc.output!r} {exc.stderr!r}") from exc
    assert process.returncode == 130
    assert set(err.splitlines()) == {
        "courier: td/m/endless was still running when the run ended",
        "courier: dn/acme/main/p/slow was still running when the run ended",
    }
    assert "Results: " in out
    folder = Path(str(options[5])) / "bucket"
    assert (folder / "artifacts/dn/acme/main/p/2026/01/05/job/job.pdf").read_bytes() == report(500_000)
    # The command that it names goes on with both.
    state.never_finished, jobs["slow"].drips = frozenset(), False
    (line,) = [line for line in out.splitlines() if line.startswith("To continue: courier run ")]
    again = courier(*shlex.split(line)[3:], "--until-idle", "--timeout", 40)
    assert (again.exit_code, again.err) == (0, "")
    assert (folder / "artifacts/dn/acme/main/p/2026/01/05/slow/slow.pdf").read_bytes() == report(5_000_000)
    assert (folder / "artifacts/dn/acme/main/p/2026/01/05/job/job.pdf").read_bytes() == report(500_000)
