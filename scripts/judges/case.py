"""What is judged: the template, expanded once, and the state machine's definition."""

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
from scripts.judges.samples import resolve

Definition = dict[str, Any]

# Every option that a user may leave out, used: the other half of the template's conditions.
ALL_OPTIONS = {
    "NotificationEmail": "reports@example.com",
    "ExistingBucketName": "reports-of-example",
    "KeyPrefix": "courier/",
    "ArtifactRetentionDays": "90",
    "KmsKeyArn": "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    "PermissionsBoundaryArn": "arn:aws:iam::123456789012:policy/boundary",
}

_PLACEHOLDER = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One state of the repository.

    ``root``
        Its folder.
    ``expanded``
        The CloudFormation that SAM makes of the template, conditions and references inside.
    ``nested``
        The templates of its nested stacks, by file name, as written.
    ``plain``, ``everything``
        Two deployments of all of them without intrinsic functions: the defaults, and every option used.
    ``definition``, ``substitutions``
        The state machine as written, and what the template puts into its placeholders (resolved).
    """

    root: Path
    expanded: Template
    nested: dict[str, Template]
    plain: Template
    everything: Template
    definition: Definition
    substitutions: dict[str, str]

    def filled_definition(self) -> Definition:
        """Give the definition with its placeholders filled, as Step Functions gets it."""
        text = json.dumps(self.definition)
        # The placeholders stand inside JSON strings.
        filled: Definition = json.loads(
            _PLACEHOLDER.sub(lambda match: json.dumps(self.substitutions.get(match[1], match[0]))[1:-1], text)
        )
        return filled


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What one judge says.

    ``judged``
        What it looked at, for a reader.
    ``findings``
        One line each; none is good.
    ``absent``
        Why it could not judge at all, where this machine lacks its tool.
    """

    judge: str
    judged: str
    findings: tuple[str, ...] = field(default=())
    absent: str | None = None


def open_case(root: Path) -> Case:
    """Read and expand what lies in ``root``.

    Raises
    ------
    TemplateError
        It cannot be expanded, or does not hold exactly one state machine with its definition in a file.
    """
    template = root / "template.yaml"
    expanded = expand(template)
    nested = {
        url: yaml_parse((root / url).read_text(encoding="utf-8"))
        for _, stack in resources_of(expanded, "AWS::CloudFormation::Stack")
        if (root / (url := str(stack["Properties"]["TemplateURL"]))).is_file()
    }
    plain = _deployed(expanded, nested)
    declared = expanded.get("Parameters", {})
    options = {name: value for name, value in ALL_OPTIONS.items() if name in declared}
    machines = list(resources_of(plain, "AWS::StepFunctions::StateMachine"))
    if len(machines) != 1:
        raise TemplateError(f"the template holds {len(machines)} state machines instead of one")
    ((_, machine),) = machines
    path = root / "statemachine/build_lifecycle.asl.yaml"
    definition: Definition = yaml.safe_load(path.read_text(encoding="utf-8"))
    return Case(
        root=root,
        expanded=expanded,
        nested=nested,
        plain=plain,
        everything=_deployed(expand(template, parameters=options), nested),
        definition=definition,
        substitutions=machine["Properties"].get("DefinitionSubstitutions", {}),
    )


def _deployed(expanded: Template, nested: Mapping[str, Template]) -> Template:
    """Resolve a template and what its nested stacks add."""
    deployed = resolve(expanded)
    for _, stack in list(resources_of(deployed, "AWS::CloudFormation::Stack")):
        # Through JSON: what YAML anchors share is changed here.
        inner = json.loads(json.dumps(nested[stack["Properties"]["TemplateURL"]], default=str))
        given = stack["Properties"].get("Parameters", {})
        # A name that only one of the two templates knows is cfn-lint's to find.
        for name, entry in inner.get("Parameters", {}).items():
            entry["Default"] = given.get(name, entry.get("Default", name))
        resources = resolve(inner)["Resources"]
        if twice := deployed["Resources"].keys() & resources.keys():
            raise TemplateError(f"a nested stack repeats the name {', '.join(sorted(twice))}")
        deployed["Resources"] |= resources
    return deployed


def states_of(definition: Definition) -> dict[str, Definition]:
    """Give all states by name, those inside Map and Parallel too."""
    found: dict[str, Definition] = {}
    for name, state in definition.get("States", {}).items():
        found[name] = state
        inner = [*state.get("Branches", []), state.get("ItemProcessor") or state.get("Iterator") or {}]
        for machine in inner:
            found |= states_of(machine)
    return found
