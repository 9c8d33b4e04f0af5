"""What a run may delete before it begins, the command that goes on, and the outcomes that fail it."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
import typer

from cli.continuing import command_to_continue, explain_fail_on, parse_outcomes, prepare_folder
from courier.errors import SettingsError
from courier.models import Outcome
from local.runs.results_folder import open_results
from local.runs.run_report import RunReport
from local.runs.saved_ledger import SavedLedger


def filled(folder: Path, *, simulated: bool = False, ledger: str | None = None) -> Path:
    """Write what a run leaves: one record and its ledger."""
    record = folder / "bucket" / "records" / "b.json"
    record.parent.mkdir(parents=True)
    record.write_text("{}", encoding="utf-8")
    text = SavedLedger(simulated=simulated).model_dump_json() if ledger is None else ledger
    (folder / "ledger.json").write_text(text, encoding="utf-8")
    return record


class Person(io.StringIO):
    """A standard input that is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_run_with_own_sources_deletes_nothing(tmp_path: Path) -> None:
    record = filled(tmp_path)
    with open_results(tmp_path) as results:
        prepare_folder(results, simulated=False, fresh=False, yes=False)
    assert record.exists()


@pytest.mark.parametrize("simulated", [True, False])
def test_the_results_of_a_simulation_do_not_last(tmp_path: Path, simulated: bool) -> None:
    record = filled(tmp_path, simulated=True)
    with open_results(tmp_path) as results:
        prepare_folder(results, simulated=simulated, fresh=False, yes=False)
    assert not record.exists()
    assert not (tmp_path / "ledger.json").exists()


def test_a_simulation_does_not_replace_what_was_delivered(tmp_path: Path) -> None:
    record = filled(tmp_path)
    with open_results(tmp_path) as results, pytest.raises(SettingsError, match="name another folder, or add --fresh"):
        prepare_folder(results, simulated=True, fresh=False, yes=False)
    assert record.exists()


@pytest.mark.parametrize(("typed", "is_deleted"), [("y\n", True), ("n\n", False)])
def test_fresh_prompts_a_person(
    tmp_path: Path, typed: str, is_deleted: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record = filled(tmp_path)
    (tmp_path / "mine.txt").write_text("precious", encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", Person(typed))
    with open_results(tmp_path) as results:
        if is_deleted:
            prepare_folder(results, simulated=False, fresh=True, yes=False)
        else:
            with pytest.raises(typer.Exit):
                prepare_folder(results, simulated=False, fresh=True, yes=False)
    assert ", 1 file. Continue?" in capsys.readouterr().err
    assert record.exists() is not is_deleted
    assert (tmp_path / "mine.txt").exists()


def test_fresh_without_deliveries_does_not_prompt(tmp_path: Path) -> None:
    with open_results(tmp_path) as results:
        prepare_folder(results, simulated=False, fresh=True, yes=False)


@pytest.mark.parametrize("text", ["{", "[]", '{"version": 2, "simulated": false}', '{"version": 1, "rows": [{}]}'])
def test_a_ledger_that_cannot_be_read_is_not_replaced(tmp_path: Path, text: str) -> None:
    record = filled(tmp_path, ledger=text)
    with open_results(tmp_path) as results, pytest.raises(SettingsError, match=r"ledger\.json: cannot be continued"):
        prepare_folder(results, simulated=False, fresh=False, yes=False)
    assert record.exists()
    with open_results(tmp_path) as results:
        prepare_folder(results, simulated=False, fresh=True, yes=True)
    assert not record.exists()


def test_two_runs_cannot_share_a_folder(tmp_path: Path) -> None:
    with open_results(tmp_path), pytest.raises(SettingsError, match="another run writes there"), open_results(tmp_path):
        pass
    with open_results(tmp_path):
        pass


def test_a_long_log_is_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local.runs.results_folder.LONGEST_LOG_BYTES", 10)
    for text in ("first", "second"):
        with open_results(tmp_path) as results:
            results.note(text)
    assert "first" in (tmp_path / "run.log.1").read_text(encoding="utf-8")
    assert "second" in (tmp_path / "run.log").read_text(encoding="utf-8")


ARGUMENTS = ["run", "--sources", "my sources.yaml", "--request", "a.json", "--request=b.json", "--watch", "s/x/1"]


def test_the_command_to_continue_names_what_was_not_served() -> None:
    report = RunReport(unfinished=["s/x/2"], unserved_requests=["request b.json", "--watch s/x/1"])
    command = command_to_continue([*ARGUMENTS, "--fresh", "--yes", "--until-idle"], report)
    assert command == "courier run --sources 'my sources.yaml' --request b.json --watch s/x/1 --until-idle"
    assert command_to_continue(ARGUMENTS, RunReport(unfinished=["s/x/2"])) == "courier run --sources 'my sources.yaml'"
    assert command_to_continue(ARGUMENTS, RunReport()) is None


def test_outcomes_are_read_from_a_list_of_words() -> None:
    assert parse_outcomes(None) == frozenset()
    assert parse_outcomes("failed, lost,") == {Outcome.FAILED, Outcome.LOST}
    with pytest.raises(SettingsError, match="--fail-on: broken is not an outcome; use delivered, succeeded, failed,"):
        parse_outcomes("failed,broken")


def test_only_the_outcomes_of_fail_on_fail_a_run() -> None:
    outcomes = ["failed", "lost", "failed", "delivered", None]
    assert explain_fail_on(outcomes, parse_outcomes("failed,undeliverable,lost")) == "--fail-on: 2 failed, 1 lost"
    assert explain_fail_on(outcomes, parse_outcomes("undeliverable")) is None
