"""CloudFormation's intrinsic functions, as far as parameters and conditions alone determine them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# One CloudFormation document, as plain JSON.
Template = dict[str, Any]

_PLACEHOLDER = re.compile(r"\$\{(!?)([^${}]+)\}")


class TemplateError(Exception):
    """The template has something that cannot be expanded, read or deployed here; the message names the place."""


@dataclass(frozen=True)
class StackLocation:
    """The location of a stack: the values of CloudFormation's pseudo parameters."""

    region: str
    account: str
    stack_name: str

    def pseudo_parameters(self) -> dict[str, str]:
        """Return the values of ``AWS::Region`` and the other pseudo parameters, for the commercial partition."""
        return {
            "AWS::Region": self.region,
            "AWS::AccountId": self.account,
            "AWS::StackName": self.stack_name,
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
        }


@dataclass(frozen=True)
class LogicalId:
    """A reference to a resource of the template or to one of its attributes; only a deployment knows the value."""

    name: str
    attribute: str | None = None


_NO_VALUE = LogicalId("AWS::NoValue")
_NO_VALUE_NODE = {"Ref": "AWS::NoValue"}


class Resolver:
    """Resolves what the parameters of an expanded template determine, without deploying it.

    Parameters
    ----------
    template
        Expanded template; the defaults of its parameters are their values.
    location
        The values of the pseudo parameters.
    """

    def __init__(self, template: Template, location: StackLocation) -> None:
        self._template = template
        parameters: Mapping[str, Template] = template.get("Parameters", {})
        self._values: dict[str, Any] = {name: entry.get("Default") for name, entry in parameters.items()}
        self._values |= location.pseudo_parameters()

    def value(self, node: object) -> object:
        """Resolve ``node``; a reference to another resource becomes a `LogicalId`.

        Raises
        ------
        TemplateError
            An intrinsic function needs a deployment, or is not supported here.
        """
        if isinstance(node, list):
            return [self.value(item) for item in node]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((name, argument),) = node.items()
            if name == "Ref" or name.startswith("Fn::"):
                return self._call(name, argument)
        resolved = {key: self.value(item) for key, item in node.items()}
        return {key: item for key, item in resolved.items() if item != _NO_VALUE}

    def fold_conditions(self, node: object) -> Any:  # noqa: ANN401  # the shape of what it was given
        """Resolve the conditions inside ``node`` and remove what they exclude; everything else stays."""
        if isinstance(node, list):
            items = (self.fold_conditions(item) for item in node)
            return [item for item in items if item != _NO_VALUE_NODE]
        if not isinstance(node, dict):
            return node
        if node.keys() == {"Fn::If"}:
            condition, yes, no = node["Fn::If"]
            return self.fold_conditions(yes if self.condition(condition) else no)
        members = {key: self.fold_conditions(item) for key, item in node.items()}
        return {key: item for key, item in members.items() if item != _NO_VALUE_NODE}

    def without_conditions(self) -> Template:
        """Return the template for these parameters: without conditions, and with only what they include."""
        body = dict(self._template)
        for section in ("Resources", "Outputs"):
            kept = {name: entry for name, entry in self._template.get(section, {}).items() if self.exists(entry)}
            body[section] = self.fold_conditions(kept)
            for entry in body[section].values():
                entry.pop("Condition", None)
        return body

    def _call(self, name: str, argument: Any) -> object:  # noqa: ANN401  # each function has its own shape
        if name == "Ref":
            return self._values[argument] if argument in self._values else LogicalId(argument)
        if name == "Fn::GetAtt":
            return LogicalId(*(argument.split(".", 1) if isinstance(argument, str) else argument))
        if name == "Fn::Sub":
            return self._substitute(*((argument, {}) if isinstance(argument, str) else argument))
        if name == "Fn::If":
            condition, yes, no = argument
            return self.value(yes if self.condition(condition) else no)
        raise TemplateError(f"{name} cannot be resolved without deploying the stack")

    def properties(self, resource: Template) -> Template:
        """Resolve the properties of one resource."""
        resolved = self.value(resource.get("Properties", {}))
        if not isinstance(resolved, dict):
            raise TemplateError(f"the properties of a {resource['Type']} are not a mapping")
        return resolved

    def condition(self, name: str) -> bool:
        """Return whether a named condition of the template is true."""
        conditions = self._template.get("Conditions", {})
        if name not in conditions:
            raise TemplateError(f"the template has no condition {name}")
        return self._holds(conditions[name])

    def exists(self, resource: Template) -> bool:
        """Return whether a resource is created, by its ``Condition``."""
        return "Condition" not in resource or self.condition(resource["Condition"])

    def _holds(self, node: Template) -> bool:
        ((name, argument),) = node.items()
        if name == "Condition":
            return self.condition(argument)
        if name == "Fn::Equals":
            left, right = (self.value(item) for item in argument)
            return str(left) == str(right)
        if name == "Fn::Not":
            return not self._holds(argument[0])
        if name in ("Fn::And", "Fn::Or"):
            return (all if name == "Fn::And" else any)(self._holds(item) for item in argument)
        raise TemplateError(f"{name} is not a condition function")

    def _substitute(self, text: str, more: Mapping[str, object]) -> str:
        values = self._values | {name: self.value(item) for name, item in more.items()}

        def fill(match: re.Match[str]) -> str:
            literal, name = match.groups()
            if literal:
                return f"${{{name}}}"
            value = values.get(name)
            if value is None or isinstance(value, LogicalId):
                raise TemplateError(f"Fn::Sub of ${{{name}}} cannot be resolved without deploying the stack")
            return str(value)

        return _PLACEHOLDER.sub(fill, text)
