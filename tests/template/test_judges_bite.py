"""Each judge of others, shown to see: a fault is planted for it, run through it, and named."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.built import weigh_all
from scripts.judges.case import Case, Verdict
from scripts.judges.linters import asl_validator, cfn_lint, sam_validate, statelint
from scripts.judges.rights import CHECKOV_SKIPPED, checkov, parliament
from tests.template.conftest import DEFINITION, ROOT, Plant

pytestmark = pytest.mark.slow

TEMPLATE = "template.yaml"

Judge = Callable[[Case, Path], Verdict]

JUDGES: dict[str, Judge] = {
    "sam validate": lambda case, _: sam_validate(case, ROOT),
    "cfn-lint": cfn_lint,
    "statelint": statelint,
    "asl-validator": lambda case, work: asl_validator(case, work, ROOT),
    "checkov": lambda case, work: checkov(case, work, ROOT),
    "parliament": lambda case, _: parliament(case, ROOT),
}

# Judge, file, the text replaced, its replacement, and words of the finding.
FAULTS = [
    ("sam validate", TEMPLATE, "BillingMode: PAY_PER_REQUEST", "BillingMode: PAY_PER_QUERY", "PAY_PER_QUERY"),
    ("cfn-lint", TEMPLATE, "TopicArn: !Ref OutcomesTopic", "TopicArn: !Ref OutcomeTopic", "OutcomeTopic"),
    ("cfn-lint", TEMPLATE, "BillingMode: PAY_PER_REQUEST", "BillingMode: PAY_PER_QUERY", "PAY_PER_QUERY"),
    ("cfn-lint", TEMPLATE, "Runtime: python3.13", "Runtime: python3.6", "python3.6"),
    ("cfn-lint", TEMPLATE, "DeadLettersName: !GetAtt", "DeadLetterName: !GetAtt", "DeadLetterName"),
    ("cfn-lint", "monitoring.yaml", "Statistic: Maximum", "Statistic: Largest", "Largest"),
    ("statelint", DEFINITION, "Next: Notify", "Next: Announce", "Announce"),
    ("statelint", DEFINITION, "    Default: WaitForBuild", "    Defaults: WaitForBuild", "Defaults"),
    ("asl-validator", DEFINITION, "$states.input.verdict != 'wait'", "$states.input.verdict !== 'wait'", "jsonata"),
    ("asl-validator", DEFINITION, "StartAt: HasEnded", "StartAt: HasStarted", "HasStarted"),
    ("checkov", TEMPLATE, "BlockPublicAcls: true", "BlockPublicAcls: false", "CKV_AWS_53"),
    ("checkov", TEMPLATE, "PointInTimeRecoveryEnabled: true", "PointInTimeRecoveryEnabled: false", "CKV_AWS_28"),
    (
        "checkov",
        TEMPLATE,
        "        STACK_NAME:",
        "        KEY: AKIAIOSFODNN7EXAMPLF\n        STACK_NAME:",
        "CKV_AWS_45",
    ),
    ("parliament", TEMPLATE, "Action: dynamodb:Query", "Action: dynamodb:Search", "UNKNOWN_ACTION"),
    ("parliament", TEMPLATE, "!Sub ${LedgerTable.Arn}/index/due", "!GetAtt DeadLetters.Arn", "RESOURCE_MISMATCH"),
]


@pytest.mark.parametrize(("judge", "path", "old", "new", "words"), FAULTS)
def test_judge_catches_a_planted_fault(  # noqa: PLR0917 - a table of five columns
    judge: str, path: str, old: str, new: str, words: str, planted: Plant, tmp_path_factory: pytest.TempPathFactory
) -> None:
    verdict = JUDGES[judge](planted(path, old, new), tmp_path_factory.mktemp("work"))
    if verdict.absent and not os.environ.get("CI"):
        pytest.skip(verdict.absent)
    assert any(words in finding for finding in verdict.findings), verdict


@pytest.mark.parametrize("judge", JUDGES)
def test_judge_is_content_with_this_checkout(judge: str, case: Case, tmp_path: Path) -> None:
    assert JUDGES[judge](case, tmp_path).findings == ()


def test_every_judge_has_a_fault_planted() -> None:
    assert {judge for judge, *_ in FAULTS} == set(JUDGES)


def test_a_skip_that_nothing_needs_is_a_finding(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CHECKOV_SKIPPED, ("CKV_AWS_57", "*"), "nothing fails it")
    (finding,) = checkov(case, tmp_path, ROOT).findings
    assert finding == "CKV_AWS_57 is skipped for * and nothing fails it: remove the skip"


def test_a_second_build_is_byte_identical() -> None:
    before = weigh_all(ROOT / ".aws-sam/build")
    make = shutil.which("make")
    assert make
    subprocess.run([make, "build"], cwd=ROOT, check=True, capture_output=True)  # noqa: S603 - our own target
    assert weigh_all(ROOT / ".aws-sam/build") == before
