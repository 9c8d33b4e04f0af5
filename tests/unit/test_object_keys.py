import re
from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.models import BuildRef
from courier.object_keys import artifact_key, execution_name, latest_key, record_key, scope_path, segment
from tests.support.providers import NOON, ref_of

HOSTILE = [
    "../../x",
    "..",
    ".",
    ".hidden",
    "a/b",
    "a\\b",
    "100%",
    "%2e%2e",
    "%2F",
    "Ü ñ 漢字 🚀",
    "\u202egnp.exe",
    "a b+c?d#e&f=g",
    "x" * 300,
    "漢" * 200,
    "",
    "_",
    "%00",
    "\x00\n\r\x7f",
    "\ud800",
]
names = st.text(max_size=250)
identifiers = st.text(
    st.characters(exclude_characters="/\x7f", exclude_categories=("Cc", "Cs")), min_size=1, max_size=200
)
scopes = (
    st.lists(identifiers, min_size=1, max_size=4)
    .map("/".join)
    .filter(lambda scope: len(scope) <= 400 and len(scope.encode()) <= 1_200)
)
refs = st.builds(
    BuildRef, source=st.from_regex(r"\A[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?\Z"), scope=scopes, build_id=identifiers
)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_segment_is_one_harmless_path_segment(name: str) -> None:
    made = segment(name)
    assert re.fullmatch(r"[A-Za-z0-9_~%-][A-Za-z0-9_.~%-]{0,119}", made)


@pytest.mark.parametrize("name", ["sales_2026.pdf", "2489e9ad-2ee2-8e00-8ec9-32d5f69181c0", "chatbot"])
def test_usual_names_stay_as_they_are(name: str) -> None:
    assert segment(name) == name


@given(names, names)
def test_different_names_get_different_segments(one: str, other: str) -> None:
    assert (segment(one) == segment(other)) == (one == other)


def test_hostile_names_get_different_segments() -> None:
    assert len({segment(name) for name in HOSTILE}) == len(HOSTILE)


@pytest.mark.parametrize("length", [119, 120, 121, 300])
def test_a_name_equal_to_a_truncated_segment_gets_another_segment(length: int) -> None:
    cut = segment("x" * length)
    assert segment(cut) != cut or cut == "x" * length


@given(st.text(max_size=40))
def test_a_short_segment_can_be_read_back(name: str) -> None:
    made = segment(name)
    if name and len(made) < 100:
        assert unquote(made) == name


@given(scopes, scopes)
def test_different_scopes_get_different_paths(one: str, other: str) -> None:
    assert (scope_path(one) == scope_path(other)) == (one == other)


def test_a_scope_keeps_its_segments() -> None:
    assert scope_path("acme/main/chatbot") == "acme/main/chatbot"
    assert scope_path("acme/../chatbot") == "acme/%2E./chatbot"


@given(refs, st.text(max_size=300))
def test_every_key_fits_into_s3(ref: BuildRef, filename: str) -> None:
    # The template's KeyPrefix has at most 64 characters.
    prefix = "p" * 63 + "/"
    for key in (artifact_key(prefix, ref, NOON, filename), record_key(prefix, ref, NOON), latest_key(prefix, ref)):
        assert len(key.encode()) <= 1024
        assert not any(part in {"", ".", ".."} for part in key.split("/"))


@given(refs, refs)
def test_different_builds_get_different_keys_and_executions(one: BuildRef, other: BuildRef) -> None:
    for make in (
        lambda ref: artifact_key("", ref, NOON, "report.pdf"),
        lambda ref: record_key("", ref, NOON),
        execution_name,
    ):
        assert (make(one) == make(other)) == (one == other)


@given(refs)
def test_an_execution_name_is_one_that_step_functions_takes(ref: BuildRef) -> None:
    assert re.fullmatch(r"[0-9A-Za-z_-]{1,80}", execution_name(ref))


def test_builds_that_differ_only_in_their_scope_get_their_own_executions() -> None:
    assert execution_name(ref_of(scope="a")) != execution_name(ref_of(scope="b"))


@pytest.mark.parametrize("scope", ["a/2026/04/15/b1", "a"])
def test_a_scope_that_resembles_a_date_keeps_its_position(scope: str) -> None:
    key = artifact_key("", ref_of(scope=scope), NOON, "r.pdf")
    assert key == f"artifacts/insights/{scope}/2026/04/15/b1/r.pdf"


def test_records_lie_in_hive_partitions() -> None:
    key = record_key("courier/", ref_of("b1", scope="acme/main"), NOON)
    assert key == "courier/records/source=insights/date=2026-04-15/acme/main/b1.json"


def test_latest_lies_at_its_scope() -> None:
    assert latest_key("", ref_of(scope="acme/main")) == "latest/insights/acme/main.json"


def test_dates_are_utc_whatever_zone_a_time_came_in() -> None:
    east = datetime(2026, 4, 16, 1, 30, tzinfo=timezone(timedelta(hours=9)))
    assert "date=2026-04-15/" in record_key("", ref_of(), east)
    assert "/2026/04/15/" in artifact_key("", ref_of(), east, "r.pdf")
    assert "date=0001-01-01/" in record_key("", ref_of(), datetime(1, 1, 1, tzinfo=UTC))
