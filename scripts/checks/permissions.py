"""Third-party scanners of permissions and protection, checkov and parliament, run on the resolved deployments."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from local.sam.expansion import resources_of
from local.sam.intrinsics import Template
from scripts.checks.checkout import Checkout, CheckResult
from scripts.checks.tools import run, tool_failure, write_json

# Skipped checks of checkov, for one resource or for all ("*"), each with its reason.
# A skip that no resource needs any more is itself a finding.
CHECKOV_SKIPPED = {
    ("CKV_AWS_18", "*"): "access logs need a second bucket and grow with every read; CloudTrail covers this better",
    (
        "CKV_AWS_26",
        "AlarmsTopic",
    ): "CloudWatch publishes only where the key's policy names it (KmsKeyArn); no secrets in alarms",
    ("CKV_AWS_27", "*"): "wants a KMS key; the queue is encrypted by SQS itself unless KmsKeyArn is set",
    ("CKV_AWS_115", "*"): "the spare concurrency of an account is unknown; overlapping ticks do no harm (the ledger)",
    ("CKV_AWS_116", "*"): "asynchronous functions have a failure destination; Step Functions calls the others",
    ("CKV_AWS_117", "*"): "a VPC needs a NAT gateway to reach providers, at many times the courier's cost",
    ("CKV_AWS_119", "*"): "wants a customer managed key; DynamoDB encrypts with its own unless KmsKeyArn is set",
    ("CKV_AWS_158", "*"): "wants a customer managed key; CloudWatch encrypts with its own, and no secret is logged",
    ("CKV_AWS_173", "*"): "wants a customer managed key for environment variables, which contain no secrets",
}
# Checks that must run: public access, encryption, secrets in variables, and permissions that are too broad.
CHECKOV_REQUIRED = {f"CKV_AWS_{number}" for number in (26, 28, 45, 53, 54, 55, 56, 62, 107, 108, 109, 110, 111)}


class ExplainedFinding(NamedTuple):
    """An accepted finding: the issue, patterns of the policy's name and of the detail, and the reason."""

    issue: str
    policy: str
    detail: str
    reason: str


PARLIAMENT_EXPLAINED = (
    ExplainedFinding(
        "RESOURCE_MISMATCH",
        r"(PollBuilds|DiscoverBuilds|RequestBuild)FunctionRolePolicy0$",
        r"states:SendTaskSuccess",
        "The authorization reference lists no resource for it, yet AWS evaluates the state machine's ARN (tried in "
        "aws-cdk's pull request 8486, and named in AWS's access-denied messages); the alternative would be a wildcard.",
    ),
    ExplainedFinding(
        "NO_VERSION",
        r"(SQS|Lambda)Policy$",
        r"",
        "SAM generates these for schedules and failure destinations; the older version lacks only policy variables.",
    ),
)


# Keeps checkov from calling its platform.
_OFFLINE = {"BC_SKIP_MAPPING": "TRUE", "CHECKOV_RUN_SCA_PACKAGE_SCAN_V2": "false"}


def checkov(checkout: Checkout, work: Path, tools: Path) -> CheckResult:
    """Run all of checkov's checks for CloudFormation on both deployments, without its platform."""
    deployments = {"defaults": checkout.defaults, "all_options": checkout.all_options}
    files = [write_json(work / f"{name}.json", deployment) for name, deployment in deployments.items()]
    command = [str(tools / ".venv-checks/bin/checkov"), "--framework", "cloudformation", "--compact", "--skip-download"]
    command += ["--output", "json"]
    for path in files:
        command += ["--file", str(path)]
    result = run(command, variables=_OFFLINE)
    try:
        report = json.loads(result.stdout)
        failed, passed = report["results"]["failed_checks"], report["results"]["passed_checks"]
        errors = report["results"]["parsing_errors"]
    except (json.JSONDecodeError, KeyError, TypeError):
        return CheckResult(check="checkov", checked="", findings=tool_failure(result))
    findings = [f"cannot read {Path(error).name}" for error in errors]
    needed = set()
    for check in failed:
        resource = check["resource"].split(".")[-1]
        skips = {(check["check_id"], resource), (check["check_id"], "*")} & CHECKOV_SKIPPED.keys()
        needed |= skips
        if not skips:
            findings.append(f"{check['check_id']} {Path(check['file_path']).stem}: {resource}: {check['check_name']}")
    for name, resource in sorted(CHECKOV_SKIPPED.keys() - needed):
        findings.append(f"{name} is skipped for {resource}, which passes it: remove the skip")
    missing = CHECKOV_REQUIRED - {check["check_id"] for check in [*failed, *passed]}
    findings += [f"{name} is required and was not run" for name in sorted(missing)]
    checked = f"2 deployments, {len(passed) + len(failed)} checks, {len(CHECKOV_SKIPPED)} skips with reasons"
    return CheckResult(check="checkov", checked=checked, findings=tuple(findings))


def parliament(checkout: Checkout, tools: Path) -> CheckResult:
    """Run parliament on every inline policy of both deployments."""
    policies = {
        f"{deployment}.{name}": document
        for deployment, template in (("defaults", checkout.defaults), ("all_options", checkout.all_options))
        for name, document in policies_of(template)
    }
    program = Path(__file__).with_name("run_parliament.py")
    result = run([str(tools / ".venv-checks/bin/python"), str(program)], stdin=json.dumps(policies))
    checked = f"{len(policies)} policies of 2 deployments"
    if result.returncode:
        return CheckResult(check="parliament", checked=checked, findings=tool_failure(result))
    found = json.loads(result.stdout)
    findings = [
        f"{finding['issue']} {finding['policy']}: {finding['detail']}" for finding in found if not _explained(finding)
    ]
    return CheckResult(check="parliament", checked=checked, findings=tuple(findings))


def _explained(finding: Mapping[str, str]) -> bool:
    return any(
        finding["issue"] == known.issue
        and re.search(known.policy, finding["policy"])
        and re.search(known.detail, finding["detail"])
        for known in PARLIAMENT_EXPLAINED
    )


def policies_of(deployment: Template) -> Iterator[tuple[str, Template]]:
    """Yield name and document of each policy of a role; the name begins with the role's logical id."""
    for logical_id, role in resources_of(deployment, "AWS::IAM::Role"):
        for policy in role["Properties"].get("Policies", []):
            yield f"{logical_id}.{policy['PolicyName']}", policy["PolicyDocument"]
    for _, policy in resources_of(deployment, "AWS::IAM::Policy"):
        for role_id in policy["Properties"]["Roles"]:
            yield f"{role_id}.{policy['Properties']['PolicyName']}", policy["Properties"]["PolicyDocument"]
