"""The JSON Schema that editors read, and the reference of every key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from courier.providers.http_json.shipped import FOLDER, shipped_names
from scripts.definition_reference import field_texts, reference, sources_schema

DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    document = json.loads(json.dumps(sources_schema()))
    Draft202012Validator.check_schema(document)
    return Draft202012Validator(document)


def as_json(value: object) -> Any:  # noqa: ANN401 - JSON
    """Return YAML as a schema sees it: keys are texts."""
    return json.loads(json.dumps(value))


@pytest.mark.parametrize("name", shipped_names())
def test_what_ships_fits_the_schema_by_name_and_written_out(schema: Draft202012Validator, name: str) -> None:
    shipped = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    source = {"endpoint": "https://api.example.com", **shipped["example"]}
    for api in (name, shipped["api"]):
        assert list(schema.iter_errors(as_json({"sources": [{**source, "api": api}]}))) == []


@pytest.mark.parametrize("document", ["providers.md", "configuration.md"])
def test_the_sources_of_the_documents_fit_the_schema(schema: Draft202012Validator, document: str) -> None:
    text = (DOCS / document).read_text(encoding="utf-8")
    sources = yaml.safe_load(text.partition("```yaml\n")[2].partition("```")[0])
    assert list(schema.iter_errors(as_json(sources))) == []


@pytest.mark.parametrize(
    "change",
    [
        {"api": "stripe-report-rns@1"},
        {"api": {"auth": {"kind": "header"}, "staus": {"get": "/x"}}},
        {"api": {"auth": {"kind": "heder"}, "status": {"get": "/x"}}},
        {"api": {"auth": {"kind": "none"}, "status": {"get": "/x", "codes": {"202": "runing"}}}},
        {"api": {"auth": {"kind": "none"}, "status": {"get": "/x"}, "words": {"running": [True]}}},
        {"provider": "htp_json"},
        {"nmae": "x"},
    ],
)
def test_mistakes_do_not_fit_the_schema(schema: Draft202012Validator, change: dict[str, Any]) -> None:
    source = {"name": "a", "provider": "http_json", "endpoint": "https://a.b", "secret": "build-courier/a"}
    right = {**source, "api": "stripe-report-runs@1"}
    assert schema.is_valid({"sources": [right]})
    assert not schema.is_valid({"sources": [{**right, **change}]})


def test_every_key_is_explained_in_the_schema() -> None:
    definitions = sources_schema()["$defs"]
    unexplained = [
        f"{model}.{name}"
        for model, entry in definitions.items()
        for name, field in entry.get("properties", {}).items()
        if not field.get("description")
    ]
    # Requests of the two built-in providers are explained as a whole.
    assert [name for name in unexplained if not name.startswith(("ReportRequest.", "TreasureRequest."))] == []


def test_the_fields_of_a_docstring() -> None:
    class Model(BaseModel):
        """A model.

        ``first``, ``second``
            Two of
            them.
        ``third``
            One.
        """

    assert field_texts(Model) == {"first": "Two of them.", "second": "Two of them.", "third": "One."}


def test_the_reference_names_what_a_key_is() -> None:
    lines = reference().splitlines()
    assert (
        "| `file` | path | none | Its path below the endpoint, in place of `url`; it is requested with our "
        in "\n".join(lines)
    )
    assert any(line.startswith("| `pick` | expression | none |") for line in lines)
    assert any(line.startswith("| `id` | reading | none |") for line in lines)
    assert any(line.startswith("| `none_means` | `empty`, `gone` | none |") for line in lines)
