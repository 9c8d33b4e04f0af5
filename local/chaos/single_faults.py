"""One experiment for every kill point of every function, every kind of AWS error, and every unusual delivery."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from local.chaos.checker import Allowance
from local.chaos.exchange_hooks import Exchange
from local.chaos.experiment_runner import ExperimentRunner, FaultInjector
from local.chaos.experiments import Experiment
from local.chaos.fault_injectors import (
    EVERY_ATTEMPT,
    EVERY_CALL,
    CallInjector,
    ExchangeFault,
    ExchangeInjector,
    ExchangeRecorder,
    InvocationInjector,
    ResponseInjector,
    ResultDropper,
)
from local.chaos.scenarios import SCENARIOS
from local.embedded.interception import (
    STATE_MACHINE,
    AwsError,
    DeliverTwice,
    DropResponse,
    FalseSuccess,
    IgnoreConditions,
    Throttle,
)
from local.simulator import HTML_PAGE

# A place that is passed repeatedly gets a fault at the first time and, for kills, also at the second.
_OCCASIONS: Final = {
    ExchangeFault.KILL_BEFORE: 2,
    ExchangeFault.KILL_AFTER: 2,
    ExchangeFault.LOSE_BEFORE: 1,
    ExchangeFault.LOSE_AFTER: 1,
}
# The errors of services that throttle or fail, where they differ from the default.
_THROTTLED: Final = {"s3": AwsError(503, "SlowDown")}
_BROKEN: Final = {"dynamodb": AwsError(500, "InternalServerError")}
_PUBLISHED: Final = "sns:Publish"
_PAGE: Final = FalseSuccess(HTML_PAGE)
_UPLOADS: Final = frozenset({"s3:PutObject", "s3:UploadPart"})
_CREATES: Final = frozenset({"s3:PutObject", "s3:CompleteMultipartUpload"})
_NOTED: Final = ".mark_announced:"


def record(runner: ExperimentRunner) -> dict[str, ExchangeRecorder]:
    """Run every scenario without faults, and return what was recorded in each."""
    recorders = {}
    for make in SCENARIOS:
        recorder = ExchangeRecorder()
        runner.run(make(), recorder)
        recorders[make.__name__] = recorder
    return recorders


def plan(recorders: dict[str, ExchangeRecorder]) -> list[Experiment]:
    """Return one experiment for each point and kind of fault; the first scenario that passes a point is used."""
    seen: set[object] = set()
    experiments: list[Experiment] = []
    for scenario, recorder in recorders.items():
        for exchange, count in sorted(recorder.exchanges.items()):
            if exchange not in seen:
                seen.add(exchange)
                experiments += _exchange_experiments(scenario, exchange, count)
        for (caller, action), _ in sorted(recorder.calls.items()):
            if (caller, action) not in seen:
                seen.add((caller, action))
                experiments += _call_experiments(scenario, caller, action)
                if action.startswith("s3:"):
                    experiments += _s3_experiments(scenario, caller, action)
        for function in sorted(recorder.invocations):
            if function not in seen:
                seen.add(function)
                experiments += _invocation_experiments(scenario, function)
    return experiments


def _exchange_experiments(scenario: str, exchange: Exchange, count: int) -> Iterator[Experiment]:
    for fault, occasions in _OCCASIONS.items():
        for nth in range(1, min(count, occasions) + 1):
            repeats = exchange.call == _PUBLISHED and fault in {ExchangeFault.KILL_AFTER, ExchangeFault.LOSE_AFTER}
            # A notice about a source was published and not yet noted as published: the note is the next exchange.
            repeats |= fault is ExchangeFault.KILL_BEFORE and any(_NOTED in place for place in exchange.place)
            yield Experiment(
                fault=fault,
                where=f"{exchange}, time {nth}",
                scenario=scenario,
                make_injector=partial(ExchangeInjector, exchange, fault, nth=nth),
                allowance=Allowance(repeated_notices=int(repeats)),
            )


def _call_experiments(scenario: str, caller: str, action: str) -> Iterator[Experiment]:
    service = action.partition(":")[0]
    throttled = _THROTTLED.get(service, AwsError(400, "ThrottlingException"))
    broken = _BROKEN.get(service, AwsError(500, "InternalError"))
    where = f"{caller}: {action}"
    at = partial(CallInjector, caller, action)
    for fault, make_injector in (
        ("throttled by AWS", partial(at, throttled)),
        ("error 500 of AWS", partial(at, broken)),
        ("throttled by AWS, every attempt", partial(at, throttled, times=EVERY_ATTEMPT)),
        ("error 500 of AWS, every attempt", partial(at, broken, times=EVERY_ATTEMPT)),
    ):
        yield Experiment(fault=fault, where=where, scenario=scenario, make_injector=make_injector)
    if caller == STATE_MACHINE:
        yield Experiment(
            fault="connection broken before", where=where, scenario=scenario, make_injector=partial(at, DropResponse())
        )
        yield Experiment(
            fault="response lost",
            where=where,
            scenario=scenario,
            make_injector=partial(ResponseInjector, caller, action, DropResponse()),
            allowance=Allowance(repeated_notices=int(action == _PUBLISHED)),
        )


def _s3_experiments(scenario: str, caller: str, action: str) -> Iterator[Experiment]:
    """Return what S3, stores like it, and proxies in front of them do besides throttling and failing."""
    before, after = partial(CallInjector, caller, action), partial(ResponseInjector, caller, action)
    faults: list[tuple[str, Callable[[], FaultInjector]]] = [
        ("empty success of S3, without effect", partial(before, FalseSuccess())),
        ("page in the place of S3, without effect", partial(before, _PAGE)),
        ("empty success of S3, with effect", partial(after, FalseSuccess())),
        ("page in the place of S3, with effect", partial(after, _PAGE)),
    ]
    if action in _UPLOADS:
        faults += [
            ("S3 lost the body", partial(before, AwsError(400, "IncompleteBody"))),
            ("S3 timed out on the body", partial(before, AwsError(400, "RequestTimeout"))),
        ]
    if action in _CREATES:
        faults += [
            ("S3 reports a conflict", partial(before, AwsError(409, "ConditionalRequestConflict"))),
            ("S3 reports an error with status 200", partial(before, AwsError(200, "InternalError"))),
            ("store ignores conditions", partial(before, IgnoreConditions(), times=EVERY_CALL)),
        ]
    for fault, make_injector in faults:
        yield Experiment(fault=fault, where=f"{caller}: {action}", scenario=scenario, make_injector=make_injector)


def _invocation_experiments(scenario: str, function: str) -> Iterator[Experiment]:
    for fault, make_injector in (
        ("event delivered twice", partial(InvocationInjector, function, DeliverTwice())),
        ("every event delivered twice", partial(InvocationInjector, function, DeliverTwice(), times=EVERY_CALL)),
        ("no capacity for a function", partial(InvocationInjector, function, Throttle(), times=2)),
        ("result of a function lost", partial(ResultDropper, function)),
    ):
        yield Experiment(fault=fault, where=function, scenario=scenario, make_injector=make_injector)
