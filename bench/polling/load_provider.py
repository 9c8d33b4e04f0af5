"""Both providers for the load test, in a process of its own: every build is running, every response has a latency.

Reads one line of JSON: the latency and, by API key, the builds of each scope. Prints its port, serves until the
standard input ends, and then prints the times of the requests. It simulates nothing else, so it needs little CPU.
"""

import asyncio
import json
import re
import sys
import time
from collections import defaultdict

_LISTING = re.compile(r"/reporting/datamodels/([^/]+)/builds")
_BUILD = re.compile(r"/reporting/datamodels/([^/]+)/builds/([^/]+)")
_JOB = re.compile(r"/api/v1/org/[^/]+/ws/[^/]+/airt/projects/[^/]+/reports/build/([^/]+)")
_NOT_FOUND = '{"message": "not found"}'


class LoadProvider:
    """Reports all builds as running; `request_times` are in seconds since the epoch, by API key."""

    def __init__(self, latency_seconds: float, builds: dict[str, dict[str, dict[str, str]]]) -> None:
        self.request_times: dict[str, list[float]] = defaultdict(list)
        self._latency_seconds = latency_seconds
        self._builds = builds

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it ends."""
        while request := await reader.readline():
            path = request.split()[1].decode()
            key = ""
            while (line := await reader.readline()) not in (b"\r\n", b""):
                name, _, value = line.decode().partition(":")
                if name.lower() == "authorization":
                    key = value.split()[-1]
            self.request_times[key].append(time.time())
            await asyncio.sleep(self._latency_seconds)
            body = self._body(key, path)
            status = "404 Not Found" if body == _NOT_FOUND else "200 OK"
            head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write((head + body).encode())
            await writer.drain()
        writer.close()

    def _body(self, key: str, path: str) -> str:
        scopes = self._builds.get(key, {})
        if match := _LISTING.fullmatch(path):
            return json.dumps([_build(oid, created) for oid, created in scopes.get(match[1], {}).items()])
        if (match := _BUILD.fullmatch(path)) and match[2] in scopes.get(match[1], {}):
            return json.dumps(_build(match[2], scopes[match[1]][match[2]]))
        jobs = {job: created for of_scope in scopes.values() for job, created in of_scope.items()}
        if (match := _JOB.fullmatch(path)) and match[1] in jobs:
            return json.dumps({"job_id": match[1], "status": "in_progress", "created_at": jobs[match[1]]})
        return _NOT_FOUND


def _build(oid: str, created: str) -> dict[str, str]:
    return {"oid": oid, "buildType": "full", "status": "building", "created": created, "started": created}


async def main() -> None:
    """Serve until the standard input ends."""
    settings = json.loads(sys.stdin.readline())
    provider = LoadProvider(settings["latency_seconds"], settings["builds"])
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    print(json.dumps(provider.request_times), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
