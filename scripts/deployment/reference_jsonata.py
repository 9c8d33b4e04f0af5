"""Evaluates what the embedded AWS evaluated with the reference implementation of JSONata (npm), and compares."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.deployment.paths import NODE_MODULES

_SCRIPT = Path(__file__).with_name("evaluate_jsonata.js")
_LONGEST_SECONDS = 120
# The declarations in front of the state's own expression, in which only values differ.
_DECLARATIONS = re.compile(r"\$\w+:=.*;", re.DOTALL)


def is_available() -> bool:
    """Return whether node and the library are installed."""
    return shutil.which("node") is not None and (NODE_MODULES / "jsonata").is_dir()


def differing(evaluations: Sequence[dict[str, Any]]) -> list[str]:
    """Return one line for each evaluation with another result than the reference's.

    ``evaluations`` have an ``expression`` and a ``result``, or ``failed``.
    """
    done = subprocess.run(
        ["node", _SCRIPT],
        input=json.dumps([each["expression"] for each in evaluations]),
        env=os.environ | {"NODE_PATH": str(NODE_MODULES)},
        capture_output=True,
        text=True,
        timeout=_LONGEST_SECONDS,
        check=True,
    )
    reference = json.loads(done.stdout)
    return [
        f"{own_expression(ours['expression'])}: {_result(ours)}, the reference {_result(theirs)}"
        for ours, theirs in zip(evaluations, reference, strict=True)
        if _result(ours) != _result(theirs)
    ]


def not_evaluated(definition: str, evaluations: Sequence[dict[str, Any]]) -> list[str]:
    """Return the expressions of a state machine's definition that were not evaluated."""
    found = {own_expression(each["expression"]) for each in evaluations}
    return sorted(
        expression for expression in re.findall(r"\{%\s*(.*?)\s*%\}", definition) if f"({expression})" not in found
    )


def own_expression(text: str) -> str:
    """Return the part of an expression that the state machine's definition has, without the declared values."""
    return _DECLARATIONS.sub("", text)


def _result(evaluation: dict[str, Any]) -> str:
    return "fails" if evaluation.get("failed") else json.dumps(evaluation["result"], sort_keys=True)
