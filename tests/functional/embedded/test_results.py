"""The results of a run are read unchanged, and cannot harm the machine that reads them."""

from pathlib import Path

import pytest

from local.embedded.embedded_aws import EmbeddedAws
from local.embedded.results import UnsafeKeyError, mirror_bucket


@pytest.fixture
def bucket(small: EmbeddedAws, request: pytest.FixtureRequest) -> str:
    name = request.node.name.lower().replace("_", "-").partition("[")[0][:40].strip("-")
    small.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    return str(name)


def test_a_bucket_is_mirrored_under_its_keys(small: EmbeddedAws, bucket: str, tmp_path: Path) -> None:
    contents = {"a/b/one.pdf": b"1" * 3_000_000, "a/two": b"", "three": b"3"}
    for key, body in contents.items():
        small.client("s3").put_object(Bucket=bucket, Key=key, Body=body)
    paths = mirror_bucket(small.client("s3"), bucket, tmp_path)
    assert {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in paths} == contents


@pytest.mark.parametrize("key", ["../out", "a/../../out", "/absolute", "a//b", "folder/", "a\\..\\b"])
def test_a_hostile_key_is_not_mirrored(small: EmbeddedAws, key: str, tmp_path: Path) -> None:
    class OneKey:
        """An S3 that lists one key; moto itself refuses some of these."""

        def get_paginator(self, _: str) -> "OneKey":
            return self

        def paginate(self, **_: str) -> list[dict[str, list[dict[str, str]]]]:
            return [{"Contents": [{"Key": "good"}, {"Key": key}]}]

    with pytest.raises(UnsafeKeyError):
        mirror_bucket(OneKey(), "bucket", tmp_path / "mirror")  # type: ignore[arg-type]  # as much of S3 as is asked
    assert list(tmp_path.rglob("*")) == []


def test_uncompleted_uploads_are_found(small: EmbeddedAws) -> None:
    s3, store = small.client("s3"), small.resources["Store"]
    assert small.open_multipart_uploads() == []
    upload = s3.create_multipart_upload(Bucket=store, Key="big")["UploadId"]
    assert [entry["Key"] for entry in small.open_multipart_uploads()] == ["big"]
    s3.abort_multipart_upload(Bucket=store, Key="big", UploadId=upload)
    assert small.open_multipart_uploads() == []


def test_rows_come_as_plain_values(small: EmbeddedAws) -> None:
    small.client("dynamodb").put_item(
        TableName=small.resources["Table"],
        Item={"build": {"S": "x"}, "polls": {"N": "3"}, "tags": {"L": [{"BOOL": True}]}},
    )
    assert {"build": "x", "polls": 3, "tags": [True]} in small.ledger_rows()


def test_the_bucket_of_the_template_is_mirrored_by_itself(small: EmbeddedAws, tmp_path: Path) -> None:
    small.invoke("work", {"do": "put"})
    assert {path.name for path in small.mirror_bucket(tmp_path)} >= {"one", "two"}
