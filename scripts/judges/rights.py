"""Judges of rights and protection that others wrote: checkov and parliament, on deployments without intrinsics."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from local.sam.expansion import resources_of
from local.sam.intrinsics import Template
from scripts.judges.case import Case, Verdict
from scripts.judges.tools import last_words, run, written

# checkov's checks that are not followed, for one resource or for all ("*"), each with its reason.
# One that nothing fails any more is a finding itself.
CHECKOV_SKIPPED = {
    ("CKV_AWS_18", "*"): "access logs need a second bucket and grow with every reader; CloudTrail does it better",
    ("CKV_AWS_26", "AlarmsTopic"): "CloudWatch publishes only where the key's policy names it; alarms hold no secrets",
    ("CKV_AWS_27", "*"): "wants a KMS key; the queue is encrypted by SQS itself unless KmsKeyArn is set",
    ("CKV_AWS_115", "*"): "what an account can spare is not known here; overlapping ticks do no harm (the ledger)",
    ("CKV_AWS_116", "*"): "asynchronous functions have a failure destination; Step Functions calls the others",
    ("CKV_AWS_117", "*"): "a VPC needs a NAT gateway to reach providers, at many times the courier's price",
    ("CKV_AWS_119", "*"): "wants a customer's key; DynamoDB encrypts with its own unless KmsKeyArn is set",
    ("CKV_AWS_158", "*"): "wants a customer's key; CloudWatch encrypts with its own, and no secret is ever logged",
    ("CKV_AWS_173", "*"): "wants a customer's key for environment variables, which hold names and no secrets",
}
# What is counted on: public access, encryption, secrets in variables, and rights that are too wide.
CHECKOV_ASKED = {f"CKV_AWS_{number}" for number in (26, 28, 45, 53, 54, 55, 56, 62, 107, 108, 109, 110, 111)}


class Explained(NamedTuple):
    """A finding that is not followed: the issue, patterns of the policy's name and of the detail, and the reason."""

    issue: str
    policy: str
    detail: str
    reason: str


PARLIAMENT_EXPLAINED = (
    Explained(
        "RESOURCE_MISMATCH",
        r"(PollBuilds|DiscoverBuilds)FunctionRolePolicy0$",
        r"states:SendTaskSuccess",
        "The authorization reference lists no resource for it, yet AWS evaluates the state machine's ARN (tried in "
        "aws-cdk's pull request 8486, and named by AWS's own refusals); the alternative would be a wildcard.",
    ),
    Explained(
        "NO_VERSION",
        r"(SQS|Lambda)Policy$",
        r"",
        "SAM writes these, for schedules and failure destinations; the older version lacks only policy variables.",
    ),
)


# It has no reason to reach its platform.
_QUIET = {"BC_SKIP_MAPPING": "TRUE", "CHECKOV_RUN_SCA_PACKAGE_SCAN_V2": "false"}


def checkov(case: Case, work: Path, tools: Path) -> Verdict:
    """Judge both deployments with all of checkov's checks for CloudFormation, without its platform."""
    deployments = {"plain": case.plain, "everything": case.everything}
    files = [written(work / f"{name}.json", deployment) for name, deployment in deployments.items()]
    command = [str(tools / ".venv-judges/bin/checkov"), "--framework", "cloudformation", "--compact", "--skip-download"]
    command += ["--output", "json"]
    for path in files:
        command += ["--file", str(path)]
    result = run(command, variables=_QUIET)
    try:
        report = json.loads(result.stdout)
        failed, passed = report["results"]["failed_checks"], report["results"]["passed_checks"]
        errors = report["results"]["parsing_errors"]
    except (json.JSONDecodeError, KeyError, TypeError):
        return Verdict(judge="checkov", judged="", findings=last_words(result))
    findings = [f"cannot read {Path(error).name}" for error in errors]
    needed = set()
    for check in failed:
        resource = check["resource"].split(".")[-1]
        skips = {(check["check_id"], resource), (check["check_id"], "*")} & CHECKOV_SKIPPED.keys()
        needed |= skips
        if not skips:
            findings.append(f"{check['check_id']} {Path(check['file_path']).stem}: {resource}: {check['check_name']}")
    for name, resource in sorted(CHECKOV_SKIPPED.keys() - needed):
        findings.append(f"{name} is skipped for {resource} and nothing fails it: remove the skip")
    missing = CHECKOV_ASKED - {check["check_id"] for check in [*failed, *passed]}
    findings += [f"{name} is counted on and was not run" for name in sorted(missing)]
    judged = f"2 deployments, {len(passed) + len(failed)} checks, {len(CHECKOV_SKIPPED)} skips explained"
    return Verdict(judge="checkov", judged=judged, findings=tuple(findings))


def parliament(case: Case, tools: Path) -> Verdict:
    """Judge every inline policy of both deployments."""
    policies = {
        f"{deployment}.{name}": document
        for deployment, template in (("plain", case.plain), ("everything", case.everything))
        for name, document in policies_of(template)
    }
    program = Path(__file__).with_name("ask_parliament.py")
    result = run([str(tools / ".venv-judges/bin/python"), str(program)], given=json.dumps(policies))
    judged = f"{len(policies)} policies of 2 deployments"
    if result.returncode:
        return Verdict(judge="parliament", judged=judged, findings=last_words(result))
    found = json.loads(result.stdout)
    findings = [
        f"{finding['issue']} {finding['policy']}: {finding['detail']}" for finding in found if not _explained(finding)
    ]
    return Verdict(judge="parliament", judged=judged, findings=tuple(findings))


def _explained(finding: Mapping[str, str]) -> bool:
    return any(
        finding["issue"] == known.issue
        and re.search(known.policy, finding["policy"])
        and re.search(known.detail, finding["detail"])
        for known in PARLIAMENT_EXPLAINED
    )


def policies_of(deployment: Template) -> Iterator[tuple[str, Template]]:
    """Give name and document of each policy that stands inside a role."""
    for logical_id, role in resources_of(deployment, "AWS::IAM::Role"):
        for policy in role["Properties"].get("Policies", []):
            yield f"{logical_id}.{policy['PolicyName']}", policy["PolicyDocument"]
