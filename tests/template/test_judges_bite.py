"""Each judge of others, shown to see: a fault is planted for it, run through it, and named."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.built import Artifact, weigh_all
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

# Per judge: file, the text replaced, its replacement, and words of the finding.
FAULTS: dict[str, list[tuple[str, str, str, str]]] = {
    "sam validate": [(TEMPLATE, "BillingMode: PAY_PER_REQUEST", "BillingMode: PAY_PER_QUERY", "PAY_PER_QUERY")],
    "cfn-lint": [
        (TEMPLATE, "TopicArn: !Ref OutcomesTopic", "TopicArn: !Ref OutcomeTopic", "OutcomeTopic"),
        (TEMPLATE, "BillingMode: PAY_PER_REQUEST", "BillingMode: PAY_PER_QUERY", "PAY_PER_QUERY"),
        (TEMPLATE, "Runtime: python3.13", "Runtime: python3.6", "python3.6"),
        (TEMPLATE, "DeadLettersName: !GetAtt", "DeadLetterName: !GetAtt", "DeadLetterName"),
        ("monitoring.yaml", "Statistic: Maximum", "Statistic: Largest", "Largest"),
    ],
    "statelint": [
        (DEFINITION, "Next: Notify", "Next: Announce", "Announce"),
        (DEFINITION, "    Default: RecordOutcome", "    Defaults: RecordOutcome", "Defaults"),
    ],
    "asl-validator": [(DEFINITION, "$states.input.verdict = 'fetch'", "$states.input.verdict == 'fetch'", "jsonata")],
    "checkov": [
        (TEMPLATE, "BlockPublicAcls: true", "BlockPublicAcls: false", "CKV_AWS_53"),
        (TEMPLATE, "PointInTimeRecoveryEnabled: true", "PointInTimeRecoveryEnabled: false", "CKV_AWS_28"),
        (TEMPLATE, "        STACK_NAME:", "        KEY: AKIAIOSFODNN7EXAMPLF\n        STACK_NAME:", "CKV_AWS_45"),
    ],
    "parliament": [
        (TEMPLATE, "Action: states:StartExecution", "Action: states:StartEverything", "UNKNOWN_ACTION"),
        (TEMPLATE, "Action: [s3:ListBucket,", "Action: [s3:GetObject,", "RESOURCE_MISMATCH"),
    ],
}


@pytest.mark.parametrize("judge", JUDGES)
def test_judge_catches_every_planted_fault(
    judge: str, case: Case, planted: Plant, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for path, old, new, _ in FAULTS[judge]:
        case = planted(path, old, new)
    verdict = JUDGES[judge](case, tmp_path_factory.mktemp("work"))
    if verdict.absent and not os.environ.get("CI"):
        pytest.skip(verdict.absent)
    for *_, words in FAULTS[judge]:
        assert any(words in finding for finding in verdict.findings), (words, verdict)


def test_a_skip_that_nothing_needs_is_a_finding(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CHECKOV_SKIPPED, ("CKV_AWS_57", "*"), "nothing fails it")
    (finding,) = checkov(case, tmp_path, ROOT).findings
    assert finding == "CKV_AWS_57 is skipped for * and nothing fails it: remove the skip"


def test_two_builds_in_two_places_are_byte_identical(planted: Plant, tmp_path: Path) -> None:
    first = planted("README.md", "", "")
    second = tmp_path / "elsewhere"
    shutil.copytree(first.root, second, ignore=shutil.ignore_patterns("elsewhere"), copy_function=shutil.copyfile)
    assert built(first.root) == built(second)


def built(root: Path) -> list[Artifact]:
    """Run `sam build` in a folder as the Makefile does."""
    program = [str(ROOT / ".venv-sam/bin/sam"), "build", "--config-file", "samplconfig.toml"]
    found = subprocess.run([ROOT / "scripts/find-python3.13"], capture_output=True, text=True, check=False)  # noqa: S603 - likewise
    # The flags of a make that runs these tests are not for the one that SAM calls.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    environment = inherited | {
        "SAM_CLI_TELEMETRY": "0",
        "PYTHON": str(ROOT / ".venv-sam/bin/python"),
        "PYTHON313": found.stdout.strip() or "none",
    }
    subprocess.run(program, cwd=root, env=environment, check=True, capture_output=True)  # noqa: S603 - our own program
    return weigh_all(root / ".aws-sam/build")
