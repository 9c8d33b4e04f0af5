"""Each definition that ships against the vendor that it describes: every word, error, list and token."""

from __future__ import annotations

from http import HTTPStatus

import pytest

from courier import errors
from courier.errors import (
    ArtifactRefusedError,
    BuildNotFoundError,
    SettingsError,
    SourceError,
    SourceProtocolError,
    SourceRejectedError,
    SourceUnauthorizedError,
    SourceUnavailableError,
)
from courier.models import BuildRequest, BuildStatus, Outcome
from courier.observability.provider_events import UnexpectedKind
from local.chaos.virtual_time import timeouts_shortened
from local.simulator import (
    HTML_PAGE,
    Delay,
    Fault,
    FaultRule,
    Reply,
    RequestKind,
    ResetBeforeReading,
    Unanswered,
    load_vendor,
    vendor_names,
)
from local.simulator.vendor_scenario import VendorError
from tests.functional.vendors.played import END_SECONDS, SOURCE, Played, playing

MEANINGS = {
    "queued": (BuildStatus.QUEUED, None),
    "running": (BuildStatus.RUNNING, None),
    "succeeded": (BuildStatus.SUCCEEDED, None),
    "failed": (BuildStatus.FAILED, None),
    "canceled": (BuildStatus.CANCELED, None),
    "empty": (BuildStatus.SUCCEEDED, Outcome.EMPTY),
    "gone": (BuildStatus.FAILED, Outcome.LOST),
}
KINDS = {
    "start": RequestKind.START_JOB,
    "step": RequestKind.CONTINUE_JOB,
    "status": RequestKind.GET_JOB,
    "list": RequestKind.LIST_BUILDS,
    "link": RequestKind.LOCATE_ARTIFACT,
}
SCENARIOS = [load_vendor(name) for name in vendor_names()]
ERRORS = [(scenario.api, error) for scenario in SCENARIOS for error in scenario.errors]
WITH_EMPTY_END = [scenario.api for scenario in SCENARIOS if scenario.job.empty is not None]
WITH_SEVERAL_FILES = [scenario.api for scenario in SCENARIOS if scenario.file is not None and scenario.file.each]
WITH_TOKEN = [scenario.api for scenario in SCENARIOS if scenario.token is not None]


def odd(word: str) -> str:
    """Return a word in a case that no vendor writes."""
    return "".join(char.lower() if index % 2 else char.upper() for index, char in enumerate(word))


def test_each_word_means_what_the_vendor_says_in_any_case(played: Played) -> None:
    provider = played.open()
    states = played.vendor.scenario.job.states
    found = {}
    for word in states:
        build = provider.get_build(played.start(provider, odd(word)))
        found[word] = (build.status, build.ended_as)
    assert found == {word: MEANINGS[state.means] for word, state in states.items()}
    assert played.unexpected == []


def test_an_unknown_word_waits_and_is_reported_once(played: Played) -> None:
    provider = played.open()
    ref = played.start(provider, "Reticulating")
    for _ in range(2):
        build = provider.get_build(ref)
        assert (build.status, build.provider_status, build.has_artifact) == (BuildStatus.UNKNOWN, "Reticulating", False)
    assert [(value.kind, value.detail) for value in played.unexpected] == [
        (UnexpectedKind.UNKNOWN_STATUS, "Reticulating")
    ]


def test_a_build_goes_through_its_course(played: Played) -> None:
    provider = played.open()
    build = provider.start_build(played.request)
    assert not build.status.is_terminal
    assert provider.get_build(build.ref).ref == build.ref
    played.end()
    ended = provider.get_build(build.ref)
    assert (ended.status, ended.ended_as) == (BuildStatus.SUCCEEDED, None)
    assert ended.has_artifact == provider.leaves_reports == (played.vendor.scenario.file is not None)
    assert played.unexpected == []


@pytest.mark.parametrize("name", WITH_EMPTY_END)
def test_an_empty_end_leaves_nothing_to_fetch(name: str) -> None:
    with playing(name) as played:
        provider = played.open()
        played.vendor.plan_empty()
        ref = played.start(provider)
        played.end()
        build = provider.get_build(ref)
        assert (build.ended_as, build.has_artifact) == (Outcome.EMPTY, False)


def test_a_build_that_does_not_exist_is_lost(played: Played) -> None:
    provider = played.open()
    ref = played.start(provider).model_copy(update={"build_id": "4711"})
    if played.vendor.scenario.missing.status == HTTPStatus.OK:
        # The vendor says it in a body, so that a rule or a word has to.
        assert provider.get_build(ref).ended_as is Outcome.LOST
    else:
        with pytest.raises((BuildNotFoundError, SourceRejectedError)):
            provider.get_build(ref)


def test_a_list_with_all_its_pages_agrees_with_single_polls(played: Played) -> None:
    provider = played.open()
    refs = [played.start(provider) for _ in range(5)]
    if not provider.can_list:
        assert not any(route.kind == "list" for route in played.vendor.scenario.routes)
        with pytest.raises(SettingsError):
            provider.list_builds(refs[0].scope)
        return
    listed = {build.ref: build for build in provider.list_builds(refs[0].scope)}
    assert list(listed) == refs
    assert listed[refs[-1]] == provider.get_build(refs[-1])
    assert played.unexpected == []


def test_a_build_is_canceled_where_the_vendor_can(played: Played) -> None:
    provider = played.open()
    ref = played.start(provider)
    if not provider.can_cancel:
        assert not any(route.kind == "cancel" for route in played.vendor.scenario.routes)
        return
    before = len(played.vendor.requests.of(RequestKind.CANCEL_BUILD))
    provider.cancel_build(ref)
    assert len(played.vendor.requests.of(RequestKind.CANCEL_BUILD)) == before + 1


