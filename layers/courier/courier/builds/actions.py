"""What an operator can do to one build: end the wait, try again, publish the notice again.

Each act is stored in the row before it has an effect. A crash in between leaves what a crash of the courier itself
leaves, and the poller continues from there; sending the same event again completes the act.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from courier.builds.evaluation import decide
from courier.errors import BuildNotFoundError, SettingsError
from courier.models import NextStep, Outcome
from courier.observability.logger import logger
from courier.outcomes.notices import Publication, build_notice
from courier.outcomes.records import attempt_of

if TYPE_CHECKING:
    from courier.builds.evaluation import StatusEvaluator
    from courier.builds.executions import Executions
    from courier.builds.intake import Intake
    from courier.clock import Clock
    from courier.ledger import ActLedger, BuildLedger, BuildRow
    from courier.models import Act, BuildRef
    from courier.outcomes.records import Record, RecordStore
    from courier.providers.base import Provider

# A build that its provider reports as failed would fail again, and one without a report has none to deliver.
RETRIED = frozenset({Outcome.UNDELIVERABLE, Outcome.TIMED_OUT, Outcome.LOST, Outcome.CANCELED})
# A record keeps so many earlier attempts: enough to see what was tried, and the payload stays small.
MOST_ATTEMPTS = 10


class BuildActions:
    """The acts of an operator on builds. Each returns what it did, for the operator.

    Every act raises `SettingsError` where it cannot be done, with the reason. With ``dry_run``, it makes all checks,
    changes nothing, and returns what it would do.
    """

    def __init__(
        self,
        *,
        builds: BuildLedger,
        acts: ActLedger,
        executions: Executions,
        intake: Intake,
        evaluator: StatusEvaluator,
        records: RecordStore,
        bucket: str,
        publish: Callable[[Publication], None],
        clock: Clock,
    ) -> None:
        self._builds = builds
        self._acts = acts
        self._executions = executions
        self._intake = intake
        self._evaluator = evaluator
        self._records = records
        self._bucket = bucket
        self._publish = publish
        self._clock = clock

    def stop(
        self, ref: BuildRef, act: Act, *, open_provider: Callable[[], Provider] | None, dry_run: bool = False
    ) -> str:
        """End the wait for a build, with the outcome ``canceled``; with a provider, ask that to cancel the build."""
        row = self._find(ref)
        if row.outcome is not None:
            if _has(row, act):
                return "the wait has ended"
            raise SettingsError(f"it has ended already: {row.outcome}")
        if row.next_poll_at is None:
            raise SettingsError("its report is being copied or recorded, so it ends by itself in a moment")
        # Opened first, which sends nothing: without an API key, nothing is done by halves.
        provider = None if open_provider is None else open_provider()
        cannot = provider is not None and not provider.can_cancel
        left = "; the provider cannot cancel builds, so the build itself runs on" if cannot else ""
        if dry_run:
            return f"the wait would end{left}"
        stopped = self._acts.request_stop(ref, act, cancels=provider is not None)
        if stopped is None:
            raise SettingsError("it is ending just now")
        if not stopped.stop_requested:
            # The same event once more, after an operator has retried the build.
            return "the attempt that it stopped has ended; the present one goes on"
        released = self._evaluator.stop(provider, stopped)
        return f"the wait {'has ended' if released else 'ends at the next tick'}{left}"

    def retry(self, ref: BuildRef, act: Act, provider: Provider, *, dry_run: bool = False) -> str:
        """Begin another attempt at a build that was not delivered: wait on, or copy its report after all."""
        row = self._find(ref)
        if _has(row, act):
            self._executions.start_missing(row)
            return f"attempt {row.attempt} has begun"
        if row.outcome is None:
            raise SettingsError("it has not ended")
        if row.outcome not in RETRIED:
            raise SettingsError(
                f"it ended as {row.outcome}; only {', '.join(sorted(RETRIED))} can be retried: request a new build"
            )
        record = self._record(row)
        try:
            build = provider.get_build(ref)
        except BuildNotFoundError as exc:
            raise SettingsError(f"the provider does not know it, so request a new build: {exc}") from exc
        decision = decide(build, provider)
        if decision.outcome is row.outcome:
            raise SettingsError(f"the provider still says {row.outcome}; request a new build")
        passage = self._intake.passage(
            provider,
            build,
            decision,
            earlier_attempts=[*record.earlier_attempts, attempt_of(record)][-MOST_ATTEMPTS:],
            first_seen_at=record.timeline.first_seen_at,
        )
        deadline_at = self._clock() + timedelta(seconds=passage.wait_seconds)
        next_poll_at = self._intake.first_poll_at(provider, build)
        step = {
            NextStep.FETCH: "its report is copied",
            NextStep.WAIT: f"it is {build.status}, and polled until {deadline_at:%Y-%m-%d %H:%M} UTC",
            NextStep.RECORD: f"its outcome is {decision.outcome}",
        }[decision.next_step]
        if dry_run:
            return f"attempt {passage.attempt} would begin: {step}"
        if not self._acts.reopen(passage, act, deadline_at=deadline_at, next_poll_at=next_poll_at):
            raise SettingsError("another attempt has begun just now")
        self._executions.start(passage)
        logger.info("build retried", attempt=passage.attempt, status=build.status)
        return f"attempt {passage.attempt} has begun: {step}"

    def resend(self, ref: BuildRef, act: Act, *, dry_run: bool = False) -> str:
        """Publish the notice of an ended build again, with the same event id."""
        row = self._find(ref)
        if row.outcome is None or row.record_key is None:
            raise SettingsError("it has not ended, so there is no notice yet")
        if dry_run:
            return f"the notice would be published again: {row.outcome}"
        # Before the record: another attempt writes the acts of the row into it.
        self._acts.add(ref, act)
        record = self._records.add_act(row.record_key, act)
        self._publish(build_notice(record, bucket=self._bucket, key=row.record_key))
        return f"the notice was published again: {record.outcome}"

    def _find(self, ref: BuildRef) -> BuildRow:
        row = self._builds.find(ref)
        if row is None:
            raise SettingsError(f"the ledger does not know it; to wait for it: courier adopt {ref}")
        return row

    def _record(self, row: BuildRow) -> Record:
        record = None if row.record_key is None else self._records.read(row.record_key)
        if record is None or record.outcome is not row.outcome or record.attempt != row.attempt:
            raise SettingsError("its outcome is being recorded just now; try again in a minute")
        return record


def _has(row: BuildRow, act: Act) -> bool:
    return any(known.id == act.id for known in row.acts)
