"""What the simulation reads and shows: durations, prices, the chart, the command."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import typer
from typer.testing import CliRunner

from cli.simulate import simulate
from courier.errors import SettingsError
from local.polling_study.chart import ChartSeries, draw, trade_off_chart
from local.polling_study.comparison import simulate_courier
from local.polling_study.durations import Sample, read_durations
from local.polling_study.lower_bound import Point
from local.polling_study.prices import PRICE_FILE, Units, read_prices, units_by_loops, units_by_ticks
from local.polling_study.strategies import PollingCounts
from local.polling_study.workload import Workload, draw_trace


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.csv", "seconds,scope\n60,x\n\n90.5,y\n"), ("a.csv", "60\n90.5\n"), ("a.json", "[60, 90.5]")],
)
def test_durations_are_read(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert list(read_durations(tmp_path / name).seconds) == [60, 90.5]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "60\nsoon\n", "line 2: 'soon'"),
        ("a.csv", "seconds\n", "one or more"),
        ("a.csv", "60\n0\n", "above zero"),
        ("a.csv", "60\nnan\n", "above zero"),
        ("a.json", '{"a": 1}', "JSON list"),
        ("a.json", "[1, ", "Expecting value"),
    ],
)
def test_invalid_durations_are_refused_with_their_location(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        read_durations(tmp_path / name)


def test_every_unit_has_a_price_and_a_source() -> None:
    prices = read_prices()
    assert set(Units.__dataclass_fields__) <= set(prices.prices)
    assert all(price.source for price in prices.prices.values())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gathered: 2026-01-01\nregion: [\n", "no valid YAML in line 3"),
        ("gathered: 2026-02-30\n", "no valid YAML: day"),
        ("seconds\n", "is not a price list"),
        ("gathered: 2026-01-01\nprices: {}\n", "is not a price list: region: field required"),
        (
            "{gathered: 2026-01-01, region: x, prices: {s3_get: {dollars: 1, source: y}}}",
            r"prices\.s3_get\.per: field required",
        ),
        (PRICE_FILE.read_text().replace("lambda_request:", "lambda_wish:"), "has no price for lambda_request$"),
        ("\udcff", "is not UTF-8 text"),
    ],
)
def test_an_invalid_price_list_is_refused_with_its_location(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(SettingsError, match=message) as throttled:
        read_prices(path)
    assert str(throttled.value).startswith(f"{path}: ")
    assert "\n" not in str(throttled.value)


def test_a_loop_of_twenty_polls_costs_the_sum_calculated_by_hand() -> None:
    counts = PollingCounts(
        builds=1000, requests=20_000, polls=20_000, invocations=20_000, provider_seconds=20_000 * 0.15
    )
    # 65 transitions a build at 25 dollars a million, 20,000 requests, and 20,000 times 0.25 s of 256 MB.
    by_hand = 65_000 * 25e-6 + 20_000 * 0.2e-6 + 20_000 * 0.25 * 0.25 * 0.0000133334
    assert units_by_loops(counts).dollars(read_prices()) == pytest.approx(by_hand)


def test_the_ticking_poller_enters_five_states_for_any_number_of_polls() -> None:
    few, many = (PollingCounts(builds=10, polls=polls) for polls in (10, 1000))
    assert units_by_ticks(few).step_functions_transition == units_by_ticks(many).step_functions_transition == 50
    assert units_by_ticks(many).dynamodb_write_unit > units_by_ticks(few).dynamodb_write_unit


def test_an_unknown_unit_is_not_free() -> None:
    with pytest.raises(KeyError):
        read_prices().cost({"moonlight": 1})


def test_the_chart_is_well_formed_and_leaves_out_what_lies_beyond_its_axes() -> None:
    series = ChartSeries(
        name="a <b> & c", points=[Point(1, 10), Point(99, 10)], color="#000000", mark="o", labels=["x", "y"]
    )
    text = draw("t <&>", [series], most_requests=10, most_lag_seconds=20)
    root = ET.fromstring(text)  # noqa: S314 - our own
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"a <b> & c", "t <&>", "x"} <= set(texts)
    assert "y" not in texts


def test_the_same_data_makes_the_same_chart() -> None:
    assert trade_off_chart(Workload(builds=20)) == trade_off_chart(Workload(builds=20))


def test_the_chart_of_a_scenario_names_all_its_series() -> None:
    text = trade_off_chart(Workload(builds=50))
    for name in ("Keller", "best on ticks", "fixed interval", "Job-Poller loop", "by first_seconds", "by builds known"):
        assert name in text


def test_the_chart_of_measured_durations_is_drawn_too() -> None:
    text = trade_off_chart(Workload(durations=Sample([300.0, 400.0, 500.0]), builds=30))
    assert "3 measured durations" in text


def test_percentiles_are_by_nearest_rank() -> None:
    workload = Workload(builds=50)
    finding = simulate_courier(workload, draw_trace(workload))
    ordered = sorted(finding.counts.lags)
    assert finding.lag_percentile(50) == ordered[24]
    assert finding.lag_percentile(99) == ordered[49]
    assert finding.lag_percentile(0) == ordered[0]


def _run(*arguments: str) -> str:
    command = typer.Typer()
    command.command()(simulate)
    return CliRunner().invoke(command, [*arguments]).output


def test_the_command_shows_three_strategies_and_the_limit(tmp_path: Path) -> None:
    chart = tmp_path / "chart.svg"
    output = _run("--builds", "100", "--chart", str(chart))
    for text in ("courier", "fixed 60 s", "Job-Poller loop", "lag p99", "dollars for 1,000", "Keller's limit"):
        assert text in output
    assert ET.parse(chart).getroot().tag.endswith("svg")  # noqa: S314 - our own


def test_a_chart_without_matplotlib_is_refused_before_the_simulation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.simulate.find_spec", lambda _: None)
    output = _run("--builds", "100000", "--chart", str(tmp_path / "chart.svg"))
    assert "not installed: pip install matplotlib" in " ".join(output.replace("│", " ").split())
    assert not (tmp_path / "chart.svg").exists()


def test_the_command_reads_measured_durations(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("600\n700\n800\n")
    assert "3 measured durations" in _run("--durations", str(tmp_path / "a.csv"), "--builds", "50")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--first-seconds", "100", "--longest-seconds", "10"), "longest_seconds must not be less"),
        (("--first-seconds", "-1"), "first_seconds"),
        (("--fault-rate", "1"), "fault-rate"),
    ],
)
def test_the_command_says_which_option_is_wrong(arguments: tuple[str, ...], message: str) -> None:
    assert message in _run(*arguments)


def test_the_command_reports_that_no_end_was_detected() -> None:
    assert "No end was detected" in _run("--give-up-after-hours", "0.01", "--builds", "20")
