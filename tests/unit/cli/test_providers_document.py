"""The worked example of docs/providers.md: the document is what is checked and tried."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from cli.source_files import check_file
from courier.providers.http_json.expressions import is_true, search
from courier.providers.http_json.shipped import shipped_names
from tests.support.command import courier

DOCUMENT = Path(__file__).parents[3] / "docs" / "providers.md"
FALSY: tuple[object, ...] = ([], "", {}, 0)
BLOCK = re.compile(r"^```(\w+)(?: ([\w.]+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for kind, name, text in BLOCK.findall(DOCUMENT.read_text(encoding="utf-8")):
        if kind == "yaml" or name:
            (tmp_path / (name or "sources.yaml")).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_definition_is_right(folder: Path) -> None:
    result = courier("config", "check", "sources.yaml")
    assert (result.exit_code, result.err) == (0, "")
    assert result.out == (
        "survey: ok, http_json; credentials are sent to https://fra1.qualtrics.com, and nowhere else\n"
    )


def test_the_responses_are_read_as_shown(folder: Path) -> None:
    shown = next(text for kind, _, text in BLOCK.findall(DOCUMENT.read_text(encoding="utf-8")) if kind == "console")
    command, _, output = shown.partition("\n")
    assert command.startswith("$ courier config try ")
    result = courier(*command.split()[2:])
    assert (result.exit_code, result.err) == (0, "")
    assert result.out == output


def test_the_worked_example_is_not_among_those_that_come_with_the_courier(folder: Path) -> None:
    endpoint = check_file(folder / "sources.yaml").sources[0].endpoint
    assert not any(name.startswith("qualtrics") for name in shipped_names())
    assert "qualtrics" in endpoint


def test_the_pitfalls_of_expressions_are_as_the_document_says() -> None:
    assert search("x.[a || b] | [0]", {"x": {"b": 1}}) == 1
    assert search("code != `0`", {}) is True
    assert search("code != `0`", {"code": "0"}) is True
    expression = "code && to_number(code) != `0`"
    assert [bool(search(expression, {"code": code})) for code in (None, "0", 0, 7)] == [False, False, False, True]
    assert [is_true(value) for value in FALSY] == [False, False, False, True]
    assert search('"@odata.nextLink"', {"@odata.nextLink": 1}) == 1


def test_the_pitfalls_of_yaml_are_as_the_document_says() -> None:
    assert yaml.safe_load("[on, off, yes, no, 10, 12:30]") == [True, False, True, False, 10, 750]
    assert yaml.safe_load("{country: NO}") == {"country": False}
