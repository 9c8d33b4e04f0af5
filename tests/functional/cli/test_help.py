"""The command explains itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from courier.config.settings import ArtifactSettings
from courier.transfer.options import CopyOptions
from local.polling_study.prices import PRICE_FILE
from tests.functional.cli.command import courier
from tests.functional.cli.test_start import COMMANDS


def test_the_version_is_said() -> None:
    ended = courier("--version")
    assert (ended.exit_code, ended.err) == (0, "")
    assert ended.out.startswith("courier 0.")


def test_without_a_command_the_commands_are_listed() -> None:
    ended = courier()
    assert ended.exit_code == 2
    assert ended.err == ""
    for name in COMMANDS:
        assert f"│ {name} " in ended.out


@pytest.mark.parametrize("command", ["simulate", "copy"])
def test_no_option_of_a_long_list_is_cut_off(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERMINAL_WIDTH", "80")
    monkeypatch.setenv("COLUMNS", "80")
    ended = courier(command, "--help")
    assert (ended.exit_code, ended.err) == (0, "")
    assert "…" not in ended.out
    assert max(map(len, ended.out.splitlines())) <= 80


def test_the_help_of_simulate_names_the_model_of_a_price_list() -> None:
    assert PRICE_FILE.relative_to(Path(__file__).parents[3]).as_posix() in courier("simulate", "--help").out


def test_a_file_that_is_no_price_list_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("60\n90\n")
    ended = courier("simulate", "--prices", str(tmp_path / "mine.csv"), "--builds", "10")
    assert (ended.exit_code, ended.out) == (2, "")
    assert "mine.csv: is not a price list" in ended.complaint


def test_the_help_of_copy_says_which_hosts_must_be_allowed() -> None:
    shown = " ".join(courier("copy", "--help").out.split())
    assert f"Hosts other than {', '.join(ArtifactSettings().hosts)} need --allow-host." in shown
    assert f"Repeatable. Without it, {', '.join(ArtifactSettings().hosts)}." in re.sub(r"[│\s]+", " ", shown)
    assert f"[default: {CopyOptions.workers}]" in shown
    assert "| courier copy - s3://my-bucket/report.pdf \\ --allow-host files.example.com" in shown


@pytest.mark.parametrize("columns", [80, 120])
def test_the_help_of_run_teaches_with_examples_that_can_be_copied(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERMINAL_WIDTH", str(columns))
    monkeypatch.setenv("COLUMNS", str(columns))
    ended = courier("run", "--help")
    assert (ended.exit_code, ended.err) == (0, "")
    lines = [line.strip() for line in ended.out.splitlines()]
    assert max(map(len, ended.out.splitlines())) <= columns
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
        assert option in ended.out
