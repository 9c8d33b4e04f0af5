"""The JSONata evaluator that moto's Step Functions interpreter lacks."""

import json
import re
import threading
from functools import lru_cache

from jsonata.jexception import JException
from jsonata.jsonata import Jsonata
from jsonata.utils import Utils
from moto.stepfunctions.parser.asl.jsonata import jsonata as moto_jsonata

_OPENING = re.compile(r"(\$(exists|type)\()?\(")
_DECLARATION = re.compile(r"\$([A-Za-z0-9_]+):=")
_VALUES = json.JSONDecoder()
# A compiled expression holds the state of its evaluation.
_evaluating = threading.Lock()
# More expressions than a few definitions have.
_compiled = lru_cache(maxsize=500)(Jsonata)


def evaluate_jsonata(expression: str) -> object:
    """Evaluate a JSONata expression as moto composes it: declarations of variables, then the state's own expression.

    moto does not evaluate JSONata: https://github.com/getmoto/moto/issues/10105, with a fix in
    https://github.com/getmoto/moto/pull/10112. Here the state's expression is parsed once and its variables are bound,
    as on AWS; parsing their values each time took a tenth of a storm.

    Raises
    ------
    JSONataException
        moto's own, which fails the state.
    """
    try:
        bindings, body = _split_bindings(expression)
        with _evaluating:
            compiled = _compiled(body)
            # The library's functions read this on the evaluating thread.
            Jsonata.CURRENT.jsonata = compiled
            result = compiled.evaluate(None, bindings)
        # Removes the library's list class and rejects functions, which a state's data cannot contain.
        return json.loads(json.dumps(result))
    except (JException, ArithmeticError, LookupError, TypeError, ValueError, RecursionError) as exc:
        raise moto_jsonata.JSONataException("UNKNOWN", str(exc)) from exc


def _split_bindings(expression: str) -> tuple[dict[str, object], str]:
    """Split ``($states:={...};$name:=...;text)`` into the variables' values and ``(text)``.

    moto evaluates each expression three times: also for whether there is a result, and for its type.
    """
    bindings: dict[str, object] = {}
    opening = _OPENING.match(expression)
    if opening is None:
        return bindings, expression
    rest = opening.end()
    while declaration := _DECLARATION.match(expression, rest):
        try:
            value, end = _VALUES.raw_decode(expression, declaration.end())
        except json.JSONDecodeError:
            break
        if expression[end : end + 1] != ";":
            break
        bindings[declaration[1]], rest = _mark_nulls(value), end + 1
    return bindings, f"{opening[0]}{expression[rest:]}"


def _mark_nulls(value: object) -> object:
    """Replace None by the library's null; to it, None means that a value does not exist."""
    if isinstance(value, dict):
        return {name: _mark_nulls(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_mark_nulls(each) for each in value]
    return Utils.NULL_VALUE if value is None else value
