"""What a run shows while it runs, at every width, on a terminal and without one."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from cli.progress import PlainLines, builds_table, progress_on
from local.runs.session import BuildLine

MODEL = "5d1d4f1c-1111-4222-8333-444444444444"
OTHER = "5d1d4f1c-2222-4222-8333-444444444444"
IDS = ("a09aa46a-69b6-403f-81c4-9f3742fd6001", "a09aa46a-14d1-4ccf-bd27-7f0454a178f5")


def line(build: str, status: str = "running", outcome: str | None = None, seconds: float = 4) -> BuildLine:
    return BuildLine(build=build, status=status, outcome=outcome, polls=3, seconds=seconds)


BUILDS = (
    line(f"insights/{MODEL}/{IDS[0]}"),
    line(f"insights/{OTHER}/{IDS[1]}", "failed", "failed"),
    line("red-team/acme/main/chatbot/dd4519b2-1901-47cd-9089-a2302d5c4854", "succeeded", "delivered"),
)


def drawn(builds: Sequence[BuildLine], *, width: int, height: int = 40) -> str:
    screen = io.StringIO()
    console = Console(file=screen, width=width, height=height, force_terminal=True, color_system=None)
    console.print(builds_table(builds, console))
    return screen.getvalue()


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_the_table_fits_the_terminal_and_folds_nothing(width: int) -> None:
    lines = drawn(BUILDS, width=width).splitlines()
    assert len(lines) == 1 + 1 + len(BUILDS)
    assert max(map(len, lines)) <= width


def test_at_120_columns_all_ids_are_whole() -> None:
    screen = drawn(BUILDS, width=120)
    assert all(part in screen for build in BUILDS for part in build.ref)


def test_at_80_columns_ids_are_cut_but_still_differ() -> None:
    screen = drawn(BUILDS, width=80)
    assert "acme/main/chatbot" in screen
    for beginning in ("5d1d4f1c-1", "5d1d4f1c-2", "a09aa46a-6", "a09aa46a-1", "dd4519b2"):
        assert screen.count(beginning) == 1


def test_running_builds_are_shown_when_not_all_builds_fit() -> None:
    ended = [line(f"s/scope/ended-{number}", "failed", "failed") for number in range(50)]
    waiting = [line("s/scope/first"), line("s/scope/second")]
    lines = drawn([waiting[0], *ended, waiting[1]], width=80, height=20).splitlines()
    assert len(lines) <= 20
    assert lines[0] == "2 in flight, 50 failed"
    assert lines[-1] == "and 35 more"
    screen = "\n".join(lines)
    assert all(build in screen for build in ("first", "second", "ended-49"))


def test_markup_in_names_of_a_provider_is_not_interpreted() -> None:
    assert "[red]oops[/red]" in drawn([line("s/[red]oops[/red]/b")], width=80)


def test_no_builds_yet() -> None:
    assert drawn([], width=80) == "No builds yet\n"


def test_without_a_terminal_a_line_appears_when_a_build_changes() -> None:
    screen, seconds = io.StringIO(), iter([0.5, 2.0, 3.25])
    lines = PlainLines(Console(file=screen, width=40), lambda: next(seconds))
    lines.show([line("s/scope/b1", "queued")])
    lines.show([line("s/scope/b1", "queued")])
    lines.show([line("s/scope/b1", "running"), line("s/scope/[b2]", "succeeded", "delivered")])
    assert screen.getvalue().splitlines() == [
        "   0.5 s  queued         s/scope/b1",
        "   2.0 s  running        s/scope/b1",
        "   3.2 s  delivered      s/scope/[b2]",
    ]


def test_a_long_pause_until_the_next_poll_is_announced_once() -> None:
    screen, soon = io.StringIO(), datetime.now(UTC) + timedelta(seconds=5)
    lines = PlainLines(Console(file=screen, width=40), lambda: 1.0)
    for next_poll in (None, soon, soon + timedelta(seconds=60), soon + timedelta(seconds=60.2)):
        lines.show([], next_poll)
    (said,) = screen.getvalue().splitlines()
    assert re.fullmatch(r"   1\.0 s  next poll in 6[45] s", said)


def test_the_table_says_when_the_next_poll_is() -> None:
    console = Console(file=io.StringIO(), width=80)
    with console.capture() as captured:
        console.print(builds_table(BUILDS, console, 33.6))
    assert captured.get().splitlines()[0] == "1 in flight, next poll in 34 s, 1 delivered, 1 failed"


@pytest.mark.parametrize(
    ("variables", "has_escapes", "has_colours"),
    [
        ({"TERM": "xterm"}, True, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, False, False),
    ],
    ids=["terminal", "NO_COLOR", "dumb terminal"],
)
def test_escapes_and_colours_follow_the_terminal(
    variables: dict[str, str], has_escapes: bool, has_colours: bool
) -> None:
    screen = io.StringIO()
    console = Console(file=screen, width=80, force_terminal=True, _environ=variables)
    with progress_on(console, monotonic=lambda: 0.0) as progress:
        progress.show(BUILDS)
    said = screen.getvalue()
    assert ("\x1b[" in said) == has_escapes
    assert ("\x1b[31m" in said) == has_colours


def test_the_table_is_erased_when_the_run_ends() -> None:
    screen = io.StringIO()
    console = Console(file=screen, width=80, height=20, force_terminal=True, _environ={"TERM": "xterm"})
    with progress_on(console, monotonic=lambda: 0.0) as progress:
        progress.show(BUILDS)
    # Each of its lines is erased (CSI 2 K), the cursor goes up (CSI 1 A) and is shown again.
    assert screen.getvalue().rstrip().endswith("\x1b[1A\x1b[2K")
    assert "\x1b[?25h" in screen.getvalue()
