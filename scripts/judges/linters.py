"""Linters that others wrote, of the template and of the state machine."""

import json
import os
import re
import shutil
import sys
from pathlib import Path

from scripts.judges.case import Case, Verdict, states_of
from scripts.judges.tools import last_words, run, written

# Regions that differ in what they offer.
_REGIONS = ("us-east-1", "eu-central-1", "ap-southeast-2")

# cfn-lint's rules that are not followed, each with its reason.
CFN_LINT_IGNORED = {
    "W3002": "a nested template beside this one is uploaded by `sam deploy`, which puts its URL here",
}

# What statelint 3.1 says wrongly.
STATELINT_EXPLAINED = {
    r'\.(Timeout|Heartbeat)Seconds is "\{%.*%\}" but should be an Integer': (
        "a JSONata state may compute its timeout (Amazon States Language, 'TimeoutSeconds')"
    ),
}
# YAML's 2 is as good a BackoffRate as 2.0.
_STATELINT_IGNORED = "FLOAT"


def cfn_lint(case: Case, work: Path) -> Verdict:
    """Lint the expanded template and its nested ones: errors and warnings."""
    # Side by side, as they refer to each other.
    paths = [written(work / "expanded.json", case.expanded)]
    paths += [Path(shutil.copy(case.root / name, work / name)) for name in case.nested]
    command = [str(Path(sys.executable).parent / "cfn-lint"), "--format", "json", "--regions", *_REGIONS]
    command += ["--ignore-checks", *CFN_LINT_IGNORED]
    result = run([*command, "--", *(str(path) for path in paths)])
    judged = f"expanded template and {len(case.nested)} nested, {len(case.plain['Resources'])} resources"
    try:
        matches = json.loads(result.stdout or "[]")
    except json.JSONDecodeError:
        return Verdict(judge="cfn-lint", judged=judged, findings=last_words(result))
    findings = []
    for match in matches:
        place = "/".join(str(part) for part in match["Location"].get("Path") or [])
        findings.append(f"{match['Rule']['Id']} {place}: {match['Message']}")
    if result.returncode and not findings:
        return Verdict(judge="cfn-lint", judged=judged, findings=last_words(result))
    return Verdict(judge="cfn-lint", judged=judged, findings=tuple(findings))


def statelint(case: Case, work: Path) -> Verdict:
    """Lint the filled definition, its JSONata included."""
    path = written(work / "definition.json", case.filled_definition())
    result = run([sys.executable, "-m", "statelint", "--ignore", _STATELINT_IGNORED, "--eval-jsonata", str(path)])
    judged = f"state machine, {len(states_of(case.definition))} states"
    lines = [line.strip() for line in result.stdout.splitlines() if line.startswith(" ")]
    findings = [line for line in lines if not any(re.search(pattern, line) for pattern in STATELINT_EXPLAINED)]
    if result.returncode and not lines:
        return Verdict(judge="statelint", judged=judged, findings=last_words(result))
    return Verdict(judge="statelint", judged=judged, findings=tuple(findings))


def asl_validator(case: Case, work: Path, tools: Path) -> Verdict:
    """Validate the filled definition with the npm tool, which parses JSONata with its reference implementation."""
    judged = f"state machine, {len(states_of(case.definition))} states"
    program = tools / "node_modules/.bin/asl-validator"
    if not shutil.which("node") or not program.exists():
        return Verdict(judge="asl-validator", judged=judged, absent="needs node and npm, which are not here")
    path = written(work / "definition.json", case.filled_definition())
    result = run([str(program), "--json-path", str(path)])
    lines = [line.strip() for line in (result.stdout + result.stderr).splitlines() if line.strip()]
    findings = [line for line in lines if not line.startswith(("✓", "✕"))] or lines
    return Verdict(judge="asl-validator", judged=judged, findings=tuple(findings) if result.returncode else ())


def sam_validate(case: Case, tools: Path) -> Verdict:
    """Let SAM read the template as it is."""
    program = tools / ".venv-sam/bin/sam"
    command = [str(program), "validate", "--lint", "--config-file", "samplconfig.toml", "--template", "template.yaml"]
    # A region is asked for and never called; credentials are not needed.
    region = os.environ.get("AWS_DEFAULT_REGION", _REGIONS[0])
    variables = {"AWS_DEFAULT_REGION": region, "SAM_CLI_TELEMETRY": "0"}
    result = run(command, folder=case.root, variables=variables)
    judged = "template.yaml as it is"
    lines = [line.strip() for line in (result.stdout + result.stderr).splitlines() if line.strip()]
    return Verdict(judge="sam validate", judged=judged, findings=tuple(lines) if result.returncode else ())
