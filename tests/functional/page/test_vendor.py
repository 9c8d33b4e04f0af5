"""The library of the charts is the package that the lock names, unchanged, with its license."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NPM = ROOT / "scripts/checks/npm"
VENDOR = ROOT / "cli/page/vendor"
FILES = {
    "uPlot.iife.min.js": "dist/uPlot.iife.min.js",
    "uPlot.min.css": "dist/uPlot.min.css",
    "uPlot.LICENSE": "LICENSE",
}


def test_the_checked_in_version_is_the_locked_one() -> None:
    wanted = json.loads((NPM / "package.json").read_text(encoding="utf-8"))["devDependencies"]["uplot"]
    first_line = (VENDOR / "uPlot.iife.min.js").read_text(encoding="utf-8").splitlines()[0]
    assert f"(v{wanted})" in first_line
    assert {path.name for path in VENDOR.iterdir()} == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_that_of_the_package(name: str) -> None:
    package = NPM / "node_modules/uplot"
    if not package.exists():
        pytest.skip("make test-setup installs it")
    assert (VENDOR / name).read_bytes() == (package / FILES[name]).read_bytes()
