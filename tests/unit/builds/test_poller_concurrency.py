"""Several concurrent requests to one source: all builds are polled, and failures and the rate limit are shared."""

import threading
from collections.abc import Callable
from itertools import count

import pytest

from courier.errors import SourceUnauthorizedError, SourceUnavailableError
from courier.models import BuildStatus
from tests.support.aws import AtomicTable, rows
from tests.support.container import FakeContainer
from tests.support.providers import build_of, settings_of

THREADS = 8
FORBIDDEN = SourceUnauthorizedError("insights: get_build returned 403", forbidden=True)


@pytest.fixture
def container(container: FakeContainer) -> FakeContainer:
    """Return a container whose poller makes several concurrent requests, over an atomic table."""
    container.table = AtomicTable(container.table.name, container.table._client)
    container.poller.concurrent_requests = THREADS
    return container


def put_waiting(container: FakeContainer, number: int) -> None:
    """Let executions wait for builds of as many scopes, so that each takes a call of its own."""
    container.wait_for(*(build_of(f"b{n}", scope=f"scope-{n}") for n in range(number)))


def hold_until_all_threads_call(*, rounds: int) -> Callable[[str], None]:
    """Return a hook that lets the first call pass, and holds the next ones until all threads make one each."""
    barrier, calls = threading.Barrier(THREADS, timeout=20), count()

    def on_call(_: str) -> None:
        if 1 <= next(calls) <= rounds * THREADS:
            barrier.wait()

    return on_call


def test_all_due_builds_are_polled_once_after_a_first_call_alone(container: FakeContainer) -> None:
    put_waiting(container, 1 + 2 * THREADS)
    for n in range(0, 1 + 2 * THREADS, 2):
        container.fake.set_status(f"b{n}", BuildStatus.SUCCEEDED)
    container.fake.on_call = hold_until_all_threads_call(rounds=2)
    summary = container.poll()
    assert (summary.polled, summary.released) == (1 + 2 * THREADS, 1 + THREADS)
    assert sorted(container.fake.calls) == sorted(f"get_build b{n}" for n in range(1 + 2 * THREADS))
    released = sorted(payload.build.ref.build_id for payload in container.stepfunctions.released)
    assert released == sorted(f"b{n}" for n in range(0, 1 + 2 * THREADS, 2))
    assert container.poll().due == 0


def test_a_dead_provider_costs_one_call(container: FakeContainer) -> None:
    put_waiting(container, 3 * THREADS)
    container.fake.failures["get_build"] = SourceUnavailableError("insights: get_build timed out")
    assert container.poll().polled == 0
    assert len(container.fake.calls) == 1
    assert len(container.builds.due("insights", limit=100)) == 3 * THREADS - 1
    assert container.source_ledger.state("insights").failures == 1


def test_authentication_failures_of_all_threads_are_counted(container: FakeContainer) -> None:
    put_waiting(container, 1 + THREADS)
    container.fake.failures |= {f"get_build b{n}": FORBIDDEN for n in range(1, 1 + THREADS)}
    container.fake.on_call = hold_until_all_threads_call(rounds=1)
    assert container.poll().polled == 1
    # One scope works, so the key does: the refused builds stay due, and the source stays healthy.
    assert len(container.builds.due("insights", limit=100)) == THREADS
    assert container.source_ledger.state("insights").failures == 0
    assert container.published == []


def test_authentication_failures_of_several_threads_stop_the_run(container: FakeContainer) -> None:
    put_waiting(container, 1 + 5 * THREADS)
    container.fake.failures["get_build"] = FORBIDDEN
    container.fake.on_call = hold_until_all_threads_call(rounds=1)
    container.poll()
    # Until the third failure is counted, threads that have finished may start another call.
    assert 1 + THREADS <= len(container.fake.calls) < 1 + 2 * THREADS
    container.fake.on_call = lambda _: None
    container.poll(seconds=60)
    (notice,) = container.published
    assert notice.attributes["health"]["StringValue"] == "unhealthy"


def test_the_rate_limit_holds_for_all_threads_together(container: FakeContainer) -> None:
    container.use(settings_of(requests_per_minute=10))
    put_waiting(container, 30)
    assert container.poll().polled == 10
    assert len(container.fake.calls) == 10
    assert int(rows(container.table)["#source/insights"]["spent"]["N"]) == 10
    assert len(container.builds.due("insights", limit=100)) == 20
    assert container.poll(seconds=60).polled == 10
