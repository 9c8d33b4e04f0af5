"""Several stacks run one after the other in one process, and leave nothing behind."""

import os
import sys
import threading
from pathlib import Path

import boto3
import pytest

import courier.aws
from local.embedded.embedded_aws import EmbeddedAws
from local.sam.intrinsics import TemplateError

ROOT = Path(__file__).parents[3]


def test_a_second_stack_begins_with_nothing_of_the_first(small_template: Path) -> None:
    for _ in range(2):
        with EmbeddedAws(small_template) as aws:
            assert aws.ledger_rows() == []
            assert aws.executions() == []
            assert aws.logs() == []
            aws.invoke("work", {"do": "put"})
            assert aws.client("s3").list_objects_v2(Bucket=aws.resources["Store"])["KeyCount"] == 2
            aws.client("dynamodb").put_item(TableName=aws.resources["Table"], Item={"build": {"S": "x"}})


def test_clients_of_an_earlier_life_are_forgotten(small_template: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    before = courier.aws.client("sns").meta.endpoint_url
    with EmbeddedAws(small_template) as aws:
        during = courier.aws.client("sns").meta.endpoint_url
        assert during == aws.client("sns").meta.endpoint_url
    assert during != before
    assert courier.aws.client("sns").meta.endpoint_url == before
    courier.aws.forget_clients()


def test_the_couriers_own_functions_begin_anew() -> None:
    for _ in range(2):
        with EmbeddedAws(ROOT / "template.yaml") as aws:
            result = aws.invoke("discover_builds", {})
            assert result.error_type is None, result.payload
            assert ("discover_builds", "ssm:GetParametersByPath", aws.outputs["ParameterPath"]) in aws.calls()


def test_everything_is_put_back_in_the_end(small_template: Path) -> None:
    environment, stdout, threads = dict(os.environ), sys.stdout, set(threading.enumerate())
    with EmbeddedAws(small_template) as aws:
        aws.start_execution("Machine", {"name": "waits forever", "wait": True})
        aws.wait_until_idle()
        assert os.environ["TABLE"] == aws.resources["Table"]
    aws.stop()
    assert dict(os.environ) == environment
    assert sys.stdout is stdout
    assert set(threading.enumerate()) == threads


def test_only_one_can_be_up_and_each_only_once(small_template: Path) -> None:
    with EmbeddedAws(small_template) as aws, pytest.raises(RuntimeError, match="only one"):
        EmbeddedAws(small_template).start()
    with pytest.raises(RuntimeError, match="only once"):
        aws.start()


def test_the_callers_own_account_is_out_of_reach(small_template: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "precious")
    with EmbeddedAws(small_template, region="eu-west-1"):
        session = boto3.session.Session()
        credentials = session.get_credentials()
        assert credentials is not None
        assert (session.region_name, credentials.access_key, credentials.token) == ("eu-west-1", "function", None)
    assert os.environ["AWS_PROFILE"] == "production"


def test_a_stack_that_cannot_start_leaves_nothing_behind(small_template: Path, tmp_path: Path) -> None:
    for path in small_template.parent.rglob("*"):
        if path.is_file():
            target = tmp_path / path.relative_to(small_template.parent)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "layers/shared").mkdir(parents=True, exist_ok=True)
    (tmp_path / "functions/work/app.py").write_text("", encoding="utf-8")
    environment, threads = dict(os.environ), set(threading.enumerate())
    with pytest.raises(TemplateError, match=r"WorkFunction: app\.py has no function handler"):
        EmbeddedAws(tmp_path / "template.yaml").start()
    assert dict(os.environ) == environment
    assert set(threading.enumerate()) == threads


def test_the_parameters_of_the_template_change_the_stack() -> None:
    parameters = {"KeyPrefix": "courier/", "ArtifactRetentionDays": "7", "NotificationEmail": "a@example.com"}
    with EmbeddedAws(ROOT / "template.yaml", parameters=parameters, stack_name="other") as aws:
        name = aws.resources["CopyArtifactFunction"]
        settings = aws.client("lambda").get_function_configuration(FunctionName=name)
        assert settings["Environment"]["Variables"]["KEY_PREFIX"] == "courier/"
        assert aws.outputs["ParameterPath"] == "/other/sources"
        assert "EmailSubscription" in aws.left_out
