"""List prices, and what it costs to wait for builds."""

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

# What the template gives poll_builds, and what the samples' check function needs.
POLLER_GB = 512 / 1024
CHECK_GB = 256 / 1024
# Time of an invocation beside waiting for the provider: a warm start and one query; an assumption.
INVOCATION_SECONDS = 0.1
# Writing one look of a row, with sixteen at once of 10 ms each; an assumption.
POLL_SECONDS = 0.01 / 16

# Entered from the first state to the notice; statemachine/build_lifecycle.asl.yaml.
COURIER_TRANSITIONS = 5
# Start, submit, copy, notify and end; and Wait, Task and Choice for each look.
LOOP_TRANSITIONS = 5
LOOP_TRANSITIONS_PER_POLL = 3

# A row is below 1 KB, and so is its index entry: a unit a write. With its task token it has between 1 and 2 KB.
_ROW_WRITE = 1
_TOKEN_WRITE = 2
_ENTRY_WRITE = 1
# The claim moves the entry in the index by its sort key: one entry is deleted and one put.
WRITES_PER_POLL = _ROW_WRITE + 2 * _ENTRY_WRITE
# Register (row, entry), execution, release (row, entry), close; the token comes into the row, is there at the first
# look, and is put aside: into an item of its own, and out of the row.
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
    """The price list of one day and region."""

    gathered: date
    region: str
    prices: Mapping[str, Price]

    def cost(self, units: Mapping[str, float]) -> dict[str, float]:
        """Give the dollars of each kind of unit.

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
        It is no price list, or has no price for something that waiting uses; the text names the place.
    """
    try:
        listed = PriceList.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as exc:
        raise SettingsError(f"{path}: cannot be read: {exc.strerror or type(exc).__name__}") from exc
    except ValidationError as exc:
        raise SettingsError(f"{path}: is no price list: {describe_validation(exc)}") from exc
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
    """What is paid for, by the names of the price list; copy, record and notice, which all share, are left out."""

    step_functions_transition: float
    lambda_request: float
    lambda_gb_second: float
    scheduler_invocation: float = 0.0
    dynamodb_write_unit: float = 0.0
    dynamodb_read_unit: float = 0.0

    def dollars(self, prices: PriceList) -> float:
        """Give what all of it costs."""
        return sum(prices.cost(asdict(self)).values())


def units_by_ticks(counts: PollingCounts) -> Units:
    """Count what the ticking poller used."""
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
    """Count what the loops used."""
    return Units(
        step_functions_transition=counts.builds * LOOP_TRANSITIONS + counts.polls * LOOP_TRANSITIONS_PER_POLL,
        lambda_request=counts.invocations,
        lambda_gb_second=(counts.invocations * INVOCATION_SECONDS + counts.provider_seconds) * CHECK_GB,
    )
