"""Notices and records as a consumer reads them: CloudEvents' required attributes, the JSON Schemas, the example."""

from __future__ import annotations

import ast
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3
import jsonschema
import pytest

from courier.models import Outcome
from courier.outcomes.notices import Notice
from tests.functional.consuming.deliveries import Delivery, source_notices
from tests.functional.consuming.document import ROOT, example, examples
from tests.functional.consuming.queues import JsonObject
from tests.support.aws import BUCKET
from tests.support.providers import REGION

NOTICE_SCHEMA: JsonObject = json.loads((ROOT / "docs/schemas/notice.schema.json").read_text(encoding="utf-8"))
RECORD_SCHEMA: JsonObject = json.loads((ROOT / "docs/schemas/record.schema.json").read_text(encoding="utf-8"))


def validate(document: object, schema: JsonObject) -> None:
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER).validate(
        document
    )


def notices(deliveries: list[Delivery]) -> list[dict[str, Any]]:
    publications = [*(each.publication for each in deliveries), *source_notices()]
    return [json.loads(publication.message["default"]) for publication in publications]


def test_every_notice_has_what_cloudevents_requires(deliveries: list[Delivery]) -> None:
    for notice in notices(deliveries):
        assert notice["specversion"] == "1.0"
        assert all(isinstance(notice[name], str) and notice[name] for name in ("id", "source", "type", "subject"))
        assert datetime.fromisoformat(notice["time"]).tzinfo is not None
        assert notice["datacontenttype"] == "application/json"
        # Attribute names are lower-case letters and digits (CloudEvents 1.0.2, "Naming conventions").
        assert all(name.isalnum() and name == name.lower() for name in notice)


def test_no_two_notices_share_an_id(deliveries: list[Delivery]) -> None:
    ids = [(notice["source"], notice["id"]) for notice in notices(deliveries)]
    assert len(set(ids)) == len(ids)


def test_the_documented_notice_is_the_one_that_is_published(deliveries: list[Delivery]) -> None:
    documented = json.loads(example("notice"))
    assert documented == json.loads(deliveries[0].publication.message["default"])
    assert Notice.model_validate(documented) == deliveries[0].notice


def test_every_notice_fits_its_schema(deliveries: list[Delivery]) -> None:
    for notice in notices(deliveries):
        validate(notice, NOTICE_SCHEMA)


def test_every_record_fits_its_schema_by_the_documented_lines(
    deliveries: list[Delivery], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    s3 = boto3.client("s3", region_name=REGION)
    assert {each.record.outcome for each in deliveries} == set(Outcome)
    for delivery in deliveries:
        path = tmp_path / "record.json"
        path.write_bytes(s3.get_object(Bucket=BUCKET, Key=delivery.key)["Body"].read())
        exec(compile(example("validate"), "validate", "exec"), {"path_of_record": path})  # noqa: S102 - our document


def test_the_schemas_allow_later_fields_but_not_later_major_versions(deliveries: list[Delivery]) -> None:
    record = json.loads(deliveries[0].record.model_dump_json())
    later = {**record, "schema_version": "1.7", "cost": 1, "courier": {**record["courier"], "region": "eu"}}
    validate(later, RECORD_SCHEMA)
    with pytest.raises(jsonschema.ValidationError):
        validate({**later, "schema_version": "2.0"}, RECORD_SCHEMA)
    with pytest.raises(jsonschema.ValidationError):
        validate({name: value for name, value in record.items() if name != "outcome"}, RECORD_SCHEMA)


def test_the_attribute_tables_name_every_outcome_and_attribute(deliveries: list[Delivery]) -> None:
    text = (ROOT / "docs/consuming.md").read_text(encoding="utf-8")
    named = {name for each in deliveries for name in each.publication.attributes}
    named |= {name for publication in source_notices() for name in publication.attributes}
    assert all(f"| `{name}` |" in text for name in named)
    assert all(f"`{outcome}`" in text for outcome in Outcome)


# No test runs these: the CloudEvents SDK is not a dependency.
NOT_RUN = {"with the CloudEvents SDK"}


def test_every_example_of_the_document_is_tested() -> None:
    this = Path(__file__)
    tests = [path.read_text(encoding="utf-8") for path in this.parent.glob("test_*.py") if path.name != this.name]
    tests.append(this.read_text(encoding="utf-8").partition("NOT_RUN =")[0])
    assert {name for name in examples() if not any(f'"{name}"' in text for text in tests)} == NOT_RUN


@pytest.mark.parametrize("name", [name for name, (language, _) in examples().items() if language == "python"])
def test_every_python_example_is_python(name: str) -> None:
    ast.parse(example(name))
