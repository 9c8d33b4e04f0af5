"""A 422 of Dreadnode has two meanings, distinguished by content in every plausible shape."""

import pytest
from pydantic import JsonValue

from courier.providers.dreadnode_errors import find_empty_sections

RISK: dict[str, JsonValue] = {"key": "risk_score_metrics", "title": "Risk score"}
NAMELESS: dict[str, JsonValue] = {"key": None, "title": "Findings"}


@pytest.mark.parametrize(
    "document",
    [
        {"error": "empty_sections", "sections": [RISK, NAMELESS]},
        {"detail": {"error": "empty_sections", "sections": [RISK, NAMELESS]}},
        {"code": 422, "type": "empty_sections", "detail": "Nothing there", "errors": [RISK, NAMELESS]},
        {"empty_sections": [RISK, NAMELESS]},
        {"detail": [RISK, NAMELESS]},
        {"error": {"items": [RISK, NAMELESS]}},
        [RISK, NAMELESS],
    ],
)
def test_every_plausible_shape_is_understood(document: JsonValue) -> None:
    assert find_empty_sections(document) == ("risk_score_metrics", "Findings")


@pytest.mark.parametrize(
    "document",
    [
        {"code": 422, "detail": "Validation error", "errors": [{"loc": ["body"], "msg": "Field required", "key": "x"}]},
        {"detail": [{"loc": ["body", "preset"], "msg": "Field required", "type": "missing"}]},
        {"detail": "sections must not be empty"},
        {"sections": ["risk_score_metrics"]},
        {"sections": [RISK, "x"]},
        {"sections": [{}]},
        {"sections": []},
        [],
        {},
        None,
        "empty_sections",
        7,
    ],
)
def test_other_documents_report_no_empty_sections(document: JsonValue) -> None:
    assert not find_empty_sections(document)
    assert find_empty_sections(document) is None or document == {"sections": []}


@pytest.mark.parametrize(
    "document",
    [
        {"error": "empty_sections"},
        {"detail": "empty_sections"},
        {"detail": {"type": "empty_sections", "sections": []}},
        {"code": "empty_sections", "sections": "many"},
    ],
)
def test_the_marker_alone_is_enough(document: JsonValue) -> None:
    assert find_empty_sections(document) == ()


def test_labels_are_redacted_bounded_and_never_missing() -> None:
    entries: list[JsonValue] = [{"key": "a\nb"}, {"title": "x" * 500}, {"key": 5, "title": None}, {"key": ""}]
    labels = find_empty_sections({"sections": entries + [dict(RISK)] * 100})
    assert labels is not None
    assert labels[0] == "a b"
    assert len(labels[1]) == 120
    assert labels[2:4] == ("unnamed", "unnamed")
    assert len(labels) == 50
