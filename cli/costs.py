"""What a stack costs this month, estimated from its builds and the price list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cli.records import EndedRecord

# Billed units, by their names in local/polling_study/prices.yaml, measured on the embedded AWS (bench/polling-real.md).
# A minute without a build: a tick, and a fifth of a discovery.
PER_MINUTE: Final[Mapping[str, float]] = {
    "lambda_request": 1.2,
    "lambda_gb_second": 0.0024,
    "scheduler_invocation": 1.2,
    "dynamodb_write_unit": 0.2,
    "dynamodb_read_unit": 1.6,
    "log_byte": 173,
}
# A build of 20 minutes without its polls; the copied bytes cost nothing within a region.
PER_BUILD: Final[Mapping[str, float]] = {
    "step_functions_transition": 4,
    "lambda_request": 4,
    "lambda_gb_second": 0.52,
    "dynamodb_write_unit": 30,
    "dynamodb_read_unit": 20,
    "sns_publish": 1,
    "log_byte": 5_305,
    "s3_put": 2,
    "s3_get": 1,
}
# What a report adds.
PER_REPORT: Final[Mapping[str, float]] = {
    "step_functions_transition": 1,
    "lambda_request": 2,
    "lambda_gb_second": 0.33,
    "log_byte": 2_077,
    "s3_put": 1,
    "secret_request": 0.5,
}
PER_POLL: Final[Mapping[str, float]] = {"dynamodb_write_unit": 3, "lambda_gb_second": 0.005}


@dataclass(frozen=True, kw_only=True)
class CostEstimate:
    """The cost since the begin of the month, in dollars."""

    since: datetime
    builds: int
    waiting: float
    building: float
    projected: float
    priced_at: str

    @property
    def total(self) -> float:
        """Everything so far."""
        return self.waiting + self.building

    @property
    def per_build(self) -> float | None:
        """What one build costs, with its share of the waiting."""
        return self.total / self.builds if self.builds else None


def estimate_month(records: Iterable[EndedRecord], *, now: datetime) -> CostEstimate:
    """Estimate the cost of this month from the builds that ended in it; ``projected`` is that of the whole month."""
    from local.polling_study.prices import read_prices

    prices = read_prices()
    since = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    minutes = (now - since).total_seconds() / 60
    ended = [record for record in records if record.ended_at >= since]
    polls = sum(record.courier.polls for record in ended if record.courier is not None)
    reports = sum(record.artifact is not None for record in ended)
    waiting = sum(prices.cost(_times(PER_MINUTE, minutes)).values())
    building = sum(
        sum(prices.cost(_times(units, count)).values())
        for units, count in ((PER_BUILD, len(ended)), (PER_REPORT, reports), (PER_POLL, polls))
    )
    whole = (since + timedelta(days=32)).replace(day=1) - since
    share = max(minutes / (whole.total_seconds() / 60), 1e-9)
    return CostEstimate(
        since=since,
        builds=len(ended),
        waiting=waiting,
        building=building,
        projected=(waiting + building) / share,
        priced_at=f"{prices.region}, {prices.gathered:%Y-%m-%d}",
    )


def _times(units: Mapping[str, float], count: float) -> dict[str, float]:
    return {name: number * count for name, number in units.items()}
