"""What moto gets of a template; nothing is dropped silently."""

import copy
import json
from pathlib import Path

import pytest

from local.embedded.moto.template import LEFT_OUT, for_moto
from local.embedded.moto.unsupported_properties import check_properties
from local.sam.expansion import expand
from local.sam.intrinsics import Template, TemplateError


@pytest.fixture
def expanded(small_template: Path) -> Template:
    return expand(small_template)


def test_the_expansion_itself_stays_as_it_is(expanded: Template) -> None:
    before = copy.deepcopy(expanded)
    for_moto(expanded)
    assert expanded == before


def test_what_moto_cannot_create_is_left_out_with_a_reason(expanded: Template) -> None:
    prepared = for_moto(expanded)
    assert prepared.left_out["Alarm"] == LEFT_OUT["AWS::CloudWatch::Alarm"]
    assert prepared.left_out["AlarmName"] == "an output of Alarm"
    assert not prepared.left_out.keys() & prepared.body["Resources"].keys()
    assert "AlarmName" not in prepared.body["Outputs"]


def test_an_unknown_resource_type_is_refused(expanded: Template) -> None:
    expanded["Resources"]["Ship"] = {"Type": "AWS::Harbour::Ship"}
    with pytest.raises(TemplateError, match=r"Ship \(AWS::Harbour::Ship\)"):
        for_moto(expanded)


def test_conditions_are_decided_before_moto_sees_them(expanded: Template) -> None:
    body = for_moto(expanded).body
    assert "MailSubscription" not in body["Resources"]
    assert "Fn::If" not in json.dumps(body["Resources"])


def test_substitutions_are_filled_into_json_text(expanded: Template) -> None:
    prepared = for_moto(expanded)
    outputs = dict.fromkeys(prepared.substitutions["Machine"].values(), 'a "quoted" value')
    text = prepared.definition("Machine", '{"A": "${Table}", "B": "${TopicArn}"}', outputs)
    assert json.loads(text) == {"A": 'a "quoted" value', "B": 'a "quoted" value'}


def test_a_placeholder_without_substitution_is_refused(expanded: Template) -> None:
    prepared = for_moto(expanded)
    outputs = dict.fromkeys(prepared.substitutions["Machine"].values(), "x")
    with pytest.raises(TemplateError, match="Machine: no substitution for Forgotten"):
        prepared.definition("Machine", '{"A": "${Forgotten}"}', outputs)


def test_a_property_that_moto_would_ignore_is_refused(expanded: Template) -> None:
    expanded["Resources"]["Store"]["Properties"]["ReplicationConfiguration"] = {}
    with pytest.raises(TemplateError, match=r"Store: .*ReplicationConfiguration"):
        check_properties(for_moto(expanded).body)
