"""The EventBridge schedules of an expanded template."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from local.embedded.cron import Cron, parse_cron
from local.sam.expansion import DEFAULT_LOCATION, resources_of
from local.sam.intrinsics import LogicalId, Resolver, StackLocation, Template, TemplateError

_RATE = re.compile(r"rate\((\d+) (minute|hour|day)(s?)\)")
_CRON = re.compile(r"cron\((.*)\)")
_MINUTES = {"minute": 1, "hour": 60, "day": 1440}

# EventBridge Scheduler's default.
_DEFAULT_RETRY_ATTEMPTS = 185

_TARGETS: dict[str, Literal["function", "state_machine"]] = {
    "AWS::Lambda::Function": "function",
    "AWS::StepFunctions::StateMachine": "state_machine",
}


@dataclass(frozen=True)
class Rate:
    """A parsed ``rate(...)`` expression."""

    period: timedelta

    def next_after(self, moment: datetime) -> datetime:
        """Return the fire that follows one at ``moment``."""
        return moment + self.period


Timing = Rate | Cron


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """One ``AWS::Scheduler::Schedule``.

    ``logical_id``, ``name``
        In the template, and as EventBridge shows it.
    ``target``, ``target_kind``
        Logical id and kind of the resource that it calls.
    ``expression``, ``timing``
        The schedule expression, as written and parsed.
    ``input``
        The event, as text; None when the template gives none.
    ``enabled``
        Whether the schedule fires.
    ``retry_attempts``
        How often EventBridge retries a delivery; an error of the function is not a failed delivery.
    ``dead_letter_queue``
        Logical id of the queue for events that could not be delivered.
    """

    logical_id: str
    name: str
    target: str
    target_kind: Literal["function", "state_machine"]
    expression: str
    timing: Timing
    input: str | None
    enabled: bool
    retry_attempts: int
    dead_letter_queue: str | None


def parse_expression(text: str, *, timezone: str = "UTC") -> Timing:
    """Parse a schedule expression as strictly as AWS does.

    Raises
    ------
    ValueError
        It is neither ``rate(...)`` nor ``cron(...)``, or AWS would refuse it (``rate(1 hours)``).
    """
    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError) as exc:
        raise ValueError(f"{timezone!r} is not a time zone") from exc
    if match := _RATE.fullmatch(text):
        count, unit, plural = int(match[1]), match[2], match[3]
        if count < 1 or (count == 1) == bool(plural):
            raise ValueError(f"{text}: the count must be positive, with a singular unit for 1 and a plural for more")
        return Rate(timedelta(minutes=count * _MINUTES[unit]))
    if match := _CRON.fullmatch(text):
        return parse_cron(match[1], zone)
    raise ValueError(f"{text!r} is neither rate(...) nor cron(...)")


def schedules(expanded: Template, *, location: StackLocation = DEFAULT_LOCATION) -> list[Schedule]:
    """Return the schedules of an expanded template that its conditions keep, in the template's order.

    Raises
    ------
    TemplateError
        An expression, a time zone or a target is invalid; the message names the schedule.
    """
    resolver = Resolver(expanded, location)
    return [
        _schedule(logical_id, resource, resolver, expanded)
        for logical_id, resource in resources_of(expanded, "AWS::Scheduler::Schedule")
        if resolver.exists(resource)
    ]


def _schedule(logical_id: str, resource: Template, resolver: Resolver, expanded: Template) -> Schedule:
    properties = resolver.properties(resource)
    target = properties["Target"]
    arn = target["Arn"]
    kind = _TARGETS.get(expanded["Resources"].get(arn.name, {}).get("Type")) if isinstance(arn, LogicalId) else None
    if kind is None:
        raise TemplateError(f"{logical_id}: its target is not a function or state machine of the template")
    if unknown := properties.keys() & {"StartDate", "EndDate"}:
        raise TemplateError(f"{logical_id}: {', '.join(sorted(unknown))} is not supported by the embedded AWS")
    expression = str(properties["ScheduleExpression"])
    try:
        timing = parse_expression(expression, timezone=properties.get("ScheduleExpressionTimezone", "UTC"))
    except ValueError as exc:
        raise TemplateError(f"{logical_id}: {exc}") from exc
    dead_letter = target.get("DeadLetterConfig", {}).get("Arn")
    return Schedule(
        logical_id=logical_id,
        name=str(properties.get("Name", logical_id)),
        target=arn.name,
        target_kind=kind,
        expression=expression,
        timing=timing,
        input=target.get("Input"),
        enabled=properties.get("State", "ENABLED") == "ENABLED",
        retry_attempts=int(target.get("RetryPolicy", {}).get("MaximumRetryAttempts", _DEFAULT_RETRY_ATTEMPTS)),
        dead_letter_queue=dead_letter.name if isinstance(dead_letter, LogicalId) else None,
    )
