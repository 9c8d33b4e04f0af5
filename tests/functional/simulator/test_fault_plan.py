from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from local.simulator import (
    Delay,
    ErrorStatus,
    FaultPlan,
    FaultRule,
    FaultSample,
    ProviderName,
    RequestKind,
    RequestTarget,
)
from local.simulator.messages import Request

FAULT = ErrorStatus(500)


def request(
    kind: RequestKind = RequestKind.GET_JOB, build_id: str = "a", scope: str = "s", *, ranged: bool = False
) -> Request:
    target = RequestTarget(ProviderName.DREADNODE_AIRT, kind, scope, build_id)
    headers = {"range": "bytes=0-0"} if ranged else {}
    return Request(datetime(2026, 1, 1, tzinfo=UTC), "GET", "/", "", headers, target)


def injected(plan: FaultPlan, requests: Sequence[Request]) -> list[bool]:
    return [bool(plan.apply(each)) for each in requests]


@pytest.mark.parametrize(
    ("nth", "times", "expected"),
    [
        (1, 1, [True, False, False, False]),
        (3, 1, [False, False, True, False]),
        (2, 2, [False, True, True, False]),
        (2, None, [False, True, True, True]),
    ],
)
def test_a_rule_applies_from_the_nth_match_on(nth: int, times: int | None, expected: list[bool]) -> None:
    assert injected(FaultPlan(FaultRule(FAULT, nth=nth, times=times)), [request()] * 4) == expected


@pytest.mark.parametrize(
    ("rule", "other"),
    [
        (FaultRule(FAULT, kind=RequestKind.GET_JOB), request(RequestKind.START_JOB)),
        (FaultRule(FAULT, build_id="a"), request(build_id="b")),
        (FaultRule(FAULT, scope="s"), request(scope="t")),
    ],
)
def test_a_rule_neither_matches_nor_counts_other_requests(rule: FaultRule, other: Request) -> None:
    assert injected(FaultPlan(rule), [other, request(), request()]) == [False, True, False]


def test_a_rule_may_count_only_ranged_requests() -> None:
    plan = FaultPlan(FaultRule(FAULT, ranged=True, nth=2))

    assert injected(plan, [request(ranged=True), request(), request(ranged=True)]) == [False, False, True]


def test_rules_can_be_added_and_cleared_while_it_runs() -> None:
    plan = FaultPlan(FaultRule(Delay(1), times=None))
    plan.add(FaultRule(FAULT, times=None))

    assert plan.apply(request()) == (Delay(1), FAULT)
    plan.clear()
    assert plan.apply(request()) == ()


def sample(seed: int, probability: float = 0.5) -> FaultPlan:
    faults = {RequestKind.GET_JOB: (FAULT, Delay(1))}
    return FaultPlan(sample=FaultSample(seed, probability, faults, most_in_a_row=2))


def test_a_sample_follows_from_its_seed_whatever_the_order_of_arrival() -> None:
    a, b = [request(build_id="a")] * 20, [request(build_id="b")] * 20
    one, other = sample(1), sample(1)

    first = [one.apply(each) for each in (*a, *b)]
    second = [other.apply(each) for each in (*b, *a)]

    assert (first[:20], first[20:]) == (second[20:], second[:20])
    assert {faults for faults in first if faults} == {(FAULT,), (Delay(1),)}
    assert first[:20] != first[20:]
    assert [sample(2).apply(each) for each in (*a, *b)] != first


def test_a_sample_never_injects_more_faults_in_a_row_than_allowed() -> None:
    assert injected(sample(1, probability=1.0), [request()] * 9) == [True, True, False] * 3


def test_a_sample_leaves_other_kinds_alone() -> None:
    assert injected(sample(1, probability=1.0), [request(RequestKind.ARTIFACT)] * 3) == [False] * 3
