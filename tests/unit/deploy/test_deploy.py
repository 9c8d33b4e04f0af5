"""``make deploy``: asks for what is missing, keeps the answers, and passes every parameter to SAM."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import boto3
import pytest

from cli.deployment import Deployment, Deployments, read_deployments, write_deployments
from scripts.deploy import __main__ as program
from scripts.deploy.parameters import read_parameters
from tests.support.providers import REGION

PARAMETERS = read_parameters(program.ROOT / "template.yaml")
STACK = ("--stack", "courier-test", "--region", REGION)


class Shell:
    """Records the commands that are run, and answers questions."""

    def __init__(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.file = file
        self.commands: list[list[str]] = []
        self.questions: list[str] = []
        self.fails: set[str] = set()
        self._answers: Iterator[str] = iter(())
        self._monkeypatch = monkeypatch
        monkeypatch.setattr(subprocess, "run", self._run)
        monkeypatch.setattr("builtins.input", self._input)

    def deploy(self, *arguments: str, answers: list[str] | None = None) -> int:
        """Run the program; with answers, at a terminal."""
        self._answers = iter(answers or [])
        self._monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: answers is not None))
        code = program.main(list(arguments))
        assert next(self._answers, None) is None, "not everything was asked"
        return code

    @property
    def values(self) -> dict[str, str]:
        """The parameters in the last command of SAM."""
        command = self.commands[-1]
        overrides = command[command.index("--parameter-overrides") + 1 :]
        pairs = [text.partition("=") for text in overrides]
        return {name: value.removeprefix('"').removesuffix('"') for name, _, value in pairs}

    def _run(self, command: list[str], **_: object) -> SimpleNamespace:
        self.commands.append(command)
        return SimpleNamespace(returncode=int(bool(self.fails & {Path(command[0]).name})))

    def _input(self, question: str) -> str:
        self.questions.append(question)
        answer = next(self._answers, None)
        if answer is None:
            raise EOFError
        return answer


@pytest.fixture
def shell(moto: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setattr("cli.deployment.CHECKOUT", tmp_path)
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.setattr(program, "build_is_outdated", lambda _: False)
    return Shell(tmp_path / "of-no-developer.toml", monkeypatch)


def _create_stack(values: dict[str, str], defaults: dict[str, str]) -> None:
    """Create a stack whose template has these defaults, with these values."""
    template = {
        "Parameters": {name: {"Type": "String", "Default": default} for name, default in defaults.items()},
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
    }
    chosen = [{"ParameterKey": name, "ParameterValue": value} for name, value in values.items()]
    client = boto3.client("cloudformation", region_name=REGION)
    client.create_stack(StackName="courier-test", TemplateBody=json.dumps(template), Parameters=chosen)  # type: ignore[arg-type]


def test_every_parameter_is_passed_and_only_other_values_are_kept(
    shell: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shell.deploy(*STACK, "PollSchedule=rate(5 minutes)", "LogLevel=INFO") == 0
    defaults = {name: parameter.default for name, parameter in PARAMETERS.items()}
    assert shell.values == {**defaults, "PollSchedule": "rate(5 minutes)"}
    assert read_deployments(shell.file) == Deployments(
        stack="courier-test",
        stacks={"courier-test": Deployment(region=REGION, parameters={"PollSchedule": "rate(5 minutes)"})},
    )
    out = capsys.readouterr().out
    assert f"Account 123456789012, region {REGION}, stack courier-test" in out
    assert "config set-secret build-courier/NAME" in out
    assert "config push sources.yaml" in out


def test_a_later_deployment_needs_no_answers_and_can_take_a_default_again(shell: Shell) -> None:
    shell.deploy(*STACK, "PollSchedule=rate(5 minutes)", "LogLevel=DEBUG")
    assert shell.deploy("PollSchedule=rate(1 minute)") == 0
    assert (shell.values["PollSchedule"], shell.values["LogLevel"]) == ("rate(1 minute)", "DEBUG")
    assert read_deployments(shell.file).stacks["courier-test"].parameters == {"LogLevel": "DEBUG"}


def test_questions_have_the_earlier_answers_and_repeat_a_wrong_one(shell: Shell) -> None:
    write_deployments(
        shell.file,
        Deployments(stack="s", stacks={"s": Deployment(region=REGION, parameters={"NotificationEmail": "a@b.c"})}),
    )
    # Stack, region; e-mail: default again; schedules: one is wrong at first.
    schedules = sum(parameter.group == "Schedules" for parameter in PARAMETERS.values())
    answers = ["", "", "-", "n", "", "y", "every minute", "rate(2 minutes)", *[""] * (schedules - 1), ""]
    assert shell.deploy(answers=answers) == 0
    assert shell.questions[:3] == ["Stack [s]: ", f"Region [{REGION}]: ", "NotificationEmail [a@b.c]: "]
    assert read_deployments(shell.file).stacks["s"].parameters == {"PollSchedule": "rate(2 minutes)"}
    assert "--confirm-changeset" in shell.commands[-1]


def test_a_stack_of_another_machine_keeps_its_parameters(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    # Memory was the default of its template, the bucket was an answer, and Gone is no parameter any more.
    _create_stack(
        {"ExistingBucketName": "my-reports", "Gone": "x"},
        {"ExistingBucketName": "", "CopyMemoryMegabytes": "77", "Gone": ""},
    )
    assert shell.deploy(*STACK) == 0
    assert read_deployments(shell.file).stacks["courier-test"].parameters == {"ExistingBucketName": "my-reports"}
    assert shell.values["ExistingBucketName"] == "my-reports"
    assert shell.values["CopyMemoryMegabytes"] == PARAMETERS["CopyMemoryMegabytes"].default
    out = capsys.readouterr().out
    assert f"Change: CopyMemoryMegabytes: 77 -> {PARAMETERS['CopyMemoryMegabytes'].default}" in out
    assert "courier doctor" in out


def test_a_difference_between_the_file_and_the_stack_is_shown(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    shell.deploy(*STACK, "KeyPrefix=a/")
    _create_stack({"KeyPrefix": "b/"}, {"KeyPrefix": ""})
    shell.deploy()
    assert "Change: KeyPrefix: b/ -> a/" in capsys.readouterr().out


def test_a_dry_run_prints_the_command_and_changes_nothing(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    assert shell.deploy(*STACK, "--dry-run", "RequestSchedule=cron(0 6 * * ? *)") == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith(".venv-sam/bin/sam deploy --config-file samplconfig.toml ")
    # SAM looks for the configuration beside the template that this option names.
    assert "--template-file" not in line
    assert """'RequestSchedule="cron(0 6 * * ? *)"'""" in line
    assert not shell.commands
    assert not shell.file.exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "no stack: pass STACK=NAME, or set COURIER_STACK"),
        (["--stack", "a"], "no region: pass REGION=NAME, or set COURIER_REGION"),
        (["--stack", "a b", "--region", REGION], "STACK=a b: must be a name of letters, digits and hyphens"),
        (["--stack", "a", "--region", "Frankfurt"], "REGION=Frankfurt: must be a region, such as eu-central-1"),
        ([*STACK, "LogLevel"], "LogLevel: must be NAME=VALUE"),
        ([*STACK, "Loglevel=DEBUG"], "Loglevel: the template has no such parameter; it has "),
        ([*STACK, "LogLevel=WARN"], "LogLevel=WARN: must be one of DEBUG, INFO"),
        ([*STACK, "MostConcurrentCopies=-1"], "MostConcurrentCopies=-1: must be at least 0"),
        ([*STACK, "CopyMemoryMegabytes=1e4"], "CopyMemoryMegabytes=1e4: must be a whole number"),
        ([*STACK, "NotificationEmail=me"], "NotificationEmail=me: must be an e-mail address or empty"),
        ([*STACK, "NotificationEmail=a@b\x07c"], "must have no control characters"),
    ],
)
def test_without_a_terminal_a_missing_or_wrong_setting_is_named(
    shell: Shell, arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shell.deploy(*arguments) == 2
    assert expected in (err := capsys.readouterr().err)
    assert err.count("\n") == 1
    assert not shell.commands
    assert not shell.file.exists()


def test_environment_variables_name_stack_and_region(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURIER_STACK", "of-the-shell")
    monkeypatch.setenv("COURIER_REGION", "eu-west-3")
    assert shell.deploy() == 0
    assert read_deployments(shell.file).stacks.keys() == {"of-the-shell"}


def test_an_interrupted_question_saves_nothing(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    assert shell.deploy(answers=["courier-test"]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert not shell.file.exists()


def test_a_failed_deployment_keeps_the_answers_and_the_exit_code(
    shell: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.fails = {"sam"}
    assert shell.deploy(*STACK, "LogLevel=DEBUG") == 1
    assert "Next" not in capsys.readouterr().out
    assert read_deployments(shell.file).stack == "courier-test"


def test_an_outdated_build_is_built_first_and_a_failed_build_deploys_nothing(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "build_is_outdated", lambda _: True)
    assert shell.deploy(*STACK) == 0
    assert [command[0] for command in shell.commands] == ["make", program.SAM]
    shell.commands.clear()
    shell.fails = {"make"}
    assert shell.deploy(*STACK) == 1
    assert [command[0] for command in shell.commands] == ["make"]


def test_a_build_that_its_check_refused_is_not_deployed_by_the_next_attempt(shell: Shell) -> None:
    shell.fails = {Path(sys.executable).name}
    assert shell.deploy(*STACK) == 1
    assert [command[1:] for command in shell.commands] == [["-m", "scripts.built"]]


def test_a_build_is_outdated_when_a_source_is_newer(tmp_path: Path) -> None:
    source, built = tmp_path / "functions/poll_builds/app.py", tmp_path / program.BUILT
    for path in (source, built):
        path.parent.mkdir(parents=True)
        path.write_text("")
    os.utime(built, (100, 100))
    assert program.build_is_outdated(tmp_path)
    os.utime(source, (50, 50))
    assert not program.build_is_outdated(tmp_path)
    built.unlink()
    assert program.build_is_outdated(tmp_path)


def test_the_defaults_of_the_template_are_accepted() -> None:
    assert [name for name, each in PARAMETERS.items() if each.mistake(each.default) is not None] == []
