"""Requests for builds: each starts at most one build, whatever happens to the response."""

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

REQUEST = BuildRequest(source="insights", data_model="sales")
UNCERTAIN = RequestUncertainError("insights: start_build timed out waiting for the response")
# Longer than request_build may run.
LATER_SECONDS = 180


@pytest.fixture
def make_request(container: FakeContainer) -> Callable[..., RequestResult]:
    container.fake.created_at = container.clock

    def make_request(request: BuildRequest = REQUEST, request_id: str = "r1") -> RequestResult:
        return container.requester.request(container.fake, request, request_id=request_id)

    return make_request


MakeRequest = Callable[..., RequestResult]


def outcomes(container: FakeContainer) -> list[Outcome | None]:
    return [passage.outcome for passage in container.stepfunctions.passages()]


def test_a_request_starts_a_build_and_registers_it(container: FakeContainer, make_request: MakeRequest) -> None:
    result = make_request()
    assert (result.build, result.begun) == (ref_of("started-1"), True)
    assert [passage.build.ref for passage in container.stepfunctions.passages()] == [ref_of("started-1")]
    assert container.in_flight(ref_of("started-1"))


def test_the_same_request_twice_starts_one_build(container: FakeContainer, make_request: MakeRequest) -> None:
    first, second = make_request(), make_request()
    assert second.build == first.build
    assert not second.begun
    assert container.fake.counts["start_build"] == 1


def test_a_second_request_starts_a_build_when_the_first_one_has_ended(
    container: FakeContainer, make_request: MakeRequest
) -> None:
    make_request(request_id="r1")
    container.fake.set_status("started-1", BuildStatus.SUCCEEDED)
    make_request(request_id="r2")
    assert container.fake.counts["start_build"] == 2


def test_a_running_build_of_the_scope_serves_the_request(container: FakeContainer, make_request: MakeRequest) -> None:
    container.fake.put(build_of("running"), build_of("older", created=NOON - HOUR))
    assert make_request().build == ref_of("running")
    assert container.fake.counts["start_build"] == 0
    assert make_request().build == ref_of("running")


@pytest.mark.parametrize(
    "build",
    [
        build_of("ended", BuildStatus.SUCCEEDED),
        build_of("unknown", BuildStatus.UNKNOWN),
        build_of("stuck", BuildStatus.RUNNING, created=NOON - 25 * HOUR),
        build_of("undated", BuildStatus.RUNNING, created=None),
        build_of("elsewhere", scope="people"),
    ],
    ids=lambda build: build.ref.build_id,
)
def test_a_build_that_does_not_match_does_not_prevent_a_start(
    container: FakeContainer, make_request: MakeRequest, build: object
) -> None:
    container.fake.put(build)  # type: ignore[arg-type]  # a parameter
    assert make_request().build == ref_of("started-1")


def test_a_scope_that_cannot_be_listed_does_not_prevent_a_start(
    container: FakeContainer, make_request: MakeRequest
) -> None:
    container.fake.failures["list_builds"] = BuildNotFoundError("404")
    assert make_request().build == ref_of("started-1")


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
    container: FakeContainer, make_request: MakeRequest, error: CourierError, method: str
) -> None:
    container.fake.failures[method] = [error]
    with pytest.raises(type(error)):
        make_request()
    assert make_request().build.build_id.startswith("started")
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
def test_a_rejected_request_is_an_outcome_and_is_not_repeated(
    container: FakeContainer, make_request: MakeRequest, error: SourceRejectedError, outcome: Outcome
) -> None:
    container.fake.failures["start_build"] = error
    result = make_request()
    assert (result.build, result.begun) == (ref_of("request-r1"), True)
    assert not make_request().begun
    assert container.fake.counts["start_build"] == 1
    (passage,) = container.stepfunctions.passages()
    assert passage.outcome is outcome
    assert passage.problem is not None
    assert (passage.problem.name, passage.problem.message) == (type(error).__name__, str(error))
    assert not container.in_flight(result.build)


def test_a_build_whose_response_was_lost_is_found_by_listing(
    container: FakeContainer, make_request: MakeRequest
) -> None:
    container.fake.failures["start_build"] = UNCERTAIN

    def start_unnoticed(call: str) -> None:
        if call.startswith("start_build"):
            container.fake.put(build_of("unnoticed", BuildStatus.QUEUED), build_of("old", created=NOON - HOUR))

    container.fake.on_call = start_unnoticed
    assert make_request().build == ref_of("unnoticed")
    assert make_request().build == ref_of("unnoticed")
    assert container.fake.counts["start_build"] == 1
    assert outcomes(container) == [None]


@pytest.mark.parametrize("can_list", [True, False])
def test_a_build_whose_response_was_lost_and_that_is_not_listed_is_lost(
    container: FakeContainer, make_request: MakeRequest, can_list: bool
) -> None:
    if not can_list:
        container.fake.forget_how_to_list()
    container.fake.failures["start_build"] = UNCERTAIN
    assert make_request().build == ref_of("request-r1")
    container.manual_clock.advance(LATER_SECONDS)
    assert not make_request().begun
    assert container.fake.counts["start_build"] == 1
    assert outcomes(container) == [Outcome.LOST]


