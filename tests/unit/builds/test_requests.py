"""Asking for builds: at most once per request, whatever happens to the answer."""

from collections.abc import Callable

import pytest

from courier.builds.executions import Executions
from courier.builds.requests import RequestResult
from courier.errors import (
    BuildNotFoundError,
    CourierError,
    EmptyReportError,
    RequestUncertainError,
    SettingsError,
    SourceExhaustedError,
    SourceRejectedError,
    SourceThrottledError,
    SourceUnauthorizedError,
    SourceUnavailableError,
)
from courier.ledger import RequestLedger
from courier.models import BuildRequest, BuildStatus, Outcome
from tests.support.container import FakeContainer
from tests.support.providers import HOUR, NOON, FakeProvider, build_of, ref_of

WISH = BuildRequest(source="insights", data_model="sales")
UNCERTAIN = RequestUncertainError("insights: start_build timed out waiting for the response")
# Longer than request_build may run.
LATER_SECONDS = 180


@pytest.fixture
def ask(container: FakeContainer) -> Callable[..., RequestResult]:
    container.fake.created_at = container.clock

    def ask(wish: BuildRequest = WISH, request_id: str = "r1") -> RequestResult:
        return container.requester.request(container.fake, wish, request_id=request_id)

    return ask


Ask = Callable[..., RequestResult]


def outcomes(container: FakeContainer) -> list[Outcome | None]:
    return [passage.outcome for passage in container.stepfunctions.passages()]


def test_a_request_starts_a_build_and_looks_after_it(container: FakeContainer, ask: Ask) -> None:
    result = ask()
    assert (result.build, result.begun) == (ref_of("started-1"), True)
    assert [passage.build.ref for passage in container.stepfunctions.passages()] == [ref_of("started-1")]
    assert container.in_flight(ref_of("started-1"))


def test_the_same_request_twice_asks_once(container: FakeContainer, ask: Ask) -> None:
    first, second = ask(), ask()
    assert second.build == first.build
    assert not second.begun
    assert container.fake.counts["start_build"] == 1


def test_two_requests_ask_twice_when_the_first_build_has_ended(container: FakeContainer, ask: Ask) -> None:
    ask(request_id="r1")
    container.fake.set_status("started-1", BuildStatus.SUCCEEDED)
    ask(request_id="r2")
    assert container.fake.counts["start_build"] == 2


def test_a_running_twin_is_adopted(container: FakeContainer, ask: Ask) -> None:
    container.fake.put(build_of("twin"), build_of("older", created=NOON - HOUR))
    assert ask().build == ref_of("twin")
    assert container.fake.counts["start_build"] == 0
    assert ask().build == ref_of("twin")


@pytest.mark.parametrize(
    "build",
    [
        build_of("ended", BuildStatus.SUCCEEDED),
        build_of("odd", BuildStatus.UNKNOWN),
        build_of("stuck", BuildStatus.RUNNING, created=NOON - 25 * HOUR),
        build_of("undated", BuildStatus.RUNNING, created=None),
        build_of("elsewhere", scope="people"),
    ],
    ids=lambda build: build.ref.build_id,
)
def test_what_is_no_twin_does_not_stand_in_the_way(container: FakeContainer, ask: Ask, build: object) -> None:
    container.fake.put(build)  # type: ignore[arg-type]  # a parameter
    assert ask().build == ref_of("started-1")


def test_a_scope_that_cannot_be_listed_does_not_keep_a_build_from_being_asked_for(
    container: FakeContainer, ask: Ask
) -> None:
    container.fake.failures["list_builds"] = BuildNotFoundError("404")
    assert ask().build == ref_of("started-1")


@pytest.mark.parametrize(
    "error",
    [
        SourceUnavailableError("no connection"),
        SourceThrottledError("429"),
        SourceUnauthorizedError("401"),
        SettingsError("secret x does not exist"),
    ],
)
@pytest.mark.parametrize("method", ["list_builds", "start_build"])
def test_a_request_that_started_nothing_may_be_repeated(
    container: FakeContainer, ask: Ask, error: CourierError, method: str
) -> None:
    container.fake.failures[method] = [error]
    with pytest.raises(type(error)):
        ask()
    assert ask().build.build_id.startswith("started")
    assert outcomes(container) == [None]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (EmptyReportError("nothing in findings", sections=["findings"]), Outcome.EMPTY),
        (SourceRejectedError("422"), Outcome.FAILED),
        (BuildNotFoundError("no such model"), Outcome.FAILED),
        (SourceExhaustedError("out of credits"), Outcome.FAILED),
    ],
)
def test_a_refused_request_is_an_outcome_and_is_not_repeated(
    container: FakeContainer, ask: Ask, error: SourceRejectedError, outcome: Outcome
) -> None:
    container.fake.failures["start_build"] = error
    result = ask()
    assert (result.build, result.begun) == (ref_of("request-r1"), True)
    assert not ask().begun
    assert container.fake.counts["start_build"] == 1
    (passage,) = container.stepfunctions.passages()
    assert passage.outcome is outcome
    assert passage.problem is not None
    assert (passage.problem.name, passage.problem.message) == (type(error).__name__, str(error))
    assert not container.in_flight(result.build)


