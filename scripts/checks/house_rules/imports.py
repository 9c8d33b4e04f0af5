"""Rules about imports: the layers of the shared package, what it ships with, and what a handler may not do."""
# ruff: noqa: D401 - the first lines state the rules

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from scripts.checks.checkout import Checkout

PACKAGE = "layers/courier/courier"

# The folders and modules of the shared package from the lowest layer to the highest: each may import the ones before
# it, whether at the top of a module, inside a function or for type checkers only.
LAYERS = (
    "errors", "clock", "links", "backoff", "tls", "models", "object_keys", "aws", "observability", "config",
    "idle_check", "ledger", "outcomes", "providers", "transfer", "sources", "builds", "usecases",
)  # fmt: skip

# In Lambda's runtime; stubs are imported for type checkers only, which `layer_imports_what_it_ships` allows.
_PROVIDED_BY_LAMBDA = {"boto3", "botocore"}


def handlers_only_handle(checkout: Checkout) -> Iterator[str]:
    """A handler knows the shared package and nothing behind it."""
    for path in sorted((checkout.root / "functions").rglob("*.py")):
        where = path.relative_to(checkout.root)
        text = path.read_text(encoding="utf-8")
        for word in ("boto3", "botocore", "os.environ", "getenv"):
            if word in text:
                yield f"{where} mentions {word}"
        for module, _ in _imports(path):
            if module.split(".")[0] not in sys.stdlib_module_names | {"aws_lambda_powertools", "courier"}:
                yield f"{where} imports {module}"


def layer_imports_what_it_ships(checkout: Checkout) -> Iterator[str]:
    """The shared package imports only what its layers and Lambda's runtime contain."""
    lock = (checkout.root / "layers/dependencies/requirements.txt").read_text(encoding="utf-8")
    shipped = {name.replace("-", "_") for name in re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE)}
    allowed = sys.stdlib_module_names | shipped | _PROVIDED_BY_LAMBDA | {"courier"}
    for path in sorted((checkout.root / PACKAGE).rglob("*.py")):
        for module, for_types_only in _imports(path):
            if module.split(".")[0] not in allowed and not for_types_only:
                yield f"{path.relative_to(checkout.root)} imports {module}, which no layer has"


def imports_point_downward(checkout: Checkout) -> Iterator[str]:
    """A layer of the shared package imports only lower layers, so imports form no circle."""
    package = checkout.root / PACKAGE
    height = {name: index for index, name in enumerate(LAYERS)}
    found = {path.stem for path in package.iterdir() if path.is_dir() or path.suffix == ".py"}
    for name in sorted((found ^ height.keys()) - {"__init__", "__pycache__", "py"}):
        yield f"courier.{name} is not both a part of the package and an entry of LAYERS"
    for path in sorted(package.rglob("*.py")):
        where = path.relative_to(package)
        layer = where.parts[0].removesuffix(".py")
        for module, _ in _imports(path):
            imported = module.partition(".")[2].partition(".")[0]
            if not module.startswith("courier.") or imported in (layer, "__version__"):
                continue
            if height.get(imported, len(LAYERS)) > height.get(layer, -1):
                yield f"courier.{layer} imports courier.{imported}, which is a higher layer ({where})"


def _imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Yield each imported module, and whether only type checkers import it."""
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
