"""Expressions and patterns: how a definition reads a response. JMESPath selects, a pattern cuts a part out of a text.

Both are data out of a settings file, and both read responses of unknown origin. So
each is bounded when it is read: an expression in its length, its functions and their arguments; a pattern in the work
that the worst text could cause. JMESPath itself has no loops and reads nothing but the document
(https://jmespath.org/specification.html).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from courier.observability.redaction import redact

if TYPE_CHECKING:
    from jmespath.parser import ParsedResult
    from pydantic import JsonValue

EXPRESSION_LIMIT_CHARACTERS = 500
PATTERN_LIMIT_CHARACTERS = 200
# A pattern searches no more than this of a text; less where the pattern could need many steps for each character.
SEARCHED_LIMIT_CHARACTERS = 2_000
# Addresses in a Location header are longer than this only by their query, and ids stand in front of it.
_LEAST_SEARCHED_CHARACTERS = 250
# About half a second, for a text that is made to be slow.
_STEP_LIMIT = 20_000_000
_SHOWN_CHARACTERS = 40


class ReadingError(Exception):
    """A response cannot be read as the definition says; the text is safe to show."""


def check_expression(text: str) -> str:
    """Return an expression if it compiles, and calls known functions with as many arguments as they take.

    Raises
    ------
    ValueError
        It does not; the message names the position.
    """
    if len(text) > EXPRESSION_LIMIT_CHARACTERS:
        raise ValueError(f"has {len(text)} characters; an expression may have {EXPRESSION_LIMIT_CHARACTERS}")
    _check_functions(_compile(text).parsed)
    return text


def search(text: str, document: JsonValue) -> JsonValue:
    """Return what an expression selects; None where that is absent.

    Raises
    ------
    ReadingError
        A function received a value of another type, for instance.
    """
    try:
        found: JsonValue = _compile(text).search(document)
    except Exception as exc:  # noqa: BLE001 - functions of JMESPath raise whatever Python raises for their arguments
        # Not the exception's text, which shows the value: that may be a link or a token.
        function = getattr(exc, "function_name", None)
        got = getattr(exc, "actual_type", None)
        why = f"{function}() received {got}" if function and got else type(exc).__name__
        raise ReadingError(f"{_shown(text)}: {why}") from None
    return found


def is_true(value: object) -> bool:
    """Return whether JMESPath takes a value for true: everything but null, false and what is empty, so also 0."""
    return value is not None and value is not False and value not in ("", [], {})


def scalar_text(value: JsonValue) -> str | None:
    """Return a text, or the JSON text of a number or a boolean; None for anything else."""
    if isinstance(value, str):
        return value
    return json.dumps(value) if isinstance(value, bool | int | float) else None


@lru_cache(maxsize=2_048)
def _compile(text: str) -> ParsedResult:
    # Imported here: only sources with a definition need it.
    import jmespath  # noqa: PLC0415
    from jmespath.exceptions import EmptyExpressionError, LexerError, ParseError  # noqa: PLC0415

    try:
        return jmespath.compile(text)
    except EmptyExpressionError:
        raise ValueError("is empty; write an expression such as data.id") from None
    except LexerError as exc:
        raise ValueError(_does_not_compile(text, exc.lexer_position)) from None
    except ParseError as exc:
        raise ValueError(_does_not_compile(text, exc.lex_position)) from None
    except (ValueError, RecursionError) as exc:
        raise ValueError(f"does not compile: {type(exc).__name__}") from None


def _does_not_compile(text: str, position: int | None) -> str:
    position = len(text) if position is None else position
    if position >= len(text):
        return f"does not compile: it ends too early, after {text[-_SHOWN_CHARACTERS:]!r}"
    hint = ""
    if re.search(r"\w-\w|@\w", text):
        hint = '; a name with other characters than letters, digits and _ needs double quotes, as in "a-b".c'
    elif re.search(r"\.\(", text):
        hint = "; after a point, write [a || b] | [0] in place of (a || b)"
    return f"does not compile at character {position + 1}, {text[position : position + _SHOWN_CHARACTERS]!r}{hint}"


def _check_functions(node: dict[str, Any]) -> None:
    from jmespath.functions import Functions  # noqa: PLC0415 - as above

    if node["type"] == "function_expression":
        name, count = node["value"], len(node["children"])
        function = Functions.FUNCTION_TABLE.get(name)
        if function is None:
            raise ValueError(f"calls {name}(), which JMESPath does not have")
        taken = function["signature"]
        is_variadic = bool(taken) and taken[-1].get("variadic", False)
        if count < len(taken) or (count > len(taken) and not is_variadic):
            least = "at least " if is_variadic else ""
            raise ValueError(f"calls {name}() with {count} arguments; it takes {least}{len(taken)}")
    for child in node["children"]:
        if isinstance(child, dict):
            _check_functions(child)


def check_pattern(text: str) -> str:
    """Return a pattern if it has exactly one group, and no text can make it slow.

    Raises
    ------
    ValueError
        It does not.
    """
    if len(text) > PATTERN_LIMIT_CHARACTERS:
        raise ValueError(f"has {len(text)} characters; a pattern may have {PATTERN_LIMIT_CHARACTERS}")
    _pattern(text)
    return text


def match(pattern: str, text: str) -> str | None:
    """Return what the group of a pattern matches in the beginning of a text; None where it matches nothing."""
    compiled, searched = _pattern(pattern)
    found = compiled.search(text[:searched])
    return None if found is None else found[1] or None


@lru_cache(maxsize=512)
def _pattern(text: str) -> tuple[re.Pattern[str], int]:
    """Return a compiled pattern, and how many characters of a text it may search."""
    from re import _parser  # type: ignore[attr-defined]  # noqa: PLC0415 - the parser of re, which has no public name

    try:
        compiled = re.compile(text, re.ASCII)
        parsed = _parser.parse(text, re.ASCII)
    except (re.error, RecursionError, OverflowError) as exc:
        raise ValueError(f"is not a regular expression: {exc}") from None
    if compiled.groups != 1:
        raise ValueError(
            f"has {compiled.groups} groups; put ( ) around the part to read, and (?: ) where only a choice is meant"
        )
    for searched in (SEARCHED_LIMIT_CHARACTERS, 1_000, 500, _LEAST_SEARCHED_CHARACTERS):
        if searched * _ways(parsed, searched) <= _STEP_LIMIT:
            return compiled, searched
    raise ValueError(
        "could take too long on some texts: it has too many parts of any length; "
        "name the characters between them, such as [^/]+ once in place of .* twice"
    )


def _ways(nodes: Iterable[tuple[Any, Any]], length: int) -> int:
    """Return in how many ways a pattern could be tried at one position of a text: a bound for its steps."""
    ways = 1
    for kind, value in nodes:
        match str(kind):
            case "LITERAL" | "NOT_LITERAL" | "ANY" | "IN" | "AT":
                continue
            case "SUBPATTERN":
                ways *= _ways(value[-1], length)
            case "BRANCH":
                ways *= sum(_ways(branch, length) for branch in value[1])
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                least, most, repeated = value
                ways *= _repeated_ways(least, min(int(most), length), repeated, length)
            case name:
                raise ValueError(f"uses {name.lower().replace('_', ' ')}, which is not allowed here")
    return ways


def _repeated_ways(least: int, most: int, repeated: Sequence[tuple[Any, Any]], length: int) -> int:
    inner = _ways(repeated, length)
    is_one_character = len(repeated) == 1 and str(repeated[0][0]) in {"LITERAL", "NOT_LITERAL", "ANY", "IN"}
    if not is_one_character and most > 1:
        raise ValueError("repeats a group; only single characters may be repeated, as in [0-9a-f]+")
    return max(most - least, 0) + inner


def _shown(text: str) -> str:
    return redact(text, limit=_SHOWN_CHARACTERS)
