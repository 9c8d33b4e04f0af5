"""The version is defined in one place, and everything else reads it from there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from typer.testing import CliRunner

from cli.main import app
from courier import __version__
from courier.providers.http_client import DEFAULT_HEADERS

ROOT = Path(__file__).resolve().parents[3]


def test_the_package_takes_its_version_from_the_layer() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["dynamic"] == ["version"]
    assert "version" not in project["project"]
    path = ROOT / project["tool"]["hatch"]["version"]["path"]
    assert f'__version__ = "{__version__}"' in path.read_text(encoding="utf-8")


def test_the_newest_entry_of_the_changelog_is_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    releases = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", text, re.MULTILINE)
    assert releases[0] == __version__
    assert releases == sorted(releases, key=lambda v: [int(n) for n in v.split(".")], reverse=True)


def test_the_command_prints_it() -> None:
    assert CliRunner().invoke(app, ["--version"]).output.strip() == f"courier {__version__}"


def test_requests_to_providers_have_it_in_their_user_agent() -> None:
    assert DEFAULT_HEADERS["User-Agent"] == f"build-courier/{__version__}"


def test_no_other_source_file_repeats_it() -> None:
    places = [
        path
        for folder in ("cli", "functions", "layers/courier", "local", "scripts")
        for path in (ROOT / folder).rglob("*.py")
        if f'"{__version__}"' in path.read_text(encoding="utf-8")
    ]
    assert places == [ROOT / "layers/courier/courier/__init__.py"]
    assert __version__ not in (ROOT / "template.yaml").read_text(encoding="utf-8")
