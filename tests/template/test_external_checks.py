"""Every third-party check bites: a fault is planted for it and the check names it."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.built import Artifact, measure_all
from scripts.checks.checkout import Checkout, CheckResult
from scripts.checks.linters import asl_validator, cfn_lint, sam_validate, statelint
from scripts.checks.permissions import CHECKOV_SKIPPED, checkov, parliament
from tests.template.conftest import DEFINITION, ROOT, Plant

pytestmark = pytest.mark.slow

TEMPLATE = "template.yaml"

Check = Callable[[Checkout, Path], CheckResult]

CHECKS: dict[str, Check] = {
    "sam validate": lambda checkout, _: sam_validate(checkout, ROOT),
    "cfn-lint": cfn_lint,
    "statelint": statelint,
    "asl-validator": lambda checkout, work: asl_validator(checkout, work, ROOT),
    "checkov": lambda checkout, work: checkov(checkout, work, ROOT),
    "parliament": lambda checkout, _: parliament(checkout, ROOT),
}

# Per check: file, the text replaced, its replacement, and words of the finding.
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


@pytest.mark.parametrize("check", CHECKS)
def test_check_catches_every_planted_fault(
    check: str, checkout: Checkout, planted: Plant, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for path, old, new, _ in FAULTS[check]:
        checkout = planted(path, old, new)
    result = CHECKS[check](checkout, tmp_path_factory.mktemp("work"))
    if result.missing_tool and not os.environ.get("CI"):
        pytest.skip(result.missing_tool)
    for *_, words in FAULTS[check]:
        assert any(words in finding for finding in result.findings), (words, result)


def test_a_skip_that_nothing_needs_is_a_finding(
    checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CHECKOV_SKIPPED, ("CKV_AWS_57", "*"), "nothing fails it")
    (finding,) = checkov(checkout, tmp_path, ROOT).findings
    assert finding == "CKV_AWS_57 is skipped for *, which passes it: remove the skip"


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
    return measure_all(root / ".aws-sam/build")
