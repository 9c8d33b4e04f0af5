"""The AWS services' descriptions are botocore's, whichever way they are found and read."""

from pathlib import Path
from typing import get_args

import pytest
from botocore.exceptions import UnknownServiceError
from botocore.loaders import JSONFileLoader, Loader

from courier.aws import Service
from courier.service_models import KnownServices, PlainFiles

SERVICES = get_args(Service)
BUILTIN = Path(Loader.BUILTIN_DATA_PATH)


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("kind", ["service-2", "endpoint-rule-set-1", "paginators-1"])
def test_a_description_is_the_one_that_botocore_reads(service: str, kind: str) -> None:
    ours = KnownServices(SERVICES).load_service_model(service, kind)
    assert ours == Loader().load_service_model(service, kind)


@pytest.mark.parametrize("name", ["endpoints", "partitions", "_retry", "sdk-default-configuration"])
def test_what_belongs_to_no_service_is_read_as_well_and_in_the_same_order(name: str) -> None:
    ours, theirs = KnownServices(SERVICES).load_data(name), Loader().load_data(name)
    assert ours == theirs
    assert list(ours) == list(theirs)


def test_a_service_that_nobody_named_is_refused() -> None:
    with pytest.raises(UnknownServiceError, match="sqs"):
        KnownServices(["s3"]).load_service_model("sqs", "service-2")


def test_a_file_that_is_not_there_is_none() -> None:
    assert PlainFiles().load_file(str(BUILTIN / "no-such-file")) is None


def test_a_file_that_is_packed_in_a_later_way_is_left_to_botocore(tmp_path: Path) -> None:
    (tmp_path / "model.json.later").write_text('{"packed": true}', encoding="utf-8")

    class Later(JSONFileLoader):
        """Stands in for a later botocore's."""

        def load_file(self, file_path: str) -> object:
            return Path(f"{file_path}.json.later").name

    class Ours(PlainFiles, Later):
        """Reads as we do, on top of a later botocore."""

    assert Ours().load_file(str(tmp_path / "model")) == "model.json.later"