def test_the_search_for_a_lost_response_is_repeated_when_the_provider_is_down(
    container: FakeContainer, make_request: MakeRequest
) -> None:
    container.fake.failures["start_build"] = UNCERTAIN

    def go_down(call: str) -> None:
        if call.startswith("start_build"):
            container.fake.put(build_of("unnoticed", BuildStatus.QUEUED))
            container.fake.failures["list_builds"] = [SourceUnavailableError("down")]

    container.fake.on_call = go_down
    with pytest.raises(RequestUncertainError):
        make_request()
    container.manual_clock.advance(LATER_SECONDS)
    assert make_request().build == ref_of("unnoticed")
    assert container.fake.counts["start_build"] == 1


def test_a_concurrent_duplicate_neither_starts_a_build_nor_records_it_as_lost(
    container: FakeContainer, make_request: MakeRequest
) -> None:
    container.fake.forget_how_to_list()
    duplicates: list[str] = []

    def deliver_twice(call: str) -> None:
        if call.startswith("start_build"):
            with pytest.raises(RequestUncertainError) as caught:
                make_request()
            duplicates.append(str(caught.value))

    container.fake.on_call = deliver_twice
    assert make_request().build == ref_of("started-1")
    assert len(duplicates) == 1
    assert outcomes(container) == [None]
    assert make_request().build == ref_of("started-1")


def test_an_attempt_cut_off_before_its_response_is_never_repeated(
    container: FakeContainer, make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    container.fake.forget_how_to_list()
    cut_off(monkeypatch, FakeProvider, "start_build", make_request)
    container.manual_clock.advance(LATER_SECONDS)
    assert make_request().build == ref_of("request-r1")
    assert outcomes(container) == [Outcome.LOST]


def test_an_attempt_cut_off_after_its_response_finds_its_build_again(
    container: FakeContainer, make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off(monkeypatch, RequestLedger, "set_started_build", make_request)
    container.manual_clock.advance(LATER_SECONDS)
    assert make_request().build == ref_of("started-1")
    assert container.fake.counts["start_build"] == 1


def test_an_attempt_cut_off_before_its_execution_continues_without_a_call(
    container: FakeContainer, make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off(monkeypatch, Executions, "register_and_start", make_request)
    calls = len(container.fake.calls)
    result = make_request()
    assert (result.build, result.begun) == (ref_of("started-1"), True)
    assert len(container.fake.calls) == calls


def test_a_rejection_cut_off_before_its_execution_is_recorded_by_the_retry(
    container: FakeContainer, make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    container.fake.failures["start_build"] = EmptyReportError("nothing")
    cut_off(monkeypatch, Executions, "_start", make_request)
    assert outcomes(container) == []
    make_request()
    assert outcomes(container) == [Outcome.EMPTY]


def test_a_build_started_elsewhere_is_registered_by_its_id(container: FakeContainer, make_request: MakeRequest) -> None:
    container.fake.put(build_of("theirs"))
    request = BuildRequest(source="insights", build_id="theirs", scope="sales")
    assert [make_request(request).begun, make_request(request, "r2").begun] == [True, False]
    assert container.fake.counts["start_build"] == 0


def test_a_named_build_that_does_not_exist_is_not_registered(
    container: FakeContainer, make_request: MakeRequest
) -> None:
    with pytest.raises(BuildNotFoundError):
        make_request(BuildRequest(source="insights", build_id="unknown"))
    assert container.stepfunctions.executions == {}


def cut_off(monkeypatch: pytest.MonkeyPatch, owner: type, method: str, make_request: MakeRequest) -> None:
    """Serve a request up to the moment where this method would be called; there, the invocation ends."""

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(owner, method, killed)
        with pytest.raises(KeyboardInterrupt):
            make_request()


def test_builds_that_differ_are_each_started_although_one_is_running(
    container: FakeContainer, make_request: MakeRequest
) -> None:
    container.fake.builds_are_alike = False
    container.fake.put(build_of("running"))
    assert make_request().build == ref_of("started-1")


def test_a_lost_start_among_builds_that_differ_is_found_only_if_there_is_no_doubt(
    container: FakeContainer, make_request: MakeRequest
) -> None:
    container.fake.builds_are_alike = False
    container.wait_for(build_of("tracked"))
    container.fake.put(build_of("ours"))
    container.fake.failures["start_build"] = UNCERTAIN
    assert make_request().build == ref_of("ours")
    container.fake.put(build_of("one"), build_of("other"))
    assert make_request(request_id="r2").build == ref_of("request-r2")
    assert outcomes(container)[-1] is Outcome.LOST


def test_a_start_that_the_provider_recognizes_is_repeated_with_the_same_key(
    container: FakeContainer, make_request: MakeRequest
) -> None:
    container.fake.repeats_starts = True
    container.fake.failures["start_build"] = [SourceUnavailableError("insights: start_build timed out")]
    with pytest.raises(SourceUnavailableError):
        make_request()
    assert make_request().begun
    assert container.fake.once == ["r1", "r1"]


def test_an_attempt_that_was_cut_off_is_repeated_where_the_provider_recognizes_it(
    container: FakeContainer, make_request: MakeRequest
) -> None:
    container.fake.repeats_starts = True
    container.requests.claim("insights", "r1")
    container.manual_clock.advance(LATER_SECONDS)
    assert make_request().begun
    assert container.fake.counts["start_build"] == 1
