"""The documented queries, in DuckDB, over records as the courier writes them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import boto3
import duckdb
import pytest
from pydantic import AwareDatetime, BaseModel

from courier.models import BuildRef
from courier.object_keys import record_key
from courier.outcomes.records import Record
from local.embedded.results import mirror_bucket
from tests.functional.consuming.deliveries import Delivery
from tests.functional.consuming.document import example
from tests.support.aws import BUCKET
from tests.support.providers import NOON, REGION

PATH = "out/bucket/records/**/*.json"
ATHENA = example("Athena table")


@pytest.fixture
def records(deliveries: list[Delivery], tmp_path: Path) -> str:
    """The bucket as `courier run` leaves it in a folder; the path to put in the place of the documented one."""
    mirror_bucket(boto3.client("s3", region_name=REGION), BUCKET, tmp_path)
    return str(tmp_path / "records" / "**" / "*.json")


@pytest.fixture
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    # Nothing is fetched: what a query needs must be in the package.
    with duckdb.connect(config={"autoinstall_known_extensions": False}) as connection:
        yield connection


@pytest.fixture
def view(database: duckdb.DuckDBPyConnection, records: str) -> duckdb.DuckDBPyConnection:
    statement = example("records in DuckDB")
    assert PATH in statement
    database.execute(statement.replace(PATH, records))
    return database


def test_a_record_is_one_line(deliveries: list[Delivery]) -> None:
    s3 = boto3.client("s3", region_name=REGION)
    texts = [s3.get_object(Bucket=BUCKET, Key=each.key)["Body"].read() for each in deliveries]
    assert [(text.count(b"\n"), text[-1:]) for text in texts] == [(1, b"\n")] * len(deliveries)


def test_outcomes_by_day(view: duckdb.DuckDBPyConnection) -> None:
    rows = view.execute(example("outcomes by day in DuckDB")).fetchall()
    assert ("insights", date(2026, 4, 15), "failed", 1, None) in rows
    assert ("red-team", date(2026, 4, 15), "delivered", 1, 26) in rows
    assert ("red-team", date(2026, 4, 16), "delivered", 1, 26) in rows
    assert sum(row[3] for row in rows) == 10


def test_detection_delay(view: duckdb.DuckDBPyConnection) -> None:
    assert view.execute(example("delay in DuckDB")).fetchall() == [("insights", 40.0), ("red-team", 40.0)]


def test_every_column_of_the_view_is_filled_somewhere(view: duckdb.DuckDBPyConnection) -> None:
    filled = view.execute("SELECT COLUMNS(*) IS NOT NULL FROM records").fetchall()
    assert [any(column) for column in zip(*filled, strict=True)] == [True] * 8
    [(advice,)] = view.execute("SELECT DISTINCT problem.advice FROM records WHERE outcome = 'failed'").fetchall()
    assert advice == "Build from less data, or ask for a higher limit."


def test_the_statements_for_s3_are_valid() -> None:
    assert len(duckdb.extract_statements(example("S3 in DuckDB"))) == 3


ATHENA_TYPES = {
    str: "string",
    int: "bigint",
    float: "double",
    bool: "boolean",
    # Athena's JSON SerDes want another format for timestamps than ISO 8601.
    AwareDatetime: "string",
}


def athena_type(annotation: object) -> str:
    """Return the Athena type of a field of a record."""
    if get_origin(annotation) in {Union, UnionType}:
        [annotation] = [kind for kind in get_args(annotation) if kind is not NoneType]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = ",".join(f"{name}:{athena_type(f.annotation)}" for name, f in annotation.model_fields.items())
        return f"struct<{fields}>"
    if get_origin(annotation) is tuple:
        return f"array<{athena_type(get_args(annotation)[0])}>"
    if annotation in ATHENA_TYPES:
        return ATHENA_TYPES[annotation]
    return "string"  # outcomes, versions


def documented_columns() -> dict[str, str]:
    table = ATHENA[ATHENA.index("(") + 1 : ATHENA.index(")\nPARTITIONED")]
    columns = (re.fullmatch(r"(\w+)\s+(.+)", column.strip(), re.DOTALL) for column in split_types(table))
    return {column[1]: re.sub(r"\s+", "", column[2]) for column in columns if column}


def split_types(text: str) -> list[str]:
    """Split at the commas that are in no angle brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += {"<": 1, ">": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def test_the_athena_table_has_the_columns_of_a_record() -> None:
    wanted = {name: athena_type(field.annotation) for name, field in Record.model_fields.items()}
    # The polls of one build never exceed an int; everything else is exactly as in the model.
    wanted["courier"] = wanted["courier"].replace("polls:bigint", "polls:int")
    assert documented_columns() == wanted


def test_the_athena_template_names_the_folders_of_the_records() -> None:
    found = re.search(r"'storage.location.template' = 's3://BUCKET/(.*?)'", ATHENA)
    assert found is not None
    folder = found[1].replace("${source}", "insights").replace("${date}", "2026-04-15")
    assert record_key("", BuildRef(source="insights", scope="a/b", build_id="c"), NOON).startswith(folder)
    assert "'projection.date.format' = 'yyyy-MM-dd'" in ATHENA
    assert "PARTITIONED BY (source string, `date` string)" in ATHENA


def test_pandas_reads_records_of_every_outcome(deliveries: list[Delivery], records: str) -> None:
    pytest.importorskip("pandas", reason="make test-setup installs pandas")
    text = example("records in pandas")
    assert '"out/bucket/records"' in text
    names: dict[str, Any] = {}
    exec(text.replace('"out/bucket/records"', repr(records.split("/**", maxsplit=1)[0])), names)  # noqa: S102 - our own document
    assert len(names["records"]) == len(deliveries)
    summary = names["summary"].to_dict("index")
    assert summary["red-team", "delivered"]["count"] == 2
    assert summary["red-team", "delivered"]["median"] == pytest.approx(1160 / 60)
    # A build without times has no duration, and is there nevertheless.
    assert set(names["records"]["outcome"]) == {each.record.outcome for each in deliveries}


def test_records_fit_into_one_parquet_file(
    view: duckdb.DuckDBPyConnection, deliveries: list[Delivery], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    view.execute(example("records to Parquet in DuckDB"))
    rows = view.execute("SELECT count(*), count(problem.message) FROM 'records.parquet'").fetchall()
    failed = sum(each.record.problem is not None for each in deliveries)
    assert rows == [(len(deliveries), failed)]


def test_records_read_through_the_athena_types_and_the_query_runs(
    database: duckdb.DuckDBPyConnection, records: str
) -> None:
    columns = ", ".join(f"{name}: '{duckdb_type(kind)}'" for name, kind in documented_columns().items())
    database.execute(
        "CREATE VIEW build_courier_records AS SELECT * FROM "  # noqa: S608 - path and types are the test's own
        f"read_json('{records}', hive_partitioning = true, hive_types_autocast = false, columns = {{{columns}}})"
    )
    database.execute("CREATE MACRO from_iso8601_timestamp(text) AS text::TIMESTAMP")
    rows = database.execute(example("durations in Athena")).fetchall()
    assert ("red-team", "delivered", 2, 1160.0) in rows
    assert sum(row[2] for row in rows) == 10
    assert database.execute(
        "SELECT max(artifact.size_bytes), bool_and(artifact.verified) FROM build_courier_records"
    ).fetchall() == [(26, True)]


def duckdb_type(athena: str) -> str:
    """Return an Athena type in the notation of DuckDB."""
    if athena.startswith("array<"):
        return f"{duckdb_type(athena.removeprefix('array<').removesuffix('>'))}[]"
    if athena.startswith("struct<"):
        inner = athena.removeprefix("struct<").removesuffix(">")
        fields = (field.split(":", 1) for field in split_types(inner))
        return f"STRUCT({', '.join(f'{chr(34)}{name}{chr(34)} {duckdb_type(kind)}' for name, kind in fields)})"
    return {"string": "VARCHAR", "bigint": "BIGINT", "int": "INTEGER", "double": "DOUBLE", "boolean": "BOOLEAN"}[athena]
