"""Validates a simulated vendor, and the courier's requests to it, by the vendor's own specification.

Prism, a proxy, stands between the two: it refuses every request and every response that the specification does not
allow (https://docs.stoplight.io/docs/prism).
"""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from courier.errors import SourceError
from courier.models import BuildRequest
from courier.observability.provider_events import ProviderCallbacks, RequestAttempt
from courier.providers.base import Provider
from local.chaos.virtual_time import pauses_skipped
from local.runs.vendor_demo import open_vendor
from local.simulator import ManualClock, RequestKind, SimulatedVendor, VendorAnswer, load_vendor

ROOT = Path(__file__).resolve().parents[2]
PRISM = ROOT / "scripts" / "providers" / "npm" / "node_modules" / ".bin" / "prism"
SPECIFICATIONS = {
    "amazon-sp-api-reports@1": ROOT / "tests" / "samples" / "vendors" / "amazon-sp-api-reports-2021-06-30.json",
}
_START_SECONDS = 60


class ViolationError(Exception):
    """The proxy has refused a request or a response."""


@contextmanager
def proxy(specification: Path, upstream: str) -> Iterator[str]:
    """Run a proxy that refuses what the specification does not allow, and yield its address.

    Raises
    ------
    RuntimeError
        It does not start.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--errors", "--host", "127.0.0.1", "--port", str(port)]
    command = [str(PRISM), "proxy", *options, str(specification), upstream]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            until = time.monotonic() + _START_SECONDS
            while not _listens(port):
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"prism does not start: exit code {process.poll()}")
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def validate(name: str) -> list[str]:
    """Drive every call of a definition through the proxy, and return what was covered.

    Raises
    ------
    ViolationError
        The proxy has refused something, or would not refuse a response that breaks the specification.
    """
    clock, scenario = ManualClock(), load_vendor(name)
    attempts: list[RequestAttempt] = []
    with (
        pauses_skipped(),
        SimulatedVendor(scenario, clock=clock) as vendor,
        proxy(SPECIFICATIONS[name], vendor.url) as url,
    ):
        callbacks = ProviderCallbacks(on_request=attempts.append)
        endpoint = f"{url}{scenario.endpoint}"
        provider = open_vendor(vendor, clock=clock, callbacks=callbacks, endpoint=endpoint)
        covered = _drive(provider, vendor, clock)
        # Of every attempt: a retry would hide what the proxy refuses once.
        refused = [f"{sent.kind}: {sent.status}" for sent in attempts if sent.status not in range(200, 400)]
        if refused:
            raise ViolationError(f"{name}: {', '.join(refused)}")
        _drive_errors(provider, vendor, attempts)
        covered.append("errors")
        ref = provider.list_builds(scenario.scope)[0].ref
        vendor.faults.clear()
        vendor.answer_next(RequestKind.GET_JOB, VendorAnswer(body={"breaks": "the specification"}), times=None)
        with suppress(SourceError):
            provider.get_build(ref)
            raise ViolationError(f"{name}: the proxy lets a response pass that breaks the specification")
    return covered


def _drive(provider: Provider, vendor: SimulatedVendor, clock: ManualClock) -> list[str]:
    """Make every call once, and poll a build of every word."""
    scenario = vendor.scenario
    request = BuildRequest(source=provider.settings.name, scope=scenario.scope, input=scenario.input)
    for word in scenario.job.states:
        vendor.plan(word)
        provider.get_build(provider.start_build(request).ref)
    covered = ["start", "status"]
    if provider.can_list:
        found = provider.list_builds(scenario.scope)
        if len(found) != len(vendor.jobs):
            raise ViolationError(f"{len(found)} builds were listed, of {len(vendor.jobs)}")
        covered.append("list")
    if provider.can_cancel:
        provider.cancel_build(provider.start_build(request).ref)
        covered.append("cancel")
    if provider.leaves_reports:
        ref = provider.start_build(request).ref
        clock.advance(60)
        provider.locate_artifact(ref)
        covered.append("link")
    return covered


def _drive_errors(provider: Provider, vendor: SimulatedVendor, attempts: list[RequestAttempt]) -> None:
    """Receive every error of the scenario; in place of one that the specification does not allow comes the proxy's."""
    scenario = vendor.scenario
    request = BuildRequest(source=provider.settings.name, scope=scenario.scope, input=scenario.input)
    ref = provider.start_build(request).ref
    answers = [(error.of, error.answer) for error in scenario.errors]
    answers += [("status", scenario.refused), ("status", scenario.missing)]
    for call, answer in answers:
        kind = RequestKind.START_JOB if call == "start" else RequestKind.GET_JOB
        vendor.faults.clear()
        vendor.answer_next(kind, answer, times=None)
        attempts.clear()
        with suppress(SourceError):
            if call == "start":
                provider.start_build(request)
            else:
                provider.get_build(ref)
        statuses = {sent.status for sent in attempts if sent.kind != "get_token"}
        if statuses != {answer.status}:
            raise ViolationError(f"{scenario.api}: {answer.status} of {call} arrives as {statuses}: {answer.body}")
