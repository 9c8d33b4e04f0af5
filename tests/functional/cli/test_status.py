"""``courier status`` and ``courier limits``."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from courier.ledger import BuildLedger, SourceLedger, SourceState, Table
from courier.ledger.sources import FailingScope
from courier.models import Outcome, Problem
from courier.outcomes.records import RecordStore, make_record
from tests.functional.cli.operator_setup import OperatorSetup
from tests.support.providers import build_of, passage_of

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def test_a_stack_without_sources_is_shown_with_the_next_command(operator: OperatorSetup) -> None:
    result = operator.command("status")
    assert (result.exit_code, result.err) == (0, "")
    assert result.out == "Stack build-courier has no sources yet: courier config push sources.yaml\n"


def test_every_health_of_a_source_is_shown(operator: OperatorSetup) -> None:
    names = ("fine", "dead-key", "penniless", "wrong", "down", "shaky")
    operator.push([operator.insights(name) for name in names], "--no-check")
    operator.put_parameter("broken", '{"name": "broken", "provider": "dreadnode_airt", "endpoint": "https://x"}')
    ledger = SourceLedger(_table(operator), lambda: NOW - 3 * HOUR - timedelta(minutes=5))
    ledger.first_discovery_at("fine")
    ledger.mark_unhealthy("dead-key", "SourceUnauthorizedError", "401", backoff=HOUR)
    ledger.mark_unhealthy("penniless", "SourceExhaustedError", "401", backoff=HOUR)
    ledger.mark_unhealthy("wrong", "SettingsError", "401", backoff=HOUR)
    ledger.count_failure("down", "500", backoff=3 * HOUR + timedelta(minutes=20), seen=SourceState(failures=4))
    ledger.count_failure("shaky", "500", backoff=None, seen=SourceState())
    _wait_for(operator, "fine", 2 * HOUR, 26 * HOUR)
    result = operator.command("status")
    assert (result.exit_code, result.err) == (0, "")
    rows = {line.split()[0]: " ".join(line.split()) for line in result.out.splitlines()[1:9]}
    assert rows["fine"] == "fine treasure_insights 2 1 d 2 h healthy"
    unhealthy = r"treasure_insights 0 unhealthy for 3 h \d+ min:"
    assert re.fullmatch(f"dead-key {unhealthy} the provider rejects its API key", rows["dead-key"])
    assert re.fullmatch(f"penniless {unhealthy} its account is out of credits", rows["penniless"])
    assert re.fullmatch(f"wrong {unhealthy} its settings or its secret are wrong", rows["wrong"])
    assert re.search(r"0 backing off for \d+ min, 5 failures", rows["down"])
    assert rows["down"].endswith("min, 5 failures in a row: 500")
    assert rows["shaky"].endswith("0 1 failure in a row: 500")
    assert rows["broken"].startswith("broken misconfigured: secret: field required; organization: field required")
    assert result.out.endswith("\nNo outcomes yet\n")


def test_the_last_ten_outcomes_come_from_all_days_and_sources_newest_first(operator: OperatorSetup) -> None:
    operator.push([operator.insights(), operator.red_team()], "--no-check")
    for number in range(7):
        _ended(operator, "insights", f"a{number}", NOW - number * 20 * DAY, Outcome.SUCCEEDED)
        _ended(
            operator,
            "gone",
            f"b{number}",
            NOW - number * 20 * DAY - HOUR,
            Outcome.FAILED,
            message="no\n[red]reason[/red]",
        )
    records = f"{operator.aws.outputs['KeyPrefix']}records/source=insights/date=2999-01-01/sales/x.json"
    operator.aws.client("s3").put_object(Bucket=operator.aws.outputs["BucketName"], Key=records, Body=b"{}")
    calls = sum(operator.aws.calls().values())
    result = operator.command("status")
    assert (result.exit_code, result.err) == (0, "")
    heading, *lines = result.out.partition("\n\n")[2].splitlines()
    assert heading == "Last 10 outcomes"
    assert [line.split()[2] for line in lines] == [
        f"{source}/sales/{letter}{number}"
        for number in range(5)
        for source, letter in (("insights", "a"), ("gone", "b"))
    ]
    assert lines[0].startswith(f"{NOW:%Y-%m-%dT%H:%M:%SZ}  succeeded ")
    assert lines[1].endswith("  failed         gone/sales/b0  no [red]reason[/red]")
    # Five, four for each source, and one for each record read or list of a day.
    assert sum(operator.aws.calls().values()) - calls <= 5 + 2 * 4 + 11 + 12


def test_scopes_that_cannot_be_listed_and_a_slow_round_are_named(operator: OperatorSetup) -> None:
    operator.push([operator.insights()], "--no-check")
    # Not the time of the import, which is minutes ago in a long run.
    now = datetime.now(UTC)
    ledger = SourceLedger(_table(operator), lambda: now)
    failing = FailingScope(
        error="BuildNotFoundError", message="list_builds returned 404", since=now - HOUR, failures=3, retry_at=now
    )
    ledger.set_failing_scopes("insights", {"gone": failing})
    ledger.set_progress("insights", next_scope="m", round_started_at=now - 2 * HOUR, scopes=2_000, unlisted=1_400)
    result = operator.command("status")
    assert re.search(r"insights/gone cannot be listed for 1 h( \d+ min)?: list_builds returned 404", result.out)
    said = " ".join(result.out.split())
    assert "1400 of 2000 scopes are still to be listed in a round that has taken 2 h" in said
    assert "; requests_per_minute is 60" in said


def test_a_terminal_of_80_columns_shows_every_word(operator: OperatorSetup) -> None:
    operator.push([operator.insights(), operator.red_team("a-source-with-a-long-name")], "--no-check")
    SourceLedger(_table(operator), lambda: NOW).mark_unhealthy(
        "insights", "SourceUnauthorizedError", "401", backoff=HOUR
    )
    model, build = "5d1d4f1c-2222-4222-8333-444444444444", "3cc9b959-1e22-408b-9492-caa7a84b8641"
    _ended(operator, "insights", build, NOW, Outcome.FAILED, message="many expected " * 20, scope=model)
    result = operator.command("status", columns=80)
    lines = [_plain(line) for line in result.out.splitlines()]
    assert max(map(len, lines)) <= 80
    assert f"    {model}/{build}" in lines
    assert "\x1b[31m" in result.out
    assert " ".join(" ".join(lines).split()).count("many expected") == 20
    assert "\x1b" not in operator.command("status").out


def test_limits_are_shown_with_the_advice_for_builds_and_for_queries(operator: OperatorSetup) -> None:
    operator.push([operator.insights(account_id=operator.scenario.treasure.account_id)], "--no-check")
    result = operator.command("limits", "insights")
    assert (result.exit_code, result.err) == (0, "")
    heading, build, build_advice, query, query_advice = result.out.splitlines()
    assert heading == "Limits of insights, account 1234"
    assert (build, query) == ("build size  8 GB", "query size  4 GB")
    assert "the 8 GB limit" in build_advice
    assert "queries on this build fail" in query_advice
    assert max(len(_plain(line)) for line in operator.command("limits", "insights", columns=80).out.splitlines()) <= 80


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("insights", "set account_id in sources.yaml"),
        ("stranger", "account_limits returned 404"),
        ("red-team", "dreadnode_airt has no limits to show"),
        ("nobody", "there is no source nobody; configured: insights, red-team, stranger"),
    ],
)
def test_limits_that_cannot_be_shown_are_explained_in_one_line(
    operator: OperatorSetup, source: str, expected: str
) -> None:
    operator.push(
        [operator.insights(), operator.insights("stranger", account_id="999"), operator.red_team()], "--no-check"
    )
    result = operator.command("limits", source)
    assert (result.exit_code, result.out) == (2, "")
    assert expected in result.error_line


def test_limits_with_a_rejected_key_are_explained_without_the_key(operator: OperatorSetup) -> None:
    operator.push([operator.insights(account_id="1234")], "--no-check")
    dead_key = "1234/" + "00" * 20
    operator.delete_keys()
    operator.command("config", "set-secret", "build-courier/treasure-data", "--no-check", piped=dead_key.encode())
    result = operator.command("limits", "insights")
    assert (result.exit_code, result.out) == (2, "")
    assert "returned 401" in result.error_line
    assert dead_key not in result.err


def _table(operator: OperatorSetup) -> Table:
    return Table(operator.aws.outputs["LedgerTableName"], operator.aws.client("dynamodb"))


def _wait_for(operator: OperatorSetup, source: str, *ages: timedelta) -> None:
    """Put builds in flight into the ledger, first seen so long ago."""
    ledger = BuildLedger(_table(operator), lambda: NOW)
    for number, age in enumerate(ages):
        passage = passage_of(build_of(f"b{number}", source=source), first_seen_at=NOW - age)
        assert ledger.register(passage, next_poll_at=NOW + HOUR)


def _ended(
    operator: OperatorSetup,
    source: str,
    build_id: str,
    at: datetime,
    outcome: Outcome,
    *,
    message: str = "",
    scope: str = "sales",
) -> None:
    problem = Problem(name="BuildFailed", message=message) if message else None
    build = build_of(build_id, source=source, scope=scope, completed=at)
    passage = passage_of(build, problem=problem, detected_at=at, first_seen_at=at)
    record = make_record(passage, provider="fake", outcome=outcome, ended_at=at, stack="s", execution="e")
    store = RecordStore(
        operator.aws.outputs["BucketName"], operator.aws.outputs["KeyPrefix"], operator.aws.client("s3")
    )
    store.write(record, store.key_of(record))


def _plain(line: str) -> str:
    """Take the colours out."""
    plain, *coloured = line.split("\x1b[")
    return plain + "".join(part.partition("m")[2] for part in coloured)
