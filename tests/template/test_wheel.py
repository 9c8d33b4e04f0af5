"""The wheel: it gives the command without the embedded AWS; with the extra `local` it runs the demonstration."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.page_content import data_in

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements/dev.lock"
# Processor time: the machine may be busy. A quiet one needs little more than that by the clock.
MOST_HELP_SECONDS = 0.4
# Modules that must not be there without the extra.
HEAVY = {"moto", "samtranslator", "reportlab", "trustme", "matplotlib", "jsonata"}


def run(*command: object, cwd: Path | None = None, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    hidden = ("AWS_", "COURIER_", "PYTHON", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    return subprocess.run(  # noqa: S603 - our own commands
        list(map(str, command)), capture_output=True, text=True, check=False, timeout=timeout, cwd=cwd, env=environment
    )


def uv(*arguments: object) -> None:
    result = run(Path(sys.executable).with_name("uv"), *arguments)
    assert result.returncode == 0, result.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    result = run(Path(sys.executable).with_name("hatchling"), "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    (file,) = folder.glob("build_courier-*.whl")
    return file


class Installation:
    """A virtual environment in which the wheel is installed."""

    def __init__(self, folder: Path, wheel: Path, extras: Sequence[str] = ()) -> None:
        self.folder = folder
        uv("venv", "--quiet", "--python", sys.executable, folder / "venv")
        self.python = folder / "venv/bin/python"
        named = f"build-courier[{','.join(extras)}] @ {wheel.as_uri()}" if extras else str(wheel)
        uv("pip", "install", "--quiet", "--compile-bytecode", "--python", self.python, "-c", self._constraints(), named)

    def _constraints(self) -> Path:
        """Return the versions of the lock, without its hashes: the wheel has none."""
        file = self.folder / "constraints.txt"
        lines = [line.removesuffix(" \\") for line in LOCK.read_text(encoding="utf-8").splitlines() if "==" in line]
        file.write_text("\n".join(line for line in lines if not line.startswith(" ")), encoding="utf-8")
        return file

    def courier(self, *arguments: object, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        # Anywhere but in the checkout, whose packages would be found first.
        return run(self.folder / "venv/bin/courier", *arguments, cwd=self.folder, timeout=timeout)


@pytest.fixture(scope="module")
def plain(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return Installation(tmp_path_factory.mktemp("plain"), wheel)


def test_the_wheel_has_what_a_run_deploys_and_what_the_page_is_made_of(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    deployed = {
        f"local/stack/{path.relative_to(ROOT).as_posix()}"
        for pattern in ("template.yaml", "monitoring.yaml", "statemachine/*", "functions/*/app.py")
        for path in ROOT.glob(pattern)
    }
    assert len(deployed) == 8
    assert deployed <= names
    assert {f"cli/page/{name}" for name in ("page.html.jinja", "page.css", "page.js", "vendor/uPlot.LICENSE")} <= names
    assert {"courier/__init__.py", "local/polling_study/prices.yaml"} <= names
    assert not [name for name in names if "__pycache__" in name or name.startswith(("tests/", "bench/", "out/"))]


@pytest.mark.slow
def test_the_plain_command_starts_quickly_and_without_the_embedded_aws(plain: Installation) -> None:
    installed = run(
        plain.python, "-c", f"import importlib.util as u; print([m for m in {sorted(HEAVY)} if u.find_spec(m)])"
    )
    assert installed.stdout.strip() == "[]"
    plain.courier("status", "-h")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    result = plain.courier("status", "-h")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"status -h took {time.monotonic() - started:.2f} s")  # noqa: T201
    assert result.returncode == 0
    assert "Usage: courier status" in result.stdout
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < MOST_HELP_SECONDS


@pytest.mark.slow
@pytest.mark.parametrize("command", [("status",), ("builds",), ("page",), ("latest",), ("show", "b")], ids=" ".join)
def test_every_command_on_a_stack_works_without_the_extra(plain: Installation, command: tuple[str, ...]) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    # A port that refuses: the first request fails, and says so.
    result = plain.courier(*command, "--endpoint-url", "http://127.0.0.1:9", "--region", "eu-central-1")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert result.returncode == 2
    assert "AWS cannot be reached" in result.stderr
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0


@pytest.mark.slow
def test_a_command_that_needs_the_extra_names_it(plain: Installation) -> None:
    result = plain.courier("run")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        "courier: this needs the embedded AWS: pipx install 'build-courier[local]', or the same with pip\n"
    )
    assert plain.courier("simulate").returncode == 0


@pytest.mark.slow
def test_the_wheel_with_the_extra_runs_the_demonstration(wheel: Path, tmp_path: Path) -> None:
    installation = Installation(tmp_path, wheel, ["local"])
    result = installation.courier("run", "--out", "results", timeout=240)
    assert (result.returncode, result.stderr) == (0, "")
    assert "8 notices published" in result.stdout
    data = data_in((tmp_path / "results/index.html").read_text(encoding="utf-8"))
    assert len(data["builds"]) == 8
