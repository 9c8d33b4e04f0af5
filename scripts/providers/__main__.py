"""``python -m scripts.providers``: let others validate the simulated vendors, one line for each validate.

The exit code is 1 if one disagrees, or if the `tried` of a definition is not what its checks covered.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from courier.providers.http_json.shipped import FOLDER, load_shipped, shipped_names
from local.simulator import SimulatedVendor, load_vendor
from scripts.providers.specification import PRISM, ROOT, SPECIFICATIONS, ViolationError, validate

CLIENT_PYTHON = ROOT / ".venv-vendors" / "bin" / "python"
CLIENTS = ROOT / "scripts" / "providers" / "clients.py"
LIMIT_SECONDS = 120
# So that a client polls a job a few times, without long waits.
WORD_SECONDS = 0.3


class DisagreementError(Exception):
    """A client does not accept what a simulated vendor says."""


def packages() -> dict[str, str]:
    """Return the packages of the clients, by the definitions that they validate."""
    listed = subprocess.run(
        [CLIENT_PYTHON, CLIENTS, "--list"], capture_output=True, text=True, check=True, timeout=LIMIT_SECONDS
    )
    found: dict[str, str] = json.loads(listed.stdout)
    return found


def drive_client(name: str, *, planted: bool = False) -> list[str]:
    """Let a vendor's client drive a simulated vendor, and return what was covered.

    Parameters
    ----------
    planted
        Whether the vendor says nothing of its jobs but their words.

    Raises
    ------
    DisagreementError
        The client does not accept what the vendor says.
    """
    scenario = load_vendor(name)
    update: dict[str, object] = {"seconds": WORD_SECONDS}
    if planted:
        states = {word: state.model_copy(update={"body": {}}) for word, state in scenario.job.states.items()}
        update["states"] = states
        update["body"] = {name: value for name, value in scenario.job.body.items() if value == "{word}"}
    quick = scenario.model_copy(update={"job": scenario.job.model_copy(update=update)})
    with SimulatedVendor(quick) as vendor:
        case = {
            "name": name,
            "url": vendor.url,
            "artifacts": f"http://localhost:{urlsplit(vendor.url).port}",
            "secret": scenario.secret,
            "token": vendor.new_token(),
            "job": vendor.start_elsewhere(),
            "scope": scenario.scope,
            "input": scenario.input,
            "api": json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))["api"],
        }
        ran = subprocess.run(
            [CLIENT_PYTHON, "-W", "ignore", CLIENTS],
            input=json.dumps(case),
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT_SECONDS,
        )
    if ran.returncode:
        raise DisagreementError("; ".join(ran.stderr.strip().splitlines()[-3:]))
    covered: list[str] = json.loads(ran.stdout)
    return covered


def accepted_plants() -> list[str]:
    """Return the definitions whose clients accept a simulated vendor that leaves everything out."""
    accepted = []
    for name in packages():
        try:
            drive_client(name, planted=True)
        except DisagreementError as exc:
            print(f"{name:32}  disagrees, as it should: {str(exc)[-120:]}", flush=True)
        else:
            accepted.append(name)
            print(f"{name:32}  ACCEPTS a response without content", flush=True)
    return accepted


def main(arguments: list[str]) -> int:
    """Run all checks, print what they cover, and compare it with what the definitions claim."""
    logging.disable(logging.ERROR)
    if not (PRISM.exists() and CLIENT_PYTHON.exists()):
        print("prism or .venv-vendors is missing: run make verify-providers", file=sys.stderr)
        return 1
    if arguments == ["--planted"]:
        return 1 if accepted_plants() else 0
    checks: list[tuple[str, str, Callable[[str], list[str]]]] = [
        (name, "Prism with the vendor's specification", validate) for name in SPECIFICATIONS
    ]
    checks += [(name, package, drive_client) for name, package in packages().items()]
    claims: dict[str, list[str]] = {name: [] for name in shipped_names()}
    passed = True
    for name, by, run in sorted(checks, key=lambda entry: entry[0]):
        started = time.monotonic()
        try:
            text = f"{by}: {', '.join(run(name))}"
            claims[name].append(text)
        except (DisagreementError, ViolationError, RuntimeError, subprocess.TimeoutExpired) as exc:
            passed, text = False, f"{by}: DISAGREES: {exc}"
        print(f"{name:32}  {text:76}  {time.monotonic() - started:5.1f} s", flush=True)
    for name, covered in claims.items():
        if covered and list(load_shipped(name).tried) != covered:
            passed = False
            print(f"{name}: tried must be {json.dumps(covered)}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
