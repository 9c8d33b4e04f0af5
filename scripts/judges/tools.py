"""How judges of others are run, and given what they judge."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

TOOL_SECONDS = 120


def written(path: Path, document: Mapping[str, Any]) -> Path:
    """Write a document as JSON and give its path."""
    path.write_text(json.dumps(document, indent=1), encoding="utf-8")
    return path


def run(
    command: Sequence[str],
    *,
    folder: Path | None = None,
    variables: Mapping[str, str] | None = None,
    given: str | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, with more environment variables and something on its standard input."""
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **(variables or {})},
        input=given,
        capture_output=True,
        text=True,
        timeout=TOOL_SECONDS,
        check=False,
    )


def last_words(result: subprocess.CompletedProcess[str]) -> tuple[str, ...]:
    """Give one finding about a program that broke down instead of judging."""
    words = " ".join((result.stderr or result.stdout).strip().splitlines()[-3:])
    return (f"ended with {result.returncode}: {words}",)
