"""What ``courier run`` does, read from the command line and its files and checked before anything starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cli.input_files import check_secret, read_faults, read_request, read_secrets, read_sources, read_watch
from courier.config.environment import DEFAULT_SECRET_PREFIX
from courier.config.settings import SourceSettings
from courier.errors import SettingsError
from courier.models import BuildRequest
from courier.providers import open_provider, provider_class
from local.chaos.chaos_run import FaultProfile
from local.runs.demo import demo_requests, demo_secrets, demo_sources
from local.runs.vendor_demo import introduce, vendor_demo, vendor_named
from local.simulator import FaultPlan, HeldClock, Scenario, SimulatedProviders, SimulatedVendor, demo_scenario

DEMO_SEED = 7


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """The simulated providers of a run and their scenario."""

    providers: SimulatedProviders
    scenario: Scenario


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run does.

    ``places``
        Where each request comes from, as shown to the user.
    ``mistakes``
        What was skipped, one line each.
    ``simulation``
        The simulated providers, of which chaos runs know the truth.
    ``introduction``
        What the run shows, one line each.
    """

    sources: Sequence[SourceSettings]
    secrets: Mapping[str, str]
    requests: Sequence[BuildRequest]
    places: Sequence[str]
    mistakes: Sequence[str] = ()
    simulation: Simulation | None = None
    introduction: Sequence[str] = ()

    @property
    def is_simulated(self) -> bool:
        """Whether no provider is real, so that nothing can be continued."""
        return self.simulation is not None or bool(self.introduction)

    @property
    def unasked(self) -> list[SourceSettings]:
        """The sources that will never be called: they cannot list builds, and no request names them."""
        requested = {request.source for request in self.requests}
        return [
            source
            for source in self.sources
            if not provider_class({"provider": source.provider}).lists(source)
            and source.name not in requested
            and not source.build_requests()
        ]


def read_fault_profile(faults: Path | None, seed: int | None) -> FaultProfile | None:
    """Read the options ``--faults`` and ``--chaos``; return None without either.

    Raises
    ------
    SettingsError
        Both are given, or the file is wrong.
    """
    if faults is not None and seed is not None:
        raise SettingsError("pass --faults or --chaos, not both")
    if faults is not None:
        return FaultProfile(rules=read_faults(faults))
    return None if seed is None else FaultProfile(seed=seed)


@contextmanager
def make_plan(
    sources: Path | None,
    secrets: Path | None,
    requests: Sequence[Path],
    watches: Sequence[str],
    *,
    provider: str | None = None,
    secret_prefix: str = DEFAULT_SECRET_PREFIX,
    faults: FaultPlan | None = None,
) -> Iterator[Plan]:
    """Read the files, or start the simulated providers if there are none, with their faults.

    ``provider`` is the name of a definition whose vendor is simulated, in place of the usual providers.

    Raises
    ------
    SettingsError
        A mistake concerns more than one source.
    """
    if provider is not None and (sources is not None or faults is not None):
        raise SettingsError("--provider simulates one vendor: omit --sources, --faults and --chaos")
    if sources is not None:
        if faults is not None:
            raise SettingsError("--faults and --chaos work with the simulated providers only: omit --sources")
        yield _read_plan(sources, secrets, requests, watches, secret_prefix)
        return
    if secrets or requests or watches or secret_prefix != DEFAULT_SECRET_PREFIX:
        raise SettingsError("--secrets, --secret-prefix, --request and --watch need --sources")
    if provider is not None:
        with SimulatedVendor(vendor_named(provider)) as vendor:
            settings, builds = vendor_demo(vendor)
            yield Plan(
                sources=(settings,),
                secrets={settings.secret: vendor.secret},
                requests=builds,
                places=[f"request for {settings.name}" for _ in builds],
                introduction=introduce(vendor.scenario),
            )
        return
    scenario = demo_scenario()
    with SimulatedProviders(scenario, seed=DEMO_SEED, clock=HeldClock(), faults=faults) as providers:
        builds = demo_requests(scenario)
        yield Plan(
            sources=demo_sources(scenario, providers.url),
            secrets=demo_secrets(scenario),
            requests=builds,
            places=[f"request for {request.source}" for request in builds],
            simulation=Simulation(providers=providers, scenario=scenario),
        )


def _read_plan(
    sources: Path, secrets: Path | None, requests: Sequence[Path], watches: Sequence[str], secret_prefix: str
) -> Plan:
    """Read all files; what concerns a wrong source is skipped, any other mistake ends the run."""
    configuration = read_sources(sources, secret_prefix=secret_prefix)
    values = read_secrets(secrets) if secrets else None
    mistakes = list(configuration.mistakes)
    usable: dict[str, SourceSettings] = {}
    used: dict[str, str] = {}
    for settings in configuration.sources:
        try:
            used[settings.secret] = check_secret(settings, values, secrets)
        except SettingsError as exc:
            mistakes.append(str(exc))
        else:
            usable[settings.name] = settings
    if configuration.sources and not usable:
        # At once: a run without a source would only wait.
        raise SettingsError("; ".join(mistakes))
    broken = configuration.names - set(usable)
    accepted: list[BuildRequest] = []
    places: list[str] = []
    for place, name, request in [
        *((str(path), f"request {path}", read_request(path)) for path in requests),
        *((f"--watch {text}", f"--watch {text}", read_watch(text)) for text in watches),
    ]:
        if request.source in broken:
            mistakes.append(f"{place}: skipped, because source {request.source} cannot be used")
            continue
        _check_request(request, usable, place)
        accepted.append(request)
        places.append(name)
    return Plan(sources=tuple(usable.values()), secrets=used, requests=accepted, places=places, mistakes=mistakes)


def _check_request(request: BuildRequest, usable: Mapping[str, SourceSettings], place: str) -> None:
    """Check that a source can serve a request, without sending anything.

    Raises
    ------
    SettingsError
        The source cannot; the message begins with the place.
    """
    if request.source not in usable:
        known = ", ".join(sorted(usable)) or "none"
        raise SettingsError(f"{place}: there is no source {request.source}, only {known}")
    try:
        open_provider(usable[request.source]).request_scope(request)
    except SettingsError as exc:
        raise SettingsError(f"{place}: {exc}") from exc
