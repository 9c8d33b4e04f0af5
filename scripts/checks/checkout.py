"""What the checks read: the template, expanded once, and the state machine's definition."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from samtranslator.yaml_helper import yaml_parse

from local.sam.expansion import expand, resources_of
from local.sam.intrinsics import Template, TemplateError
from scripts.checks.resolved_template import resolve

Definition = dict[str, Any]

# A value for every optional parameter, so that the other branch of each condition is checked too.
ALL_OPTIONS = {
    "NotificationEmail": "reports@example.com",
    "ExistingBucketName": "reports-of-example",
    "KeyPrefix": "courier/",
    "ArtifactRetentionDays": "90",
    "SecretPrefix": "courier-of-example/",
    "KmsKeyArn": "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    "MostConcurrentCopies": "5",
    "PermissionsBoundaryArn": "arn:aws:iam::123456789012:policy/boundary",
}

_PLACEHOLDER = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True, kw_only=True)
class Checkout:
    """One checkout of the repository, with its template expanded.

    ``root``
        Its folder.
    ``expanded``
        The CloudFormation template that SAM generates, with conditions and references.
    ``nested``
        The templates of its nested stacks, by file name, as written.
    ``defaults``, ``all_options``
        Both deployed without intrinsic functions: with the default parameters, and with every option set.
    ``definition``, ``substitutions``
        The state machine as written, and the resolved values of its placeholders.
    """

    root: Path
    expanded: Template
    nested: dict[str, Template]
    defaults: Template
    all_options: Template
    definition: Definition
    substitutions: dict[str, str]

    def filled_definition(self) -> Definition:
        """Return the definition with its placeholders filled, as Step Functions receives it."""
        text = json.dumps(self.definition)
        # The placeholders stand inside JSON strings.
        filled: Definition = json.loads(
            _PLACEHOLDER.sub(lambda match: json.dumps(self.substitutions.get(match[1], match[0]))[1:-1], text)
        )
        return filled


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """Result of one check.

    ``checked``
        What was checked, for the reader of the output.
    ``findings``
        One line each; empty if the check passed.
    ``missing_tool``
        Why the check could not run, where this machine lacks its tool.
    """

    check: str
    checked: str
    findings: tuple[str, ...] = field(default=())
    missing_tool: str | None = None


def open_checkout(root: Path) -> Checkout:
    """Read and expand the template in ``root``.

    Raises
    ------
    TemplateError
        The template cannot be expanded, or does not contain exactly one state machine.
    """
    template = root / "template.yaml"
    expanded = expand(template)
    nested = {
        url: yaml_parse((root / url).read_text(encoding="utf-8"))
        for _, stack in resources_of(expanded, "AWS::CloudFormation::Stack")
        if (root / (url := str(stack["Properties"]["TemplateURL"]))).is_file()
    }
    defaults = _deployed(expanded, nested)
    declared = expanded.get("Parameters", {})
    options = {name: value for name, value in ALL_OPTIONS.items() if name in declared}
    machines = list(resources_of(defaults, "AWS::StepFunctions::StateMachine"))
    if len(machines) != 1:
        raise TemplateError(f"the template contains {len(machines)} state machines instead of one")
    ((_, machine),) = machines
    path = root / "statemachine/build_lifecycle.asl.yaml"
    definition: Definition = yaml.safe_load(path.read_text(encoding="utf-8"))
    return Checkout(
        root=root,
        expanded=expanded,
        nested=nested,
        defaults=defaults,
        all_options=_deployed(expand(template, parameters=options), nested),
        definition=definition,
        substitutions=machine["Properties"].get("DefinitionSubstitutions", {}),
    )


def _deployed(expanded: Template, nested: Mapping[str, Template]) -> Template:
    """Resolve a template and merge the resources of its nested stacks."""
    deployed = resolve(expanded)
    for _, stack in list(resources_of(deployed, "AWS::CloudFormation::Stack")):
        # A copy through JSON, because values that YAML anchors share are changed below.
        inner = json.loads(json.dumps(nested[stack["Properties"]["TemplateURL"]], default=str))
        parameters = stack["Properties"].get("Parameters", {})
        # cfn-lint reports a parameter that only one of the two templates has.
        for name, entry in inner.get("Parameters", {}).items():
            entry["Default"] = parameters.get(name, entry.get("Default", name))
        resources = resolve(inner)["Resources"]
        if twice := deployed["Resources"].keys() & resources.keys():
            raise TemplateError(f"a nested stack repeats the name {', '.join(sorted(twice))}")
        deployed["Resources"] |= resources
    return deployed


def states_of(definition: Definition) -> dict[str, Definition]:
    """Return all states by name, including those inside Map and Parallel."""
    found: dict[str, Definition] = {}
    for name, state in definition.get("States", {}).items():
        found[name] = state
        inner = [*state.get("Branches", []), state.get("ItemProcessor") or state.get("Iterator") or {}]
        for machine in inner:
            found |= states_of(machine)
    return found
