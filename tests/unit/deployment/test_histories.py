"""The comparison of two engines' histories."""

from copy import deepcopy
from typing import Any

import pytest

from scripts.deployment import histories
from scripts.deployment.histories import Difference, compare, explain, logical_names

NAMES = ({"one-table": "<LedgerTable>"}, {"two-table": "<LedgerTable>"})


def history(table: str, when: str, **changes: object) -> list[dict[str, Any]]:
    parameters = f'{{"TableName": "{table}", "Key": {{"build": {{"S": "a/b/c"}}}}, ":token": "{when}"}}'
    scheduled: dict[str, Any] = {
        "id": 2,
        "previousEventId": 1,
        "type": "TaskScheduled",
        "timestamp": when,
        "taskScheduledEventDetails": {"parameters": parameters, "resource": "updateItem"} | changes,
    }
    return [{"id": 1, "previousEventId": 0, "type": "ExecutionStarted", "timestamp": when}, scheduled]


def differences(second: list[dict[str, Any]], embedded: list[dict[str, Any]]) -> list[Difference]:
    return list(compare("case", second, embedded, names=NAMES))


def test_equal_histories_differ_in_names_times_and_tokens_only() -> None:
    second = history("one-table", "2026-11-25T09:56:55.740240Z")
    assert differences(second, history("two-table", "2026-01-05 08:00:00+00:00")) == []


def test_a_changed_field_within_json_text_is_found() -> None:
    ours = history("one-table", "now", parameters='{"Key": {"build": {"S": "a/b/x"}}}')
    theirs = history("two-table", "now", parameters='{"Key": {"build": {"S": "a/b/c"}}}')
    (found,) = differences(ours, theirs)
    assert (found.number, found.event) == (2, "TaskScheduled")
    assert found.field == "taskScheduledEventDetails.parameters.Key.build.S"
    assert (found.second, found.embedded) == ("a/b/x", "a/b/c")


def test_an_absent_field_is_found() -> None:
    theirs = history("two-table", "now")
    del theirs[1]["taskScheduledEventDetails"]["resource"]
    (found,) = differences(history("one-table", "now"), theirs)
    assert (found.second, found.embedded) == ("updateItem", "<absent>")


def test_another_event_ends_the_comparison() -> None:
    ours = history("one-table", "now")
    theirs = deepcopy(history("two-table", "now"))
    theirs[0]["type"] = "ExecutionFailed"
    (found,) = differences(ours, theirs)
    assert (found.number, found.second, found.embedded) == (1, "ExecutionStarted", "ExecutionFailed")


@pytest.mark.parametrize("shorter", [0, 1])
def test_a_missing_event_is_found(shorter: int) -> None:
    pair = [history("one-table", "now"), history("two-table", "now")]
    pair[shorter].pop()
    (found,) = differences(*pair)
    assert found.number == 2
    assert "<absent>" in (found.second, found.embedded)


def copied(attempts: int) -> list[dict[str, Any]]:
    unfinished = {"lambdaFunctionFailedEventDetails": {"error": "CopyUnfinishedError"}}
    kinds = ["ExecutionStarted"]
    kinds += ["LambdaFunctionScheduled", "LambdaFunctionStarted", "LambdaFunctionFailed"] * attempts
    kinds += ["LambdaFunctionScheduled", "LambdaFunctionStarted", "LambdaFunctionSucceeded"]
    return [
        {"id": number, "previousEventId": number - 1, "type": kind}
        | (unfinished if kind == "LambdaFunctionFailed" else {})
        for number, kind in enumerate(kinds, start=1)
    ]


def test_how_often_a_copy_ran_out_of_time_is_no_difference() -> None:
    assert differences(copied(3), copied(1)) == []
    assert differences(copied(0), copied(1))


def test_differences_are_explained_by_case_event_and_field() -> None:
    field = "lambdaFunctionFailedEventDetails.cause.errorMessage"

    def difference(case: str) -> Difference:
        return Difference(
            case=case, number=13, event="LambdaFunctionFailed", field=field, second="killed", embedded="ended"
        )

    unexplained, explained, unused = explain([difference("killed"), difference("small")])
    assert [each.case for each in unexplained] == ["small"]
    assert explained.total() == 1
    assert len(unused) == len(histories.EXPLANATIONS) - 1


def test_names_of_resources_are_read_from_arns() -> None:
    arn = "arn:aws:states:eu-central-1:000000000000:stateMachine:one-BuildLifecycle"
    resources = dict.fromkeys(histories.NAMED, "one-name") | {"BuildLifecycle": arn}
    assert logical_names(resources)["one-BuildLifecycle"] == "<BuildLifecycle>"
