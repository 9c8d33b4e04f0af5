"""What the checker needs to know about simulated providers: keys, links, builds, and the sources of scopes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from unittest.mock import patch

from courier.config.settings import SourceSettings
from local.simulator import ProviderName, Scenario
from local.simulator.artifact_store import ArtifactStore

# What makes a presigned link usable, by the name of the query parameter.
_SECRET_PARAMETERS = frozenset({"X-Amz-Signature", "X-Amz-Security-Token", "X-Amz-Credential"})


@contextmanager
def signed_links_observed(note: Callable[[str], object]) -> Iterator[None]:
    """Call ``note`` with every link that the simulated store signs."""
    presigned_url = ArtifactStore.presigned_url

    def sign(
        store: ArtifactStore,
        key: str,
        *,
        at: datetime,
        lifetime_seconds: int,
        token_expires_at: datetime | None,
        serial: int | None,
    ) -> str:
        link = presigned_url(
            *(store, key), at=at, lifetime_seconds=lifetime_seconds, token_expires_at=token_expires_at, serial=serial
        )
        note(link)
        return link

    with patch.object(ArtifactStore, "presigned_url", sign):
        yield


@contextmanager
def signatures_collected() -> Iterator[list[str]]:
    """Collect the secret values of every link that the simulated store signs."""
    secrets: list[str] = []

    def remember(link: str) -> None:
        pairs = dict(pair.partition("=")[::2] for pair in link.partition("?")[2].split("&"))
        secrets.extend(value for name, value in pairs.items() if name in _SECRET_PARAMETERS)

    with signed_links_observed(remember):
        yield secrets


def scheduled_ids(scenario: Scenario) -> Iterator[str]:
    """Yield the ids of builds that start without a request to the courier, as far as they are known beforehand."""
    for model in scenario.treasure.models:
        yield from (build.build_id for build in model.builds if build.build_id is not None)
    for project in scenario.airt.projects:
        yield from (job.job_id for job in project.jobs)


def scopes_of(scenario: Scenario, sources: Sequence[SourceSettings]) -> dict[tuple[ProviderName, str], str]:
    """Return the name of the source of each scope."""
    scopes: dict[tuple[ProviderName, str], str] = {}
    for source in sources:
        described = source.model_dump()
        if source.provider == "treasure_insights":
            names = described["data_models"]
            scopes |= {
                (ProviderName.TREASURE_INSIGHTS, model.oid): source.name
                for model in scenario.treasure.models
                if names == "all" or model.oid in names
            }
        else:
            scope = "/".join(str(described[part]) for part in ("organization", "workspace", "project"))
            scopes[ProviderName.DREADNODE_AIRT, scope] = source.name
    return scopes


def api_keys(scenario: Scenario) -> tuple[str, ...]:
    """Return the API keys, whole and without their public prefixes (account number, ``dn_key_``)."""
    treasure, airt = scenario.treasure.key, scenario.airt.key
    return (treasure, treasure.partition("/")[2], airt, airt.removeprefix("dn_key_"))
