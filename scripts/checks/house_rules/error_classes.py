"""Rules about `courier.errors` and the names that the state machine lists; read as source, not imported."""
# ruff: noqa: D401 - the first lines state the rules

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from scripts.checks.checkout import Checkout
from scripts.checks.integrations import named_errors, tasks_of

# Raised only by request_build, which the state machine does not call.
_OF_REQUESTS = {"EmptyReportError", "RequestUncertainError"}

# Errors that the copy reports as an outcome with its reason; any other error is a failure of the courier itself.
_OUTCOME_BASES = ("SourceError", "ArtifactError")
_COPY = "CopyArtifact"


def error_names_are_classes(checkout: Checkout) -> Iterator[str]:
    """``ErrorEquals`` matches exact names, so a base class there catches nothing."""
    parents, concrete = _tree(checkout.root), _concrete(checkout.root)
    for state, task in tasks_of(checkout.definition).items():
        for part, name in named_errors(task):
            if "." in name:
                continue
            if name not in parents:
                yield f"{state}: {part} names {name}, which courier.errors does not have"
            elif name not in concrete:
                yield f"{state}: {part} names {name}, which is never raised itself: Step Functions ignores inheritance"


def copy_catches_what_it_raises(checkout: Checkout) -> Iterator[str]:
    """Every error that the copy raises on purpose becomes an outcome."""
    parents = _tree(checkout.root)
    expected = {
        name
        for name in _concrete(checkout.root) - _OF_REQUESTS
        if any(base in _OUTCOME_BASES for base in _ancestors(name, parents))
    }
    caught = {name for part, name in named_errors(tasks_of(checkout.definition)[_COPY]) if part == "Catch"}
    for name in sorted(expected - caught):
        yield f"{_COPY} does not catch {name}"
    for name in sorted(caught - expected):
        yield f"{_COPY} catches {name}, which the copy does not raise"


def error_tree_is_documented(checkout: Checkout) -> Iterator[str]:
    """The tree in the docstring of errors.py shows every class below its base."""
    source = _errors_path(checkout.root).read_text(encoding="utf-8")
    drawn: dict[str, str] = {}
    above: list[str] = []
    for line in (ast.get_docstring(ast.parse(source)) or "").splitlines():
        match = re.match(r"^((?:[ │]   ?|[├└]── )*)(\w+Error)\b", line.removeprefix("    "))
        if match:
            depth = len(match[1]) // 4
            above[depth:] = [match[2]]
            drawn[match[2]] = above[depth - 1] if depth else "Exception"
    parents = _tree(checkout.root)
    for name in sorted(parents.keys() | drawn.keys()):
        if parents.get(name) != drawn.get(name):
            yield f"{name} is drawn below {drawn.get(name)} and stands below {parents.get(name)}"


def _errors_path(root: Path) -> Path:
    return root / "layers/courier/courier/errors.py"


def _tree(root: Path) -> dict[str, str]:
    """Return the base of each class."""
    module = ast.parse(_errors_path(root).read_text(encoding="utf-8"))
    return {node.name: ast.unparse(node.bases[0]) for node in module.body if isinstance(node, ast.ClassDef)}


def _ancestors(name: str, parents: dict[str, str]) -> Iterator[str]:
    while name in parents:
        name = parents[name]
        yield name


def _concrete(root: Path) -> set[str]:
    """Return the classes that can be raised: the leaves, and those that some module instantiates."""
    parents = _tree(root)
    made = {
        node.func.id
        for path in (root / "layers/courier/courier").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    return {name for name in parents if name in made or name not in parents.values()}
