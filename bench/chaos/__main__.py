"""``make chaos``: inject every kill point and every fault once, then storms; write docs/reliability.md."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from pathlib import Path

from bench.chaos.report import Campaign, matrix_lines, storm_lines, write_report
from local.chaos.campaign import Chunk, every_nth, plan_experiments, run_chunk
from local.chaos.experiment_runner import ExperimentRunner
from local.chaos.experiments import Experiment, ExperimentResult
from local.chaos.storms import BUILDS

REPORT = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
# An embedded AWS starts within a second and slows down with its history.
EXPERIMENTS_PER_CHUNK = 30
STORMS = 20


def main() -> int:
    """Run the campaign and return the exit code: 1 if a promise was broken."""
    options = _options()
    started = time.monotonic()
    with ExperimentRunner() as runner:
        experiments = plan_experiments(runner)
    if options.only:
        experiments = [experiment for experiment in experiments if options.only in str(experiment)]
    experiments = every_nth(experiments, options.every)
    storms = range(1, options.storms + 1)
    print(f"{len(experiments)} experiments and {len(storms)} storms of {options.builds} builds", flush=True)
    findings = list(_run(experiments, storms, options.builds, options.processes))
    campaign = Campaign(
        experiments=experiments, findings=findings, storm_builds=options.builds, seconds=time.monotonic() - started
    )
    print("\n".join([*matrix_lines(campaign), *storm_lines(campaign)]))
    for finding in campaign.broken:
        print(f"\n{finding.experiment}")
        for violation in finding.violations:
            print(f"  {violation}")
    if options.write:
        write_report(campaign, REPORT)
    if campaign.missing:
        print(f"\n{campaign.missing} experiments were planned and not run")
    print(f"\n{len(campaign.broken)} broken promises in {campaign.seconds / 60:.1f} minutes")
    return 1 if campaign.broken or campaign.missing else 0


def _run(
    experiments: Sequence[Experiment], storms: Sequence[int], builds: int, processes: int
) -> Iterator[ExperimentResult]:
    chunks = [Chunk(storms=[seed], storm_builds=builds) for seed in storms]
    count = max(1, round(len(experiments) / EXPERIMENTS_PER_CHUNK))
    chunks += [Chunk(experiments=experiments[number::count]) for number in range(count) if experiments[number::count]]
    # Forked processes would inherit the threads' locks; each chunk needs a fresh process.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, max_tasks_per_child=1) as pool:
        futures: list[Future[list[ExperimentResult]]] = [pool.submit(run_chunk, chunk) for chunk in chunks]
        for done, future in enumerate(as_completed(futures), start=1):
            found = future.result()
            broken = sum(bool(finding.violations) for finding in found)
            print(f"{done}/{len(chunks)}: {len(found)} runs, {broken} broken", file=sys.stderr, flush=True)
            yield from found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only each N-th experiment of each fault")
    parser.add_argument("--only", default="", metavar="TEXT", help="only experiments whose name contains this")
    parser.add_argument("--storms", type=int, default=STORMS, metavar="N", help="number of storms")
    parser.add_argument("--builds", type=int, default=BUILDS, metavar="N", help="builds in each storm")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, metavar="N", help="number of processes")
    parser.add_argument("--write", action="store_true", help="write docs/reliability.md")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
