"""Expressions are parsed once and their variables bound: results equal those of the whole text, parsed each time."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping

import pytest
from jsonata.jsonata import Jsonata
from moto.stepfunctions.parser.asl.jsonata.jsonata import JSONataException

from local.embedded.moto.jsonata import evaluate_jsonata

STATES: Mapping[str, object] = {
    "input": {
        "verdict": "fetch",
        "wait_seconds": 60,
        "nothing": None,
        "one": [1],
        "nested": [{"deep": [None, {"x": 'a"b;$y:=1;'}]}],
        "empty": {},
        "flag": False,
        "text": "größe\n",
    },
    "result": None,
}


@pytest.mark.parametrize(
    "text",
    [
        "$states.input",
        "$states.input.verdict = 'fetch'",
        "$states.input.wait_seconds + 3600",
        "$states.input.nothing",
        "$states.input.nothing = null",
        "$states.input.one",
        "$states.input.nested.deep.x",
        "$states.input.empty",
        "$states.input.flag = false",
        "$states.input.text & '!'",
        "$states.result",
        "$states.input.absent",
        "$merge([$states.input, {'caught': $states.result, 'n': null}])",
        "$x := $states.input.wait_seconds; $x * 2",
        "$y:=2;$y + 1",
        "[$states.input.one, $states.input.one]",
        "$map([1, 2], function($n) { $n + $states.input.wait_seconds })",
        "$string($states.input)",
    ],
)
def test_the_result_is_that_of_the_whole_text(text: str) -> None:
    expression = f"($states:={json.dumps(STATES, separators=(',', ':'))};{text})"
    for whole in (expression, f"$exists({expression})", f"$type({expression})"):
        expected = json.loads(json.dumps(Jsonata(whole).evaluate(None)))
        assert evaluate_jsonata(whole) == expected
        # Once more, with what was kept of it.
        assert evaluate_jsonata(whole) == expected


def test_another_value_has_another_result() -> None:
    assert [evaluate_jsonata(f'($states:={{"input":{number}}};$states.input)') for number in (1, 2)] == [1, 2]


@pytest.mark.parametrize("text", ["(", "1 +", "($states:={;1)", '($states:={"a":1}', "$nothing()"])
def test_what_cannot_be_evaluated_fails_the_state(text: str) -> None:
    with pytest.raises(JSONataException):
        evaluate_jsonata(text)


def test_threads_do_not_get_each_others_variables() -> None:
    found: list[tuple[int, object]] = []

    def evaluate(number: int) -> None:
        expression = f'($states:={{"input":{number}}};$states.input)'
        found.extend((number, evaluate_jsonata(expression)) for _ in range(20))

    threads = [threading.Thread(target=evaluate, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 160
    assert all(number == result for number, result in found)
