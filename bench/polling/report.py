"""The tables of the measurements on the embedded AWS."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean, median

from bench.markdown import table
from bench.polling.bill import Bill
from bench.polling.capacity import TOKEN_BYTES
from bench.polling.idle import MINUTES_A_MONTH, IdleCost
from bench.polling.lifecycle import DISCOVER_MINUTES, HISTORY, LATENCY_SECONDS, LifecycleCost
from bench.polling.load_test import LoadResult
from bench.polling.sandboxes import MeasuredInvocation
from courier.transfer.options import MIB
from local.polling_study.prices import PriceList

MOST_DOLLARS = 0.20
LOOP_DOLLARS = 1.65
MOST_IDLE_DOLLARS = 0.10
MOST_IDLE_CPU_SECONDS = 0.030
MOST_SEGMENT_SECONDS = 60.0
MOST_SEGMENT_BYTES = 512 * MIB
IN_FLIGHT = (1, 10, 100)
# A generous duration of a request on AWS: DynamoDB responds within single-digit milliseconds.
AWS_SECONDS = 0.010


def cost_section(courier: Sequence[LifecycleCost], loop: LifecycleCost, prices: PriceList) -> Iterator[str]:
    """Report the cost of 1,000 builds and its parts."""
    yield "## Cost per 1,000 builds of 20 minutes, without the copied bytes"
    yield ""
    services = ("transitions", "Lambda", "ticks", "DynamoDB", "S3", "SNS", "secrets", "logs")
    rows = []
    for cost in courier:
        for in_flight in IN_FLIGHT:
            bill = cost.per_thousand(in_flight)
            within = bill.dollars(prices) <= MOST_DOLLARS
            mark = "" if in_flight == 1 else "met" if within else f"missed (${MOST_DOLLARS:.2f})"
            rows.append([cost.mode.name, f"{in_flight}", *_dollars(bill, prices), mark])
    bill = loop.bill * (1000 / loop.builds)
    rows.append([loop.mode.name, "any", *_dollars(bill, prices), f"about ${LOOP_DOLLARS:.2f}"])
    yield from table(("", "in flight", *services, "dollars", ""), rows)
    for cost in (*courier, loop):
        yield from _usage(cost)
    trace_cost = prices.cost({"xray_trace": 1e6})["xray_trace"]
    yield f"""\
Durations are spread evenly over the log-normal distribution of 20 minutes; {HISTORY} ended builds of each scope are
known. The clock stops while anything works; providers respond after {LATENCY_SECONDS:g} s of real time. All builds in
flight share the ticks: the bill subtracts the minutes of the run, at the price of the idle minutes that followed on the
same stack, and adds as many as 1,000 builds take with this number in flight. Polls are counted as measured, although
more builds in flight share more of them. Invocations are billed by their duration here, which includes the time of the
embedded AWS, without cold starts. DynamoDB units are counted at the table by the sizes of items and index entries
(`bench/polling/capacity.py`), with task tokens of {TOKEN_BYTES:,} bytes. Free requests are StartExecution,
SendTaskSuccess and GetParametersByPath of standard parameters; the free tier of AWS is not subtracted. The bill does
not include the metrics, alarms and dashboard of `monitoring.yaml`, which cost by the month, and X-Ray, which is
${trace_cost:g} for a million traces beyond the 100,000 a month that are free."""
    yield ""


def _usage(cost: LifecycleCost) -> Iterator[str]:
    bill = cost.bill * (1 / cost.builds)
    requests = sum(cost.provider_requests.values()) / cost.builds
    yield f"**{cost.mode.name}**: {cost.builds} builds in {cost.minutes} minutes; per build"
    yield ", ".join(f"{name} {count / cost.builds:g}" for name, count in cost.states.items()) + " states entered;"
    yield f"{requests:.1f} provider requests;"
    units = {name: count for name, count in bill.units.items() if count}
    yield ", ".join(f"{count:,.2f} {name}" for name, count in units.items()) + ";"
    yield ", ".join(f"{count:.2f} {name}" for name, count in bill.notes.items() if count) + "."
    if cost.lags:
        yield f"Mean lag from the end to the outcome in the ledger: {fmean(cost.lags):.0f} s."
    medians = {
        name: median(each.wall_seconds for each in cost.invocations if each.function == name)
        for name in sorted({each.function for each in cost.invocations})
    }
    listed = ", ".join(f"{name} {seconds:.2f}" for name, seconds in medians.items())
    yield f"Seconds of a warm invocation, median: {listed}."
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


def load_section(load: LoadResult) -> Iterator[str]:
    """Report how one tick polled ten thousand builds."""
    due, polled = sum(load.due.values()), sum(load.polled.values())
    lists = sum(account.settings.provider == "treasure_insights" for account in load.accounts)
    yield f"## {load.builds:,} builds in flight over {len(load.accounts)} sources"
    yield ""
    yield f"""\
