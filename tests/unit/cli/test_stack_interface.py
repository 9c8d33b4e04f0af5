"""A command and a stack that do not understand each other say so."""

from __future__ import annotations

import pytest
from samtranslator.yaml_helper import yaml_parse

from cli.stack import INTERFACE, OLDEST_INTERFACE, check_interface
from courier.errors import SettingsError
from tests.support.aws import TEMPLATE


def test_the_template_has_the_interface_of_the_command() -> None:
    outputs = yaml_parse(TEMPLATE.read_text(encoding="utf-8"))["Outputs"]
    assert outputs["Interface"]["Value"] == str(INTERFACE)


@pytest.mark.parametrize("text", [None, str(OLDEST_INTERFACE), str(INTERFACE)])
def test_a_stack_of_a_known_interface_is_accepted(text: str | None) -> None:
    check_interface("prod", {} if text is None else {"Interface": text})


@pytest.mark.parametrize("text", [str(INTERFACE + 1), "2.0-preview", "-1"])
def test_a_later_stack_needs_a_later_command(text: str) -> None:
    with pytest.raises(SettingsError, match=r"stack prod was deployed by a later version .* upgrade the command"):
        check_interface("prod", {"Interface": text})


def test_an_earlier_stack_has_to_be_deployed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.stack.OLDEST_INTERFACE", 1)
    with pytest.raises(SettingsError, match=r"stack prod was deployed by an earlier version .* \(make deploy\)"):
        check_interface("prod", {})
