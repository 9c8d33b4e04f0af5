"""The commands for a deployed stack work on a run of another process as well."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.functional.end_to_end.independent_server import DN_KEY, Job, ServerState, independent_server, report
from tests.support.command import courier

PLACE = "dn/acme/main/p"


@contextmanager
def run_of_another_process(folder: Path, *options: str) -> Iterator[dict[str, str]]:
    """Start ``courier run``, and return the variables that it prints for other terminals."""
    files = ["--sources", str(folder / "sources.yaml"), "--secrets", str(folder / "secrets.yaml")]
    command = [sys.executable, "-m", "cli", "run", *files, "--out", str(folder / "out"), "--tick", "0.2", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:  # noqa: S603 - our own command
        try:
            assert process.stdout is not None
            setup = next(line for line in process.stdout if "export" in line).partition("export ")[2]
            yield dict(word.split("=", 1) for word in shlex.split(setup))
        finally:
            process.send_signal(signal.SIGINT)
            assert process.stdout is not None
            process.stdout.read()
            process.wait(60)


def test_commands_work_on_a_run_of_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = ServerState(jobs={"quick": Job(report(3_000), 0), "slow": Job(report(3_000), 0, running_for=1_000_000)})
    # The keys of the operator are not for a program of this machine.
    monkeypatch.setenv("AWS_PROFILE", "does-not-exist")
    with independent_server(state) as endpoint:
        source = {"name": "dn", "provider": "dreadnode_airt", "endpoint": endpoint, "insecure": True}
        place = {"organization": "acme", "workspace": "main", "project": "p", "secret": "build-courier/dn"}
        (tmp_path / "sources.yaml").write_text(yaml.safe_dump({"sources": [{**source, **place}]}), encoding="utf-8")
        (tmp_path / "secrets.yaml").write_text(yaml.safe_dump({"build-courier/dn": DN_KEY}), encoding="utf-8")
        with run_of_another_process(tmp_path, "--watch", f"{PLACE}/slow") as variables:
            for name, value in variables.items():
                monkeypatch.setenv(name, value)
            assert "dn" in courier("status").out
            examined = courier("doctor")
            assert (examined.exit_code, examined.err) == (0, "")
            assert "a local run" in examined.out
            assert "problem" not in examined.out
            adopted = courier("adopt", f"{PLACE}/quick")
            assert (adopted.exit_code, adopted.err) == (0, "")
            waited = courier("stop", "slow", "--note", "a mistake")
            assert (waited.exit_code, waited.err) == (0, "")
            assert courier("pause", "dn", "--until", "1h").exit_code == 0
            assert courier("resume", "dn").exit_code == 0
            # The probe asks for a job that does not exist, and this server answers that like a wrong key.
            assert "get_build returned 401" in courier("probe", "dn").out
            shown = json.loads(courier("show", "slow", "-f", "json").out)
            assert [act["action"] for act in shown["acts"]] == ["stop"]
            assert courier("logs", "slow").out.count("act done") == 1
    records = [json.loads(path.read_text()) for path in (tmp_path / "out/bucket/records").rglob("*.json")]
    outcomes = {record["build"]["build_id"]: record["outcome"] for record in records}
    assert outcomes == {"quick": "delivered", "slow": "canceled"}


def test_a_run_of_sources_without_their_secrets_ends_at_once(tmp_path: Path) -> None:
    sources = [
        {
            "name": name,
            "provider": "treasure_insights",
            "endpoint": "https://a.example.com",
            "secret": f"build-courier/{name}",
        }
        for name in ("two", "three")
    ]
    (tmp_path / "sources.yaml").write_text(yaml.safe_dump({"sources": sources}), encoding="utf-8")
    (tmp_path / "secrets.yaml").write_text(yaml.safe_dump({"build-courier/one": "1/" + "0" * 40}), encoding="utf-8")
    files = ("--sources", tmp_path / "sources.yaml", "--secrets", tmp_path / "secrets.yaml", "--out", tmp_path / "out")
    result = courier("run", *files)
    assert (result.exit_code, result.out) == (2, "")
    assert "secret build-courier/two is missing" in result.error_line
    assert "secret build-courier/three is missing" in result.error_line
    assert not (tmp_path / "out").exists()
