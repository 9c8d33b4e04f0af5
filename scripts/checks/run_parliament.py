"""Run by the Python of `.venv-checks`: reads policies by name from stdin, writes parliament's findings to stdout.

Both are JSON. Parliament's command line attributes the findings of several files to one of them, and stops at the
first broken file.
"""

import json
import sys

import parliament  # type: ignore[import-not-found]  # in .venv-checks, not where types are checked


def main() -> None:
    """Analyze every policy."""
    findings = []
    for name, document in json.load(sys.stdin).items():
        policy = parliament.analyze_policy_string(json.dumps(document))
        for finding in policy.findings:
            detail = finding.detail if isinstance(finding.detail, str) else json.dumps(finding.detail, default=str)
            findings.append({"policy": name, "issue": finding.issue, "detail": detail})
    json.dump(findings, sys.stdout)


if __name__ == "__main__":
    main()
