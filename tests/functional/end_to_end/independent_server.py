"""An independent test server: both APIs as a reader of docs/source-apis.md would fake them in an hour.

It shares nothing with the simulated providers on purpose. The status of a build changes with each poll, all times are
old, and the reports are at another port, behind links whose query only resembles a signature.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TD_KEY = "9/00112233445566778899aabbccddeeff00112233"
DN_KEY = "dn_key_strangersown"
SIGNATURE = "5f5f5f5f0badc0de"
QUERY = f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=3600&X-Amz-Signature={SIGNATURE}"

CREATED, STARTED, COMPLETED = "2022-06-30T08:36:21.749", "2022-06-30T08:36:21.754", "2022-06-30T08:37:01.224"


def report(size: int) -> bytes:
    """Return bytes that start and end as a PDF does."""
    return b"%PDF-1.4\n" + bytes(range(256)) * (size // 256) + b"\n%%EOF\n"


@dataclass
class Job:
    """A report job; ``declared_bytes`` is its ``file_size_bytes`` once it is completed."""

    content: bytes
    declared_bytes: int
    polls: int = 0
    running_for: int = 2
    drips: bool = False


@dataclass
class ServerState:
    """The builds and jobs of the server; the status of each changes with its polls."""

    jobs: dict[str, Job] = field(default_factory=dict)
    builds: dict[str, list[str]] = field(default_factory=dict)
    final_statuses: dict[str, str] = field(default_factory=dict)
    never_finished: frozenset[str] = frozenset()
    polls: Counter[str] = field(default_factory=Counter)
    downloads: list[Mapping[str, str]] = field(default_factory=list)
    store: str = ""
    dripping: threading.Event = field(default_factory=threading.Event)
    closing: threading.Event = field(default_factory=threading.Event)

    def status(self, build: str) -> str:
        if build in self.never_finished:
            return "building"
        return (["pending", "building"] + [self.final_statuses.get(build, "done")] * 99)[min(self.polls[build], 50)]

    def build(self, build: str, zone: str) -> dict[str, object]:
        status = self.status(build)
        self.polls[build] += 1
        ended = status not in {"pending", "building"}
        return {
            "oid": build,
            "buildType": "full",
            "status": status,
            "created": CREATED + zone,
            "started": STARTED + zone if status != "pending" else None,
            "completed": COMPLETED + zone if ended else None,
        }

    def job(self, job_id: str) -> dict[str, object]:
        job = self.jobs[job_id]
        job.polls += 1
        done = job.polls > job.running_for
        return {
            "job_id": job_id,
            "status": "completed" if done else "in_progress" if job.polls > 1 else "queued",
            "created_at": "2026-01-05T08:36:21Z",
            "completed_at": "2026-01-05T08:37:01Z" if done else None,
            "error_message": None,
            "file_size_bytes": job.declared_bytes if done else 0,
            "presigned_url": f"{self.store}/bucket/{job_id}.pdf?{QUERY}" if done else None,
            "url_expires_at": "2026-01-05T09:37:01Z" if done else None,
        }


@contextmanager
def independent_server(state: ServerState) -> Iterator[str]:
    """Serve the APIs at one port of loopback and the reports at another; yield the endpoint."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Stay silent."""

    class Api(Handler):
        def do_GET(self) -> None:
            key = self.headers.get("Authorization")
            match self.path.strip("/").split("/"):
                case ["reporting", *rest] if key == f"TD1 {TD_KEY}":
                    self.respond(200, self.treasure(rest))
                case ["api", "v1", "org", "acme", "ws", "main", "airt", "projects", _, "reports", "build", job_id] if (
                    key == f"Bearer {DN_KEY}" and job_id in state.jobs
                ):
                    self.respond(200, state.job(job_id))
                case _:
                    self.respond(401 if key else 404, {"code": 401, "detail": "no", "type": "authentication_error"})

        def treasure(self, rest: Sequence[str]) -> object:
            match rest:
                case ["datamodels"]:
                    return [{"oid": oid, "name": oid} for oid in state.builds]
                case ["datamodels", oid, "builds"]:
                    return [state.build(build, "Z") for build in state.builds[oid]]
                case ["datamodels", _, "builds", build]:
                    return state.build(build, "+00:00")
                case _:
                    return {"build_size": "16", "query_size": 4}

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            parts = self.path.strip("/").split("/")
            if parts[-1] == "builds" and body == {"buildType": "full"}:
                build = f"started-{sum(map(len, state.builds.values()))}"
                state.builds[parts[-2]].append(build)
                self.respond(201, state.build(build, "+00:00"))
            elif parts[-1] == "preflight":
                self.respond(200, {"empty_sections": []})
            elif parts[-1] == "build" and set(body) <= {"preset", "template_id"}:
                job_id = f"job-{len(state.jobs)}"
                state.jobs[job_id] = Job(report(300_000), declared_bytes=0)
                self.respond(202, {"job_id": job_id, "status": "queued", "created_at": "2026-01-05T08:36:21Z"})
            else:
                self.respond(422, {"code": 422, "detail": "Validation error", "type": "validation_error"})

        def respond(self, status: int, document: object) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    class Store(Handler):
        def do_GET(self) -> None:
            state.downloads.append(dict(self.headers))
            path, _, query = self.path.partition("?")
            job = state.jobs[path.rpartition("/")[2].removesuffix(".pdf")]
            content = job.content
            if query != QUERY or "Authorization" in self.headers:
                self.send_error(403)
                return
            # No ranges, no ETag: a plain file server.
            self.send_response(200)
            self.send_header("Content-Type", "application/pdf")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if job.drips:
                self.drip(content)
            else:
                self.wfile.write(content)

        def drip(self, content: bytes) -> None:
            state.dripping.set()
            for start in range(0, len(content), 1_000):
                if state.closing.wait(0.05):
                    return
                try:
                    self.wfile.write(content[start : start + 1_000])
                except OSError:
                    return

    with _served(Store) as state.store, _served(Api) as endpoint:
        yield endpoint
        state.closing.set()


@contextmanager
def _served(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
