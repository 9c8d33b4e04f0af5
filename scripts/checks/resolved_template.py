"""Names and ARNs like those of a deployment, so that scanners read what AWS would read."""

import re
from typing import Any

from local.sam.expansion import DEFAULT_LOCATION
from local.sam.intrinsics import Resolver, StackLocation, Template

# The service and resource part of the ARN by type of resource.
_ARNS = {
    "AWS::CloudWatch::Alarm": "cloudwatch:{where}:alarm:{name}",
    "AWS::DynamoDB::Table": "dynamodb:{where}:table/{name}",
    "AWS::Events::Rule": "events:{where}:rule/{name}",
    "AWS::IAM::Role": "iam::{account}:role/{name}",
    "AWS::Lambda::Function": "lambda:{where}:function:{name}",
    "AWS::Lambda::LayerVersion": "lambda:{where}:layer:{name}:1",
    "AWS::Logs::LogGroup": "logs:{where}:log-group:{name}:*",
    "AWS::S3::Bucket": "s3:::{name}",
    "AWS::SNS::Topic": "sns:{where}:{name}",
    "AWS::SQS::Queue": "sqs:{where}:{name}",
    "AWS::Scheduler::Schedule": "scheduler:{where}:schedule/default/{name}",
    "AWS::StepFunctions::StateMachine": "states:{where}:stateMachine:{name}",
}
# Types whose Ref is their ARN; the Ref of all others is their name.
_REF_IS_ARN = {"AWS::Lambda::LayerVersion", "AWS::SNS::Topic", "AWS::StepFunctions::StateMachine"}

_PLACEHOLDER = re.compile(r"\$\{([A-Za-z0-9.]+)\}")


def resolve(expanded: Template, location: StackLocation = DEFAULT_LOCATION) -> Template:
    """Return an expanded template without any intrinsic function, as its parameters' defaults deploy it.

    Raises
    ------
    TemplateError
        A reference names no parameter, condition or resource.
    """
    decided = Resolver(expanded, location).without_conditions()
    resolver = Resolver(decided, location)
    names = _Names(decided, location, resolver)
    resolved: Template = dict(decided)
    for section in ("Resources", "Outputs"):
        resolved[section] = resolver.value(names.fill(decided[section]))
    return resolved


class _Names:
    """Replaces references to resources with sample values."""

    def __init__(self, template: Template, location: StackLocation, resolver: Resolver) -> None:
        self._resolver = resolver
        self._types: dict[str, str] = {name: entry["Type"] for name, entry in template["Resources"].items()}
        self._mappings: Template = template.get("Mappings", {})
        self._location = location

    def fill(self, node: Any) -> Any:  # noqa: ANN401 - the same shape as the argument
        if isinstance(node, list):
            return [self.fill(item) for item in node]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((name, argument),) = node.items()
            if name == "Ref" and argument in self._types:
                return self._reference(argument)
            if name in ("Fn::FindInMap", "Fn::GetAtt", "Fn::Join", "Fn::Sub"):
                return self._call(name, argument)
        return {key: self.fill(item) for key, item in node.items()}

    def _call(self, name: str, argument: Any) -> str | Template:  # noqa: ANN401 - each function has its own shape
        if name == "Fn::GetAtt":
            return self._attribute(*(argument.split(".", 1) if isinstance(argument, str) else argument))
        if name == "Fn::FindInMap":
            table, row, column = (str(self._resolver.value(item)) for item in argument)
            return str(self._mappings[table][row][column])
        if name == "Fn::Join":
            # SAM generates joins that the template does not have.
            separator, items = argument
            return str(separator).join(str(self._resolver.value(self.fill(item))) for item in items)
        text, variables = (argument, {}) if isinstance(argument, str) else argument
        return {"Fn::Sub": [self._text(text), self.fill(variables)]}

    def _text(self, text: str) -> str:
        def name(match: re.Match[str]) -> str:
            target, _, attribute = match[1].partition(".")
            if target not in self._types:
                return match[0]
            return self._attribute(target, attribute) if attribute else self._reference(target)

        return _PLACEHOLDER.sub(name, text)

    def _reference(self, logical_id: str) -> str:
        if self._types[logical_id] in _REF_IS_ARN:
            return self._attribute(logical_id, "Arn")
        if self._types[logical_id] == "AWS::SQS::Queue":
            return f"https://sqs.{self._location.region}.amazonaws.com/{self._location.account}/{logical_id}"
        return logical_id.lower() if self._types[logical_id] == "AWS::S3::Bucket" else logical_id

    def _attribute(self, logical_id: str, attribute: str) -> str:
        # QueueUrl, TopicArn, DomainName and others that no check reads.
        if not attribute.endswith("Arn"):
            return f"{logical_id}.{attribute}"
        resource_type = self._types[logical_id]
        name = logical_id.lower() if resource_type == "AWS::S3::Bucket" else logical_id
        pattern = _ARNS.get(resource_type, f"{resource_type.split('::')[1].lower()}:{{where}}:{{name}}")
        where = f"{self._location.region}:{self._location.account}"
        return "arn:aws:" + pattern.format(where=where, account=self._location.account, name=name)
