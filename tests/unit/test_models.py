import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from courier.models import BuildRef
from tests.support.providers import ref_of

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


@pytest.mark.parametrize("build_id", ["", "a/b", "a\nb", "x" * 201, "\x00", "漢\x7f"])
def test_an_identifier_that_could_break_a_key_is_no_identifier(build_id: str) -> None:
    with pytest.raises(ValidationError):
        BuildRef(source="s", scope="x", build_id=build_id)


@pytest.mark.parametrize("scope", ["", "/", "a//b", "/a", "a/", "a\tb", "x" * 401])
def test_a_scope_with_empty_or_broken_segments_is_no_scope(scope: str) -> None:
    with pytest.raises(ValidationError):
        BuildRef(source="s", scope=scope, build_id="x")


@given(refs)
def test_a_reference_is_read_back_from_its_text(ref: BuildRef) -> None:
    assert BuildRef.parse(str(ref)) == ref


@pytest.mark.parametrize("text", ["", "a", "a/b", "a//b", "/a/b", "A/b/c"])
def test_a_text_that_names_no_build_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        BuildRef.parse(text)


def test_a_reference_that_the_ledger_cannot_hold_is_no_reference() -> None:
    # A partition key has at most 2,048 bytes (DynamoDB, "Constraints").
    assert ref_of("漢" * 200, scope="漢" * 400)
    with pytest.raises(ValidationError, match="2048 bytes"):
        ref_of("🚀" * 200, scope="🚀" * 400)
