"""A rule about names: words that the glossary in docs/architecture.md replaced do not return."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from scripts.checks.checkout import Checkout

FOLDERS = ("bench", "cli", "functions", "layers", "local", "scripts", "tests")

# Retired words by the word to use instead, with their inflections.
RETIRED = {
    "look looks looked looking visit visits visited errand errands beat beats": "poll, poll run, poll call, interval",
    "wish wishes wished": "request",
    "ill mend mends mended": "unhealthy, fix",
    "ending endings": "decision, outcome",
    "judge judges judged judging verdict verdicts": "check, evaluate, result",
    "settle settles settled settling": "apply, accept, finish",
    "twin twins": "running build",
    "trouble troubles oddity oddities": "failure, unknown value",
    "sight birth sway": "first seen, age, jitter",
    "ask asks asked asking": "request, send",
    "tell tells told telling": "report, notify",
    "give gives gave": "return",
    "bring brings brought": "store, deliver",
    "whoever somebody nobody everybody anybody": "the actor's name",
    "vain rests tidings news": "without a result, backs off, notice or payload",
    "given home": "the value's name, the place's name",
    "budget budgets": "rate limit",
}

# Names that contain a retired word, each with its reason.
EXCEPTIONS = {
    "verdict": "a field of the state machine's payload (docs/upgrades.md)",
    "ending": "a setting of faults (docs/faults.md)",
    "News": "the poller's payload (docs/upgrades.md)",
    "asked_at": "an attribute of the ledger's request rows (docs/upgrades.md)",
}
# To give up is a term of retries, and of the setting give_up_after_hours.
_RETRY_TERM = re.compile(r"give(s|n)?_up")


def retired_words_stay_retired(checkout: Checkout) -> Iterator[str]:
    """No module, class, function, argument or variable has a retired word in its name."""
    replacements = {word: instead for words, instead in RETIRED.items() for word in words.split()}
    for folder in FOLDERS:
        for path in sorted((checkout.root / folder).rglob("*.py")):
            where = path.relative_to(checkout.root)
            for name in sorted({*where.with_suffix("").parts, *_defined_names(path)} - EXCEPTIONS.keys()):
                for word in sorted(_words(name) & replacements.keys()):
                    yield f"{where}: {name} contains {word!r}; use {replacements[word]}"


def _words(name: str) -> set[str]:
    """Return the words of a name in snake_case or CamelCase."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", _RETRY_TERM.sub("", name))}


def _defined_names(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.alias) and node.asname:
            yield node.asname
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            yield node.name
