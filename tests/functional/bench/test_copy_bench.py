"""The copy's benchmark measures processes correctly, and a whole run works where nginx is installed."""

from __future__ import annotations

import hashlib
import mmap
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import requests
from typing_extensions import override

from bench.copy.__main__ import Bench, Sizes, main
from bench.copy.contestants import Contestant, ToolContestant, contestants
from bench.copy.measure import InProcessMeter, OtherProcesses, ToolFailedError, Usage, run_pipeline
from bench.copy.report import Results, render
from bench.copy.results import OURS
from bench.copy.servers import Speed, has_nginx, running_servers
from bench.copy.worker import CopyResult, CopyTask, Sink
from courier.transfer.options import MIB

MORE_BYTES = 48 * MIB
SINK = Sink("https://localhost:1", "reports", "authority.pem")
TASK = CopyTask("https://localhost:2/report-1", "artifacts/report", 1)


def python(code: str) -> list[str]:
    return [sys.executable, "-S", "-E", "-c", code]


def test_a_pipeline_counts_the_memory_and_cpu_of_all_its_processes() -> None:
    allocating = python(f"import sys; b = bytearray(b'x') * {MORE_BYTES}; sys.stdout.write('1'); sys.stdin.read()")
    computing = python("import sys; sys.stdin.read(); sum(i * i for i in range(10_000_000))")
    # Long enough to be sampled: a short process may end between two samples.
    idle = run_pipeline([python("sum(range(10_000_000))")] * 2, environment={})
    used = run_pipeline([allocating, computing], environment={})
    # Approximate, because the memory of an idle interpreter varies by some pages.
    assert 0.8 * MORE_BYTES < used.peak_bytes - idle.peak_bytes < 1.2 * MORE_BYTES
    assert used.cpu_seconds > idle.cpu_seconds
    assert used.wall_seconds > 0


def test_the_peak_of_a_process_is_not_that_of_its_parent() -> None:
    ballast = bytearray(b"x") * (4 * MORE_BYTES)
    assert run_pipeline([python("pass")], environment={}).peak_bytes < len(ballast)


def test_a_tool_that_fails_is_no_result() -> None:
    with pytest.raises(ToolFailedError, match="status 3"):
        run_pipeline([python("raise SystemExit(3)"), python("pass")], environment={})


def test_inside_a_process_only_additional_memory_counts() -> None:
    ballast = bytearray(b"x") * MORE_BYTES
    # A mapping of its own: memory that earlier tests freed would not be counted.
    with InProcessMeter() as meter, mmap.mmap(-1, MORE_BYTES // 2) as more:
        for page in range(0, len(more), mmap.PAGESIZE):
            more[page] = 1
    assert 0.8 * MORE_BYTES // 2 < meter.usage.peak_bytes < len(ballast)


def test_our_own_cpu_time_is_not_counted_as_that_of_others() -> None:
    cores = len(os.sched_getaffinity(0))
    others = OtherProcesses([])
    ours = run_pipeline([python("sum(i * i for i in range(5_000_000))")] * cores, environment={})
    ours_share = ours.cpu_seconds / (ours.wall_seconds * cores)
    assert 0.0 <= others.share < 1.1 - ours_share


def test_a_missing_contestant_is_reported() -> None:
    absent = ToolContestant("a", "a", {"rclone": lambda: None, "curl": lambda: "/bin/curl"}, {}, lambda *_: [])
    assert absent.missing() == "no rclone: make bench-setup"


def test_every_tool_verifies_certificates() -> None:
    tools = [each for each in contestants() if isinstance(each, ToolContestant)]
    commands = [tool.commands(dict.fromkeys(tool.programs, "tool"), TASK, SINK) for tool in tools]
    words = {word for pipeline in commands for command in pipeline for word in command}
    assert words.isdisjoint({"--insecure", "-k", "--no-verify-ssl", "--no-check-certificate"})


needs_nginx = pytest.mark.skipif(not has_nginx(), reason="nginx is not installed: make bench-setup")


@needs_nginx
def test_servers_leave_nothing_behind() -> None:
    with running_servers() as servers:
        requests.get(servers.endpoint, verify=str(servers.authority), timeout=5)
    assert not servers.folder.exists()
    with pytest.raises(requests.ConnectionError):
        requests.get(servers.endpoint, timeout=5)


@needs_nginx
@pytest.mark.parametrize("speed", Speed)
def test_the_source_serves_ranges_under_a_strong_validator(speed: Speed) -> None:
    with running_servers() as servers:
        report = servers.report(MIB)
        url, verify = servers.url(report, speed), str(servers.authority)
        whole = requests.get(url, verify=verify, timeout=5)
        etag = whole.headers["ETag"]
        part = requests.get(url, verify=verify, timeout=5, headers={"Range": "bytes=5-9", "If-Match": etag})
        stale = requests.get(url, verify=verify, timeout=5, headers={"Range": "bytes=5-9", "If-Match": '"other"'})
    assert hashlib.sha256(whole.content).hexdigest() == report.sha256
    assert (part.status_code, part.content, etag[0]) == (206, whole.content[5:10], '"')
    assert stale.status_code == 412


class Idle(Contestant):
    """A contestant that sends nothing, and fails or lies."""

    def __init__(self, name: str, *, fails: bool) -> None:
        self._name = name
        self.fails = fails

    @property
    def name(self) -> str:
        return self._name

    @property
    def label(self) -> str:
        return f"idle {self.name}"

    def missing(self) -> None:
        return None

    def versions(self) -> Mapping[str, str]:
        return {}

    @override
    def copy(self, task: CopyTask, small: CopyTask, sink: Sink) -> CopyResult:
        if self.fails:
            raise ToolFailedError("not working")
        return CopyResult(Usage(0.1, 0.1, 1), None)

    @override
    def start_up(self, small: CopyTask, sink: Sink) -> Usage:
        return Usage(0.1, 0.1, 1)


@needs_nginx
def test_a_rival_that_fails_or_does_nothing_is_left_out_and_named() -> None:
    results = Results(rounds=1)
    with running_servers() as servers:
        Bench(servers, [Idle("crash", fails=True), Idle("lie", fails=False)], Sizes(1, MIB, (), (), 0), results).run()
    assert results.copies == {speed: [] for speed in Speed}
    assert "- idle crash: not working" in render(results)
    assert results.skipped == {"idle crash": "not working", "idle lie": f"lie sent 0 of {MIB} bytes"}


@needs_nginx
def test_our_own_failure_ends_the_run() -> None:
    with running_servers() as servers, pytest.raises(ToolFailedError):
        Bench(servers, [Idle(OURS, fails=True)], Sizes(1, MIB, (), (), 0), Results(rounds=1)).run()


@needs_nginx
def test_a_quick_run_measures_and_writes_its_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "results.md"
    status = main(["--quick", "--only", "build-courier,requests-put-object", "--output", str(output)])
    text = output.read_text("utf-8")
    assert status == 0
    assert text in capsys.readouterr().out
    assert text.count("| build-courier, SHA-256 agrees | ") == 2
    assert "| 8 MiB | `requests.get().content` + `put_object` | " in text
    assert "## Memory of our copy" in text
    assert str(tmp_path.anchor + "dev") not in text
