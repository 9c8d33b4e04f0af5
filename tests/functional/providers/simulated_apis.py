"""Simulated APIs, with clients that hold the right keys and never really sleep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from courier.config.secrets import ApiKey, Secret
from courier.models import BuildRequest
from courier.observability.provider_events import ProviderCallbacks, RequestAttempt, UnexpectedValue
from courier.providers import open_provider, parse_source
from courier.providers.api_call import Credentials
from courier.providers.base import Provider
from courier.providers.dreadnode_airt import DreadnodeAirt, DreadnodeAirtSettings
from courier.providers.http_client import BACKOFF, ApiClient
from courier.providers.treasure_insights import TreasureInsights, TreasureInsightsSettings
from local.simulator import Fault, FaultRule, ManualClock, RequestKind, Scenario, SimulatedProviders

MODEL = "5d1d4f1c-1111-4222-8333-444444444444"
OTHER_MODEL = "5d1d4f1c-2222-4222-8333-444444444444"
EMPTY_TEMPLATE = "2489e9ad-2ee2-4e00-8ec9-32d5f69181cc"
PRESET: dict[str, object] = {"preset": {"format": "pdf", "sections": ["risk_score_metrics"]}}

NO_WAITING = replace(BACKOFF, sleep=lambda _: None)

# The same two APIs, by their definitions.
TREASURE_DEFINITION, DREADNODE_DEFINITION = "treasure-insights@1", "dreadnode-airt@1"
PROJECT_SCOPE = "acme/main/chatbot"

BUILD_REQUEST = BuildRequest(source="insights", data_model=MODEL)
REPORT_REQUEST = BuildRequest.model_validate({"source": "red-team", "report": PRESET})


@dataclass
class SimulatedApis:
    providers: SimulatedProviders
    clock: ManualClock
    scenario: Scenario
    attempts: list[RequestAttempt] = field(default_factory=list)
    unexpected: list[UnexpectedValue] = field(default_factory=list)

    def insights(self, *, key: str | None = None, ca_bundle: str | None = None, **more: object) -> TreasureInsights:
        document = self._document("insights", "treasure_insights", ca_bundle, more)
        settings = parse_source(document)
        assert isinstance(settings, TreasureInsightsSettings)
        current = [ApiKey(key or self.scenario.treasure.key)]
        return TreasureInsights(
            settings,
            ApiClient(
                TreasureInsights.base_url(settings),
                lambda _: Credentials(headers=TreasureInsights.authorization(settings, current[0])),
                source="insights",
                ca_bundle=ca_bundle,
                on_request=self.attempts.append,
                backoff=NO_WAITING,
                now=self.clock,
            ),
            ProviderCallbacks(on_unexpected_value=self.unexpected.append),
        )

    def red_team(self, *, key: str | None = None, **more: object) -> DreadnodeAirt:
        place = {"organization": "acme", "workspace": "main", "project": "chatbot"}
        settings = parse_source(self._document("red-team", "dreadnode_airt", None, {**place, **more}))
        assert isinstance(settings, DreadnodeAirtSettings)
        return DreadnodeAirt(
            settings,
            ApiClient(
                DreadnodeAirt.base_url(settings),
                lambda _: Credentials(
                    headers=DreadnodeAirt.authorization(settings, ApiKey(key or self.scenario.airt.key))
                ),
                source="red-team",
                on_request=self.attempts.append,
                backoff=NO_WAITING,
                now=self.clock,
            ),
            ProviderCallbacks(on_unexpected_value=self.unexpected.append),
        )

    def described(self, name: str, api: str, path: str = "", **more: object) -> Provider:
        """Return a client of ``http_json`` for one of the two APIs, whose definition comes with the courier."""
        document = {**self._document(name, "http_json", None, more), "api": api}
        settings = parse_source({**document, "endpoint": f"{self.providers.url}{path}"})
        key = self.scenario.treasure.key if "treasure" in api else self.scenario.airt.key
        secret = Secret(settings.secret, key)
        callbacks = ProviderCallbacks(on_request=self.attempts.append, on_unexpected_value=self.unexpected.append)
        provider = open_provider(
            settings, read_secret=lambda _name, _fresh: secret, callbacks=callbacks, clock=self.clock
        )
        provider.api._backoff = NO_WAITING
        return provider

    def break_with(self, fault: Fault, kind: RequestKind, *, times: int | None = 1) -> None:
        self.providers.faults.add(FaultRule(fault, kind, times=times))

    def request_count(self, kind: RequestKind) -> int:
        return self.providers.requests.counts()[kind]

    def _document(
        self, name: str, provider: str, ca_bundle: str | None, more: Mapping[str, object]
    ) -> dict[str, object]:
        return {
            "name": name,
            "provider": provider,
            "endpoint": self.providers.url,
            "insecure": True,
            "secret": f"build-courier/{name}",
            "ca_bundle": ca_bundle,
            **more,
        }
