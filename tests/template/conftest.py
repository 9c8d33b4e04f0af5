import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from scripts.checks.checkout import Checkout, open_checkout

ROOT = Path(__file__).parents[2]
DEFINITION = "statemachine/build_lifecycle.asl.yaml"

# What the checks and rules read of a checkout.
_READ = (
    "docs",
    "events",
    "functions",
    "layers",
    "statemachine",
    "template.yaml",
    "monitoring.yaml",
    "samplconfig.toml",
    "pyproject.toml",
)

Plant = Callable[[str, str, str], Checkout]


@pytest.fixture(scope="session")
def checkout() -> Checkout:
    """This checkout."""
    return open_checkout(ROOT)


@pytest.fixture
def planted(checkout: Checkout, tmp_path: Path) -> Plant:
    """Return a copy of this checkout with one piece of text replaced; later faults are planted into the same copy."""

    def plant(path: str, old: str, new: str) -> Checkout:
        for name in _READ:
            if (tmp_path / name).exists():
                continue
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, tmp_path / name)
        target = tmp_path / path
        text = target.read_text(encoding="utf-8") if target.exists() else ""
        assert old in text, f"{path} no longer contains {old!r}: plant the fault elsewhere"
        target.parent.mkdir(exist_ok=True)
        target.write_text(text.replace(old, new, 1), encoding="utf-8")
        if path in ("template.yaml", "monitoring.yaml"):
            return open_checkout(tmp_path)
        if path == DEFINITION:
            return replace(checkout, root=tmp_path, definition=yaml.safe_load(target.read_text(encoding="utf-8")))
        return replace(checkout, root=tmp_path)

    return plant
