"""The command explains itself."""

from __future__ import annotations

import pytest

from tests.functional.cli.command import courier


def test_the_version_is_said() -> None:
    ended = courier("--version")
    assert (ended.exit_code, ended.err) == (0, "")
    assert ended.out.startswith("courier 0.")


def test_without_a_command_the_commands_are_listed() -> None:
    ended = courier()
    assert ended.exit_code == 2
    assert ended.err == ""
    assert "run" in ended.out
    assert "simulate" in ended.out


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
