"""What moto 5.2.5 needs of an expanded template before its CloudFormation can deploy it; pure functions."""

import json
import re
from dataclasses import dataclass

from moto.cloudformation.parsing import get_model_map

from local.sam.expansion import DEFAULT_LOCATION, resources_of
from local.sam.intrinsics import Resolver, StackLocation, Template, TemplateError

# Resource types that moto's CloudFormation does not create, and why the embedded AWS can do without.
LEFT_OUT = {
    "AWS::CloudFormation::Stack": "dashboard and alarms; nobody is called here, and its template is judged by itself",
    "AWS::CloudWatch::Alarm": "nobody is called here; the run's own report says what failed",
    "AWS::Lambda::EventInvokeConfig": "read from the template; the embedded AWS delivers asynchronous calls itself",
    "AWS::S3::BucketPolicy": "access is not enforced here; the policy is judged on the template",
    "AWS::SNS::Subscription": "no mail leaves this machine; the embedded AWS subscribes a queue instead",
    "AWS::SNS::TopicPolicy": "access is not enforced here; the policy is judged on the template",
    "AWS::SQS::QueuePolicy": "access is not enforced here; the policy is judged on the template",
    "AWS::Scheduler::Schedule": "read from the template; the ticker fires them",
}

_SUBSTITUTION_OUTPUT = "EmbeddedSubstitution"

# The functions run from this checkout, so moto may believe anything: Python source for a function, base64 for a layer.
_ANY_CODE = {"ZipFile": "cGFzcw=="}


@dataclass(frozen=True)
class MotoTemplate:
    """A template that moto deploys.

    ``body``
        What goes to CreateStack.
    ``left_out``
        Logical id and reason of each resource, and name of each output, that moto does not get.
    ``substitutions``
        Per state machine: the name that its definition uses, and the stack output with the value.
    """

    body: Template
    left_out: dict[str, str]
    substitutions: dict[str, dict[str, str]]

    def definition(self, state_machine: str, text: str, outputs: dict[str, str]) -> str:
        """Fill the substitutions of one state machine into its definition, as CloudFormation does.

        Raises
        ------
        TemplateError
            A placeholder without a substitution; the real Step Functions would take it for text.
        """
        for name, output in self.substitutions[state_machine].items():
            # The placeholders stand inside JSON strings.
            text = text.replace(f"${{{name}}}", json.dumps(outputs[output])[1:-1])
        if missing := sorted(set(re.findall(r"\$\{(\w+)\}", text))):
            raise TemplateError(f"{state_machine}: no substitution for {', '.join(missing)}")
        return text


def for_moto(expanded: Template, location: StackLocation = DEFAULT_LOCATION) -> MotoTemplate:
    """Adapt an expanded template to moto.

    Its conditions are decided here: moto does not understand ``AWS::NoValue`` inside lists.

    Raises
    ------
    TemplateError
        A resource type that moto does not know and that `LEFT_OUT` does not excuse.
    """
    body = Resolver(expanded, location).without_conditions()
    left_out = _leave_out(body)
    for resource_type, name in (("AWS::Lambda::Function", "Code"), ("AWS::Lambda::LayerVersion", "Content")):
        for _, resource in resources_of(body, resource_type):
            resource["Properties"][name] = dict(_ANY_CODE)
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
    """Let CloudFormation resolve what its moto does not fill in: as additional outputs of the stack."""
    outputs = body.setdefault("Outputs", {})
    moved: dict[str, dict[str, str]] = {}
    for logical_id, resource in resources_of(body, "AWS::StepFunctions::StateMachine"):
        names = moved.setdefault(logical_id, {})
        for name, value in sorted(resource["Properties"].pop("DefinitionSubstitutions", {}).items()):
            names[name] = f"{_SUBSTITUTION_OUTPUT}{len(outputs)}"
            outputs[names[name]] = {"Value": value}
    return moved
