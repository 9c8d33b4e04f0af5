"""The settings of the copy's S3 client, and a botocore that does not know them."""

from __future__ import annotations

import botocore.session
import pytest

from courier.errors import SettingsError
from courier.transfer import s3_calls
from courier.transfer.s3_calls import storage_config


def test_an_old_botocore_is_named_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    # As botocore 1.35.99.
    def old_config(**settings: object) -> object:
        if "request_checksum_calculation" in settings:
            raise TypeError("Got unexpected keyword argument 'request_checksum_calculation'")
        return object()

    monkeypatch.setattr(s3_calls, "Config", old_config)
    with pytest.raises(SettingsError, match=r"^botocore 1\.\d+\.\d+ is too old for the copy, which needs 1\.36: "):
        storage_config()


def test_this_botocore_knows_what_a_copy_sends() -> None:
    client = botocore.session.get_session().create_client("s3", region_name="eu-central-1", config=storage_config())
    shape = client.meta.service_model.operation_model("CompleteMultipartUpload").input_shape
    assert shape is not None
    assert {"MpuObjectSize", "IfNoneMatch"} <= shape.members.keys()
