"""Whatever an API returns, the client raises only our errors and shows no link."""

from __future__ import annotations

import traceback
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.errors import CourierError
from courier.models import Build, BuildRef, BuildRequest
from courier.observability.provider_events import ProviderCallbacks
from courier.providers.base import Provider
from courier.providers.dreadnode_airt import DreadnodeAirt
from courier.providers.treasure_insights import TreasureInsights
from tests.unit.providers.fake_api import FakeApi, Reply
from tests.unit.providers.test_dreadnode_airt import settings as dreadnode_settings
from tests.unit.providers.test_treasure_insights import settings as treasure_settings

LINK = "https://bucket.s3.amazonaws.com/x.pdf?X-Amz-Signature=hushhush"
TREASURE_NAMES = ["oid", "status", "created", "started", "completed", "build_size", "query_size"]
DREADNODE_NAMES = ["job_id", "created_at", "completed_at", "error_message", "file_size_bytes", "presigned_url"]
ERROR_NAMES = ["error", "detail", "type", "errors", "sections", "key", "title", "loc", "msg", "code", "message"]
NAMES = st.sampled_from(TREASURE_NAMES + DREADNODE_NAMES + ERROR_NAMES)
WORDS = st.sampled_from(
    ["done", "failed", "completed", "queued", "empty_sections", "b", "..", LINK, "2026-01-05T08:36:21Z", "credit"]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | WORDS
DOCUMENTS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.text(max_size=5), inner, max_size=6)
)
STATUSES = st.sampled_from([200, 201, 202, 204, 301, 400, 401, 403, 404, 409, 410, 418, 422, 426, 429, 500, 502, 503])
REPLIES = st.builds(Reply, status=STATUSES, json=DOCUMENTS) | st.builds(Reply, status=STATUSES, body=st.binary())

Call = Callable[[Provider], object]


def treasure(fake: FakeApi) -> Provider:
    return TreasureInsights(
        treasure_settings(account_id=1, requests=[{"data_model": "m"}]),
        fake.client,
        ProviderCallbacks(on_unexpected_value=_no_link),
    )


def dreadnode(fake: FakeApi) -> Provider:
    return DreadnodeAirt(
        dreadnode_settings(requests=[{"report": {"template_id": "t"}}]),
        fake.client,
        ProviderCallbacks(on_unexpected_value=_no_link),
    )


def _no_link(value: object) -> None:
    assert "hush" not in repr(value)


def first_ref(provider: Provider) -> BuildRef:
    scope = "m" if isinstance(provider, TreasureInsights) else "acme/main/chatbot"
    return BuildRef(source=provider.settings.name, scope=scope, build_id="b")


def first_request(provider: Provider) -> BuildRequest:
    return provider.settings.build_requests()[0]


EVERYTHING: dict[str, Call] = {
    "scopes": lambda provider: provider.scopes(),
    "get_build": lambda provider: provider.get_build(first_ref(provider)),
    "list_builds": lambda provider: provider.list_builds("m"),
    "start_build": lambda provider: provider.start_build(first_request(provider)),
    "locate_artifact": lambda provider: provider.locate_artifact(first_ref(provider)),
    "account_limits": lambda provider: provider.account_limits(),
    "cancel_build": lambda provider: provider.cancel_build(first_ref(provider)),
    "check": lambda provider: provider.check(),
}


@pytest.mark.parametrize("call", EVERYTHING.values(), ids=EVERYTHING.keys())
@pytest.mark.parametrize("make", [treasure, dreadnode])
@given(replies=st.lists(REPLIES, min_size=1, max_size=3))
def test_only_our_errors_come_out_and_no_link(
    make: Callable[[FakeApi], Provider], call: Call, replies: list[Reply]
) -> None:
    shown = outcome(call, make(FakeApi(*replies)))
    assert "hush" not in shown
    shown.encode()


def outcome(call: Call, provider: Provider) -> str:
    """Everything that a log could show of what came out."""
    try:
        result = call(provider)
    except CourierError as error:
        return "".join(traceback.format_exception(error))
    return result.model_dump_json() if isinstance(result, Build) else repr(result)
