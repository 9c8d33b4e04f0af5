"""A second run with the same folder continues: nothing that was delivered is deleted, and nothing is forgotten."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.functional.end_to_end.independent_server import DN_KEY, TD_KEY, Job, ServerState, independent_server, report
from tests.support.command import CommandResult, courier

JOB = "artifacts/dn/acme/main/p/2026/01/05/job/job.pdf"


@dataclass
class Laptop:
    """The files of a user, and the state that the sources see."""

    folder: Path
    state: ServerState

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def run(self, *options: object) -> CommandResult:
        files = ("--sources", self.folder / "sources.yaml", "--secrets", self.folder / "secrets.yaml")
        return courier("run", *files, "--out", self.out, "--tick", 0.1, "--until-idle", *options)

    def write_sources(self, endpoint: str) -> None:
        place = {"endpoint": endpoint, "insecure": True}
        airt = {"provider": "dreadnode_airt", "organization": "acme", "workspace": "main", "project": "p"}
        sources = [
            {**place, "name": "td", "provider": "treasure_insights", "secret": "build-courier/td"},
            {**place, **airt, "name": "dn", "secret": "build-courier/dn"},
        ]
        (self.folder / "sources.yaml").write_text(yaml.safe_dump({"sources": sources}), encoding="utf-8")
        secrets = {"build-courier/td": TD_KEY, "build-courier/dn": DN_KEY}
        (self.folder / "secrets.yaml").write_text(yaml.safe_dump(secrets), encoding="utf-8")

    def rows(self) -> dict[str, dict[str, Any]]:
        document = json.loads((self.out / "ledger.json").read_text(encoding="utf-8"))
        return {row["build"]: row for row in document["rows"]}

    def notices(self) -> list[str]:
        lines = (self.out / "notices.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line)["message"]["subject"] for line in lines]


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[Laptop]:
    state = ServerState(
        builds={"m": ["endless"]}, never_finished=frozenset({"endless"}), jobs={"job": Job(report(3_000), 0)}
    )
    with independent_server(state) as endpoint:
        laptop = Laptop(tmp_path, state)
        laptop.write_sources(endpoint)
        yield laptop


def test_a_second_run_keeps_what_was_delivered_and_continues_what_was_not(laptop: Laptop) -> None:
    first = laptop.run("--watch", "dn/acme/main/p/job", "--timeout", 4, "-v")
    assert first.exit_code == 1
    assert "INFO poll_builds: build ended  build=dn/acme/main/p/job" in first.err
    assert "_aws" not in first.err
    # The watched build is in the ledger: its option is not needed again.
    (command,) = [line for line in first.out.splitlines() if line.startswith("To continue: ")]
    assert command.startswith(f"To continue: courier run --sources {laptop.folder}")
    assert "--watch" not in command
    delivered = laptop.out / "bucket" / JOB
    assert delivered.read_bytes() == report(3_000)
    written_at = delivered.stat().st_mtime_ns
    row = laptop.rows()["td/m/endless"]
    assert {"passage", "due_source", "next_poll_at"} <= row.keys()
    assert not {"execution", "task_token", "kept_token"} & row.keys()
    polls = row["polls"]

    laptop.state.never_finished = frozenset()
    second = laptop.run("--timeout", 30)
    assert (second.exit_code, second.err) == (0, "")
    assert "succeeded      td/m/endless" in second.out
    assert "courier: dn: nothing to poll: dreadnode_airt cannot list reports; pass --request or --watch" in second.out
    assert "acme/main/p/job" not in second.out
    assert (delivered.read_bytes(), delivered.stat().st_mtime_ns) == (report(3_000), written_at)
    assert laptop.notices() == ["dn/acme/main/p/job", "td/m/endless"]
    rows = laptop.rows()
    assert (rows["td/m/endless"]["outcome"], rows["dn/acme/main/p/job"]["outcome"]) == ("succeeded", "delivered")
    assert rows["td/m/endless"]["polls"] > polls
    runs = json.loads((laptop.out / "executions.json").read_text(encoding="utf-8"))
    assert sorted(run["outcome"] for run in runs) == ["delivered", "succeeded"]
    assert sorted(path.name for path in (laptop.out / "bucket").glob("records/**/*.json")) == [
        "endless.json",
        "job.json",
    ]
    log = (laptop.out / "run.log").read_text(encoding="utf-8")
    assert log.count(" courier run --sources ") == 2
    # A build that an earlier run delivered is not delivered again, and a new one is.
    laptop.state.builds["m"].append("new")
    third = laptop.run("--watch", "dn/acme/main/p/job", "--timeout", 30)
    assert third.exit_code == 0
    assert laptop.notices() == ["dn/acme/main/p/job", "td/m/endless", "td/m/new"]


def test_a_source_that_responded_in_an_earlier_run_only_is_named(laptop: Laptop) -> None:
    laptop.state.never_finished = frozenset()
    assert laptop.run("--timeout", 20).exit_code == 0
    laptop.write_sources("http://127.0.0.1:1")
    gone = laptop.run("--tick", 60, "--timeout", 2)
    assert gone.exit_code == 1
    assert "courier: source td has not responded (127.0.0.1: " in gone.err
    assert laptop.notices() == ["td/m/endless"]


def test_fresh_prompts_before_it_deletes_deliveries(laptop: Laptop) -> None:
    laptop.state.never_finished = frozenset()
    laptop.state.final_statuses["endless"] = "failed"
    first = laptop.run("--timeout", 20, "--fail-on", "failed,lost")
    assert (first.exit_code, first.error_line) == (1, "courier: --fail-on: 1 failed")
    refused = laptop.run("--fresh")
    assert refused.exit_code == 2
    assert "--fresh deletes what was delivered" in refused.error_line
    demo = courier("run", "--out", laptop.out)
    assert demo.exit_code == 2
    assert "holds what your own sources delivered" in demo.error_line
    assert laptop.notices() == ["td/m/endless"]
    again = laptop.run("--fresh", "--yes", "--timeout", 20)
    # The old build ended before the first run of this ledger: it is history.
    assert (again.exit_code, again.err) == (0, "")
    assert laptop.notices() == []
    assert list((laptop.out / "bucket").rglob("*.json")) == []


def test_builds_of_a_source_that_is_not_configured_are_put_aside(laptop: Laptop) -> None:
    laptop.run("--timeout", 3)
    document = yaml.safe_load((laptop.folder / "sources.yaml").read_text(encoding="utf-8"))
    everything = dict(document)
    document["sources"] = document["sources"][1:]
    (laptop.folder / "sources.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    without = laptop.run("--timeout", 20)
    assert without.error_line == "courier: not polled, because their sources are not configured: td/m/endless"
    assert without.exit_code == 0
    laptop.state.never_finished = frozenset()
    (laptop.folder / "sources.yaml").write_text(yaml.safe_dump(everything), encoding="utf-8")
    assert "succeeded      td/m/endless" in laptop.run("--timeout", 20).out
