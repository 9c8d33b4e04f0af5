"""What the embedded AWS evaluated is compared with the reference implementation of JSONata."""

import pytest

from scripts.deployment.reference_jsonata import differing, is_available, not_evaluated

PAST = '($states:={"input":{"seconds":5,"name":"a ; b"}};$states.input.seconds + 3600)'
EVALUATION = {"expression": PAST, "result": 3605}
needs_node = pytest.mark.skipif(not is_available(), reason="node or npm's packages are missing")


@needs_node
def test_equal_results_and_failures_are_no_difference() -> None:
    missing = {"expression": '($states:={"input":{}};$states.input.absent)', "result": None}
    wrong = {"expression": "1 +", "failed": True}
    assert differing([EVALUATION, missing, wrong]) == []


@needs_node
def test_another_result_is_a_difference() -> None:
    assert differing([EVALUATION | {"result": 3606}]) == ["($states.input.seconds + 3600): 3606, the reference 3605"]
    (line,) = differing([{"expression": "1 + 1", "failed": True}])
    assert line == "1 + 1: fails, the reference 2"


def test_expressions_that_were_not_evaluated_are_found() -> None:
    definition = '{"Timeout": "{% $states.input.seconds + 3600 %}", "Output": "{% $states.result %}"}'
    assert not_evaluated(definition, [EVALUATION]) == ["$states.result"]
