"""Rules about facts that stand in several files and must agree: events, versions, constants, equal states."""
# ruff: noqa: D401 - the first lines state the rules

import json
import re
from collections.abc import Iterator

from scripts.checks.checkout import Checkout
from scripts.checks.house_rules.imports import PACKAGE


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
    home = checkout.root / PACKAGE / "__init__.py"
    match = re.search(r'^__version__ = "([^"]+)"$', home.read_text(encoding="utf-8"), re.MULTILINE)
    if match is None:
        yield f"{home.relative_to(checkout.root)} has no __version__"
        return
    patterns = ("*.toml", "*.yaml", "*.json", "functions/**/*.py", "layers/**/*.py", "local/**/*.py", "cli/**/*.py")
    for path in sorted({path for pattern in patterns for path in checkout.root.glob(pattern)} - {home}):
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