def test_a_build_whose_answer_was_lost_is_found_by_listing(container: FakeContainer, ask: Ask) -> None:
    container.fake.failures["start_build"] = UNCERTAIN

    def start_in_secret(call: str) -> None:
        if call.startswith("start_build"):
            container.fake.put(build_of("secret", BuildStatus.QUEUED), build_of("old", created=NOON - HOUR))

    container.fake.on_call = start_in_secret
    assert ask().build == ref_of("secret")
    assert ask().build == ref_of("secret")
    assert container.fake.counts["start_build"] == 1
    assert outcomes(container) == [None]


@pytest.mark.parametrize("can_list", [True, False])
def test_a_build_whose_answer_was_lost_and_that_nobody_can_find_is_lost(
    container: FakeContainer, ask: Ask, can_list: bool
) -> None:
    if not can_list:
        container.fake.forget_how_to_list()
    container.fake.failures["start_build"] = UNCERTAIN
    assert ask().build == ref_of("request-r1")
    container.manual_clock.advance(LATER_SECONDS)
    assert not ask().begun
    assert container.fake.counts["start_build"] == 1
    assert outcomes(container) == [Outcome.LOST]


def test_a_lost_answer_is_looked_for_again_when_the_provider_is_down(container: FakeContainer, ask: Ask) -> None:
    container.fake.failures["start_build"] = UNCERTAIN

    def go_down(call: str) -> None:
        if call.startswith("start_build"):
            container.fake.put(build_of("secret", BuildStatus.QUEUED))
            container.fake.failures["list_builds"] = [SourceUnavailableError("down")]

    container.fake.on_call = go_down
    with pytest.raises(RequestUncertainError):
        ask()
    container.manual_clock.advance(LATER_SECONDS)
    assert ask().build == ref_of("secret")
    assert container.fake.counts["start_build"] == 1


def test_a_duplicate_at_the_same_time_neither_asks_nor_calls_the_build_lost(container: FakeContainer, ask: Ask) -> None:
    container.fake.forget_how_to_list()
    duplicates: list[str] = []

    def deliver_twice(call: str) -> None:
        if call.startswith("start_build"):
            with pytest.raises(RequestUncertainError) as caught:
                ask()
            duplicates.append(str(caught.value))

    container.fake.on_call = deliver_twice
    assert ask().build == ref_of("started-1")
    assert len(duplicates) == 1
    assert outcomes(container) == [None]
    assert ask().build == ref_of("started-1")


def test_an_attempt_cut_off_before_its_answer_is_never_repeated(
    container: FakeContainer, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    container.fake.forget_how_to_list()
    cut_off(monkeypatch, FakeProvider, "start_build", ask)
    container.manual_clock.advance(LATER_SECONDS)
    assert ask().build == ref_of("request-r1")
    assert outcomes(container) == [Outcome.LOST]


def test_an_attempt_cut_off_after_its_answer_is_found_again(
    container: FakeContainer, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off(monkeypatch, RequestLedger, "set_started_build", ask)
    container.manual_clock.advance(LATER_SECONDS)
    assert ask().build == ref_of("started-1")
    assert container.fake.counts["start_build"] == 1


def test_an_attempt_cut_off_before_its_execution_goes_on_without_asking(
    container: FakeContainer, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off(monkeypatch, Executions, "register_and_start", ask)
    calls = len(container.fake.calls)
    result = ask()
    assert (result.build, result.begun) == (ref_of("started-1"), True)
    assert len(container.fake.calls) == calls


def test_a_refusal_cut_off_before_its_execution_is_announced_by_the_repetition(
    container: FakeContainer, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    container.fake.failures["start_build"] = EmptyReportError("nothing")
    cut_off(monkeypatch, Executions, "_start", ask)
    assert outcomes(container) == []
    ask()
    assert outcomes(container) == [Outcome.EMPTY]


def test_a_build_that_somebody_else_started_is_adopted_by_its_id(container: FakeContainer, ask: Ask) -> None:
    container.fake.put(build_of("theirs"))
    wish = BuildRequest(source="insights", build_id="theirs", scope="sales")
    assert [ask(wish).begun, ask(wish, "r2").begun] == [True, False]
    assert container.fake.counts["start_build"] == 0


def test_a_build_that_does_not_exist_is_not_adopted(container: FakeContainer, ask: Ask) -> None:
    with pytest.raises(BuildNotFoundError):
        ask(BuildRequest(source="insights", build_id="nobodys"))
    assert container.stepfunctions.executions == {}


def cut_off(monkeypatch: pytest.MonkeyPatch, owner: type, method: str, ask: Ask) -> None:
    """Serve a request up to the moment where this method would be called; there, the invocation ends."""

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(owner, method, killed)
        with pytest.raises(KeyboardInterrupt):
            ask()
