"""Adapt an expanded template to the CloudFormation of moto 5.2.5; pure functions."""

import json
import re
from dataclasses import dataclass

from moto.cloudformation.parsing import get_model_map

from local.sam.expansion import DEFAULT_LOCATION, resources_of
from local.sam.intrinsics import Resolver, StackLocation, Template, TemplateError

# Resource types that moto's CloudFormation does not create, and why the embedded AWS does not need them.
LEFT_OUT = {
    "AWS::CloudFormation::Stack": "dashboard and alarms; no alarm is sent here, and its template is checked by itself",
    "AWS::CloudWatch::Alarm": "no alarm is sent here; the report of the run says what failed",
    "AWS::Lambda::EventInvokeConfig": "read from the template; the embedded AWS delivers asynchronous calls itself",
    "AWS::S3::BucketPolicy": "access is not enforced here; the policy is checked in the template",
    "AWS::SNS::Subscription": "no mail leaves this machine; the embedded AWS subscribes a queue instead",
    "AWS::SNS::TopicPolicy": "access is not enforced here; the policy is checked in the template",
    "AWS::SQS::QueuePolicy": "access is not enforced here; the policy is checked in the template",
    "AWS::Scheduler::Schedule": "read from the template; the scheduler fires them",
}

_SUBSTITUTION_OUTPUT = "EmbeddedSubstitution"

# The functions run from this checkout, so moto gets a stub: Python source for a function, base64 for a layer.
_STUB_CODE = {"ZipFile": "cGFzcw=="}


@dataclass(frozen=True)
class MotoTemplate:
    """A template that moto deploys.

    ``body``
        The template for CreateStack.
    ``left_out``
        Resources (by logical id) and outputs (by name) that moto does not get, with the reason.
    ``substitutions``
        Per state machine: the stack outputs with the values, by the names in its definition.
    """

    body: Template
    left_out: dict[str, str]
    substitutions: dict[str, dict[str, str]]

    def definition(self, state_machine: str, text: str, outputs: dict[str, str]) -> str:
        """Replace the placeholders in the definition of one state machine, as CloudFormation does.

        Raises
        ------
        TemplateError
            A placeholder has no substitution; Step Functions itself would treat it as text.
        """
        for name, output in self.substitutions[state_machine].items():
            # Placeholders occur inside JSON strings.
            text = text.replace(f"${{{name}}}", json.dumps(outputs[output])[1:-1])
        if missing := sorted(set(re.findall(r"\$\{(\w+)\}", text))):
            raise TemplateError(f"{state_machine}: no substitution for {', '.join(missing)}")
        return text


def for_moto(expanded: Template, location: StackLocation = DEFAULT_LOCATION) -> MotoTemplate:
    """Adapt an expanded template to moto.

    Conditions are resolved here, because moto does not remove ``AWS::NoValue`` from lists
    (https://github.com/getmoto/moto/issues/870 fixed it for properties only).

    Raises
    ------
    TemplateError
        moto does not support a resource type that `LEFT_OUT` does not list.
    """
    body = Resolver(expanded, location).without_conditions()
    left_out = _leave_out(body)
    for resource_type, name in (("AWS::Lambda::Function", "Code"), ("AWS::Lambda::LayerVersion", "Content")):
        for _, resource in resources_of(body, resource_type):
            resource["Properties"][name] = dict(_STUB_CODE)
    return MotoTemplate(body=body, left_out=left_out, substitutions=_move_substitutions(body))


def _leave_out(body: Template) -> dict[str, str]:
    unknown = {
        logical_id: resource["Type"]
        for logical_id, resource in body["Resources"].items()
        if resource["Type"] not in LEFT_OUT and resource["Type"] not in get_model_map()
    }
    if unknown:
        names = ", ".join(f"{logical_id} ({resource_type})" for logical_id, resource_type in unknown.items())
        raise TemplateError(f"the embedded AWS does not know how to create {names}")
    left_out = {
        logical_id: LEFT_OUT[resource["Type"]]
        for logical_id, resource in body["Resources"].items()
        if resource["Type"] in LEFT_OUT
    }
    for logical_id in left_out:
        del body["Resources"][logical_id]
    for name, output in list(body.get("Outputs", {}).items()):
        if missing := _references(output) & left_out.keys():
            left_out[name] = f"an output of {', '.join(sorted(missing))}"
            del body["Outputs"][name]
    return left_out


def _references(node: object) -> set[str]:
    if isinstance(node, list):
        return set().union(*(_references(item) for item in node))
    if not isinstance(node, dict):
        return set()
    found: set[str] = set()
    for name, argument in node.items():
        if name == "Ref":
            found.add(argument)
        elif name == "Fn::GetAtt":
            found.add(argument.split(".")[0] if isinstance(argument, str) else argument[0])
        elif name == "Fn::Sub":
            text = argument if isinstance(argument, str) else argument[0]
            found.update(re.findall(r"\$\{([^!.}]+)", text))
        found |= _references(argument)
    return found


def _move_substitutions(body: Template) -> dict[str, dict[str, str]]:
    """Move substitutions, which moto's CloudFormation ignores, into stack outputs, whose values it resolves.

    No upstream issue found (searched getmoto/moto, 2026-11).
    """
    outputs = body.setdefault("Outputs", {})
    moved: dict[str, dict[str, str]] = {}
    for logical_id, resource in resources_of(body, "AWS::StepFunctions::StateMachine"):
        names = moved.setdefault(logical_id, {})
        for name, value in sorted(resource["Properties"].pop("DefinitionSubstitutions", {}).items()):
            names[name] = f"{_SUBSTITUTION_OUTPUT}{len(outputs)}"
            outputs[names[name]] = {"Value": value}
    return moved
