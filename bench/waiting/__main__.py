"""Run it all, print it, and write it beside: ``python -m bench.waiting``, from the root of the repository."""

from collections.abc import Iterator
from pathlib import Path

from bench.folding import fold
from bench.waiting.crowd import rush
from bench.waiting.idle import idle
from bench.waiting.lives import LISTED, SINGLY, Plan, live
from bench.waiting.loop import live_in_loops
from bench.waiting.report import cost_section, crowd_section, idle_section
from local.polling_study.prices import read_prices

REPORT = Path(__file__).resolve().parent.parent / "polling-real.md"
LOOPS = Plan(builds=12)


def main() -> None:
    """Measure, print, and write the report."""
    text = fold(_report())
    REPORT.write_text(text)
    print(text)


def _report() -> Iterator[str]:
    prices = read_prices()
    yield "# Waiting, counted from what really ran"
    yield ""
    yield "Written by `make bench-poll`; do not edit. The template is deployed on the embedded AWS; functions run in"
    yield f"processes of their own. Prices: {prices.region}, {prices.gathered:%Y-%m-%d}, without the free tier"
    yield "(`local/polling_study/prices.yaml`)."
    yield "The simulation with thousands of builds: [polling.md](polling.md)."
    yield ""
    yield from idle_section(idle(), prices)
    yield from cost_section([live(SINGLY, Plan()), live(LISTED, Plan())], live_in_loops(LOOPS), prices)
    yield from crowd_section(rush())


if __name__ == "__main__":
    main()
