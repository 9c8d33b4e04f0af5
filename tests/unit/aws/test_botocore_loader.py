"""The loader returns the same descriptions of AWS services as botocore."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import botocore.session
import pytest
from botocore.exceptions import DataNotFoundError, UnknownServiceError
from botocore.loaders import JSONFileLoader, Loader

from courier import aws
from courier.aws.botocore_loader import DirectLoader, PlainJsonLoader

# Besides the courier's own: those that botocore calls for the credentials of a profile.
OURS = ["cloudformation", "dynamodb", "lambda", "s3", "secretsmanager", "sns", "ssm", "stepfunctions"]
SERVICES = [*OURS, "sts", "sso", "sso-oidc", "signin"]
BUILTIN = Path(Loader.BUILTIN_DATA_PATH)


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("kind", ["service-2", "endpoint-rule-set-1"])
def test_a_description_is_the_one_that_botocore_reads(service: str, kind: str) -> None:
    ours = DirectLoader().load_service_model(service, kind)
    assert ours == Loader().load_service_model(service, kind)


@pytest.mark.parametrize("name", ["endpoints", "partitions", "_retry", "sdk-default-configuration"])
def test_files_of_no_service_are_read_in_the_same_order(name: str) -> None:
    ours, theirs = DirectLoader().load_data(name), Loader().load_data(name)
    assert ours == theirs
    assert list(ours) == list(theirs)


def test_an_unknown_service_is_refused() -> None:
    with pytest.raises(UnknownServiceError, match="s4"):
        DirectLoader().load_service_model("s4", "service-2")


def test_a_missing_description_raises() -> None:
    with pytest.raises(DataNotFoundError, match="sts"):
        DirectLoader().load_service_model("sts", "waiters-2")


def test_a_missing_file_is_none() -> None:
    assert PlainJsonLoader().load_file(str(BUILTIN / "no-such-file")) is None


def test_a_file_in_an_unknown_format_is_left_to_botocore(tmp_path: Path) -> None:
    (tmp_path / "model.json.later").write_text('{"packed": true}', encoding="utf-8")

    class Later(JSONFileLoader):
        """Stands in for a later botocore's."""

        def load_file(self, file_path: str) -> object:
            return Path(f"{file_path}.json.later").name

    class Ours(PlainJsonLoader, Later):
        """Reads as we do, on top of a later botocore."""

    assert Ours().load_file(str(tmp_path / "model")) == "model.json.later"


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    for name, value in {"DEFAULT_REGION": "eu-central-1", "ACCESS_KEY_ID": "id", "SECRET_ACCESS_KEY": "key"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    aws.forget_clients()
    yield monkeypatch
    aws.forget_clients()


def test_a_data_path_that_is_no_folder_is_ignored(variables: pytest.MonkeyPatch) -> None:
    variables.setattr(Loader, "CUSTOMER_DATA_PATH", f"{os.devnull}/.aws/models")
    assert aws.client("sns").meta.endpoint_url == "https://sns.eu-central-1.amazonaws.com"


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.json.gz").write_bytes(b"no archive")
    with pytest.raises(OSError, match="gzip"):
        PlainJsonLoader().load_file(str(tmp_path / "model"))


def test_descriptions_of_the_operator_come_before_botocores(variables: pytest.MonkeyPatch, tmp_path: Path) -> None:
    endpoints = json.loads(json.dumps(Loader().load_data("endpoints")))
    endpoints["partitions"][0]["dnsSuffix"] = "cloud.example"
    (tmp_path / "endpoints.json").write_text(json.dumps(endpoints), encoding="utf-8")
    variables.setenv("AWS_DATA_PATH", str(tmp_path))
    theirs = botocore.session.Session().create_client("sns").meta.endpoint_url
    assert aws.client("sns").meta.endpoint_url == theirs == "https://sns.eu-central-1.cloud.example"
