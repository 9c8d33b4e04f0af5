"""``python -m scripts.deployment.planted_faults``: plant faults into the build, and see the second engine catch them.

docs/verify-deployment.md has the table of what catches which fault. Exit code 1: a fault was not caught.
"""

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from botocore.exceptions import ClientError

from scripts.deployment.deployed_courier import DeploymentError
from scripts.deployment.paths import BUILD, ROOT
from scripts.deployment.play import play_briefly
from scripts.deployment.scenario import SMALL, THROTTLED, hanging, providers, report_source, secrets
from scripts.deployment.second_engine import second_engine
from scripts.deployment.second_engine_faults import SecondEngineFaults
from scripts.deployment.user import User

_DEFINITION = "build_lifecycle.asl.yaml"
_PREFIX = "build-courier/"
Template = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class PlantedFault:
    """One fault.

    ``stacks``
        How many stacks to deploy.
    """

    name: str
    plant: Callable[[Template, Template], None]
    stacks: int = 1


def _name_schedules(template: Template, _: Template) -> None:
    for function in ("DiscoverBuildsFunction", "RequestBuildFunction", "PollBuildsFunction"):
        del template["Resources"][function]["Properties"]["Events"]["Schedule"]["Properties"]["OmitName"]


def _rename_handler(template: Template, _: Template) -> None:
    template["Resources"]["CopyArtifactFunction"]["Properties"]["Handler"] = "app.handle"


def _drop_layer(template: Template, _: Template) -> None:
    template["Globals"]["Function"]["Layers"].pop()


def _swap_substitutions(template: Template, _: Template) -> None:
    substitutions = template["Resources"]["BuildLifecycle"]["Properties"]["DefinitionSubstitutions"]
    substitutions["CopyArtifactFunctionArn"] = substitutions["RecordOutcomeFunctionArn"]


def _drop_substitution(template: Template, _: Template) -> None:
    del template["Resources"]["BuildLifecycle"]["Properties"]["DefinitionSubstitutions"]["TopicArn"]


def _drop_retrier(_: Template, definition: Template) -> None:
    del definition["States"]["CopyArtifact"]["Retry"][0]


FAULTS = (
    PlantedFault(name="schedules named by their logical ids", plant=_name_schedules, stacks=2),
    PlantedFault(name="wrong handler", plant=_rename_handler),
    PlantedFault(name="wrong layer: the package is missing", plant=_drop_layer),
    PlantedFault(name="wrong definition substitution: another function", plant=_swap_substitutions),
    PlantedFault(name="missing definition substitution", plant=_drop_substitution),
    PlantedFault(name="no retrier for throttling", plant=_drop_retrier),
)
_NONE = PlantedFault(name="no fault", plant=lambda _, __: None)


def main() -> int:
    """Plant every fault, one after another, and return the exit code."""
    missed = []
    with tempfile.TemporaryDirectory(prefix="planted-") as name, second_engine() as engine:
        user = User(engine, Path(name))
        for number, fault in enumerate((_NONE, *FAULTS)):
            stacks = [f"planted-{number}{letter}" for letter in "ab"[: fault.stacks]]
            caught = _try(user, fault, stacks, Path(name) / stacks[0])
            print(f"{fault.name}: {caught or 'not caught'}", flush=True)
            if bool(caught) == (fault is _NONE):
                missed.append(fault.name)
    for each in missed:
        print(f"error: {each}: it was {'' if each == _NONE.name else 'not '}caught", file=sys.stderr)
    return 1 if missed else 0


def _try(user: User, fault: PlantedFault, stacks: list[str], folder: Path) -> str:
    """Deploy and run a build with the fault, and return how it was caught; empty if it was not."""
    _plant(fault, folder)
    with providers() as simulated:
        try:
            for stack in stacks:
                user.deploy_folder(stack, folder)
            documents = [report_source(case.name, simulated.url, secret_prefix=_PREFIX) for case in (SMALL, THROTTLED)]
            user.configure(stacks[0], documents, secrets(_PREFIX))
            play_briefly(user.stack(stacks[0]), SecondEngineFaults(lambda: hanging(simulated)))
        except (DeploymentError, ClientError) as exc:
            return next(_lines_with_errors(str(exc)), str(exc))[:200]
    return ""


def _plant(fault: PlantedFault, folder: Path) -> None:
    built = folder / ".aws-sam/build"
    shutil.copytree(BUILD, built)
    shutil.copy2(ROOT / "samplconfig.toml", folder)
    template = yaml.safe_load((BUILD / "template.yaml").read_text(encoding="utf-8"))
    definition = yaml.safe_load((ROOT / "statemachine" / _DEFINITION).read_text(encoding="utf-8"))
    fault.plant(template, definition)
    template["Resources"]["BuildLifecycle"]["Properties"]["DefinitionUri"] = _DEFINITION
    (built / _DEFINITION).write_text(yaml.safe_dump(definition), encoding="utf-8")
    (built / "template.yaml").write_text(yaml.safe_dump(template, sort_keys=False), encoding="utf-8")


def _lines_with_errors(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if any(word in line for word in ("Exception", "Error:", "FAILED", "Conflict")):
            yield line.strip()


if __name__ == "__main__":
    sys.exit(main())
