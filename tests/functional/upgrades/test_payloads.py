"""Executions that an earlier version started, and its settings: the current functions serve them."""

from __future__ import annotations

import json

import pytest
from pydantic import BaseModel

from courier import aws
from courier.config.settings import SourceSettings
from courier.models import News, NextStep, Passage
from courier.outcomes.notices import BuildNotice, Notice
from courier.outcomes.records import Record
from courier.sources.catalog import read_source
from courier.usecases.container import Container
from courier.usecases.copy_artifact import CopyRequest
from courier.usecases.events import read_event
from courier.usecases.record_outcome import RecordRequest, record_outcome
from tests.functional.upgrades.samples import names, sample, text
from tests.support.aws import BUCKET

MODELS: dict[str, type[BaseModel]] = {
    "executions": Passage,
    "copy_artifact": CopyRequest,
    "record_outcome": RecordRequest,
    "news": News,
    "records": Record,
    "notices": Notice,
}
SAMPLES = [(kind, name) for kind in MODELS for name in names(kind)]


@pytest.mark.parametrize(("kind", "name"), SAMPLES)
def test_nothing_of_a_document_is_lost(kind: str, name: str) -> None:
    read = MODELS[kind].model_validate_json(text(kind, name))
    assert json.loads(read.model_dump_json(exclude_unset=True)) == sample(kind, name)


@pytest.mark.parametrize("verdict", names("news"))
def test_the_pollers_payload_fits_into_an_execution_that_was_started_before(verdict: str) -> None:
    # What the waiting states do with them.
    merged = {**sample("executions", "wait"), **sample("news", verdict)}
    passage = read_event(CopyRequest, {"passage": merged}).passage
    assert passage.verdict in {NextStep.FETCH, NextStep.RECORD}


def test_a_passage_that_does_not_say_so_may_have_a_report() -> None:
    assert "leaves_report" not in sample("executions", "wait")
    assert Passage.model_validate(sample("executions", "wait")).leaves_report


@pytest.mark.parametrize("name", ["delivered", "failed"])
def test_an_outcome_is_recorded_under_the_same_key_and_announced_under_the_same_id(
    name: str, stack_container: Container
) -> None:
    request = read_event(RecordRequest, sample("record_outcome", name))
    now = Notice.model_validate_json(record_outcome(stack_container, request).message["default"])
    before = Notice.model_validate_json(text("notices", name))
    assert (now.id, now.source, now.subject, now.type) == (before.id, before.source, before.subject, before.type)
    assert isinstance(now.data, BuildNotice)
    assert isinstance(before.data, BuildNotice)
    assert now.data.record == before.data.record


@pytest.mark.parametrize("name", ["delivered", "failed"])
def test_the_record_of_an_outcome_still_has_all_its_fields(name: str, stack_container: Container) -> None:
    record_outcome(stack_container, read_event(RecordRequest, sample("record_outcome", name)))
    before = sample("records", name)
    key = sample("notices", name)["data"]["record"]["key"]
    now = json.loads(aws.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read())
    del before["schema_version"]
    assert _contains(now, before)


def _contains(now: object, before: object) -> bool:
    """Return whether every field is there with its value; new fields may have been added at any depth."""
    if isinstance(now, dict) and isinstance(before, dict):
        return before.keys() <= now.keys() and all(_contains(now[name], before[name]) for name in before)
    return now == before


def test_an_error_that_was_caught_is_still_an_outcome(stack_container: Container) -> None:
    request = read_event(RecordRequest, sample("record_outcome", "undeliverable"))
    notice = Notice.model_validate_json(record_outcome(stack_container, request).message["default"])
    assert isinstance(notice.data, BuildNotice)
    assert notice.data.problem is not None
    assert (notice.data.outcome, notice.data.problem.name) == ("undeliverable", "ArtifactExpiredError")
    assert notice.data.problem.message == "3 fresh links in a row were refused (403 AccessDenied)"


def test_new_fields_in_a_payload_of_a_later_version_are_ignored() -> None:
    # While a stack is updated, functions of one version end what an execution of the other began.
    ended = sample("executions", "ended")
    later = {**ended, "priority": "high", "build": {**ended["build"], "labels": ["nightly"]}}
    assert read_event(CopyRequest, {"passage": later}) == read_event(CopyRequest, {"passage": ended})


@pytest.mark.parametrize("name", names("sources"))
def test_the_parameter_of_a_source_is_read_as_before(name: str) -> None:
    settings = read_source(name, text("sources", name))
    assert isinstance(settings, SourceSettings)
    assert json.loads(settings.model_dump_json(exclude_unset=True)) == sample("sources", name)
