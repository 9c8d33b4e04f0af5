"""The expansion is the CloudFormation that SAM produces, without AWS and deterministic."""

import json
from pathlib import Path

import pytest

from local.sam.expansion import CODE_BUCKET, expand, function_folders
from local.sam.intrinsics import LogicalId, Resolver, StackLocation, TemplateError

LOCATION = StackLocation(region="eu-central-1", account="123456789012", stack_name="small")


def write(folder: Path, text: str) -> Path:
    path = folder / "template.yaml"
    path.write_text(f"Transform: AWS::Serverless-2016-10-31\n{text}", encoding="utf-8")
    return path


def test_everything_serverless_becomes_cloudformation(small_template: Path) -> None:
    types = {resource["Type"] for resource in expand(small_template)["Resources"].values()}
    assert not {name for name in types if "Serverless" in name}
    assert {"AWS::Lambda::Function", "AWS::Scheduler::Schedule", "AWS::StepFunctions::StateMachine"} <= types


def test_the_same_template_expands_to_the_same_text(small_template: Path) -> None:
    assert json.dumps(expand(small_template)) == json.dumps(expand(small_template))


def test_code_is_named_by_its_folder(small_template: Path) -> None:
    expanded = expand(small_template)
    assert function_folders(expanded) == {"WorkFunction": "functions/work"}
    assert expanded["Resources"]["WorkFunction"]["Properties"]["Code"]["S3Bucket"] == CODE_BUCKET


def test_the_definition_is_inlined_with_its_placeholders_and_substitutions(small_template: Path) -> None:
    properties = expand(small_template)["Resources"]["Machine"]["Properties"]
    definition = json.loads("\n".join(properties["DefinitionString"]["Fn::Join"][1]))
    assert definition["States"]["Work"]["Resource"] == "${WorkFunctionArn}"
    assert properties["DefinitionSubstitutions"]["Table"] == {"Ref": "Table"}


def test_a_parameter_value_becomes_the_default(small_template: Path) -> None:
    expanded = expand(small_template, parameters={"Beat": "rate(7 minutes)"})
    assert expanded["Parameters"]["Beat"]["Default"] == "rate(7 minutes)"


def test_yaml_anchors_are_copies(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    function = (
        "    Type: AWS::Serverless::Function\n"
        "    Properties: {Runtime: python3.13, Handler: app.handler, CodeUri: code, Policies: [POLICY]}\n"
    )
    anchored = "&shared {Fn::If: [Yes, {Version: '2012-10-17', Statement: []}, {Ref: AWS::NoValue}]}"
    template = write(
        tmp_path,
        "Conditions: {Yes: {Fn::Equals: [a, a]}}\nResources:\n"
        f"  A:\n{function.replace('POLICY', anchored)}  B:\n{function.replace('POLICY', '*shared')}",
    )
    assert {"ARole", "BRole"} <= expand(template)["Resources"].keys()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("Resources: [", "cannot read the template template.yaml"),
        ("Parameters: {P: {Type: String}}\nResources: {}", "parameter P has no default"),
        (
            "Resources: {F: {Type: AWS::Serverless::Function, Properties: {CodeUri: nowhere}}}",
            "F: CodeUri must name a folder, not 'nowhere'",
        ),
        (
            "Resources: {M: {Type: AWS::Serverless::StateMachine, Properties: {DefinitionUri: nowhere.yaml}}}",
            "M: cannot read the definition nowhere.yaml",
        ),
        (
            "Resources: {M: {Type: AWS::Serverless::StateMachine, Properties: {Nonsense: 1}}}",
            "SAM refuses the template",
        ),
    ],
)
def test_a_faulty_template_is_refused_by_name(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(TemplateError, match=complaint):
        expand(write(tmp_path, text))


def test_an_undeclared_parameter_is_refused(small_template: Path) -> None:
    with pytest.raises(TemplateError, match="no parameter Beet"):
        expand(small_template, parameters={"Beet": "rate(1 minute)"})


def test_a_managed_policy_that_sam_does_not_know_is_refused(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    template = write(
        tmp_path,
        "Resources: {F: {Type: AWS::Serverless::Function, Properties: "
        "{Runtime: python3.13, Handler: a.b, CodeUri: code, Policies: [NewPolicyOfTomorrow]}}}",
    )
    with pytest.raises(TemplateError, match="FRole: NewPolicyOfTomorrow"):
        expand(template)


def resolver() -> Resolver:
    template = {
        "Parameters": {"Name": {"Default": "x"}},
        "Conditions": {
            "IsX": {"Fn::Equals": [{"Ref": "Name"}, "x"]},
            "IsNotX": {"Fn::Not": [{"Condition": "IsX"}]},
            "Both": {"Fn::And": [{"Condition": "IsX"}, {"Condition": "IsNotX"}]},
            "Either": {"Fn::Or": [{"Condition": "IsX"}, {"Condition": "IsNotX"}]},
        },
    }
    return Resolver(template, LOCATION)


@pytest.mark.parametrize(
    ("node", "value"),
    [
        ({"Ref": "Name"}, "x"),
        ({"Ref": "AWS::StackName"}, "small"),
        ({"Ref": "Bucket"}, LogicalId("Bucket")),
        ({"Fn::GetAtt": ["Bucket", "Arn"]}, LogicalId("Bucket", "Arn")),
        ({"Fn::GetAtt": "Bucket.Arn"}, LogicalId("Bucket", "Arn")),
        ({"Fn::Sub": "/${AWS::StackName}/${Name}/${!Literal}"}, "/small/x/${Literal}"),
        ({"Fn::Sub": ["${A}-${Name}", {"A": {"Ref": "Name"}}]}, "x-x"),
        ({"Fn::If": ["IsX", "yes", "no"]}, "yes"),
        ({"Fn::If": ["Both", "yes", "no"]}, "no"),
        ({"Fn::If": ["Either", "yes", "no"]}, "yes"),
        ({"a": {"Fn::If": ["IsNotX", 1, {"Ref": "AWS::NoValue"}]}, "b": [1]}, {"b": [1]}),
    ],
)
def test_intrinsics_are_resolved_from_parameters(node: object, value: object) -> None:
    assert resolver().value(node) == value


@pytest.mark.parametrize("node", [{"Fn::Sub": "${Bucket}"}, {"Fn::ImportValue": "x"}, {"Fn::If": ["Unknown", 1, 2]}])
def test_intrinsics_that_need_a_deployment_are_refused(node: object) -> None:
    with pytest.raises(TemplateError):
        resolver().value(node)


def test_conditions_are_decided_and_all_else_is_kept() -> None:
    node = {"Policies": [{"Fn::If": ["IsNotX", {"a": 1}, {"Ref": "AWS::NoValue"}]}, {"Ref": "Bucket"}]}
    assert resolver().fold_conditions(node) == {"Policies": [{"Ref": "Bucket"}]}
