"""``copy_artifact``: which builds are copied, with which links, and the checkpoint in the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from courier.config.settings import ArtifactSettings
from courier.errors import LedgerError, SettingsError
from courier.ledger.table import Change
from courier.links import ArtifactLink, SecretUrl
from courier.models import BuildStatus, NextStep, Outcome, StoredArtifact
from courier.sources.catalog import Sources
from courier.transfer.checkpoint import Checkpoint
from courier.transfer.options import CopyOptions, Destination
from courier.usecases.copy_artifact import CopyRequest, LedgerCheckpointStore, copy_artifact
from tests.support.container import FakeContainer
from tests.support.providers import NOON, FakeProvider, build_of, passage_of, ref_of
from tests.support.record_requests import artifact

REF = ref_of(source="a")
ENDED = build_of(source="a", status=BuildStatus.SUCCEEDED, completed=NOON, has_artifact=True)
FIRST = Checkpoint(
    upload_id="first", part_size_bytes=8, size_bytes=80, etag='"a"', content_type="application/pdf", started_at=NOON
)
SECOND = FIRST.model_copy(update={"upload_id": "second"})


class FakeCopy:
    """A copy that requests a few links, and stores nothing."""

    def __init__(self, links: int = 1) -> None:
        self.links_wanted = links
        self.links: list[ArtifactLink] = []
        self.destination: Destination | None = None
        self.checkpoints: LedgerCheckpointStore | None = None
        self.options = CopyOptions()
        self.still_wanted: Callable[[], bool] = lambda: False

    def __call__(
        self,
        locate: Callable[[], ArtifactLink],
        destination: Destination,
        *,
        checkpoints: LedgerCheckpointStore,
        options: CopyOptions,
        still_wanted: Callable[[], bool],
        **_: Any,  # noqa: ANN401 - what this copy does not use
    ) -> StoredArtifact:
        self.links = [locate() for _ in range(self.links_wanted)]
        self.destination, self.checkpoints = destination, checkpoints
        self.options, self.still_wanted = options, still_wanted
        return artifact(key=destination.key)


@pytest.fixture
def fake_copy(monkeypatch: pytest.MonkeyPatch) -> FakeCopy:
    fake = FakeCopy()
    monkeypatch.setattr("courier.usecases.copy_artifact.copy", fake)
    return fake


@pytest.fixture
def provider(container: FakeContainer) -> FakeProvider:
    container.fakes["a"].put(ENDED)
    return container.fakes["a"]


@pytest.fixture
def store(container: FakeContainer) -> LedgerCheckpointStore:
    container.builds.register(passage_of(ENDED), next_poll_at=NOON)
    return LedgerCheckpointStore(container.builds, REF, "artifacts/key")


def run(container: FakeContainer, **fields: Any) -> StoredArtifact | None:  # noqa: ANN401 - fields of a passage
    passage = passage_of(**{"build": ENDED, "verdict": NextStep.FETCH, "detected_at": NOON, **fields})
    return copy_artifact(container, CopyRequest(passage=passage), seconds_left=lambda: 900)


@pytest.mark.parametrize("verdict", [NextStep.RECORD, NextStep.WAIT])
def test_a_build_without_a_report_returns_none_without_a_request(
    container: FakeContainer, provider: FakeProvider, fake_copy: FakeCopy, verdict: NextStep
) -> None:
    assert run(container, verdict=verdict) is None
    assert (provider.calls, fake_copy.destination) == ([], None)


def test_a_passage_that_has_not_ended_is_an_error(
    container: FakeContainer, provider: FakeProvider, fake_copy: FakeCopy
) -> None:
    running = ENDED.model_copy(update={"completed_at": None})
    with pytest.raises(SettingsError, match="a/sales/b1 has not ended"):
        run(container, build=running, detected_at=None)
    assert fake_copy.destination is None


@pytest.mark.parametrize(("completed", "day"), [(NOON, "2026/04/15"), (None, "2026/04/16")])
def test_the_key_has_the_day_on_which_the_build_ended_or_was_detected(
    container: FakeContainer, provider: FakeProvider, fake_copy: FakeCopy, completed: object, day: str
) -> None:
    build = ENDED.model_copy(update={"completed_at": completed})
    stored = run(container, build=build, detected_at=NOON.replace(day=16))
    assert fake_copy.destination == Destination(bucket="reports", key=f"artifacts/a/sales/{day}/b1/b1.pdf")
    assert stored is not None
    assert stored.key == fake_copy.destination.key


def test_the_first_link_is_used_before_fresh_ones_are_requested(
    container: FakeContainer, provider: FakeProvider, fake_copy: FakeCopy
) -> None:
    numbers: Iterator[int] = iter(range(1, 10))

    def locate(_: object) -> ArtifactLink:
        provider.calls.append("locate_artifact b1")
        url = SecretUrl(f"https://storage.example.com/{next(numbers)}.pdf?signature=secret")
        return ArtifactLink(url=url, size_bytes=None, expires_at=None, filename="b1.pdf")

    provider.locate_artifact = locate  # type: ignore[method-assign,assignment]  # each link is another one
    fake_copy.links_wanted = 3
    run(container)
    assert [link.url.reveal().partition("?")[0][-5:] for link in fake_copy.links] == ["1.pdf", "2.pdf", "3.pdf"]
    assert provider.counts["locate_artifact"] == 3


def test_a_copy_without_a_fresh_link_costs_one_request(
    container: FakeContainer, provider: FakeProvider, fake_copy: FakeCopy
) -> None:
    run(container)
    assert provider.calls == ["locate_artifact b1"]


def test_the_checkpoint_store_belongs_to_the_build_and_its_key(
    container: FakeContainer, provider: FakeProvider, fake_copy: FakeCopy, store: LedgerCheckpointStore
) -> None:
    run(container)
    assert fake_copy.checkpoints is not None
    fake_copy.checkpoints.save(FIRST)
    assert store.load() == FIRST
    assert container.builds.find(REF) is not None


@pytest.mark.parametrize("outcome", [None, *Outcome])
def test_a_report_is_not_published_once_it_is_recorded_as_undeliverable(
    container: FakeContainer,
    provider: FakeProvider,
    fake_copy: FakeCopy,
    store: LedgerCheckpointStore,
    outcome: Outcome | None,
) -> None:
    """An invocation may run on after its execution has given it up."""
    run(container)
    assert fake_copy.still_wanted()
    if outcome is not None:
        container.builds.close(REF, outcome, record_key="records/b1", build={"status": BuildStatus.SUCCEEDED})
    assert fake_copy.still_wanted() is (outcome is not Outcome.UNDELIVERABLE)


def test_a_build_without_a_row_may_be_published(
    container: FakeContainer, provider: FakeProvider, fake_copy: FakeCopy
) -> None:
    run(container)
    assert fake_copy.still_wanted()


@pytest.mark.parametrize("ranges", [True, False])
def test_ranges_are_a_setting_of_the_source(
    container: FakeContainer, provider: FakeProvider, fake_copy: FakeCopy, ranges: bool
) -> None:
    known = container.sources.load().get("a")
    changed = known.model_copy(update={"artifact": ArtifactSettings(ranges=ranges)})
    container.sources.sources = Sources({"a": changed})
    run(container)
    assert fake_copy.options.ranges is ranges


def test_the_second_copier_gets_the_checkpoint_of_the_first(store: LedgerCheckpointStore) -> None:
    assert store.load() is None
    assert store.save(FIRST) == FIRST
    assert store.save(SECOND) == FIRST
    assert store.load() == FIRST


def test_a_checkpoint_cleared_between_two_saves_leaves_the_second(
    store: LedgerCheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.save(FIRST)
    monkeypatch.setattr(store, "load", lambda: None)
    assert store.save(SECOND) == SECOND


def test_a_checkpoint_is_advanced_and_cleared_for_its_own_upload_only(store: LedgerCheckpointStore) -> None:
    store.save(FIRST)
    store.advance(SECOND)
    store.clear("second")
    assert store.load() == FIRST
    newer = FIRST.model_copy(update={"done_bytes": 16})
    store.advance(newer)
    assert store.load() == newer
    store.clear("first")
    assert store.load() is None


def test_an_unreadable_checkpoint_is_an_error(container: FakeContainer, store: LedgerCheckpointStore) -> None:
    store.save(FIRST)
    container.table.update(str(REF), Change(set={"checkpoint": "{"}))
    with pytest.raises(LedgerError, match="a/sales/b1"):
        store.load()
