"""The real command, as a process of its own, against a test server that somebody else wrote."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.functional.end_to_end.evidence import leaks
from tests.functional.end_to_end.strangers_server import (
    DN_KEY,
    SIGNATURE,
    TD_KEY,
    Job,
    World,
    report,
    strangers_server,
)

BIG, SMALL = report(18_000_000), report(100_000)


@dataclass(frozen=True)
class Finished:
    """The ended process, its results, and the server's memory of it."""

    process: subprocess.CompletedProcess[str]
    out: Path
    world: World

    @property
    def notices(self) -> dict[str, dict[str, object]]:
        lines = (self.out / "notices.jsonl").read_text(encoding="utf-8").splitlines()
        return {event["subject"]: event["data"] for event in (json.loads(line)["message"] for line in lines)}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    folder = tmp_path_factory.mktemp("stranger")
    world = World(
        jobs={"job-big": Job(BIG, declared_bytes=0), "job-small": Job(SMALL, declared_bytes=len(SMALL))},
        builds={"model-1": ["build-1", "build-2"], "model-2": []},
        endings={"build-2": "failed"},
    )
    with strangers_server(world) as endpoint:
        plain = {"endpoint": endpoint, "insecure": True}
        airt = {
            **plain,
            "provider": "dreadnode_airt",
            "secret": "build-courier/dn",
            "organization": "acme",
            "workspace": "main",
        }
        sources = [
            {**plain, "name": "td", "provider": "treasure_insights", "secret": "build-courier/td", "account_id": 9},
            {**airt, "name": "one", "project": "p"},
            {**airt, "name": "two", "project": "q", "artifact": {"hosts": ["127.0.0.1"]}},
        ]
        files = {
            "sources.yaml": yaml.safe_dump({"sources": sources}),
            "secrets.yaml": yaml.safe_dump({"build-courier/td": TD_KEY, "build-courier/dn": f"Bearer {DN_KEY}"}),
            "model.json": json.dumps({"source": "td", "data_model": "model-2"}),
            "report.json": json.dumps({"source": "two", "report": {"preset": {"format": "pdf"}}}),
        }
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
        process = subprocess.run(  # noqa: S603 - our own command
            [
                *(sys.executable, "-m", "cli", "run", "--sources", "sources.yaml", "--secrets", "secrets.yaml"),
                *("--request", "model.json", "--request", "report.json"),
                *("--watch", "one/acme/main/p/job-big", "--watch", "two/acme/main/q/job-small"),
                *("--tick", "0.2", "--until-idle", "--timeout", "30"),
            ],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
        )
        yield Finished(process, folder / "out", world)


def test_it_just_works(finished: Finished) -> None:
    assert finished.process.stderr == ""
    assert finished.process.returncode == 0


def test_builds_that_say_they_are_old_are_waited_for(finished: Finished) -> None:
    outcomes = {build: news["outcome"] for build, news in finished.notices.items()}
    assert outcomes == {
        "td/model-1/build-1": "succeeded",
        "td/model-1/build-2": "failed",
        "td/model-2/started-2": "succeeded",
        "one/acme/main/p/job-big": "delivered",
        "two/acme/main/q/job-small": "delivered",
        "two/acme/main/q/job-2": "delivered",
    }


@pytest.mark.parametrize(
    ("build", "key", "content"),
    [
        ("one/acme/main/p/job-big", "artifacts/one/acme/main/p/2026/01/05/job-big/job-big.pdf", BIG),
        ("two/acme/main/q/job-small", "artifacts/two/acme/main/q/2026/01/05/job-small/job-small.pdf", SMALL),
    ],
    ids=["size unknown, loopback by insecure", "size known, host named"],
)
def test_reports_behind_another_port_are_copied_whole(finished: Finished, build: str, key: str, content: bytes) -> None:
    assert (finished.out / "bucket" / key).read_bytes() == content
    stored = finished.notices[build]["artifact"]
    assert isinstance(stored, dict)
    assert (stored["key"], stored["sha256"]) == (key, hashlib.sha256(content).hexdigest())


def test_limits_are_read_from_text_as_well(finished: Finished) -> None:
    assert finished.notices["td/model-1/build-2"]["limits"] == {"build_size_gb": 16, "query_size_gb": 4}


def test_the_store_never_gets_the_api_key_and_nobody_else_gets_the_link(finished: Finished) -> None:
    assert finished.world.downloads
    assert not any("Authorization" in headers or "X-API-Key" in headers for headers in finished.world.downloads)
    files = {str(path): path.read_text("latin-1") for path in finished.out.rglob("*") if path.is_file()}
    places = files | {"out": finished.process.stdout, "err": finished.process.stderr}
    assert leaks(places, [TD_KEY, DN_KEY, SIGNATURE]) == []
