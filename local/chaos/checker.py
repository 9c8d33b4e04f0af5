"""The promises of the courier, checked over the evidence of one run.

None of the courier's code is used: a checker that shared it would share its mistakes. The reference is the providers'
own state and their own request log.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from local.chaos.evidence import Evidence, StoredVersion, SubmittedRequest
from local.chaos.leaks import find_leaks
from local.embedded.results import ExecutionReport
from local.simulator import BuildState, ProviderName, RequestKind

_DOCUMENTED = re.compile(
    r"artifacts/[^/]+(/[^/]+)+/\d{4}/\d\d/\d\d/[^/]+/[^/]+"
    r"|records/source=[^/]+/date=\d{4}-\d\d-\d\d(/[^/]+)+\.json"
    r"|latest/[^/]+(/[^/]+)+\.json"
)
# The outcome of each final status of a provider, when no fault interferes.
_USUAL = {"completed": "delivered", "done": "succeeded", "failed": "failed", "canceled": "canceled"}
_GOOD = frozenset({"delivered", "succeeded"})
_IN_FLIGHT = ("task_token", "kept_token", "due_source", "next_poll_at", "checkpoint", "checkpoint_upload")
# Five states; retries add events. Far more of either is a loop.
_MOST_STATES = 5
_MOST_HISTORY_EVENTS = 400
# Polls a minute apart for some hours, with their retries.
_MOST_REQUESTS_PER_BUILD = 600


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """The deviations that a run may show because of its injected faults.

    ``outcomes``
        Outcomes that may differ from the provider's status: ``undeliverable`` where reports were damaged.
    ``outcomes_of``
        The same for single builds, by ``source/scope/build_id``.
    ``repeated_notices``
        The number of notices beyond one per outcome, or per change of a source's health.
    ``failed_executions``
        Whether executions may have failed and wait for a redrive.
    ``ended``
        In a run that was stopped early, the builds that had an outcome by then; only theirs are promises. None: all.
    """

    outcomes: frozenset[str] = frozenset()
    outcomes_of: Mapping[str, frozenset[str]] = field(default_factory=dict)
    repeated_notices: int = 0
    failed_executions: bool = False
    ended: frozenset[str] | None = None


@dataclass(frozen=True, order=True)
class Violation:
    """A broken promise, with the evidence."""

    promise: str
    detail: str

    def __str__(self) -> str:
        return f"{self.promise}: {self.detail}"


@dataclass(frozen=True, kw_only=True)
class ParsedNotice:
    """One notice, parsed as a consumer parses it."""

    event_id: str
    type: str
    subject: str
    data: Mapping[str, Any]


class EvidenceIndex:
    """The evidence, parsed once and indexed."""

    def __init__(self, evidence: Evidence, allowance: Allowance) -> None:
        self.evidence = evidence
        self.allowance = allowance

    @cached_property
    def records(self) -> dict[str, dict[str, Any]]:
        """Records by key; one that is not JSON counts as empty, and so breaks promises."""
        return {key: _parsed(version) for key, version in self.evidence.records.items()}

    @cached_property
    def record_keys(self) -> dict[str, list[str]]:
        """Keys of the records by ``source/scope/build_id``."""
        keys = defaultdict(list)
        for key, record in self.records.items():
            keys[_name(record.get("build", {}))].append(key)
        return dict(keys)

    @cached_property
    def notices(self) -> list[ParsedNotice]:
        """All notices."""
        events = [json.loads(notice.message) for notice in self.evidence.notices]
        return [
            ParsedNotice(event_id=event["id"], type=event["type"], subject=event["subject"], data=event["data"])
            for event in events
        ]

    @cached_property
    def build_rows(self) -> dict[str, Mapping[str, object]]:
        """Rows of builds, by key."""
        return {str(row["build"]): row for row in self.evidence.rows if not str(row["build"]).startswith("#")}

    @cached_property
    def ended(self) -> dict[str, BuildState]:
        """Builds that have ended and that the courier is responsible for, by ``source/scope/build_id``."""
        return {
            name: build
            for name, build in self.existing.items()
            if build.completed is not None and build.build_id not in self.evidence.history
        }

    @cached_property
    def existing(self) -> dict[str, BuildState]:
        """Builds of the configured sources: those that can be listed, and those that the courier started."""
        existing_build_id = {submitted.existing_build_id for submitted in self.evidence.submitted}
        return {
            f"{source}/{build.scope}/{build.build_id}": build
            for build in self.evidence.provider_builds
            if (source := self.evidence.sources.get((build.provider, build.scope))) is not None
            and (
                build.provider is ProviderName.TREASURE_INSIGHTS
                or build.build_id in existing_build_id
                or build.build_id not in self.evidence.scheduled
            )
        }

    @cached_property
    def unfinished(self) -> set[str]:
        """Builds that had no outcome when the run was stopped early."""
        if self.allowance.ended is None:
            return set()
        known = {name for name, build in self.existing.items() if build.build_id not in self.evidence.history}
        return (known | self.build_rows.keys() | self.record_keys.keys()) - self.allowance.ended

    @cached_property
    def open_requests(self) -> list[SubmittedRequest]:
        """Requests that led neither to a record nor to a dead letter, nor to a build that waits for a redrive."""
        return [
            submitted
            for submitted in self.evidence.submitted
            if not any(_is_about(dead_letter, submitted) for dead_letter in self.evidence.dead_letters)
            and self.build_of(submitted) not in self.record_keys
            and self.build_of(submitted) not in self.failed_builds
        ]

    def build_of(self, submitted: SubmittedRequest) -> str:
        """Return the build that a request has led to, or the name under which it is recorded as lost."""
        if submitted.existing_build_id is not None:
            return f"{submitted.source}/{submitted.scope}/{submitted.existing_build_id}"
        rows = {str(row["build"]): row for row in self.evidence.rows}
        row = rows.get(f"#request/{submitted.source}/{submitted.request_id}", {})
        return str(row.get("started", f"{submitted.source}/{submitted.scope}/request-{submitted.request_id}"))

    @cached_property
    def failed_builds(self) -> set[str]:
        """The builds whose execution failed: the alarm is on, and they wait for a redrive."""
        if not self.allowance.failed_executions:
            return set()
        return {execution_build(run) for run in self.evidence.executions if run.status != "SUCCEEDED"}

    @cached_property
    def excused(self) -> set[str]:
        """The builds of which nothing is promised yet."""
        return self.failed_builds | self.unfinished


def execution_build(run: ExecutionReport) -> str:
    """Return the build that an execution is about."""
    return _name(json.loads(run.input)["build"]["ref"])


def check(evidence: Evidence, allowance: Allowance | None = None) -> list[Violation]:
    """Return every broken promise."""
    index = EvidenceIndex(evidence, allowance or Allowance())
    return sorted(Violation(name, detail) for name, promise in PROMISES.items() for detail in promise(index))


def count_unfinished(evidence: Evidence, ended: frozenset[str]) -> int:
    """Count the builds without an outcome when a run was stopped early, and the requests that led to none yet."""
    index = EvidenceIndex(evidence, Allowance(ended=ended))
    # A build that was started and is not in the ledger yet is counted as its request.
    unknown = {
        name
        for name, build in index.existing.items()
        if build.build_id not in evidence.scheduled and name not in index.build_rows
    }
    builds = index.unfinished - unknown
    return len(builds) + sum(index.build_of(request) not in builds for request in index.open_requests)


def repeated_notices(evidence: Evidence) -> int:
    """Count the notices that repeat an earlier one."""
    ids = Counter(json.loads(notice.message)["id"] for notice in evidence.notices)
    return sum(count - 1 for count in ids.values())


def _every_ended_build_has_one_record(index: EvidenceIndex) -> Iterator[str]:
    unknown = Counter[str]()
    for name in index.ended:
        keys = index.record_keys.get(name, [])
        if len(keys) > 1:
            yield f"{name} has {len(keys)} records"
        if not keys and name not in index.excused:
            unknown[name.rpartition("/")[0]] += 1
    lost = Counter(
        name.rpartition("/")[0]
        for name, keys in index.record_keys.items()
        for key in keys
        if index.records[key].get("outcome") == "lost" and "/request-" in name
    )
    # A build whose POST got no response, at a provider without a list, is recorded as a lost request.
    for scope, count in unknown.items():
        if count > lost[scope]:
            yield f"{count - lost[scope]} ended builds of {scope} have no record"


def _records_say_what_is_true(index: EvidenceIndex) -> Iterator[str]:
    for key, record in index.records.items():
        name, outcome = _name(record.get("build", {})), str(record.get("outcome"))
        build = index.existing.get(name)
        if build is None:
            if "/request-" not in name and outcome != "lost":
                yield f"{key} is about a build that does not exist"
            continue
        usual = _USUAL.get(build.status) if build.completed is not None else None
        allowed = index.allowance.outcomes | index.allowance.outcomes_of.get(name, frozenset())
        if outcome != usual and outcome not in allowed:
            yield f"{name} is recorded as {outcome} and is {build.status}"


def _written_once(index: EvidenceIndex) -> Iterator[str]:
    contents = defaultdict(set)
    versions = Counter[str]()
    for version in index.evidence.objects:
        contents[version.key].add(version.sha256)
        versions[version.key] += 1
    for key, digests in contents.items():
        if key.startswith("artifacts/") and versions[key] > 1:
            yield f"{key} was written {versions[key]} times"
        # A retried build replaces its record, and a notice that is published again is noted in it.
        record = index.records.get(key, {})
        resent = sum(act["action"] == "resend" for act in record.get("acts", []))
        if key.startswith("records/") and len(digests) > _attempts(record) + resent:
            yield f"{key} was written with {len(digests)} contents"


def _artifacts_are_true(index: EvidenceIndex) -> Iterator[str]:
    stored = {version.key: version for version in index.evidence.objects if version.is_latest}
    wanted = set()
    for key, record in index.records.items():
        artifact = record.get("artifact")
        if (artifact is not None) != (record.get("outcome") == "delivered"):
            yield f"{key} is {record.get('outcome')} {'with' if artifact else 'without'} an artifact"
        if artifact is None:
            continue
        wanted.add(artifact["key"])
        found = stored.get(artifact["key"])
        report = index.evidence.expected_artifacts.get(record["build"]["build_id"])
        if found is None:
            yield f"{artifact['key']} is recorded and does not exist"
        elif report is None or found.sha256 != report.sha256:
            yield f"{artifact['key']} is not the provider's report"
        elif (artifact["sha256"], artifact["size_bytes"]) != (report.sha256, report.size_bytes):
            yield f"{key} has a wrong digest or size"
    excused = {name.rpartition("/")[2] for name in index.excused}
    for key in stored:
        if key.startswith("artifacts/") and key not in wanted and key.split("/")[-2] not in excused:
            yield f"{key} has no record"


def _executions_end(index: EvidenceIndex) -> Iterator[str]:
    for run in index.evidence.executions:
        if run.status == "RUNNING" and execution_build(run) in index.unfinished:
            continue
        if run.status == "RUNNING" or (run.status != "SUCCEEDED" and not index.allowance.failed_executions):
            yield f"{run.name} is {run.status} ({run.error}: {(run.cause or '')[:200]}), last in {run.states[-1:]}"


def _nothing_loops(index: EvidenceIndex) -> Iterator[str]:
    redriven = {
        json.loads(history)[0]["name"]: history.count('"ExecutionRedriven"') for history in index.evidence.histories
    }
    for run in index.evidence.executions:
        if len(run.states) > _MOST_STATES + redriven.get(run.name, 0) or run.history_events > _MOST_HISTORY_EVENTS:
            yield f"{run.name} entered {len(run.states)} states in {run.history_events} events"
    requests = Counter(
        (entry.target.scope, entry.target.build_id)
        for entry in index.evidence.requests
        if entry.kind in {RequestKind.GET_BUILD, RequestKind.GET_JOB, RequestKind.ARTIFACT}
    )
    for (scope, build_id), count in requests.items():
        if count > _MOST_REQUESTS_PER_BUILD:
            yield f"{scope}/{build_id} was requested {count} times"


def _outcomes_are_announced(index: EvidenceIndex) -> Iterator[str]:
    ids = defaultdict(set)
    times = Counter[tuple[str, str]]()
    for notice in index.notices:
        if "outcome" in notice.data:
            ids[notice.subject, str(notice.data["outcome"])].add(notice.event_id)
            times[notice.subject, str(notice.data["outcome"])] += 1
            if notice.data["record"]["key"] not in index.records:
                yield f"{notice.subject} has a notice and no record"
    for name, keys in index.record_keys.items():
        outcome = str(index.records[keys[0]].get("outcome"))
        if times[name, outcome] == 0 and name not in index.excused:
            yield f"{name} is {outcome} and no notice was sent"
    announced = Counter[str]()
    for (name, outcome), found in ids.items():
        announced[name] += len(found)
        if len(found) > _attempts_at(index, name):
            yield f"{name} has notices of {outcome} with {len(found)} ids"
    for name, count in announced.items():
        if count > _attempts_at(index, name):
            yield f"{name} has {count} notices for {_attempts_at(index, name)} attempts"


def _attempts(record: Mapping[str, Any]) -> int:
    """Return how often an operator had a build attempted, as its record says."""
    return int(record.get("attempt", 1))


def _attempts_at(index: EvidenceIndex, name: str) -> int:
    return max((_attempts(index.records[key]) for key in index.record_keys.get(name, [])), default=1)


def _notices_are_not_repeated(index: EvidenceIndex) -> Iterator[str]:
    repeated = repeated_notices(index.evidence)
    if repeated > index.allowance.repeated_notices:
        yield f"{repeated} notices were repeated, {index.allowance.repeated_notices} are allowed"


def _nothing_is_started_twice(index: EvidenceIndex) -> Iterator[str]:
    submitted = Counter((a.source, a.scope) for a in index.evidence.submitted if a.existing_build_id is None)
    started = Counter[tuple[str, str]]()
    for build in index.evidence.provider_builds:
        source = index.evidence.sources.get((build.provider, build.scope))
        if source is not None and build.build_id not in index.evidence.scheduled:
            started[source, build.scope] += 1
    for place, count in started.items():
        if count > submitted[place]:
            yield f"{'/'.join(place)}: {count} builds were started for {submitted[place]} requests"


def _requests_lead_somewhere(index: EvidenceIndex) -> Iterator[str]:
    if index.allowance.ended is None:
        for submitted in index.open_requests:
            yield f"{submitted.request_id} of {submitted.source} led neither to a record nor to a dead letter"


def _no_upload_is_left_open(index: EvidenceIndex) -> Iterator[str]:
    unfinished = {name.rpartition("/")[2] for name in index.unfinished}
    for key in index.evidence.open_uploads:
        if not unfinished & set(key.split("/")):
            yield key


def _nothing_lies_elsewhere(index: EvidenceIndex) -> Iterator[str]:
    for key in sorted({version.key for version in index.evidence.objects}):
        if not _DOCUMENTED.fullmatch(key):
            yield key


def _the_ledger_is_closed(index: EvidenceIndex) -> Iterator[str]:
    for name, row in index.build_rows.items():
        if name in index.excused:
            continue
        if left := [attribute for attribute in _IN_FLIGHT if attribute in row]:
            yield f"{name} still has {', '.join(left)}"
        if "outcome" not in row:
            yield f"{name} has no outcome"
        elif row.get("record_key") not in index.records:
            yield f"{name} points to no record"
        elif index.records[str(row["record_key"])].get("outcome") != row["outcome"]:
            yield f"{name} is {row['outcome']} in the ledger only"


def _latest_is_the_newest_good_build(index: EvidenceIndex) -> Iterator[str]:
    newest: dict[str, tuple[str, str]] = {}
    for key, record in index.records.items():
        if record.get("outcome") in _GOOD:
            times = record["timeline"]
            scope = _name(record["build"]).rpartition("/")[0]
            newest[scope] = max(newest.get(scope, ("", "")), (times["completed_at"] or times["detected_at"], key))
    found = {
        _name(record["build"]).rpartition("/")[0]: record
        for version in index.evidence.objects
        if version.is_latest and version.key.startswith("latest/") and (record := _parsed(version))
    }
    unfinished = {name.rpartition("/")[0] for name in index.unfinished}
    for scope in sorted((newest.keys() | found.keys()) - unfinished):
        if scope not in newest or scope not in found:
            yield f"{scope} has {'a false' if scope in found else 'no'} latest record"
            continue
        times = found[scope]["timeline"]
        if (times["completed_at"] or times["detected_at"]) != newest[scope][0]:
            yield f"the latest record of {scope} is not the newest"


def _nothing_leaks(index: EvidenceIndex) -> Iterator[str]:
    evidence = index.evidence
    places = {
        "objects": [version.text for version in evidence.objects if version.text is not None],
        "keys": [version.key for version in evidence.objects],
        "notices": [notice.subject or "" for notice in evidence.notices] + [n.message for n in evidence.notices],
        "ledger": [json.dumps(row, default=str) for row in evidence.rows],
        "histories": evidence.histories,
        "logs": evidence.logs,
        "dead letters": evidence.dead_letters,
    }
    yield from find_leaks(places, evidence.secrets)


PROMISES: Mapping[str, Callable[[EvidenceIndex], Iterator[str]]] = {
    "one record": _every_ended_build_has_one_record,
    "true record": _records_say_what_is_true,
    "written once": _written_once,
    "true artifact": _artifacts_are_true,
    "executions end": _executions_end,
    "no loops": _nothing_loops,
    "announced": _outcomes_are_announced,
    "not repeated": _notices_are_not_repeated,
    "started once": _nothing_is_started_twice,
    "never silent": _requests_lead_somewhere,
    "no open upload": _no_upload_is_left_open,
    "nothing elsewhere": _nothing_lies_elsewhere,
    "closed ledger": _the_ledger_is_closed,
    "true latest": _latest_is_the_newest_good_build,
    "no leak": _nothing_leaks,
}


def _parsed(version: StoredVersion) -> dict[str, Any]:
    try:
        document = json.loads(version.text or "")
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _name(ref: Mapping[str, Any]) -> str:
    return f"{ref.get('source')}/{ref.get('scope')}/{ref.get('build_id')}"


def _is_about(dead_letter: str, submitted: SubmittedRequest) -> bool:
    payload = json.loads(dead_letter).get("requestPayload") or {}
    return isinstance(payload, dict) and payload.get("id") == submitted.request_id
