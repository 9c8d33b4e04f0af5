"""``python -m scripts.checks``: run all checks; ``--light`` only those that the development environment can run.

One line per check; the exit code is 1 if any has findings. A check whose tool this machine lacks is named and
skipped, except in CI (the variable CI is set), where a missing tool counts as a finding.
"""

import argparse
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from local.sam.intrinsics import TemplateError
from scripts.checks.checkout import Checkout, CheckResult, open_checkout
from scripts.checks.house_rules import house_rules
from scripts.checks.integrations import integrations
from scripts.checks.linters import asl_validator, cfn_lint, sam_validate, statelint
from scripts.checks.permissions import checkov, parliament

ROOT = Path(__file__).parents[2]

Check = Callable[[], CheckResult]


def light_checks(checkout: Checkout, work: Path) -> list[Check]:
    """Return the checks that need only the development environment."""
    return [
        lambda: cfn_lint(checkout, work),
        lambda: statelint(checkout, work),
        lambda: integrations(checkout),
        lambda: house_rules(checkout),
    ]


def heavy_checks(checkout: Checkout, work: Path, tools: Path) -> list[Check]:
    """Return the checks that need environments of their own below ``tools``."""
    return [
        lambda: sam_validate(checkout, tools),
        lambda: asl_validator(checkout, work, tools),
        lambda: checkov(checkout, work, tools),
        lambda: parliament(checkout, tools),
    ]


def run(checks: Sequence[Check], *, in_ci: bool) -> bool:
    """Run the checks one after the other and print their results; return True if none has findings."""
    passed = True
    for check in checks:
        started = time.monotonic()
        result = check()
        seconds = time.monotonic() - started
        findings = result.findings or ((result.missing_tool,) if result.missing_tool and in_ci else ())
        status = "FINDINGS" if findings else "skipped" if result.missing_tool else "ok"
        print(f"{result.check:14}  {result.checked:66}  {status:8} {seconds:5.1f} s", flush=True)
        if result.missing_tool and not findings:
            print(f"{'':14}  notice: {result.missing_tool}")
        for finding in findings:
            print(f"{'':14}  - {finding}", flush=True)
        passed = passed and not findings
    return passed


def main() -> int:
    """Check this checkout and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.checks", description="Check template and state machine.")
    parser.add_argument("--light", action="store_true", help="only the checks that need no environment of their own")
    light = parser.parse_args().light
    # It counts its own use, and warns on standard error that nothing collects the figures.
    logging.getLogger("samtranslator.metrics").setLevel(logging.ERROR)
    try:
        checkout = open_checkout(ROOT)
    except TemplateError as exc:
        print(f"the template cannot be expanded: {exc}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        checks = light_checks(checkout, work) + ([] if light else heavy_checks(checkout, work, ROOT))
        return 0 if run(checks, in_ci=bool(os.environ.get("CI"))) else 1


if __name__ == "__main__":
    sys.exit(main())