One real tick; providers respond after {LATENCY_SECONDS:g} s; {lists} sources can list. The builds are up to three hours
old and have no history, and their next polls follow the schedule. The ledger rows have no executions
(`bench/polling/load_test.py` says why)."""
    yield ""
    sequential = _sequential_seconds(load.dispatcher) + max(map(_sequential_seconds, load.segments))
    longest = max(segment.wall_seconds for segment in load.segments)
    peak = max(segment.peak_bytes for segment in load.segments)
    left = sum(load.polled[name] < load.due[name] for name in load.due)
    rows = [
        ["due builds polled", f"{polled:,} of {due:,}", "all", _mark(polled == due)],
        ["sources with a due build left", str(left), "none", ""],
        ["segments", str(len(load.segments)), "", ""],
        ["peak memory of a segment", f"{peak / MIB:.0f} MB", "512 MB", _mark(peak <= MOST_SEGMENT_BYTES)],
        ["CPU of a segment", f"{max(segment.cpu_seconds for segment in load.segments):.2f} s", "", ""],
        [
            "dispatcher and longest segment, all requests sequential, AWS in 10 ms",
            f"{sequential:.1f} s",
            "60 s",
            _mark(sequential <= MOST_SEGMENT_SECONDS),
        ],
        ["longest segment here, including the embedded AWS's time", f"{longest:.1f} s", "", ""],
        ["the whole tick here, six segments at a time", f"{load.seconds:.1f} s", "", ""],
        ["CPU time of the embedded AWS in it", f"{load.aws_cpu_seconds:.1f} s", "", ""],
        ["requests to providers", f"{load.provider_requests:,}", "", ""],
        [
            "most requests to a source in any minute, as the provider counted them",
            str(max(load.most_in_a_minute.values())),
            "60",
            _mark(not load.over_rate_limit),
        ],
    ]
    yield from table(("", "measured", "target", ""), rows)
    yield """\
On AWS, all segments run in parallel. Here they share two processors with the embedded AWS, which processes one DynamoDB
request at a time, so the seconds here say little. The line above them adds up the CPU time of a segment, its requests
to AWS at 10 ms and one request per build at the latency of the provider, all of them sequential, which is more than a
segment takes on AWS."""
    yield ""


def _sequential_seconds(invocation: MeasuredInvocation) -> float:
    requests = sum(invocation.calls.values())
    return invocation.cpu_seconds + requests * AWS_SECONDS + _polls(invocation) * LATENCY_SECONDS


def _polls(invocation: MeasuredInvocation) -> int:
    # At most one request to the provider for each write of the rate limit, and no more than the segment has rows.
    return min(invocation.calls.get("dynamodb:UpdateItem", 0), invocation.payload.count('"build"'))


def idle_section(kinds: Sequence[IdleCost], prices: PriceList) -> Iterator[str]:
    """Report the cost of a minute in which nothing is due."""
    yield "## An idle minute"
    yield ""
    rows = []
    for kind in kinds:
        cpu = sorted(poll.cpu_seconds for poll in kind.polls)
        queries = kind.requests.get("query", 0) / kind.sources
        rows.append(
            [
                f"{kind.name}, {kind.sources} sources",
                "1",
                f"{kind.requests.get('scan', 0):g}",
                f"{queries:g}",
                str(kind.provider_requests),
                f"{cpu[0] * 1000:.1f} / {median(cpu) * 1000:.1f} / {cpu[-1] * 1000:.1f}",
                f"{kind.month.dollars(prices):.3f}",
                _mark(queries <= 1 and kind.provider_requests == 0 and cpu[-1] < MOST_IDLE_CPU_SECONDS),
            ]
        )
    heads = ["", "invocations", "counts of the index", "queries per source", "provider requests"]
    yield from table([*heads, "CPU ms, min / median / max", "dollars a month", ""], rows)
    nothing = kinds[0]
    dollars = nothing.month.dollars(prices)
    parts = ", ".join(f"{name} ${cost:.4f}" for name, cost in prices.cost(nothing.month.units).items() if cost)
    traces = MINUTES_A_MONTH * (1 + 1 / DISCOVER_MINUTES)
    yield f"""\
An idle month costs ${dollars:.3f}, below ${MOST_IDLE_DOLLARS:.2f}: {_mark(dollars < MOST_IDLE_DOLLARS)}. Its parts:
{parts}. Measured over {len(nothing.polls)} warm ticks of one process each; a month has {MINUTES_A_MONTH:,} minutes, and
a discovery every {DISCOVER_MINUTES} minutes. The template enables tracing: {traces:,.0f} traces a month, fewer than the
100,000 that are free; without those they would cost ${prices.cost({"xray_trace": traces})["xray_trace"]:.2f}."""
    yield ""


def _mark(good: bool) -> str:
    return "met" if good else "missed"
