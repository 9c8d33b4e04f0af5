"""Run by the judges' own Python: policies by name in on stdin, parliament's findings out on stdout, both JSON.

Its command line attributes findings of several files to one of them, and stops at the first broken file.
"""

import json
import sys

import parliament  # type: ignore[import-not-found]  # in .venv-judges, not where types are checked


def main() -> None:
    """Judge every policy."""
    findings = []
    for name, document in json.load(sys.stdin).items():
        policy = parliament.analyze_policy_string(json.dumps(document))
        for finding in policy.findings:
            detail = finding.detail if isinstance(finding.detail, str) else json.dumps(finding.detail, default=str)
            findings.append({"policy": name, "issue": finding.issue, "detail": detail})
    json.dump(findings, sys.stdout)


if __name__ == "__main__":
    main()
