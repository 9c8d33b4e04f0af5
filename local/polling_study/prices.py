"""List prices, and the cost of waiting for builds."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import date
from pathlib import Path

import yaml
from pydantic import Field, ValidationError

from courier.config.validation import describe_validation
from courier.errors import SettingsError
from courier.models import FrozenModel
from local.polling_study.strategies import PollingCounts

PRICE_FILE = Path(__file__).with_name("prices.yaml")

# The memory of poll_builds in the template, and of the check function of the Job-Poller samples.
POLLER_GB = 512 / 1024
CHECK_GB = 256 / 1024
# An assumption: the time of an invocation besides waiting for the provider, with a warm start and one query.
INVOCATION_SECONDS = 0.1
# An assumption: a poll writes its row in 10 ms, sixteen at a time.
POLL_SECONDS = 0.01 / 16

# The states from the first to the notice: statemachine/build_lifecycle.asl.yaml.
COURIER_TRANSITIONS = 5
# Start, submit, copy, notify and end; and Wait, Task and Choice for each poll.
LOOP_TRANSITIONS = 5
LOOP_TRANSITIONS_PER_POLL = 3

# A row and its index entry are below 1 KB: one unit per write. With its task token a row has between 1 and 2 KB.
_ROW_WRITE = 1
_TOKEN_WRITE = 2
_ENTRY_WRITE = 1
# The claim moves the entry in the index by its sort key: one entry is deleted and one put.
WRITES_PER_POLL = _ROW_WRITE + 2 * _ENTRY_WRITE
# Register (row, entry), execution, release (row, entry), close. The token is written into the row, is there at the
# first poll, and then moves from the row into an item of its own.
WRITES_PER_BUILD = 4 * _ROW_WRITE + 2 * _ENTRY_WRITE + (4 * _TOKEN_WRITE - _ROW_WRITE)
# One query of the index per tick, eventually consistent: half a unit for each 4 KB, at least half a unit.
READS_PER_TICK = 0.5
READS_PER_ROW = 0.5 * 0.4 / 4


class Price(FrozenModel):
    """One line of the price list."""

    dollars: float = Field(ge=0)
    per: int = Field(gt=0)
    source: str


class PriceList(FrozenModel):
    """The list prices of one day and region."""

    gathered: date
    region: str
    prices: Mapping[str, Price]

    def cost(self, units: Mapping[str, float]) -> dict[str, float]:
        """Return the cost of each kind of unit, in dollars.

        Raises
        ------
        KeyError
            The list has no price for one of them.
        """
        return {name: count * self.prices[name].dollars / self.prices[name].per for name, count in units.items()}


def read_prices(path: Path = PRICE_FILE) -> PriceList:
    """Read a price file.

    Raises
    ------
    SettingsError
        The file is not a price list, or lacks a price that is needed; the message names the place.
    """
    try:
        listed = PriceList.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as exc:
        raise SettingsError(f"{path}: cannot be read: {exc.strerror or type(exc).__name__}") from exc
    except ValidationError as exc:
        raise SettingsError(f"{path}: is not a price list: {describe_validation(exc)}") from exc
    except UnicodeDecodeError as exc:
        raise SettingsError(f"{path}: is not UTF-8 text") from exc
    except (yaml.YAMLError, RecursionError, ValueError) as exc:
        # ValueError: a date that does not exist, such as 2026-02-30.
        mark = getattr(exc, "problem_mark", None)
        place = f" in line {mark.line + 1}" if mark is not None else ""
        raise SettingsError(f"{path}: no valid YAML{place}: {getattr(exc, 'problem', None) or exc}") from exc
    if missing := [field.name for field in fields(Units) if field.name not in listed.prices]:
        raise SettingsError(f"{path}: has no price for {', '.join(missing)}")
    return listed


@dataclass(frozen=True, kw_only=True)
class Units:
    """Billed units, by their names in the price list; without copy, record and notice, which all strategies share."""

    step_functions_transition: float
    lambda_request: float
    lambda_gb_second: float
    scheduler_invocation: float = 0.0
    dynamodb_write_unit: float = 0.0
    dynamodb_read_unit: float = 0.0

    def dollars(self, prices: PriceList) -> float:
        """Return the total cost."""
        return sum(prices.cost(asdict(self)).values())


def units_by_ticks(counts: PollingCounts) -> Units:
    """Count the units of a poller that runs on ticks."""
    seconds = counts.invocations * INVOCATION_SECONDS + counts.polls * POLL_SECONDS + counts.provider_seconds
    return Units(
        step_functions_transition=counts.builds * COURIER_TRANSITIONS,
        lambda_request=counts.invocations,
        lambda_gb_second=seconds * POLLER_GB,
        scheduler_invocation=counts.ticks,
        dynamodb_write_unit=counts.polls * WRITES_PER_POLL + counts.builds * WRITES_PER_BUILD,
        dynamodb_read_unit=counts.ticks * READS_PER_TICK + counts.rows_read * READS_PER_ROW,
    )


def units_by_loops(counts: PollingCounts) -> Units:
    """Count the units of looping executions."""
    return Units(
        step_functions_transition=counts.builds * LOOP_TRANSITIONS + counts.polls * LOOP_TRANSITIONS_PER_POLL,
        lambda_request=counts.invocations,
        lambda_gb_second=(counts.invocations * INVOCATION_SECONDS + counts.provider_seconds) * CHECK_GB,
    )