@pytest.mark.parametrize(("name", "error"), ERRORS, ids=[f"{name}-{error.name}" for name, error in ERRORS])
def test_an_error_of_the_vendor_is_ours(name: str, error: VendorError) -> None:
    with playing(name) as played:
        provider = played.open()
        if error.of in {"start", "step"}:
            played.vendor.answer_next(KINDS[error.of], error.answer, times=None)
            if not error.raises:
                assert provider.start_build(played.request).ref.build_id == played.vendor.jobs[0].job_id
                return
            with pytest.raises(getattr(errors, error.raises)) as caught:
                provider.start_build(played.request)
        else:
            ref = played.start(provider)
            played.vendor.answer_next(KINDS[error.of], error.answer, times=None)
            with pytest.raises(getattr(errors, error.raises)) as caught:
                provider.get_build(ref)
        assert type(caught.value) is getattr(errors, error.raises)


@pytest.mark.parametrize("name", WITH_TOKEN)
def test_a_token_that_is_refused_once_is_renewed_and_twice_is_an_error(name: str) -> None:
    with playing(name) as played:
        provider = played.open()
        ref = played.start(provider, "soon")
        assert played.vendor.requests.counts()[RequestKind.TOKEN] == 1
        played.end()
        played.vendor.refuse_credentials(times=1)
        assert not provider.get_build(ref).status.is_terminal
        assert played.vendor.requests.counts()[RequestKind.TOKEN] == 2
        played.end()
        played.vendor.refuse_credentials(times=2)
        with pytest.raises(SourceUnauthorizedError):
            provider.get_build(ref)


@pytest.mark.parametrize("name", WITH_TOKEN)
def test_an_expired_token_is_renewed_before_it_is_refused(name: str) -> None:
    with playing(name) as played:
        provider = played.open()
        ref = played.start(provider, "soon")
        played.clock.advance(3600)
        provider.get_build(ref)
        assert played.vendor.requests.counts()[RequestKind.TOKEN] == 2
        assert all(entry.status is not None and entry.status < 400 for entry in played.vendor.requests)


@pytest.mark.parametrize("name", WITH_TOKEN)
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Unanswered(), SourceUnavailableError),
        (ResetBeforeReading(), SourceUnavailableError),
        (Reply(200, HTML_PAGE), SourceProtocolError),
        (Reply(503, HTML_PAGE), SourceUnavailableError),
    ],
    ids=["silent", "down", "html", "gateway"],
)
def test_a_token_endpoint_that_fails_is_no_mistake_of_the_key(
    name: str, fault: Fault, error: type[SourceError]
) -> None:
    with playing(name) as played:
        provider = played.open()
        played.vendor.faults.add(FaultRule(fault, RequestKind.TOKEN, times=None))
        with pytest.raises(error):
            provider.start_build(played.request)
        assert played.vendor.jobs == ()
        played.vendor.faults.clear()
        assert played.start(provider).build_id


def test_a_slow_token_endpoint_is_given_up() -> None:
    with timeouts_shortened(), playing(WITH_TOKEN[0], wait=None) as played:
        played.vendor.faults.add(FaultRule(Delay(60), RequestKind.TOKEN, times=None))
        with pytest.raises(SourceUnavailableError, match="get_token"):
            played.open().start_build(played.request)
        assert played.vendor.jobs == ()


@pytest.mark.parametrize("name", WITH_TOKEN)
def test_wrong_client_credentials_are_the_operators(name: str) -> None:
    with playing(name) as played:
        scenario = played.vendor.scenario
        assert scenario.token is not None
        played.vendor.answer_next(RequestKind.TOKEN, scenario.token.refused, times=None)
        with pytest.raises(SourceUnauthorizedError):
            played.open().start_build(played.request)


def test_a_wrong_key_is_the_operators(played: Played) -> None:
    provider = played.open()
    played.vendor.refuse_credentials(times=10)
    with pytest.raises(SourceUnauthorizedError):
        provider.start_build(played.request)


@pytest.mark.parametrize("name", WITH_SEVERAL_FILES)
def test_one_of_two_files_is_never_chosen_silently(name: str) -> None:
    with playing(name) as played:
        provider = played.open()
        ref = played.start(provider, played.vendor.scenario.job.course.words[-1], files=2)
        assert provider.get_build(ref).has_artifact
        with pytest.raises(ArtifactRefusedError, match="2 files"):
            provider.locate_artifact(ref)


def test_the_check_is_one_sentence_and_starts_nothing(played: Played) -> None:
    sentence = played.open().check()
    assert sentence.startswith(f"{SOURCE}: ")
    assert "\n" not in sentence
    assert played.vendor.jobs == ()


def test_what_is_polled_only_is_not_started(played: Played) -> None:
    watch = BuildRequest(source=SOURCE, scope=played.vendor.scenario.scope, build_id="x")
    provider = played.open()
    assert provider.request_scope(watch) == watch.scope
    with pytest.raises(SettingsError):
        provider.start_build(watch)
    assert played.vendor.jobs == ()


def test_times_are_those_of_the_vendor(played: Played) -> None:
    """What a definition reads as a time is one: nothing ends before it has begun, or while it runs."""
    provider = played.open()
    first, *_, last = played.vendor.scenario.job.course.words
    began = played.clock()
    running = provider.get_build(played.start(provider, first, first))
    assert running.completed_at is None
    ref = played.start(provider, first, last)
    played.clock.advance(END_SECONDS)
    ended = provider.get_build(ref)
    times = [time for time in (ended.created_at, ended.started_at, ended.completed_at) if time is not None]
    assert times == sorted(times)
    assert all(began <= time <= played.clock() for time in times)
    assert not ended.times_unreadable
    assert played.unexpected == []
