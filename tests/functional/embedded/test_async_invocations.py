"""Asynchronous invocations: accepted at once, retried on errors, and finally dead-lettered."""

import json
from collections.abc import Callable

from local.embedded.embedded_aws import EmbeddedAws
from local.embedded.interception import Discard, Interception, Invocation, InvocationFault, Throttle


class Runs(Interception):
    """Records the runs, and throttles the first ones."""

    def __init__(self, throttled: int = 0) -> None:
        self.throttled = throttled
        self.seen: list[Invocation] = []

    def before_invocation(self, invocation: Invocation) -> InvocationFault | None:
        self.seen.append(invocation)
        return Throttle() if len(self.seen) <= self.throttled else None


def test_the_api_accepts_an_event_and_runs_it_later(disturbed: Callable[[Interception], EmbeddedAws]) -> None:
    runs = Runs()
    aws = disturbed(runs)
    name = aws.resources["WorkFunction"]
    response = aws.client("lambda").invoke(FunctionName=name, InvocationType="Event", Payload=b"{}")
    assert response["StatusCode"] == 202
    aws.wait_until_idle()
    assert [run.asynchronous for run in runs.seen] == [True]


def test_a_failed_event_is_repeated_with_the_same_id_and_ends_as_a_dead_letter(
    disturbed: Callable[[Interception], EmbeddedAws],
) -> None:
    runs = Runs()
    aws = disturbed(runs)
    delivery = aws.invoke_asynchronously("work", {"do": "fail"}).result(10)
    assert delivery.attempts == 2
    assert [run.attempt for run in runs.seen] == [1, 2]
    assert len({run.request_id for run in runs.seen}) == 1
    assert all(run.asynchronous for run in runs.seen)
    (letter,) = (json.loads(body) for body in aws.dead_letters())
    assert letter["requestPayload"] == {"do": "fail"}
    assert letter["responsePayload"]["errorType"] == "HopelessError"
    assert letter["requestContext"]["approximateInvokeCount"] == 2
    assert aws.dead_letters() == []


def test_a_throttled_event_is_tried_again(disturbed: Callable[[Interception], EmbeddedAws]) -> None:
    aws = disturbed(Runs(throttled=1))
    delivery = aws.invoke_asynchronously("work", {}).result(10)
    assert delivery.attempts == 2
    assert delivery.result is not None
    assert delivery.result.error_type is None
    assert aws.dead_letters() == []


def test_an_event_that_never_got_through_is_a_dead_letter(disturbed: Callable[[Interception], EmbeddedAws]) -> None:
    aws = disturbed(Runs(throttled=99))
    delivery = aws.invoke_asynchronously("work", {}).result(10)
    # After 1, 2, 4, 8, 16 and 32 seconds; 64 more would exceed the maximum age of 100.
    assert (delivery.result, delivery.attempts) == (None, 7)
    (letter,) = (json.loads(body) for body in aws.dead_letters())
    assert letter["responsePayload"] is None
    assert letter["requestContext"]["condition"] == "EventAgeExceeded"
    assert letter["requestContext"]["approximateInvokeCount"] == 7


def test_throttling_uses_up_no_retry(disturbed: Callable[[Interception], EmbeddedAws]) -> None:
    aws = disturbed(Runs(throttled=3))
    delivery = aws.invoke_asynchronously("work", {"do": "fail"}).result(10)
    # Three throttled, one failed, one retry.
    assert delivery.attempts == 5
    (letter,) = (json.loads(body) for body in aws.dead_letters())
    assert letter["requestContext"]["condition"] == "RetriesExhausted"


def test_a_discarded_event_is_a_dead_letter_at_once(disturbed: Callable[[Interception], EmbeddedAws]) -> None:
    class Discards(Interception):
        def before_invocation(self, invocation: Invocation) -> InvocationFault | None:  # noqa: ARG002  # the base's
            return Discard()

    aws = disturbed(Discards())
    delivery = aws.invoke_asynchronously("work", {}).result(10)
    assert (delivery.result, delivery.attempts) == (None, 1)
    assert len(aws.dead_letters()) == 1
