"""What the two runs had to bring home: which builds ended how, and what the reader is told about it."""

from __future__ import annotations

from collections import Counter

from local.simulator.scenario import MEBIBYTE
from tests.functional.end_to_end.conftest import ObservedRun
from tests.functional.end_to_end.customer import (
    BIG_JOB,
    CANCELED_BUILD,
    MODEL,
    NEW_BUILD,
    NOBODYS_JOB,
    OLD_BUILD,
)


def outcomes(run: ObservedRun) -> Counter[tuple[str, str]]:
    return Counter((news["provider"], news["outcome"]) for news in run.evidence.news)


def test_the_demonstration_shows_every_kind_of_outcome_and_ends_well(demo: ObservedRun) -> None:
    assert demo.evidence.ended.exit_code == 0
    assert demo.evidence.ended.err == ""
    assert outcomes(demo) == {
        ("treasure_insights", "succeeded"): 2,
        ("treasure_insights", "failed"): 1,
        ("treasure_insights", "canceled"): 1,
        ("dreadnode_airt", "delivered"): 2,
        ("dreadnode_airt", "failed"): 1,
        ("dreadnode_airt", "empty"): 1,
    }


def test_the_demonstration_delivers_a_report_above_16_mebibytes(demo: ObservedRun) -> None:
    sizes = [news["artifact"]["size_bytes"] for news in demo.evidence.news if news["artifact"]]
    assert max(sizes) > 16 * MEBIBYTE


def test_the_notice_of_a_failed_treasure_build_has_the_limits_and_the_advice(demo: ObservedRun) -> None:
    (news,) = [
        news for news in demo.evidence.news if news["outcome"] == "failed" and news["provider"] == "treasure_insights"
    ]
    assert news["limits"] == {"build_size_gb": 8, "query_size_gb": 4}
    assert "Suspect memory first" in news["problem"]["advice"]
    assert "8 GB" in news["problem"]["advice"]
    assert "4 GB" in news["problem"]["advice"]


def test_the_summary_names_every_build_its_outcome_and_where_it_lies(any_run: ObservedRun) -> None:
    said = any_run.evidence.ended.out
    for news in any_run.evidence.news:
        build = "/".join((news["build"]["source"], news["build"]["scope"], news["build"]["build_id"]))
        assert f"{news['outcome']:<13}  {build}" in said
        for stored in filter(None, (news["record"], news["artifact"])):
            assert str(any_run.evidence.folder / "bucket" / stored["key"]) in said


def test_a_request_without_a_build_is_never_shown_with_an_unknown_status(any_run: ObservedRun) -> None:
    assert "unknown" not in any_run.evidence.ended.out


def test_every_request_is_served(customer: ObservedRun) -> None:
    ended = {news["build"]["build_id"]: news["outcome"] for news in customer.evidence.news}
    assert ended[BIG_JOB] == "delivered"
    assert ended[OLD_BUILD] == "succeeded"
    assert ended[NEW_BUILD] == "succeeded"
    assert ended[CANCELED_BUILD] == "canceled"
    assert outcomes(customer) == {
        ("treasure_insights", "succeeded"): 2,
        ("treasure_insights", "canceled"): 1,
        ("dreadnode_airt", "delivered"): 2,
        ("dreadnode_airt", "failed"): 1,
        ("dreadnode_airt", "empty"): 1,
    }


def test_wrong_sources_stop_no_other_and_each_gets_one_line(customer: ObservedRun) -> None:
    ended = customer.evidence.ended
    assert ended.exit_code == 2
    lines = ended.err.splitlines()
    for number, words in enumerate(
        (
            "sources[3].name:",
            "sources[4].project: field required",
            "source no-secret: secret build-courier/nobody-wrote-it is missing from the secrets file",
            "request-3.json: skipped, because source no-project cannot be used",
        )
    ):
        assert words in lines[number], lines
    assert "Traceback" not in ended.err


def test_a_revoked_key_and_an_unknown_job_are_reported_at_the_end(customer: ObservedRun) -> None:
    *_, unknown, revoked = customer.evidence.ended.err.splitlines()
    assert "RequestBuildFunction failed 3 times: BuildNotFoundError" in unknown
    assert revoked.startswith("courier: source revoked is unhealthy: ")
    assert "build-courier/revoked" in revoked
    assert NOBODYS_JOB not in {news["build"]["build_id"] for news in customer.evidence.news}


def test_latest_is_the_newer_build_although_an_older_one_was_polled_too(customer: ObservedRun) -> None:
    latest = customer.evidence.objects[f"latest/models/{MODEL}.json"].read_text(encoding="utf-8")
    assert NEW_BUILD in latest
    assert OLD_BUILD not in latest
