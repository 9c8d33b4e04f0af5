"""Third-party linters of the template and of the state machine."""

import json
import os
import re
import shutil
import sys
from pathlib import Path

from scripts.checks.checkout import Checkout, CheckResult, states_of
from scripts.checks.tools import run, tool_failure, write_json

# Regions with different sets of services.
_REGIONS = ("us-east-1", "eu-central-1", "ap-southeast-2")

# Ignored rules of cfn-lint, each with its reason.
CFN_LINT_IGNORED = {
    "W3002": "a nested template beside this one is uploaded by `sam deploy`, which puts its URL here",
}

# False findings of statelint 3.1.
STATELINT_EXPLAINED = {
    r'\.(Timeout|Heartbeat)Seconds is "\{%.*%\}" but should be an Integer': (
        "a JSONata state may compute its timeout (Amazon States Language, 'TimeoutSeconds')"
    ),
}
# YAML's 2 is a valid BackoffRate, like 2.0.
_STATELINT_IGNORED = "FLOAT"


def cfn_lint(checkout: Checkout, work: Path) -> CheckResult:
    """Lint the expanded template and its nested ones; warnings count."""
    # In one folder, because they refer to each other.
    paths = [write_json(work / "expanded.json", checkout.expanded)]
    paths += [Path(shutil.copy(checkout.root / name, work / name)) for name in checkout.nested]
    command = [str(Path(sys.executable).parent / "cfn-lint"), "--format", "json", "--regions", *_REGIONS]
    command += ["--ignore-checks", *CFN_LINT_IGNORED]
    result = run([*command, "--", *(str(path) for path in paths)])
    checked = f"expanded template and {len(checkout.nested)} nested, {len(checkout.defaults['Resources'])} resources"
    try:
        matches = json.loads(result.stdout or "[]")
    except json.JSONDecodeError:
        return CheckResult(check="cfn-lint", checked=checked, findings=tool_failure(result))
    findings = []
    for match in matches:
        place = "/".join(str(part) for part in match["Location"].get("Path") or [])
        findings.append(f"{match['Rule']['Id']} {place}: {match['Message']}")
    if result.returncode and not findings:
        return CheckResult(check="cfn-lint", checked=checked, findings=tool_failure(result))
    return CheckResult(check="cfn-lint", checked=checked, findings=tuple(findings))


def statelint(checkout: Checkout, work: Path) -> CheckResult:
    """Lint the filled definition, including its JSONata."""
    path = write_json(work / "definition.json", checkout.filled_definition())
    result = run([sys.executable, "-m", "statelint", "--ignore", _STATELINT_IGNORED, "--eval-jsonata", str(path)])
    checked = f"state machine, {len(states_of(checkout.definition))} states"
    lines = [line.strip() for line in result.stdout.splitlines() if line.startswith(" ")]
    findings = [line for line in lines if not any(re.search(pattern, line) for pattern in STATELINT_EXPLAINED)]
    if result.returncode and not lines:
        return CheckResult(check="statelint", checked=checked, findings=tool_failure(result))
    return CheckResult(check="statelint", checked=checked, findings=tuple(findings))


def asl_validator(checkout: Checkout, work: Path, tools: Path) -> CheckResult:
    """Validate the filled definition with the npm tool, which parses JSONata with its reference implementation."""
    checked = f"state machine, {len(states_of(checkout.definition))} states"
    program = tools / "scripts/checks/npm/node_modules/.bin/asl-validator"
    if not shutil.which("node") or not program.exists():
        return CheckResult(check="asl-validator", checked=checked, missing_tool="node or npm is not installed")
    path = write_json(work / "definition.json", checkout.filled_definition())
    result = run([str(program), "--json-path", str(path)])
    lines = [line.strip() for line in (result.stdout + result.stderr).splitlines() if line.strip()]
    findings = [line for line in lines if not line.startswith(("✓", "✕"))] or lines
    return CheckResult(check="asl-validator", checked=checked, findings=tuple(findings) if result.returncode else ())


def sam_validate(checkout: Checkout, tools: Path) -> CheckResult:
    """Let SAM validate the template as written."""
    program = tools / ".venv-sam/bin/sam"
    command = [str(program), "validate", "--lint", "--config-file", "samplconfig.toml", "--template", "template.yaml"]
    # SAM requires a region but calls nothing there; it needs no credentials.
    region = os.environ.get("AWS_DEFAULT_REGION", _REGIONS[0])
    variables = {"AWS_DEFAULT_REGION": region, "SAM_CLI_TELEMETRY": "0"}
    result = run(command, folder=checkout.root, variables=variables)
    checked = "template.yaml as written"
    lines = [line.strip() for line in (result.stdout + result.stderr).splitlines() if line.strip()]
    return CheckResult(check="sam validate", checked=checked, findings=tuple(lines) if result.returncode else ())
