"""Rules about facts that stand in several files and must agree: events, versions, constants, equal states."""
# ruff: noqa: D401 - the first lines state the rules

import ast
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from scripts.checks.checkout import Checkout, Definition
from scripts.checks.house_rules.imports import PACKAGE
from scripts.checks.integrations import tasks_of

# Durations of the shared package that depend on each other or on the template: module and constant.
_GRACE = ("builds/evaluation.py", "EXECUTION_GRACE")
_TOKENS = ("ledger/builds.py", "KEEP_TOKENS")
_ATTEMPT = ("builds/requests.py", "MAX_ATTEMPT_DURATION")
_CALL = ("usecases/events.py", "PROVIDER_CALL_SECONDS")
_RESERVE = ("usecases/events.py", "RESERVE_SECONDS")

_TIMED_FUNCTIONS = ("PollBuilds", "DiscoverBuilds", "RequestBuild")

# What may differ between the states that wait for a task token.
_WAIT_DIFFERENCES = {"Comment", "Next"}


def events_belong_to_functions(checkout: Checkout) -> Iterator[str]:
    """Every sample event is JSON and is named ``function.way.json``; every function has one."""
    functions = {path.parent.name for path in (checkout.root / "functions").glob("*/app.py")}
    seen = set()
    for path in sorted((checkout.root / "events").iterdir()):
        match = re.fullmatch(r"(\w+)\.(\w+)\.json", path.name)
        if match is None or match[1] not in functions:
            yield f"events/{path.name} is not named after a function and a way of invoking it"
            continue
        seen.add(match[1])
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except json.JSONDecodeError as exc:
            yield f"events/{path.name} is not JSON: {exc}"
    for name in sorted(functions - seen):
        yield f"events/ has no sample for {name}"


def version_is_defined_once(checkout: Checkout) -> Iterator[str]:
    """Only the package states its version; everything else reads it from there."""
    source = checkout.root / PACKAGE / "__init__.py"
    match = re.search(r'^__version__ = "([^"]+)"$', source.read_text(encoding="utf-8"), re.MULTILINE)
    if match is None:
        yield f"{source.relative_to(checkout.root)} has no __version__"
        return
    patterns = ("*.toml", "*.yaml", "*.json", "functions/**/*.py", "layers/**/*.py", "local/**/*.py", "cli/**/*.py")
    for path in sorted({path for pattern in patterns for path in checkout.root.glob(pattern)} - {source}):
        if match[1] in path.read_text(encoding="utf-8"):
            yield f"{path.relative_to(checkout.root)} states the version {match[1]} again"


def python_version_agrees(checkout: Checkout) -> Iterator[str]:
    """The functions' Python version is the one that the layers are built for."""
    template = (checkout.root / "template.yaml").read_text(encoding="utf-8")
    stated = {"template.yaml": set(re.findall(r"python(3\.\d+)", template))}
    for layer in ("dependencies", "courier"):
        makefile = checkout.root / "layers" / layer / "Makefile"
        found = re.findall(r"python(?:-version )?(3\.\d+)", makefile.read_text(encoding="utf-8"))
        stated[f"layers/{layer}/Makefile"] = set(found)
    if len(set.union(*stated.values())) != 1:
        yield f"Python differs: {', '.join(f'{place} states {sorted(versions)}' for place, versions in stated.items())}"


def durations_agree(checkout: Checkout) -> Iterator[str]:
    """Durations in the package, the state machine and the template that depend on each other agree."""
    try:
        seconds = {place: _seconds(checkout.root, *place) for place in (_GRACE, _TOKENS, _ATTEMPT, _CALL, _RESERVE)}
    except LookupError as exc:
        yield str(exc)
        return
    for name, state in _waits(checkout).items():
        expected = f"{{% $states.input.wait_seconds + {seconds[_GRACE]:.0f} %}}"
        if state.get("TimeoutSeconds") != expected:
            yield f"{name}: TimeoutSeconds must be {expected}, because of {_GRACE[1]}"
    resources = checkout.defaults["Resources"]
    timeouts = {name: float(resources[f"{name}Function"]["Properties"]["Timeout"]) for name in _TIMED_FUNCTIONS}
    in_order = [
        (_GRACE[1], seconds[_GRACE], _TOKENS[1], seconds[_TOKENS]),
        ("the Timeout of RequestBuild", timeouts["RequestBuild"], _ATTEMPT[1], seconds[_ATTEMPT]),
        (_CALL[1], seconds[_CALL], _RESERVE[1], seconds[_RESERVE]),
        *((_RESERVE[1], seconds[_RESERVE], f"the Timeout of {name}", timeout) for name, timeout in timeouts.items()),
    ]
    for shorter, low, longer, high in in_order:
        if not low < high:
            yield f"{shorter} ({low:g} s) must be shorter than {longer} ({high:g} s)"


def waiting_states_are_equal(checkout: Checkout) -> Iterator[str]:
    """The states that wait for a task token are equal but for their comment and the next state."""
    (first, expected), *others = _waits(checkout).items()
    for name, state in others:
        for key in sorted((state.keys() | expected.keys()) - _WAIT_DIFFERENCES):
            if state.get(key) != expected.get(key):
                yield f"{name} and {first} differ in {key}"


def _waits(checkout: Checkout) -> dict[str, Definition]:
    tasks = tasks_of(checkout.definition)
    return {name: state for name, state in tasks.items() if str(state["Resource"]).endswith(".waitForTaskToken")}


def _seconds(root: Path, module: str, name: str) -> float:
    """Return the value of a module's constant: a number of seconds, or a timedelta of literals."""
    for node in ast.parse((root / PACKAGE / module).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            if isinstance(node.value, ast.Call):
                parts = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in node.value.keywords}
                return timedelta(**parts).total_seconds()
            return float(ast.literal_eval(node.value))
    raise LookupError(f"courier/{module} has no constant {name}")
