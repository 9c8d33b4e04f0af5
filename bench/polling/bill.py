"""Usage in the units of the price list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bench.polling.capacity import CapacityMeter
from bench.polling.sandboxes import MeasuredInvocation
from local.embedded.results import ExecutionReport
from local.polling_study.prices import PriceList

# Names of the requests in the price list. The other requests are free: GetParametersByPath of standard parameters,
# SendTaskSuccess and StartExecution (transitions are billed), Lambda's Invoke (invocations are billed), and
# AbortMultipartUpload. DynamoDB requests are counted at the table.
_PRICED_CALLS = {
    "s3:PutObject": "s3_put",
    "s3:CreateMultipartUpload": "s3_put",
    "s3:UploadPart": "s3_put",
    "s3:CompleteMultipartUpload": "s3_put",
    "s3:ListParts": "s3_put",
    "s3:ListObjectsV2": "s3_put",
    "s3:GetObject": "s3_get",
    "s3:HeadObject": "s3_get",
    "sns:Publish": "sns_publish",
    "secrets-manager:GetSecretValue": "secret_request",
}
_FREE_SERVICES = ("dynamodb", "ssm", "sfn", "lambda")


@dataclass(frozen=True)
class Bill:
    """Counts by the names of the price list; `notes` are counts that are not billed."""

    units: Mapping[str, float]
    notes: Mapping[str, float] = field(default_factory=dict)

    def dollars(self, prices: PriceList) -> float:
        """Return the total cost."""
        return sum(prices.cost(self.units).values())

    def __add__(self, other: Bill) -> Bill:
        return Bill(_sum(self.units, other.units), _sum(self.notes, other.notes))

    def __mul__(self, factor: float) -> Bill:
        return Bill(
            {name: count * factor for name, count in self.units.items()},
            {name: count * factor for name, count in self.notes.items()},
        )

    def __sub__(self, other: Bill) -> Bill:
        return self + other * -1


def _sum(one: Mapping[str, float], other: Mapping[str, float]) -> Mapping[str, float]:
    return {name: one.get(name, 0.0) + other.get(name, 0.0) for name in dict.fromkeys((*one, *other))}


def count_usage(
    *,
    invocations: Sequence[MeasuredInvocation],
    executions: Iterable[ExecutionReport] = (),
    meter: CapacityMeter | None = None,
    ticks: int = 0,
    publishes: int = 0,
) -> Bill:
    """Sum up what these invocations, executions, writes and reads use.

    Parameters
    ----------
    ticks
        Invocations by a schedule.
    publishes
        Notices that state machines published.
    """
    units: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    for each in invocations:
        calls.update(each.calls)
    for call, count in calls.items():
        if call in _PRICED_CALLS:
            units[_PRICED_CALLS[call]] += count
        elif not call.startswith(_FREE_SERVICES):
            raise ValueError(f"the price list has no price of {call}")
    states = sum(len(execution.states) for execution in executions)
    counted: dict[str, float] = {
        "step_functions_transition": states,
        "lambda_request": len(invocations),
        "lambda_gb_second": sum(each.gb_seconds for each in invocations),
        "scheduler_invocation": ticks,
        "dynamodb_write_unit": sum(meter.write_units.values()) if meter else 0,
        "dynamodb_read_unit": sum(meter.read_units.values()) if meter else 0,
        "sns_publish": units.pop("sns_publish", 0) + publishes,
        "log_byte": sum(each.log_bytes for each in invocations),
        **units,
    }
    by_function = Counter(each.function for each in invocations)
    notes = {f"invocations of {name}": float(count) for name, count in by_function.items()}
    notes["requests to AWS"] = sum(calls.values())
    if meter:
        notes |= {f"write units, {kind}": float(count) for kind, count in meter.write_units.items()}
        notes |= {f"read units, {kind}": count for kind, count in meter.read_units.items()}
    return Bill(counted, notes)
