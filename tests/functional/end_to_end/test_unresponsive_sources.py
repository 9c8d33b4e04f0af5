"""Runs whose sources did not respond, or were not called."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.functional.end_to_end.independent_server import DN_KEY, TD_KEY, ServerState, independent_server
from tests.support.command import courier

# Port 1 is closed.
NOWHERE = {"endpoint": "http://127.0.0.1:1", "insecure": True}
REPORTS: dict[str, Any] = {
    **NOWHERE,
    "name": "red-team",
    "provider": "dreadnode_airt",
    "secret": "build-courier/dn",
    "organization": "acme",
    "workspace": "main",
    "project": "p",
}
MODELS: dict[str, Any] = {
    **NOWHERE,
    "name": "models",
    "provider": "treasure_insights",
    "secret": "build-courier/td",
    "data_models": "all",
}
HINT = "No builds."


@pytest.fixture
def empty_account() -> Iterator[dict[str, Any]]:
    """Yield a source that responds and has no builds."""
    with independent_server(ServerState()) as endpoint:
        yield {**MODELS, "endpoint": endpoint}


def configure(folder: Path, source: dict[str, Any]) -> list[object]:
    """Write the files, and return the options that name them."""
    (folder / "sources.yaml").write_text(yaml.safe_dump({"sources": [source]}), encoding="utf-8")
    secrets = {"build-courier/td": TD_KEY, "build-courier/dn": DN_KEY}
    (folder / "secrets.yaml").write_text(yaml.safe_dump(secrets), encoding="utf-8")
    files = ["--sources", folder / "sources.yaml", "--secrets", folder / "secrets.yaml", "--out", folder / "out"]
    return [*files, "--until-idle"]


def test_a_request_without_a_response_is_named_with_its_file(tmp_path: Path) -> None:
    request_file = tmp_path / "r.json"
    request_file.write_text(json.dumps({"source": "red-team", "report": {"template_id": "t"}}), encoding="utf-8")
    options = [*configure(tmp_path, REPORTS), "--request", request_file, "--timeout", 5]
    # A process of its own: the retry of the request waits a minute, and the command must not wait for it.
    command = [sys.executable, "-m", "cli", "run", *map(str, options)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)  # noqa: S603 - our own command
    assert ended.returncode == 1
    assert ended.stderr.splitlines() == [
        (
            "courier: source red-team has not responded "
            "(127.0.0.1: red-team: preflight cannot connect: Connection refused)"
        ),
        f"courier: request {request_file} was not served when the run ended",
    ]
    assert HINT not in ended.stdout


def test_a_source_that_has_not_responded_yet_is_named_with_its_host(tmp_path: Path) -> None:
    ended = courier("run", *configure(tmp_path, MODELS), "--timeout", 2)
    assert ended.exit_code == 1
    assert ended.error_line == (
        "courier: source models has not responded (127.0.0.1: models: list_models cannot connect: Connection refused)"
    )
    assert HINT not in ended.out


def test_an_empty_account_counts_as_responding(tmp_path: Path, empty_account: dict[str, Any]) -> None:
    ended = courier("run", *configure(tmp_path, empty_account), "--tick", 0.1, "--timeout", 20)
    assert (ended.exit_code, ended.err) == (0, "")
    assert HINT in ended.out


def test_a_source_without_lists_and_without_requests_is_named_once(tmp_path: Path) -> None:
    ended = courier("run", *configure(tmp_path, REPORTS), "--tick", 0.1, "--timeout", 20)
    assert (ended.exit_code, ended.err) == (0, "")
    line = "courier: red-team: nothing to poll: dreadnode_airt cannot list reports; pass --request or --watch"
    assert ended.out.splitlines().count(line) == 1
