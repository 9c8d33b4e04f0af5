"""The tables of what really ran."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean, median

from bench.waiting.bill import Bill
from bench.waiting.capacity import TOKEN_BYTES
from bench.waiting.crowd import Rush
from bench.waiting.idle import MINUTES_A_MONTH, Idleness
from bench.waiting.lives import DISCOVER_MINUTES, HISTORY, LATENCY_SECONDS, Lives
from bench.waiting.sandboxes import Run
from local.polling_study.prices import PriceList

MOST_DOLLARS = 0.20
LOOP_DOLLARS = 1.65
MOST_IDLE_DOLLARS = 0.10
MOST_IDLE_CPU_SECONDS = 0.030
MOST_SEGMENT_SECONDS = 60.0
MOST_SEGMENT_BYTES = 512 * 1024**2
IN_FLIGHT = (1, 10, 100)
# What a request to AWS takes there, generously: DynamoDB answers in single-digit milliseconds.
AWS_SECONDS = 0.010
_MB = 1024**2


def cost_section(courier: Sequence[Lives], loop: Lives, prices: PriceList) -> Iterator[str]:
    """Say what 1,000 builds cost, and of what."""
    yield "## Cost per 1,000 builds of 20 minutes, everything but the copied bytes"
    yield ""
    heads = [
        "",
        "in flight",
        "transitions",
        "Lambda",
        "ticks",
        "DynamoDB",
        "S3",
        "SNS",
        "secrets",
        "logs",
        "dollars",
        "",
    ]
    rows = []
    for lives in courier:
        for in_flight in IN_FLIGHT:
            bill = lives.per_thousand(in_flight)
            within = bill.dollars(prices) <= MOST_DOLLARS
            verdict = "" if in_flight == 1 else "met" if within else f"missed (${MOST_DOLLARS:.2f})"
            rows.append([lives.way.name, f"{in_flight}", *_dollars(bill, prices), verdict])
    bill = loop.bill * (1000 / loop.builds)
    rows.append([loop.way.name, "any", *_dollars(bill, prices), f"about ${LOOP_DOLLARS:.2f}"])
    yield from table(heads, rows)
    for lives in (*courier, loop):
        yield from _usage(lives)
    yield f"Durations are spread evenly over the log-normal of 20 minutes; {HISTORY} ended builds of each scope are"
    yield "known."
    yield f"The clock stands still while something works; providers answer after {LATENCY_SECONDS:g} s of real time."
    yield "Ticks are"
    yield "shared by all builds in flight: the minutes of the run are taken out of the bill at the price of the"
    yield "minutes with"
    yield "nothing in flight that followed on the same stack, and put back for as many as 1,000 builds take, so"
    yield "many at a"
    yield "time. Looks are left as measured, although more builds in flight share more of them. Invocations are"
    yield "billed as"
    yield "long as they took here, the embedded AWS's own time in it, without cold starts. DynamoDB units are"
    yield "counted at"
    yield "the table by the sizes of items and index entries (`bench/waiting/capacity.py`), task tokens as of"
    yield f"{TOKEN_BYTES:,} bytes."
    yield "Free: StartExecution, SendTaskSuccess, GetParametersByPath of standard parameters, and AWS's own free"
    yield "tier is not"
    yield "counted. Not in it: the metrics, alarms and dashboard of `monitoring.yaml`, which cost by the month; and"
    yield "X-Ray,"
    yield f"which is ${prices.cost({'xray_trace': 1e6})['xray_trace']:g} for a million traces beyond the 100,000 a"
    yield "month that are free."
    yield ""


def _usage(lives: Lives) -> Iterator[str]:
    bill = lives.bill * (1 / lives.builds)
    requests = sum(lives.provider_requests.values()) / lives.builds
    yield f"**{lives.way.name}**: {lives.builds} builds in {lives.minutes} minutes; per build"
    yield ", ".join(f"{name} {count / lives.builds:g}" for name, count in lives.states.items()) + " states entered;"
    yield f"{requests:.1f} provider requests;"
    units = {name: count for name, count in bill.units.items() if count}
    yield ", ".join(f"{count:,.2f} {name}" for name, count in units.items()) + ";"
    yield ", ".join(f"{count:.2f} {name}" for name, count in bill.notes.items() if count) + "."
    if lives.lags:
        yield f"Mean lag from the end to the outcome in the ledger: {fmean(lives.lags):.0f} s."
    by_function = {
        name: [run for run in lives.runs if run.function == name] for name in {r.function for r in lives.runs}
    }
    yield (
        "Seconds of a warm invocation, median: "
        + ", ".join(
            f"{name} {median(run.wall_seconds for run in runs):.2f}" for name, runs in sorted(by_function.items())
        )
        + "."
    )
    yield ""


def _dollars(bill: Bill, prices: PriceList) -> list[str]:
    cost = prices.cost(bill.units)
    groups = (
        ("step_functions_transition",),
        ("lambda_request", "lambda_gb_second"),
        ("scheduler_invocation",),
        ("dynamodb_write_unit", "dynamodb_read_unit"),
        ("s3_put", "s3_get"),
        ("sns_publish",),
        ("secret_request",),
        ("log_byte",),
    )
    return [*(f"{sum(cost.get(name, 0.0) for name in group):.4f}" for group in groups), f"**{sum(cost.values()):.3f}**"]


def crowd_section(rush: Rush) -> Iterator[str]:
    """Say how one tick served ten thousand builds."""
    due, looked = sum(rush.due.values()), sum(rush.looked.values())
    lists = sum(account.settings.provider == "treasure_insights" for account in rush.accounts)
    yield f"## {rush.builds:,} builds in flight over {len(rush.accounts)} sources"
    yield ""
    yield f"One real tick; providers answer after {LATENCY_SECONDS:g} s; {lists} sources can list. Ages up to three"
    yield "hours, no history,"
    yield "next looks where the beat puts them. The rows are in the ledger without executions"
    yield "(`bench/waiting/crowd.py` says why)."
    yield ""
    hardest = max(rush.segments, key=_one_after_the_other)
    longest = max(run.wall_seconds for run in rush.segments)
    peak = max(run.peak_bytes for run in rush.segments)
    slowest = _one_after_the_other(hardest)
    rows = [
        ["due builds looked at", f"{looked:,} of {due:,}", "all", _verdict(looked == due)],
        [
            "sources with a due build left",
            str(sum(rush.looked[name] < rush.due[name] for name in rush.due)),
            "none",
            "",
        ],
        ["segments", str(len(rush.segments)), "", ""],
        ["peak memory of a segment", f"{peak / _MB:.0f} MB", "512 MB", _verdict(peak <= MOST_SEGMENT_BYTES)],
        ["CPU of a segment", f"{max(run.cpu_seconds for run in rush.segments):.2f} s", "", ""],
        [
            "dispatcher and longest segment, every request one after the other, AWS in 10 ms",
            f"{_one_after_the_other(rush.dispatcher) + slowest:.1f} s",
            "60 s",
            _verdict(_one_after_the_other(rush.dispatcher) + slowest <= MOST_SEGMENT_SECONDS),
        ],
        ["longest segment here, the embedded AWS's time in it", f"{longest:.1f} s", "", ""],
        ["the whole tick here, six segments at a time", f"{rush.seconds:.1f} s", "", ""],
        ["of it computed by the embedded AWS", f"{rush.aws_cpu_seconds:.1f} s", "", ""],
        ["requests to providers", f"{rush.asked:,}", "", ""],
        [
            "most requests to a source within any minute, as the provider saw them",
            str(max(rush.most_in_a_minute.values())),
            "60",
            _verdict(not rush.over_budget),
        ],
    ]
    yield from table(["", "measured", "target", ""], rows)
    yield "A segment runs by itself on AWS, all of them beside each other. Here they share two processors with the"
    yield "embedded"
    yield "AWS, which answers one DynamoDB request at a time, so that seconds here say little; the line above them"
    yield "takes what a"
    yield "segment computed, its requests to AWS at 10 ms and a request for each build at the latency of the provider,"
    yield "without any of"
    yield "them at once, which is more than it takes on AWS."
    yield ""


def _one_after_the_other(run: Run) -> float:
    return run.cpu_seconds + sum(run.calls.values()) * AWS_SECONDS + _looks(run) * LATENCY_SECONDS


def _looks(run: Run) -> int:
    # At most one request to the provider for each write of the budget, and a segment makes no more than it has rows.
    return min(run.calls.get("dynamodb:UpdateItem", 0), run.payload.count('"build"'))


def idle_section(kinds: Sequence[Idleness], prices: PriceList) -> Iterator[str]:
    """Say what a minute costs in which nothing is due."""
    yield "## An idle minute"
    yield ""
    rows = []
    for kind in kinds:
        cpu = sorted(run.cpu_seconds for run in kind.polls)
        dollars = kind.month.dollars(prices)
        queries = kind.requests.get("query", 0) / kind.sources
        rows.append(
            [
                f"{kind.name}, {kind.sources} sources",
                "1",
                f"{kind.requests.get('scan', 0):g}",
                f"{queries:g}",
                str(kind.asked),
                f"{cpu[0] * 1000:.1f} / {median(cpu) * 1000:.1f} / {cpu[-1] * 1000:.1f}",
                f"{dollars:.3f}",
                _verdict(queries <= 1 and kind.asked == 0 and cpu[-1] < MOST_IDLE_CPU_SECONDS),
            ]
        )
    heads = ["", "invocations", "counts of the index", "queries per source", "provider requests"]
    yield from table([*heads, "CPU ms, least / median / most", "dollars a month", ""], rows)
    nothing = kinds[0]
    dollars = nothing.month.dollars(prices)
    yield (
        f"Idle, a month costs ${dollars:.3f}, below ${MOST_IDLE_DOLLARS:.2f}: {_verdict(dollars < MOST_IDLE_DOLLARS)}."
        " Of it: "
        + ", ".join(f"{name} ${cost:.4f}" for name, cost in prices.cost(nothing.month.units).items() if cost)
        + "."
    )
    yield f"{len(nothing.polls)} warm ticks of one process each; a month has {MINUTES_A_MONTH:,} minutes, and a"
    yield "discovery each"
    traces = MINUTES_A_MONTH * (1 + 1 / DISCOVER_MINUTES)
    yield f"{DISCOVER_MINUTES} of them. The template switches tracing on: {traces:,.0f} traces a month, fewer than"
    yield "the 100,000 that are free; without"
    yield f"that they would cost ${prices.cost({'xray_trace': traces})['xray_trace']:.2f}."
    yield ""


def _verdict(good: bool) -> str:
    return "met" if good else "missed"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Write a table in Markdown."""
    for row in (heads, ["---"] * len(heads), *rows):
        yield f"| {' | '.join(row)} |"
    yield ""
