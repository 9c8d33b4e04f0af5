"""A stack that has another bucket: the records of the earlier one are brought along, and every command sees both."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from courier.models import Outcome
from courier.outcomes.records import RecordStore
from tests.functional.cli.operator_setup import OperatorSetup
from tests.functional.cli.stack_content import DAY, HOUR, StackContent, builds_in
from tests.support.page_content import data_in

OLD = "earlier-bucket"
PDF = b"%PDF-1.4 earlier %%EOF"


@pytest.fixture
def content(operator: OperatorSetup) -> StackContent:
    operator.push([operator.insights()], "--no-check")
    return StackContent(operator)


@pytest.fixture
def earlier(content: StackContent) -> Iterator[StackContent]:
    """What was written before the move: the same stack, another bucket and another prefix."""
    region = content.operator.aws.location.region
    if OLD not in {bucket["Name"] for bucket in content.s3.list_buckets()["Buckets"]}:
        content.s3.create_bucket(Bucket=OLD, CreateBucketConfiguration={"LocationConstraint": region})  # type: ignore[typeddict-item]  # any region
    before = StackContent(content.operator)
    before.bucket, before.prefix = OLD, "old/"
    before.records = RecordStore(OLD, "old/", content.s3)
    yield before
    for item in content.s3.list_objects_v2(Bucket=OLD).get("Contents", []):
        content.s3.delete_object(Bucket=OLD, Key=item["Key"])


def moved(operator: OperatorSetup, *options: str) -> list[str]:
    result = operator.command("move-bucket", OLD, "--old-prefix", "old/", *options)
    assert (result.exit_code, result.err) == (0, "")
    return result.out.splitlines()


def test_every_command_sees_the_builds_of_both_buckets(
    operator: OperatorSetup, content: StackContent, earlier: StackContent
) -> None:
    earlier.ended("before", ago=3 * DAY, content=PDF, scope="weekly")
    earlier.ended("failed-before", Outcome.FAILED, ago=2 * DAY)
    content.ended("after", ago=HOUR)
    assert builds_in(operator.command("builds", "-f", "json").out) == ["after"]
    bucket = operator.aws.outputs["BucketName"]
    assert moved(operator, "--dry-run")[0] == f"2 records would be copied to {bucket}, 0 are there already"
    assert builds_in(operator.command("builds", "-f", "json").out) == ["after"]
    assert moved(operator) == [
        f"2 records copied to {bucket}, 0 are there already",
        "1 heads written under latest, 0 are as new or newer there",
        f"Reports stay in {OLD}: keep that bucket for as long as you need them",
    ]
    assert builds_in(operator.command("builds", "-f", "json").out) == ["after", "failed-before", "before"]
    assert builds_in(operator.command("latest", "-f", "json").out) == ["after", "before"]
    assert "failed-before" in operator.command("status").out
    page = data_in(operator.command("page", "-o", "-").out)
    assert [row[0] for row in page["builds"]] == ["after", "failed-before", "before"]
    # The report is still in the earlier bucket, and found there.
    file = operator.folder / "before.pdf"
    assert operator.command("get", "before", "-o", file, "--force").exit_code == 0
    assert file.read_bytes() == PDF
    assert operator.command("verify", "before").exit_code == 0
    # Again: nothing is left to do.
    assert moved(operator)[0] == f"0 records copied to {bucket}, 2 are there already"
    assert moved(operator)[1] == "0 heads written under latest, 1 are as new or newer there"


def test_latest_never_moves_back_and_no_record_is_replaced(
    operator: OperatorSetup, content: StackContent, earlier: StackContent
) -> None:
    earlier.ended("one", Outcome.UNDELIVERABLE, ago=3 * DAY)
    earlier.ended("older", ago=2 * DAY)
    # After the move the first one was delivered after all, and another one ended.
    retried = content.ended("one", ago=3 * DAY, content=PDF)
    content.ended("newer", ago=HOUR)
    assert "1 records copied" in moved(operator)[0]
    assert builds_in(operator.command("latest", "-f", "json").out) == ["newer"]
    shown = json.loads(operator.command("show", "one", "-f", "json").out)
    assert (shown["state"], retried.outcome) == ("succeeded", Outcome.SUCCEEDED)


def test_mistakes_are_one_line(operator: OperatorSetup, content: StackContent) -> None:
    bucket = operator.aws.outputs["BucketName"]
    result = operator.command("move-bucket", bucket)
    assert (result.exit_code, result.out) == (2, "")
    assert "is the bucket that stack" in result.error_line
    assert "ExistingBucketName" in result.error_line
    result = operator.command("move-bucket", "no-such-bucket-anywhere")
    assert result.exit_code == 2
    assert "AWS refused ListObjectsV2" in result.error_line


def test_a_head_that_is_no_record_is_counted(
    operator: OperatorSetup, content: StackContent, earlier: StackContent
) -> None:
    earlier.s3.put_object(Bucket=OLD, Key="old/latest/insights/sales.json", Body=b"{}")
    result = operator.command("move-bucket", OLD, "--old-prefix", "old/")
    assert result.exit_code == 1
    assert "1 objects under latest are no records that this version reads" in result.err
