"""Measure everything, and print and write the report: ``python -m bench.polling``, from the root of the repository."""

from collections.abc import Iterator
from pathlib import Path

from bench.markdown import fold
from bench.polling.idle import measure_idle
from bench.polling.lifecycle import LISTED, SINGLE, LifecyclePlan, measure_lifecycle
from bench.polling.load_test import run_load
from bench.polling.loop_lifecycle import measure_loops
from bench.polling.report import cost_section, idle_section, load_section
from local.polling_study.prices import read_prices

REPORT = Path(__file__).resolve().parent.parent / "polling-real.md"
LOOPS = LifecyclePlan(builds=12)


def main() -> None:
    """Measure, print, and write the report."""
    text = fold(_report())
    REPORT.write_text(text)
    print(text)


def _report() -> Iterator[str]:
    prices = read_prices()
    yield "# Polling, measured on the embedded AWS"
    yield ""
    yield "Written by `make bench-poll`; do not edit. The template is deployed on the embedded AWS; each function"
    yield f"runs in its own process. Prices: {prices.region}, {prices.gathered:%Y-%m-%d}, without the free tier"
    yield "(`local/polling_study/prices.yaml`)."
    yield "The simulation with thousands of builds: [polling.md](polling.md)."
    yield ""
    yield from idle_section(measure_idle(), prices)
    yield from cost_section(
        [measure_lifecycle(SINGLE, LifecyclePlan()), measure_lifecycle(LISTED, LifecyclePlan())],
        measure_loops(LOOPS),
        prices,
    )
    yield from load_section(run_load())


if __name__ == "__main__":
    main()
