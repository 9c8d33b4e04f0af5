"""Injectors of faults in AWS and in the functions, each for one experiment."""

from __future__ import annotations

import threading
from collections import Counter
from enum import StrEnum
from typing import Final

from typing_extensions import override

from local.chaos.exchange_hooks import Exchange, kill_function
from local.chaos.experiment_runner import FaultInjector
from local.embedded.interception import (
    AwsCall,
    CallFault,
    DropResponse,
    Invocation,
    InvocationFault,
    ResponseFault,
)

# More than the attempts of botocore or of our own code for one call.
EVERY_ATTEMPT: Final = 6
# More than the calls of one kind, or the invocations, of any scenario.
EVERY_CALL: Final = 1000


class ExchangeFault(StrEnum):
    """A fault at an exchange of a function."""

    KILL_BEFORE = "killed before"
    KILL_AFTER = "killed after"
    LOSE_BEFORE = "connection broken before"
    LOSE_AFTER = "response lost"


class ExchangeRecorder(FaultInjector):
    """Injects nothing, and records exchanges, calls and invocations."""

    def __init__(self) -> None:
        self.exchanges: Counter[Exchange] = Counter()
        self.calls: Counter[tuple[str, str]] = Counter()
        self.invocations: Counter[str] = Counter()
        self._lock = threading.Lock()

    @override
    def before(self, exchange: Exchange) -> None:
        with self._lock:
            self.exchanges[exchange] += 1

    @override
    def before_call(self, call: AwsCall) -> CallFault | None:
        with self._lock:
            self.calls[call.caller, call.action] += 1
        return None

    @override
    def before_invocation(self, invocation: Invocation) -> InvocationFault | None:
        with self._lock:
            self.invocations[invocation.function] += 1
        return None


class CountingInjector(FaultInjector):
    """Injects a fault into what matches, from the ``nth`` time on, ``times`` times."""

    def __init__(self, nth: int = 1, times: int = 1) -> None:
        self.injected = 0
        self._nth = nth
        self._times = times
        self._seen = 0
        self._lock = threading.Lock()

    def should_inject(self, matches: bool) -> bool:
        """Count a match, and return whether a fault is to be injected."""
        if not matches:
            return False
        with self._lock:
            self._seen += 1
            is_due = self._nth <= self._seen < self._nth + self._times
            self.injected += is_due
            return is_due


class ExchangeInjector(CountingInjector):
    """Injects a fault at one place in the code."""

    def __init__(self, exchange: Exchange, fault: ExchangeFault, *, nth: int = 1) -> None:
        super().__init__(nth)
        self._exchange = exchange
        self._fault = fault

    @override
    def before(self, exchange: Exchange) -> None:
        if self._fault in {ExchangeFault.KILL_BEFORE, ExchangeFault.LOSE_BEFORE} and self.should_inject(
            exchange == self._exchange
        ):
            self._inject()

    @override
    def after(self, exchange: Exchange) -> None:
        if self._fault in {ExchangeFault.KILL_AFTER, ExchangeFault.LOSE_AFTER} and self.should_inject(
            exchange == self._exchange
        ):
            self._inject()

    def _inject(self) -> None:
        if self._fault in {ExchangeFault.KILL_BEFORE, ExchangeFault.KILL_AFTER}:
            kill_function()
        raise ConnectionRefusedError(111, "injected")


class CallInjector(CountingInjector):
    """Injects a fault into one kind of call of one caller, which then has no effect."""

    def __init__(self, caller: str, action: str, fault: CallFault, *, nth: int = 1, times: int = 1) -> None:
        super().__init__(nth, times)
        self._matches = (caller, action)
        self._fault = fault

    @override
    def before_call(self, call: AwsCall) -> CallFault | None:
        return self._fault if self.should_inject((call.caller, call.action) == self._matches) else None


class ResponseInjector(CountingInjector):
    """Drops or replaces the response to one kind of call of one caller, after it had its effect."""

    def __init__(self, caller: str, action: str, fault: ResponseFault, *, nth: int = 1, times: int = 1) -> None:
        super().__init__(nth, times)
        self._matches = (caller, action)
        self._fault = fault

    @override
    def after_call(self, call: AwsCall, status: int) -> ResponseFault | None:
        return self._fault if self.should_inject((call.caller, call.action) == self._matches) else None


class InvocationInjector(CountingInjector):
    """Delivers an event twice, or throttles the function."""

    def __init__(self, function: str, fault: InvocationFault, *, nth: int = 1, times: int = 1) -> None:
        super().__init__(nth, times)
        self._function = function
        self._fault = fault

    @override
    def before_invocation(self, invocation: Invocation) -> InvocationFault | None:
        return self._fault if self.should_inject(invocation.function == self._function) else None


class ResultDropper(CountingInjector):
    """Drops the result of a function after it ran."""

    def __init__(self, function: str, *, nth: int = 1) -> None:
        super().__init__(nth)
        self._function = function

    @override
    def after_invocation(self, invocation: Invocation, *, error_type: str | None) -> DropResponse | None:
        return DropResponse() if self.should_inject(invocation.function == self._function) else None
