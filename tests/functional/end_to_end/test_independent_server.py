"""The command in a process of its own, against an independent test server."""

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
from tests.functional.end_to_end.independent_server import (
    DN_KEY,
    SIGNATURE,
    TD_KEY,
    Job,
    ServerState,
    independent_server,
    report,
)

BIG, SMALL = report(18_000_000), report(100_000)


@dataclass(frozen=True)
class Finished:
    """The ended process, its results, and the state of the server."""

    process: subprocess.CompletedProcess[str]
    out: Path
    state: ServerState

    @property
    def notices(self) -> dict[str, dict[str, object]]:
        lines = (self.out / "notices.jsonl").read_text(encoding="utf-8").splitlines()
        return {event["subject"]: event["data"] for event in (json.loads(line)["message"] for line in lines)}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    folder = tmp_path_factory.mktemp("independent")
    state = ServerState(
        jobs={"job-big": Job(BIG, declared_bytes=0), "job-small": Job(SMALL, declared_bytes=len(SMALL))},
        builds={"model-1": ["build-1", "build-2"], "model-2": []},
        final_statuses={"build-2": "failed"},
    )
    with independent_server(state) as endpoint:
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
        yield Finished(process, folder / "out", state)


def test_the_run_succeeds_without_an_error(finished: Finished) -> None:
    assert finished.process.stderr == ""
    assert finished.process.returncode == 0


def test_builds_with_old_creation_times_are_waited_for(finished: Finished) -> None:
    outcomes = {build: payload["outcome"] for build, payload in finished.notices.items()}
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
def test_reports_at_another_port_are_copied(finished: Finished, build: str, key: str, content: bytes) -> None:
    assert (finished.out / "bucket" / key).read_bytes() == content
    stored = finished.notices[build]["artifact"]
    assert isinstance(stored, dict)
    assert (stored["key"], stored["sha256"]) == (key, hashlib.sha256(content).hexdigest())


def test_limits_may_be_text_or_numbers(finished: Finished) -> None:
    assert finished.notices["td/model-1/build-2"]["limits"] == {"build_size_gb": 16, "query_size_gb": 4}


def test_the_store_never_receives_the_api_key_and_no_output_has_the_link(finished: Finished) -> None:
    assert finished.state.downloads
    assert not any("Authorization" in headers or "X-API-Key" in headers for headers in finished.state.downloads)
    files = {str(path): path.read_text("latin-1") for path in finished.out.rglob("*") if path.is_file()}
    places = files | {"out": finished.process.stdout, "err": finished.process.stderr}
    assert leaks(places, [TD_KEY, DN_KEY, SIGNATURE]) == []
