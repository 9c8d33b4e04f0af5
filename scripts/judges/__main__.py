"""``python -m scripts.judges``: have everything judged; ``--light`` only by what the development environment has.

One line per judge; the exit code is 1 if any found something. A judge whose tool this machine lacks is
named and passed over, except in CI (the variable CI is set), where it counts as a finding.
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
from scripts.judges.case import Case, Verdict, open_case
from scripts.judges.house import house_rules
from scripts.judges.integrations import integrations
from scripts.judges.linters import asl_validator, cfn_lint, sam_validate, statelint
from scripts.judges.rights import checkov, parliament

ROOT = Path(__file__).parents[2]

Judge = Callable[[], Verdict]


def light_judges(case: Case, work: Path) -> list[Judge]:
    """Give the judges that need only the development environment."""
    return [
        lambda: cfn_lint(case, work),
        lambda: statelint(case, work),
        lambda: integrations(case),
    ]


def heavy_judges(case: Case, work: Path, tools: Path) -> list[Judge]:
    """Give the judges that need environments of their own, in ``tools``, and the house rules."""
    return [
        lambda: sam_validate(case, tools),
        lambda: asl_validator(case, work, tools),
        lambda: checkov(case, work, tools),
        lambda: parliament(case, tools),
        lambda: house_rules(case),
    ]


def run(judges: Sequence[Judge], *, in_ci: bool) -> bool:
    """Ask one judge after the other and print what they say; True if nobody found anything."""
    clean = True
    for judge in judges:
        begun = time.monotonic()
        verdict = judge()
        seconds = time.monotonic() - begun
        findings = verdict.findings or ((verdict.absent,) if verdict.absent and in_ci else ())
        word = "FINDINGS" if findings else "not here" if verdict.absent else "ok"
        print(f"{verdict.judge:14}  {verdict.judged:66}  {word:8} {seconds:5.1f} s", flush=True)
        if verdict.absent and not findings:
            print(f"{'':14}  notice: {verdict.absent}")
        for finding in findings:
            print(f"{'':14}  - {finding}", flush=True)
        clean = clean and not findings
    return clean


def main() -> int:
    """Judge this checkout."""
    parser = argparse.ArgumentParser(prog="python -m scripts.judges", description="Have the template judged.")
    parser.add_argument("--light", action="store_true", help="only the judges that need no environment of their own")
    light = parser.parse_args().light
    # It counts itself, and complains on standard error that nobody collects the figures.
    logging.getLogger("samtranslator.metrics").setLevel(logging.ERROR)
    try:
        case = open_case(ROOT)
    except TemplateError as exc:
        print(f"the template cannot be expanded: {exc}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        judges = light_judges(case, work) + ([] if light else heavy_judges(case, work, ROOT))
        return 0 if run(judges, in_ci=bool(os.environ.get("CI"))) else 1


if __name__ == "__main__":
    sys.exit(main())
