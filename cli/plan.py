"""What a run does, read from the command line and its files, and checked before anything starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cli.configuration import check_secret, read_request, read_secrets, read_sources, read_watch
from courier.config.settings import SourceSettings
from courier.errors import SettingsError
from courier.models import BuildRequest
from courier.providers import open_provider, provider_class
from local.runs.demo import demo_requests, demo_secrets, demo_sources
from local.simulator import FaultPlan, Scenario, SimulatedProviders, demo_scenario

DEMO_SEED = 7


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """The simulated providers of a run, and what they know."""

    providers: SimulatedProviders
    scenario: Scenario


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run does.

    ``places``
        Where each of the requests was given, as a person would name it.
    ``mistakes``
        What was left out, one line each.
    """

    sources: Sequence[SourceSettings]
    secrets: Mapping[str, str]
    requests: Sequence[BuildRequest]
    places: Sequence[str]
    mistakes: Sequence[str] = ()
    simulation: Simulation | None = None

    @property
    def unasked(self) -> list[SourceSettings]:
        """The sources that will never be contacted: they cannot list, and nothing was asked of them."""
        asked = {request.source for request in self.requests}
        return [
            source
            for source in self.sources
            if not provider_class({"provider": source.provider}).can_list
            and source.name not in asked
            and not source.build_requests()
        ]


@contextmanager
def make_plan(
    sources: Path | None,
    secrets: Path | None,
    requests: Sequence[Path],
    watches: Sequence[str],
    *,
    faults: FaultPlan | None = None,
) -> Iterator[Plan]:
    """Read the files, or bring up the simulated providers where there are none, with their faults.

    Raises
    ------
    SettingsError
        Something is wrong with more than one source alone.
    """
    if sources is not None:
        if faults is not None:
            raise SettingsError("--faults and --chaos are for the simulated providers: leave out --sources")
        yield _read_plan(sources, secrets, requests, watches)
        return
    if secrets or requests or watches:
        raise SettingsError("--secrets, --request and --watch need --sources")
    scenario = demo_scenario()
    with SimulatedProviders(scenario, seed=DEMO_SEED, faults=faults) as providers:
        wishes = demo_requests(scenario)
        yield Plan(
            sources=demo_sources(scenario, providers.url),
            secrets=demo_secrets(scenario),
            requests=wishes,
            places=[f"request for {wish.source}" for wish in wishes],
            simulation=Simulation(providers=providers, scenario=scenario),
        )


def _read_plan(sources: Path, secrets: Path | None, requests: Sequence[Path], watches: Sequence[str]) -> Plan:
    """Read everything; what concerns a source that is wrong is left out, any other mistake stops the run."""
    configuration = read_sources(sources)
    values = read_secrets(secrets) if secrets else None
    mistakes = list(configuration.mistakes)
    usable: dict[str, SourceSettings] = {}
    used: dict[str, str] = {}
    for settings in configuration.sources:
        try:
            used[settings.secret] = check_secret(settings, values)
        except SettingsError as exc:
            mistakes.append(str(exc))
        else:
            usable[settings.name] = settings
    broken = configuration.names - set(usable)
    wishes: list[BuildRequest] = []
    places: list[str] = []
    for place, name, wish in [
        *((str(path), f"request {path}", read_request(path)) for path in requests),
        *((f"--watch {text}", f"--watch {text}", read_watch(text)) for text in watches),
    ]:
        if wish.source in broken:
            mistakes.append(f"{place}: left out, since source {wish.source} cannot be used")
            continue
        _check_wish(wish, usable, place)
        wishes.append(wish)
        places.append(name)
    return Plan(sources=tuple(usable.values()), secrets=used, requests=wishes, places=places, mistakes=mistakes)


def _check_wish(wish: BuildRequest, usable: Mapping[str, SourceSettings], place: str) -> None:
    """See that a source can serve a request; nothing is sent.

    Raises
    ------
    SettingsError
        It cannot; the text begins with the place.
    """
    if wish.source not in usable:
        known = ", ".join(sorted(usable)) or "none"
        raise SettingsError(f"{place}: there is no source {wish.source}, only {known}")
    try:
        open_provider(usable[wish.source]).request_scope(wish)
    except SettingsError as exc:
        raise SettingsError(f"{place}: {exc}") from exc
