"""The page in a real Chromium: it shows what the records say, loads nothing, runs nothing foreign, and can be used."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote

import pytest

from cli.page.content import PageContent
from cli.page.problems import Commands, find_action_items
from cli.page.render import Place
from cli.tables import duration, moment
from courier.models import Problem
from tests.functional.page.conftest import PHONE, WIDE, Browser, OpenPage, Page
from tests.support.page_content import (
    PAGES,
    REGION,
    attacked,
    calm,
    content_of,
    ended,
    many,
    month,
    running,
    six_problems,
)

AXE = Path(__file__).parents[3] / "scripts/checks/npm/node_modules/axe-core/axe.min.js"


FOCUSED = "(() => { const e = document.activeElement; return e.id || e.dataset.copy || e.innerText })()"


def texts(page: Page, selector: str) -> list[str]:
    """Return the visible texts of all elements that match."""
    return [" ".join(text.split()) for text in page.locator(selector).all_inner_texts()]


def test_recent_builds_agree_with_the_records(open_page: OpenPage) -> None:
    content = content_of(month(60))
    page = open_page(content)
    while page.locator("#more").is_visible():
        page.locator("#more").click()
    rows = page.locator("#rows tr")
    assert rows.count() == len(content.ended) == 60
    shown = page.eval_on_selector_all("#rows tr", "rows => rows.map(row => [...row.children].map(c => c.innerText))")
    links = page.eval_on_selector_all(
        "#rows tr", "rows => rows.map(row => [...row.querySelectorAll('a')].map(a => decodeURIComponent(a.href)))"
    )
    for cells, hrefs, (key, record) in zip(shown, links, content.ended.items(), strict=True):
        when, outcome, build, took, _, _ = cells
        assert (when, outcome, took) == (moment(record.ended_at), record.outcome, duration(record.seconds))
        assert f"{record.build.source} / {record.build.scope}" in build
        assert record.build.build_id in build
        assert hrefs[-1].endswith(f"prefix={key}")
        if record.artifact is not None:
            assert hrefs[0].endswith(f"{record.artifact.bucket}?region={REGION}&prefix={record.artifact.key}")


def test_summary_sources_and_builds_in_flight_agree_with_the_content(open_page: OpenPage) -> None:
    content = six_problems()
    page = open_page(content)
    figures = dict(zip(texts(page, ".figures dt"), texts(page, ".figures dd"), strict=True))
    assert figures["In flight"] == "2"
    assert figures["Ended since 2026-10-26"] == str(len(content.ended))
    assert figures["Sources healthy"] == "2 of 4"
    rows = texts(page, "#sources-table tbody tr")
    for row, source in zip(rows, content.sources, strict=True):
        assert row.startswith(source.name)
        if source.statistics.p50:
            assert f" {duration(source.statistics.p50)} " in row
            assert source.last_good is not None
            assert moment(source.last_good.ended_at) in row
        drawn = page.locator(f'svg[aria-label*="days of {source.name}:"] title')
        assert drawn.evaluate_all("titles => titles.map(t => t.textContent)") == [day.text for day in source.days]
    stuck, usual = texts(page, "#in-flight tbody tr")
    assert "9 h of" in stuck
    assert "25 s ago in 40 s The last status was running" in usual


def test_what_needs_the_operator_is_shown_with_its_commands(open_page: OpenPage) -> None:
    content = six_problems()
    items = find_action_items(content, Commands("build-courier", REGION))
    page = open_page(content)
    assert texts(page, ".headline") == ["6 things need you"]
    assert page.title() == "build-courier: 6 things need you"
    shown = texts(page, ".item")
    assert len(shown) == len(items) == 6
    for text, item in zip(shown, items, strict=True):
        assert item.title in text
        assert item.subject in text
        assert item.cure in text
        assert all(command in text for command in item.commands)


@pytest.mark.parametrize("can_use_clipboard", [True, False])
def test_copy_buttons_copy(open_page: OpenPage, can_use_clipboard: bool) -> None:
    page = open_page(six_problems(), permissions=["clipboard-read", "clipboard-write"])
    if not can_use_clipboard:
        page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('refused')) }")
    for button in page.locator(".item .copy").all():
        button.click()
        command = button.get_attribute("data-copy")
        assert page.evaluate("navigator.clipboard.readText()") == command
        assert button.inner_text() == "Copied"
        assert page.locator("#announce").text_content() == f"Copied {command}"
    page.locator("#rows .link").first.click()
    newest = next(iter(six_problems().ended.values()))
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == f"courier show {newest.build} --region {REGION}"


@pytest.mark.parametrize("name", sorted(set(PAGES) - {"many"}))
def test_nothing_is_loaded_and_nothing_fails(open_page: OpenPage, name: str) -> None:
    page: Page = open_page(PAGES[name]())
    if page.locator("#trend").count():
        page.locator("#trend").scroll_into_view_if_needed()
        page.wait_for_selector("#charts canvas")
    assert len(page.requests) == 1
    assert page.errors == []


def test_words_of_a_provider_cannot_script_the_page(open_page: OpenPage) -> None:
    content = attacked()
    page: Page = open_page(content)
    while page.locator("#more").is_visible():
        page.locator("#more").click()
    page.locator("#trend").scroll_into_view_if_needed()
    page.wait_for_selector("#charts canvas")
    page.locator("#filter-text").fill("<img")
    page.locator("#filter-text").fill("")
    assert page.evaluate("window.hacked") is None
    assert page.locator("img").count() == 0
    assert page.evaluate("[...document.scripts].length") == 2
    assert page.evaluate("[...document.links].filter(a => !/^(https:|file:.*#)/.test(a.href)).length") == 0
    assert page.errors == []
    # And nothing was lost or decoded on the way.
    shown = page.locator("#rows").inner_text()
    for record in content.ended.values():
        assert record.build.build_id in shown
    # The policy of the page refuses a script that came in nevertheless.
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.hacked=1\">')")
    page.wait_for_timeout(100)
    assert page.evaluate("window.hacked") is None


def test_commands_quote_what_a_provider_named(open_page: OpenPage) -> None:
    page = open_page(attacked())
    refs = {str(record.build) for record in attacked().ended.values()}
    commands = page.eval_on_selector_all("[data-copy]", "buttons => buttons.map(b => b.dataset.copy)")
    shows = [shlex.split(command) for command in commands if command.startswith("courier show")]
    assert refs <= {words[2] for words in shows}
    for command in commands:
        words = shlex.split(command)
        assert words[-2:] == ["--region", REGION]
        assert len(words) <= 6


def test_builds_are_searched_filtered_and_sorted(open_page: OpenPage) -> None:
    content = content_of(month(300, last_failures=False))
    page = open_page(content)
    failed = [record for record in content.ended.values() if record.outcome == "failed"]
    page.locator("#filter-outcome").select_option("failed")
    assert page.locator("#count").inner_text() == f"{len(failed)} builds"
    assert set(texts(page, "#rows .outcome")) == {"failed"}
    page.locator("#filter-source").select_option("red-team")
    assert (
        page.locator("#count").inner_text().startswith(str(sum(record.build.source == "red-team" for record in failed)))
    )
    page.locator("#filter-outcome").select_option("")
    page.locator("#filter-source").select_option("")
    page.locator("#filter-text").fill("MEMORY limit")
    assert page.locator("#count").inner_text() == f"{len(failed)} builds"
    page.locator("#filter-text").fill("")
    page.get_by_role("button", name="Took").click()
    assert page.locator("th[aria-sort=descending]").inner_text().startswith("Took")
    longest = sorted((record.seconds or 0 for record in content.ended.values()), reverse=True)[:20]
    assert page.locator("#rows td[data-label=Took]").all_inner_texts() == [duration(seconds) for seconds in longest]
    page.get_by_role("button", name="Took").click()
    assert page.locator("th[aria-sort=ascending]").inner_text().startswith("Took")
    page.locator("#charts figure").nth(1).get_by_role("button").click()
    scope = page.locator("#charts figure b").nth(1).inner_text()
    assert {text.split(" / ", 1)[1] for text in texts(page, "#rows .scope")} == {scope.split(" / ", 1)[1]}


def test_ten_thousand_builds_are_small_and_quick(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page(many())
    # Processor time of the page's thread: the machine may be busy with other tests.
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def seconds() -> float:
        metrics = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
        return float(metrics["TaskDuration"])

    before = seconds()
    page.reload()
    page.wait_for_selector("html[data-ready=yes]", state="attached")
    loaded = seconds() - before
    assert 0 < loaded < 1.0
    assert page.locator("#count").inner_text() == "20 of 10000 builds"
    assert page.locator("#rows tr").count() == 20
    assert (tmp_path / "page-0.html").stat().st_size < 2_000_000
    before = seconds()
    page.locator("#filter-text").fill("churn")
    assert page.locator("#count").inner_text() == "20 of 2500 builds"
    assert seconds() - before < 0.5


def test_messages_of_ten_thousand_failures_stay_small(tmp_path: Path, open_page: OpenPage) -> None:
    records = [
        record.model_copy(update={"outcome": "failed", "problem": _long(number)})
        for number, record in enumerate(month(10_000))
    ]
    page = open_page(content_of(records))
    assert (tmp_path / "page-0.html").stat().st_size < 2_000_000
    assert page.locator("#count").inner_text() == "20 of 10000 builds"


def _long(number: int) -> Problem:
    return Problem(name="BuildFailed", message=f"{number} failed: " + "x" * 900)


@pytest.mark.parametrize(
    ("name", "dark", "size"),
    [
        ("six_problems", False, WIDE),
        ("six_problems", True, WIDE),
        ("six_problems", False, PHONE),
        ("six_problems", True, PHONE),
        ("empty", False, PHONE),
        ("no_builds", True, WIDE),
    ],
)
def test_axe_finds_no_barrier(open_page: OpenPage, name: str, dark: bool, size: tuple[int, int]) -> None:
    if not AXE.exists():
        pytest.skip("make test-setup installs axe-core")
    page = open_page(PAGES[name](), size=size, dark=dark)
    if page.locator("#trend").count():
        page.locator("#trend").scroll_into_view_if_needed()
        page.wait_for_selector("#charts canvas")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found["violations"]] == []


@pytest.mark.parametrize("name", sorted(set(PAGES) - {"many"}))
def test_nothing_is_wider_than_a_phone(open_page: OpenPage, name: str) -> None:
    page = open_page(PAGES[name](), size=PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    assert page.evaluate("document.body.scrollWidth") <= PHONE[0]


def test_the_keyboard_reaches_everything(open_page: OpenPage) -> None:
    page = open_page(six_problems())
    reached = set()
    for _ in range(200):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "(() => { const e = document.activeElement; return e.id || e.dataset.copy || e.innerText })()"
            )
        )
        if "License of the charts (uPlot)" in reached:
            break
    commands = page.eval_on_selector_all(".item [data-copy]", "buttons => buttons.map(b => b.dataset.copy)")
    assert {*commands, "filter-text", "filter-outcome", "filter-source", "more", "list them", "report"} <= reached


def test_a_page_is_printed_whole(open_page: OpenPage) -> None:
    page = open_page(six_problems())
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#charts canvas").count() == len(
        {record.build.scope for record in six_problems().ended.values()}
    )
    page.emulate_media(media="print")
    assert not page.locator(".copy").first.is_visible()
    assert page.locator(".item code").first.is_visible()
    assert re.match(rb"%PDF-", page.pdf())


def test_an_empty_stack_says_what_to_do_first(open_page: OpenPage) -> None:
    page = open_page(content_of(sources=(), stack="prod"), place=Place(region=None))
    assert texts(page, ".headline") == ["Not configured yet"]
    commands = page.eval_on_selector_all("[data-copy]", "buttons => buttons.map(b => b.dataset.copy)")
    assert commands == [
        "courier config set-secret build-courier/dreadnode --stack prod",
        "courier config push sources.yaml --stack prod",
        "courier page --open --stack prod",
    ]


def test_all_well_says_so(open_page: OpenPage) -> None:
    page = open_page(calm())
    assert texts(page, ".headline") == ["Nothing needs you"]
    assert page.locator("#needs-you").count() == 0
    assert page.title() == "build-courier: nothing needs you"


def test_the_page_says_how_old_it_is(open_page: OpenPage, browser: Browser) -> None:
    content: PageContent = calm()
    page = open_page(content)
    assert re.fullmatch(r"(, .+ ago)?", page.locator("#made-ago").text_content() or "")
    old = replace(content, now=datetime.now(UTC) - timedelta(hours=3, seconds=5))
    assert open_page(old).locator("#made-ago").text_content() == ", 3 h ago"


def test_links_of_a_local_run_lead_to_files_beside_the_page(open_page: OpenPage) -> None:
    content = content_of([ended(1, "delivered", filename="a b#?.pdf", build_id="x y")])
    page = open_page(content, place=Place(bucket_folder="bucket", commands=False))
    hrefs = page.eval_on_selector_all("#rows a", "links => links.map(a => a.getAttribute('href'))")
    (key, record), *_ = content.ended.items()
    assert record.artifact is not None
    assert [unquote(href) for href in hrefs] == [f"bucket/{record.artifact.key}", f"bucket/{key}"]
    assert page.locator("[data-copy]").count() == 0


def test_without_scripts_the_page_says_what_needs_the_operator(
    open_page: OpenPage, browser: Browser, tmp_path: Path
) -> None:
    open_page(six_problems())
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((tmp_path / "page-0.html").as_uri())
    assert len(texts(page, ".item")) == 6
    assert "need JavaScript" in page.locator("#recent").inner_text()
    context.close()


def test_a_build_in_flight_without_history_or_polls_is_shown(open_page: OpenPage) -> None:
    fresh = running("new", polls=0, last_poll_at=None)
    page = open_page(content_of(builds=[fresh]))
    (row,) = texts(page, "#in-flight tbody tr")
    assert "no history yet" in row
    assert row.endswith("not polled yet")
