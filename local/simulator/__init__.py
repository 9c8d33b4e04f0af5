"""The two providers of the first release, simulated by one real HTTP server on loopback.

Tests, the local runner and the end-to-end checks all use this double; it behaves as docs/source-apis.md says, and can
inject faults::

    from local.simulator import FaultPlan, FaultRule, LinkExpired, RequestKind, SimulatedProviders, demo_scenario

    faults = FaultPlan(FaultRule(LinkExpired(), RequestKind.ARTIFACT, ranged=True, nth=3))
    with SimulatedProviders(demo_scenario(), seed=7, faults=faults) as providers:
        ...  # configure a source with providers.url, and providers.artifact_host as an artifact host
        for build in providers.builds:
            print(build.provider, build.scope, build.build_id, build.status)
        print(providers.requests.counts())

`SimulatedVendor` plays any API that a definition describes, from a scenario file.

Builds pass through their statuses on the clock that is passed in: with a `ManualClock` a test sets the time and never
waits.
"""

from local.simulator.fault_plan import FaultPlan, FaultRule, FaultSample
from local.simulator.faults import (
    CHALLENGE_HEADERS,
    GATEWAY_TEXT,
    HTML_PAGE,
    XML_ERROR,
    ChunkedBody,
    CorruptBody,
    CutBody,
    Delay,
    ErrorStatus,
    Fault,
    GzipBody,
    IgnoreRange,
    InterimResponse,
    LinkExpired,
    NoLength,
    ObjectChanged,
    Redirect,
    RepeatLength,
    ReplaceBody,
    Reply,
    ResetBeforeReading,
    SetHeaders,
    SlowBody,
    TokenExpired,
    Unanswered,
)
from local.simulator.faults_json import (
    AddText,
    CapitalIds,
    DropFields,
    DropItems,
    FloodList,
    Paginate,
    ReorderItems,
    RepeatItems,
    SetFields,
    ShiftTimes,
    WrapBody,
    WriteTimes,
)
from local.simulator.faults_range import DenyEtag, OddRange, OtherEtag
from local.simulator.ground_truth import BuildState
from local.simulator.manual_clock import HeldClock, ManualClock
from local.simulator.messages import ConnectionEnd, LoggedRequest, ProviderName, RequestKind, RequestLog, RequestTarget
from local.simulator.providers import SimulatedProviders
from local.simulator.scenario import (
    AirtAccount,
    BuildPlan,
    DataModel,
    JobPlan,
    LinkPolicy,
    Project,
    ReportTemplate,
    Scenario,
    ScheduledBuild,
    ScheduledJob,
    TreasureAccount,
    demo_scenario,
)
from local.simulator.simulated_vendor import SimulatedVendor
from local.simulator.vendor_scenario import VendorAnswer, VendorScenario, load_vendor, vendor_names

__all__ = [
    "CHALLENGE_HEADERS",
    "GATEWAY_TEXT",
    "HTML_PAGE",
    "XML_ERROR",
    "AddText",
    "AirtAccount",
    "BuildPlan",
    "BuildState",
    "CapitalIds",
    "ChunkedBody",
    "ConnectionEnd",
    "CorruptBody",
    "CutBody",
    "DataModel",
    "Delay",
    "DenyEtag",
    "DropFields",
    "DropItems",
    "ErrorStatus",
    "Fault",
    "FaultPlan",
    "FaultRule",
    "FaultSample",
    "FloodList",
    "GzipBody",
    "HeldClock",
    "IgnoreRange",
    "InterimResponse",
    "JobPlan",
    "LinkExpired",
    "LinkPolicy",
    "LoggedRequest",
    "ManualClock",
    "NoLength",
    "ObjectChanged",
    "OddRange",
    "OtherEtag",
    "Paginate",
    "Project",
    "ProviderName",
    "Redirect",
    "ReorderItems",
    "RepeatItems",
    "RepeatLength",
    "ReplaceBody",
    "Reply",
    "ReportTemplate",
    "RequestKind",
    "RequestLog",
    "RequestTarget",
    "ResetBeforeReading",
    "Scenario",
    "ScheduledBuild",
    "ScheduledJob",
    "SetFields",
    "SetHeaders",
    "ShiftTimes",
    "SimulatedProviders",
    "SimulatedVendor",
    "SlowBody",
    "TokenExpired",
    "TreasureAccount",
    "Unanswered",
    "VendorAnswer",
    "VendorScenario",
    "WrapBody",
    "WriteTimes",
    "demo_scenario",
    "load_vendor",
    "vendor_names",
]
