"""Expand the SAM template to CloudFormation, offline.

The same expansion is linted, checked for its permissions, and deployed into the embedded AWS
(`local.embedded.moto.template` adapts it for that).
"""

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml
from samtranslator.metrics.method_decorator import MetricsMethodWrapperSingleton
from samtranslator.model.exceptions import InvalidDocumentException
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.utils.py27hash_fix import to_py27_compatible_template, undo_mark_unicode_str_in_template
from samtranslator.yaml_helper import yaml_parse

from local.sam.intrinsics import StackLocation, Template, TemplateError

# Stands for the bucket that `sam package` uploads to; keys are folders, relative to the template.
CODE_BUCKET = "code-of-this-checkout"

DEFAULT_LOCATION = StackLocation(region="eu-central-1", account="123456789012", stack_name="build-courier")

_CODE_PROPERTY = {
    "AWS::Serverless::Function": "CodeUri",
    "AWS::Serverless::LayerVersion": "ContentUri",
}


def expand(
    template_path: Path,
    *,
    parameters: Mapping[str, str] | None = None,
    region: str = DEFAULT_LOCATION.region,
) -> Template:
    """Expand a SAM template, with the state machine's definition inlined.

    Parameters
    ----------
    template_path
        ``template.yaml``; local paths in it are relative to its folder.
    parameters
        Values of the template's parameters; they become the defaults of the result, which then describes exactly this
        deployment. Other parameters keep the template's defaults.
    region
        SAM resolves this pseudo parameter and the partition; the others it leaves to CloudFormation.

    Raises
    ------
    TemplateError
        A file does not exist, a parameter is not declared or has no value, SAM refuses the template, or a managed
        policy is given by name (SAM would have to look up its ARN in AWS).
    """
    try:
        template: Template = json.loads(_as_json(template_path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError) as exc:
        raise TemplateError(f"cannot read the template {template_path.name}: {exc}") from exc
    _set_parameters(template, parameters or {})
    _point_code_at_bucket(template, template_path.parent)
    _inline_definitions(template, template_path.parent)
    # SAM resolves references to parameters where its output depends on them, as it does in AWS.
    values = {name: entry["Default"] for name, entry in template.get("Parameters", {}).items()}
    expanded = _translate(template, values, region)
    _refuse_policies_by_name(expanded)
    return expanded


def function_folders(expanded: Template) -> dict[str, str]:
    """Return the functions' code folders (relative to the template), by logical id."""
    return {
        logical_id: resource["Properties"]["Code"]["S3Key"]
        for logical_id, resource in expanded["Resources"].items()
        if resource["Type"] == "AWS::Lambda::Function"
    }


def resources_of(template: Template, resource_type: str) -> Iterator[tuple[str, Template]]:
    """Yield the resources of one type: logical id and resource."""
    for logical_id, resource in template["Resources"].items():
        if resource["Type"] == resource_type:
            yield logical_id, resource


@lru_cache(maxsize=8)
def _as_json(text: str) -> str:
    """Return a YAML document as JSON: parsing YAML is most of the time of an expansion."""
    # YAML parses an unquoted template version as a date.
    return json.dumps(yaml_parse(text), default=str)


def _set_parameters(template: Template, values: Mapping[str, str]) -> None:
    declared = template.get("Parameters", {})
    if unknown := sorted(values.keys() - declared.keys()):
        raise TemplateError(f"the template has no parameter {', '.join(unknown)}")
    for name, entry in declared.items():
        if name in values:
            entry["Default"] = values[name]
        elif "Default" not in entry:
            raise TemplateError(f"parameter {name} has no default and got no value")


def _point_code_at_bucket(template: Template, folder: Path) -> None:
    for resource_type, name in _CODE_PROPERTY.items():
        for logical_id, resource in resources_of(template, resource_type):
            path = resource.setdefault("Properties", {}).get(name)
            if not isinstance(path, str) or not (folder / path).is_dir():
                raise TemplateError(f"{logical_id}: {name} must name a folder, not {path!r}")
            key = (folder / path).resolve().relative_to(folder.resolve()).as_posix()
            resource["Properties"][name] = {"Bucket": CODE_BUCKET, "Key": key}


def _inline_definitions(template: Template, folder: Path) -> None:
    for logical_id, resource in resources_of(template, "AWS::Serverless::StateMachine"):
        path = resource["Properties"].pop("DefinitionUri", None)
        if path is None:
            continue
        try:
            # YAML reads JSON too.
            definition = json.loads(_as_json((folder / path).read_text(encoding="utf-8")))
        except (OSError, yaml.YAMLError) as exc:
            raise TemplateError(f"{logical_id}: cannot read the definition {path}: {exc}") from exc
        resource["Properties"]["Definition"] = definition


def _translate(template: Template, values: dict[str, Any], region: str) -> Template:
    # As samtranslator's `transform`, but with the region passed in instead of read from the environment.
    to_py27_compatible_template(template, values)
    try:
        # It reads only the region of its session.
        expanded = Translator(None, Parser(), boto_session=SimpleNamespace(region_name=region)).translate(
            template, parameter_values=values, get_managed_policy_map=dict
        )
    except InvalidDocumentException as exc:
        raise TemplateError("SAM refuses the template: " + "; ".join(cause.message for cause in exc.causes)) from exc
    # It collects metrics, and warns at the end of the process when they were not published.
    MetricsMethodWrapperSingleton.get_instance().publish()
    # Through JSON, because SAM leaves its own string classes behind.
    plain: Template = json.loads(json.dumps(undo_mark_unicode_str_in_template(expanded)))
    return plain


def _refuse_policies_by_name(expanded: Template) -> None:
    names = [
        f"{logical_id}: {policy}"
        for logical_id, resource in resources_of(expanded, "AWS::IAM::Role")
        for policy in resource["Properties"].get("ManagedPolicyArns", [])
        if isinstance(policy, str) and not policy.startswith("arn:")
    ]
    if names:
        raise TemplateError(f"managed policies need their full ARN to be expanded offline ({', '.join(names)})")
