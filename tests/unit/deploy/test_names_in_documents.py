"""Documents and messages name parameters, outputs, resources and files; each of them exists."""

from __future__ import annotations

import re
from pathlib import Path

from samtranslator.yaml_helper import yaml_parse

ROOT = Path(__file__).resolve().parents[3]
TEMPLATE = yaml_parse((ROOT / "template.yaml").read_text(encoding="utf-8"))
TEXTS = [
    *sorted(ROOT.glob("docs/*.md")),
    *sorted(ROOT.glob("cli/*.py")),
    ROOT / "README.md",
    ROOT / "Makefile",
]


def found(pattern: str) -> set[str]:
    """Return what a pattern matches in all texts."""
    return {match for path in TEXTS for match in re.findall(pattern, path.read_text(encoding="utf-8"))}


def test_parameters_in_commands_are_parameters_of_the_template() -> None:
    lists = found(r"PARAMETERS=[\"']?([A-Za-z][^\"'`\n]*)")
    names = {name for text in lists for name in re.findall(r"([A-Za-z]+)=", text)} - {"NAME"}
    assert {"DiscoverState", "RequestState", "NotificationEmail", "ExistingBucketName"} <= names
    assert names <= TEMPLATE["Parameters"].keys()


def test_outputs_and_resources_in_commands_are_in_the_template() -> None:
    outputs = found(r"OutputKey=='(\w+)'") | found(r"\$\(out (\w+)\)")
    assert "StateMachineArn" in outputs
    assert outputs <= TEMPLATE["Outputs"].keys()
    resources = found(r"\$\(resource (\w+)\)")
    assert "CopyArtifactFunction" in resources
    assert resources <= TEMPLATE["Resources"].keys()


def test_sample_events_in_commands_exist() -> None:
    events = found(r"\bevents/([\w.]+\.json)")
    assert "request_build.event.json" in events
    assert [name for name in sorted(events) if not (ROOT / "events" / name).exists()] == []
