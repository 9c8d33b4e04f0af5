"""``courier.toml``: what ``make deploy`` remembers, and what a command takes from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.deployment import (
    FILE_NAME,
    Deployment,
    Deployments,
    StackChoice,
    choose_stack,
    read_deployments,
    write_deployments,
)
from courier.errors import SettingsError
from tests.support.command import courier

TWO = Deployments(
    stack="courier-eu",
    stacks={
        "courier-eu": Deployment(
            region="eu-central-1",
            profile="prod ünï",
            parameters={"PollSchedule": "rate(5 minutes)", "KeyPrefix": 'a"\\'},
        ),
        "courier-us": Deployment(region="us-gov-west-1"),
    },
)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("cli.deployment.FILE_NAME", FILE_NAME)
    monkeypatch.setattr("cli.deployment.CHECKOUT", tmp_path / "checkout")
    return tmp_path / FILE_NAME


def test_what_was_written_is_read_again(file: Path) -> None:
    write_deployments(file, TWO)
    assert read_deployments(file) == TWO
    changed = TWO.with_stack("third", Deployment(region="eu-west-1"))
    write_deployments(file, changed)
    assert read_deployments(file) == changed
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_the_last_stack_is_used_with_its_region_and_profile(file: Path) -> None:
    write_deployments(file, TWO)
    assert choose_stack("", region=None, profile=None) == StackChoice(
        stack="courier-eu", region="eu-central-1", profile="prod ünï", file=file
    )
    other = choose_stack("courier-us", region=None, profile=None)
    assert (other.region, other.profile) == ("us-gov-west-1", None)


def test_a_command_uses_the_file_and_says_so(file: Path, moto: None, monkeypatch: pytest.MonkeyPatch) -> None:
    write_deployments(file, TWO)
    result = courier("status")
    assert result.exit_code == 2
    assert f"there is no stack courier-eu in region eu-central-1 (from {file}) of this account" in result.error_line
    other = courier("status", "--stack", "courier-us").error_line
    assert f"there is no stack courier-us in region us-gov-west-1 (from {file})" in other
    assert "in region eu-west-3 of this account" in courier("status", "--region", "eu-west-3").error_line
    monkeypatch.setenv("COURIER_STACK", "mine")
    assert "there is no stack mine in region eu-central-1 of this account" in courier("status").error_line


def test_options_and_environment_win(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_deployments(file, TWO)
    chosen = choose_stack("", region="eu-west-3", profile=None)
    assert (chosen.stack, chosen.region, chosen.file) == ("courier-eu", "eu-west-3", None)
    assert choose_stack("courier-eu", region=None, profile="mine").profile == "mine"
    monkeypatch.setenv("AWS_PROFILE", "of-the-shell")
    assert choose_stack("", region=None, profile=None).profile is None


def test_a_stack_that_was_not_deployed_here_has_no_region_from_the_file(file: Path) -> None:
    write_deployments(file, TWO)
    assert choose_stack("other", region=None, profile=None) == StackChoice(
        stack="other", region=None, profile=None, file=None
    )


def test_without_a_file_the_usual_name_is_used(file: Path) -> None:
    assert choose_stack("", region=None, profile=None).stack == "build-courier"


def test_the_file_of_the_checkout_is_used_elsewhere(file: Path) -> None:
    (file.parent / "checkout").mkdir()
    write_deployments(file.parent / "checkout" / FILE_NAME, TWO)
    assert choose_stack("", region=None, profile=None).stack == "courier-eu"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"stack = ", "invalid TOML: Invalid value"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"stak = 'a'", "stak: is unknown"),
        (b"[stacks.a]\nregion = 7", "stacks.a.region: "),
        (b"[stacks.a]", "stacks.a.region: field required"),
        (b"[stacks.a]\nregion = 'frankfurt'", "stacks.a.region: "),
        (b"[stacks.'a b']\nregion = 'eu-west-1'", "stacks.a b"),
        (b"[stacks.a]\nregion = 'eu-west-1'\nparameters = {A = 1}", "stacks.a.parameters.A: "),
    ],
)
def test_a_wrong_file_is_one_line_and_ignored_where_it_is_not_needed(file: Path, content: bytes, expected: str) -> None:
    file.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        choose_stack("", region=None, profile=None)
    assert str(caught.value).startswith(f"{file}: ")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
    assert choose_stack("a", region="eu-west-1", profile=None).file is None


def test_a_file_that_cannot_be_read_or_written_is_one_line(file: Path) -> None:
    file.mkdir()
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        read_deployments(file)
    with pytest.raises(SettingsError, match="cannot be written"):
        write_deployments(file, TWO)
