"""What was used, in the units of the price list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bench.waiting.capacity import CapacityMeter
from bench.waiting.sandboxes import Run
from local.embedded.results import ExecutionReport
from local.polling_study.prices import PriceList

# What the requests to AWS are called in the price list. The rest costs nothing by itself: GetParametersByPath of
# standard parameters, SendTaskSuccess and StartExecution (transitions are billed), Lambda's Invoke (runs are billed).
# DynamoDB is counted at the table. AbortMultipartUpload is free.
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
    """Counts by the names of the price list; `notes` are counts that cost nothing by themselves."""

    units: Mapping[str, float]
    notes: Mapping[str, float] = field(default_factory=dict)

    def dollars(self, prices: PriceList) -> float:
        """Give what all of it costs."""
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


def bill_of(
    *,
    runs: Sequence[Run],
    executions: Iterable[ExecutionReport] = (),
    meter: CapacityMeter | None = None,
    ticks: int = 0,
    publishes: int = 0,
) -> Bill:
    """Add up what these runs, executions, writes and reads cost.

    Parameters
    ----------
    ticks
        Invocations that a schedule made.
    publishes
        Notices that state machines published themselves.
    """
    units: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    for run in runs:
        calls.update(run.calls)
    for call, count in calls.items():
        if call in _PRICED_CALLS:
            units[_PRICED_CALLS[call]] += count
        elif not call.startswith(_FREE_SERVICES):
            raise ValueError(f"nobody knows what {call} costs")
    states = sum(len(execution.states) for execution in executions)
    counted: dict[str, float] = {
        "step_functions_transition": states,
        "lambda_request": len(runs),
        "lambda_gb_second": sum(run.gb_seconds for run in runs),
        "scheduler_invocation": ticks,
        "dynamodb_write_unit": sum(meter.write_units.values()) if meter else 0,
        "dynamodb_read_unit": sum(meter.read_units.values()) if meter else 0,
        "sns_publish": units.pop("sns_publish", 0) + publishes,
        "log_byte": sum(run.log_bytes for run in runs),
        **units,
    }
    notes = {f"runs of {name}": float(sum(run.function == name for run in runs)) for name in {r.function for r in runs}}
    notes["requests to AWS"] = sum(calls.values())
    if meter:
        notes |= {f"write units, {kind}": float(count) for kind, count in meter.write_units.items()}
        notes |= {f"read units, {kind}": count for kind, count in meter.read_units.items()}
    return Bill(counted, notes)
