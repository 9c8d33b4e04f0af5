"""Rules of the sources: who imports whom, what a handler may not do, and what is said in one place only."""
# ruff: noqa: D401 - the first lines state the rules

import ast
import json
import re
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from scripts.judges.case import Case

_PACKAGE = "layers/courier/courier"

# What the runtime brings; type stubs are imported for checking only (`layer_imports_what_it_ships` sees to it).
_OF_THE_RUNTIME = {"boto3", "botocore"}

# Where one invocation's work is put together; what it is put together from knows nothing of it.
_ASSEMBLY = {"usecases", "builds"}  # fmt: skip
_GROUND = {
    "aws", "backoff", "clock", "config", "errors", "ledger", "links", "models", "object_keys", "observability",
    "outcomes", "providers", "sources", "tls", "transfer",
}  # fmt: skip

# Files where a version may be told again: locks pin others', and histories tell old ones.
_VERSION_ELSEWHERE = ("CHANGELOG.md", "package-lock.json")


def handlers_only_handle(case: Case) -> Iterator[str]:
    """A handler knows the shared package and nothing behind it."""
    for path in sorted((case.root / "functions").rglob("*.py")):
        where = path.relative_to(case.root)
        text = path.read_text(encoding="utf-8")
        for word in ("boto3", "botocore", "os.environ", "getenv"):
            if word in text:
                yield f"{where} mentions {word}"
        for module, _ in _imports(path):
            if module.split(".")[0] not in sys.stdlib_module_names | {"aws_lambda_powertools", "courier"}:
                yield f"{where} imports {module}"


def layer_imports_what_it_ships(case: Case) -> Iterator[str]:
    """The shared package imports what its layers and the runtime have, and nobody above it."""
    lock = (case.root / "layers/dependencies/requirements.txt").read_text(encoding="utf-8")
    shipped = {name.replace("-", "_") for name in re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE)}
    allowed = sys.stdlib_module_names | shipped | _OF_THE_RUNTIME | {"courier"}
    for path in sorted((case.root / _PACKAGE).rglob("*.py")):
        for module, for_types_only in _imports(path):
            if module.split(".")[0] not in allowed and not for_types_only:
                yield f"{path.relative_to(case.root)} imports {module}, which no layer has"


def imports_point_one_way(case: Case) -> Iterator[str]:
    """The parts of the shared package form layers, without circles (types may know each other)."""
    package = case.root / _PACKAGE
    graph: dict[str, set[str]] = {}
    for path in sorted(package.rglob("*.py")):
        part = path.relative_to(package).parts[0].removesuffix(".py")
        for name, for_types_only in _courier_parts(path):
            if part in _GROUND and name in _ASSEMBLY:
                yield f"courier.{part} imports courier.{name}, which is put together from it"
            if not for_types_only and name not in (part, "__version__"):
                graph.setdefault(part, set()).add(name)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as exc:
        yield f"the parts of courier import each other in a circle: {' -> '.join(exc.args[1])}"


def events_belong_to_functions(case: Case) -> Iterator[str]:
    """Every sample event is JSON, and is named ``function.way.json``; every function has one."""
    functions = {path.parent.name for path in (case.root / "functions").glob("*/app.py")}
    seen = set()
    for path in sorted((case.root / "events").iterdir()):
        match = re.fullmatch(r"(\w+)\.(\w+)\.json", path.name)
        if match is None or match[1] not in functions:
            yield f"events/{path.name} is not named after a function and a way of invoking it"
            continue
        seen.add(match[1])
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except json.JSONDecodeError as exc:
            yield f"events/{path.name} is no JSON: {exc}"
    for name in sorted(functions - seen):
        yield f"events/ has no sample for {name}"


def version_stands_once(case: Case) -> Iterator[str]:
    """Only the package knows its version; everything else asks it."""
    home = case.root / _PACKAGE / "__init__.py"
    match = re.search(r'^__version__ = "([^"]+)"$', home.read_text(encoding="utf-8"), re.MULTILINE)
    if match is None:
        yield f"{home.relative_to(case.root)} has no __version__"
        return
    patterns = ("*.toml", "*.yaml", "*.json", "functions/**/*.py", "layers/**/*.py", "local/**/*.py", "cli/**/*.py")
    for path in sorted({path for pattern in patterns for path in case.root.glob(pattern)} - {home}):
        if path.name not in _VERSION_ELSEWHERE and match[1] in path.read_text(encoding="utf-8"):
            yield f"{path.relative_to(case.root)} tells the version {match[1]} again"


def python_version_agrees(case: Case) -> Iterator[str]:
    """The functions' Python is the one that the layers are built for."""
    said = {
        "template.yaml": set(re.findall(r"python(3\.\d+)", (case.root / "template.yaml").read_text(encoding="utf-8"))),
    }
    for layer in ("dependencies", "courier"):
        makefile = case.root / "layers" / layer / "Makefile"
        found = re.findall(r"python(?:-version )?(3\.\d+)", makefile.read_text(encoding="utf-8"))
        said[f"layers/{layer}/Makefile"] = set(found)
    if len(set.union(*said.values())) != 1:
        yield f"Python differs: {', '.join(f'{place} says {sorted(versions)}' for place, versions in said.items())}"


def _courier_parts(path: Path) -> Iterator[tuple[str, bool]]:
    """Give each part of the shared package that a module imports, and whether only type checkers do."""
    for module, for_types_only in _imports(path):
        if module.startswith("courier."):
            yield module.split(".")[1], for_types_only


def _imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Give each imported module, and whether only type checkers import it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in for_types) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "courier":
            yield from ((f"courier.{alias.name}", id(node) in for_types) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, id(node) in for_types
