"""Every kill point of every function, every kind of AWS error, every odd delivery: one experiment each."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

from local.chaos.checker import Allowance
from local.chaos.exchange_hooks import Effect
from local.chaos.experiment_runner import Laboratory
from local.chaos.experiments import Experiment
from local.chaos.fault_injectors import (
    EVERY_TRY,
    AfterCall,
    AfterInvocation,
    AtCall,
    AtEffect,
    AtInvocation,
    Blow,
    Recorder,
)
from local.chaos.scenarios import SCRIPTS
from local.embedded.interception import STATE_MACHINE, Answer, DeliverTwice, LoseAnswer, Throttle

# A place that is passed more often is struck at the first and, by the hardest blows, at the second time as well.
_OCCASIONS: Final = {Blow.KILL_BEFORE: 2, Blow.KILL_AFTER: 2, Blow.LOSE_BEFORE: 1, Blow.LOSE_AFTER: 1}
# What each service says when it is asked too often, and when it is broken.
_THROTTLED: Final = {"s3": Answer(503, "SlowDown")}
_BROKEN: Final = {"dynamodb": Answer(500, "InternalServerError")}
_PUBLISHED: Final = "sns:Publish"
_NOTED: Final = ".note_announced:"


def record(laboratory: Laboratory) -> dict[str, Recorder]:
    """Play every script undisturbed, and give what happened in each."""
    recorders = {}
    for make in SCRIPTS:
        recorder = Recorder()
        laboratory.run(make(), recorder)
        recorders[make.__name__] = recorder
    return recorders


def plan(recorders: dict[str, Recorder]) -> list[Experiment]:
    """Give one experiment for each point and kind of fault; what several scripts pass is struck in the first."""
    seen: set[object] = set()
    experiments: list[Experiment] = []
    for script, recorder in recorders.items():
        for effect, count in sorted(recorder.effects.items()):
            if effect not in seen:
                seen.add(effect)
                experiments += _blows(script, effect, count)
        for (caller, action), _ in sorted(recorder.calls.items()):
            if (caller, action) not in seen:
                seen.add((caller, action))
                experiments += _answers(script, caller, action)
        for function in sorted(recorder.invocations):
            if function not in seen:
                seen.add(function)
                experiments += _deliveries(script, function)
    return experiments


def _blows(script: str, effect: Effect, count: int) -> Iterator[Experiment]:
    for blow, occasions in _OCCASIONS.items():
        for nth in range(1, min(count, occasions) + 1):
            repeats = effect.call == _PUBLISHED and blow in {Blow.KILL_AFTER, Blow.LOSE_AFTER}
            # News about a source, sent and not yet noted as sent: the note is the very next exchange.
            repeats |= blow is Blow.KILL_BEFORE and any(_NOTED in place for place in effect.place)
            yield Experiment(
                fault=blow,
                where=f"{effect}, time {nth}",
                script=script,
                disturb=partial(AtEffect, effect, blow, nth=nth),
                allowance=Allowance(repeated_notices=int(repeats)),
            )


def _answers(script: str, caller: str, action: str) -> Iterator[Experiment]:
    service = action.partition(":")[0]
    throttled = _THROTTLED.get(service, Answer(400, "ThrottlingException"))
    broken = _BROKEN.get(service, Answer(500, "InternalError"))
    where = f"{caller}: {action}"
    at = partial(AtCall, caller, action)
    for fault, disturb in (
        ("throttled by AWS", partial(at, throttled)),
        ("error 500 of AWS", partial(at, broken)),
        ("throttled by AWS, every try", partial(at, throttled, times=EVERY_TRY)),
        ("error 500 of AWS, every try", partial(at, broken, times=EVERY_TRY)),
    ):
        yield Experiment(fault=fault, where=where, script=script, disturb=disturb)
    if caller == STATE_MACHINE:
        yield Experiment(
            fault="connection broken before", where=where, script=script, disturb=partial(at, LoseAnswer())
        )
        yield Experiment(
            fault="answer lost",
            where=where,
            script=script,
            disturb=partial(AfterCall, caller, action),
            allowance=Allowance(repeated_notices=int(action == _PUBLISHED)),
        )


def _deliveries(script: str, function: str) -> Iterator[Experiment]:
    for fault, disturb in (
        ("event delivered twice", partial(AtInvocation, function, DeliverTwice())),
        ("every event delivered twice", partial(AtInvocation, function, DeliverTwice(), times=1000)),
        ("no capacity for a function", partial(AtInvocation, function, Throttle(), times=2)),
        ("result of a function lost", partial(AfterInvocation, function)),
    ):
        yield Experiment(fault=fault, where=function, script=script, disturb=disturb)
