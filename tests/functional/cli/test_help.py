"""The help texts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from courier.config.settings import ArtifactSettings
from courier.transfer.options import CopyOptions
from local.polling_study.prices import PRICE_FILE
from tests.functional.cli.test_start import COMMANDS
from tests.support.command import courier


def test_the_version_is_printed() -> None:
    result = courier("--version")
    assert (result.exit_code, result.err) == (0, "")
    assert result.out.startswith("courier 0.")


def test_without_a_command_the_commands_are_listed() -> None:
    result = courier()
    assert result.exit_code == 2
    assert result.err == ""
    for name in COMMANDS:
        assert f"│ {name} " in result.out


@pytest.mark.parametrize("command", ["simulate", "copy"])
def test_no_option_of_a_long_list_is_cut_off(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERMINAL_WIDTH", "80")
    monkeypatch.setenv("COLUMNS", "80")
    result = courier(command, "--help")
    assert (result.exit_code, result.err) == (0, "")
    assert "…" not in result.out
    assert max(map(len, result.out.splitlines())) <= 80


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS), ("config", "push")], ids=" ".join)
def test_options_are_shown_with_placeholders_and_not_with_types(command: tuple[str, ...]) -> None:
    result = courier(*command, "--help")
    options = result.out.partition("╭─ Options")[2]
    assert re.search(r"-h\b", options)
    assert not re.search(r"<(bool|str|int|float|path|file|list\[str\])", options)
    usage = result.out.partition("Usage:")[2].splitlines()[0]
    assert not re.search(r"[{}]|\[\[|\.\.\.\]", usage)


def test_the_help_of_simulate_names_the_price_list_to_copy() -> None:
    assert PRICE_FILE.relative_to(Path(__file__).parents[3]).as_posix() in courier("simulate", "--help").out


def test_an_invalid_price_list_is_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("60\n90\n")
    result = courier("simulate", "--prices", str(tmp_path / "mine.csv"), "--builds", "10")
    assert (result.exit_code, result.out) == (2, "")
    assert "mine.csv: is not a price list" in result.error_line


def test_the_help_of_copy_states_the_defaults_of_the_copy() -> None:
    shown = " ".join(courier("copy", "--help").out.split())
    assert f"Hosts other than {', '.join(ArtifactSettings().hosts)} need --allow-host." in shown
    assert f"Repeatable. Without it, {', '.join(ArtifactSettings().hosts)}." in re.sub(r"[│\s]+", " ", shown)
    assert f"[default: {CopyOptions.workers}]" in shown
    assert "| courier copy - s3://my-bucket/report.pdf \\ --allow-host files.example.com" in shown


@pytest.mark.parametrize("columns", [80, 120])
def test_the_examples_in_the_help_of_run_can_be_copied(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERMINAL_WIDTH", str(columns))
    monkeypatch.setenv("COLUMNS", str(columns))
    result = courier("run", "--help")
    assert (result.exit_code, result.err) == (0, "")
    lines = [line.strip() for line in result.out.splitlines()]
    assert max(map(len, result.out.splitlines())) <= columns
    # Whole lines, as they were written.
    for line in (
        "courier run",
        "courier run --sources sources.yaml --secrets secrets.yaml --until-idle",
        "--request report.json --watch red-team/acme/main/chatbot/JOB_ID \\",
        "- name: red-team",
        'build-courier/dreadnode: "dn_key_..."',
        '{"source": "red-team", "report": {"template_id": "..."}}',
    ):
        assert line in lines
    for option in ("--sources", "--secrets", "--request", "--watch", "--out", "--tick", "--until-idle", "--timeout"):
        assert option in result.out
