"""Runs the third-party tools and writes their input."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

TOOL_SECONDS = 120


def write_json(path: Path, document: Mapping[str, Any]) -> Path:
    """Write a document as JSON and return its path."""
    path.write_text(json.dumps(document, indent=1), encoding="utf-8")
    return path


def run(
    command: Sequence[str],
    *,
    folder: Path | None = None,
    variables: Mapping[str, str] | None = None,
    stdin: str | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program to completion, with additional environment variables and standard input."""
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **(variables or {})},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=TOOL_SECONDS,
        check=False,
    )


def tool_failure(result: subprocess.CompletedProcess[str]) -> tuple[str, ...]:
    """Return one finding about a program that failed instead of reporting findings."""
    words = " ".join((result.stderr or result.stdout).strip().splitlines()[-3:])
    return (f"ended with {result.returncode}: {words}",)
