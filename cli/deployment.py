"""The answers of ``make deploy``: which stack is deployed where, and with which parameters."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from courier.config.validation import describe_validation
from courier.errors import SettingsError

FILE_NAME = "courier.toml"
# Of the repository, where `make deploy` writes the file; of an installed package, where there is none.
CHECKOUT = Path(__file__).resolve().parent.parent
USUAL_STACK = "build-courier"
_HEADER = """\
# Written by make deploy; git ignores it. `stack` is the one that the courier command uses by itself.
# Parameters that are not here have the defaults of template.yaml.
"""

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,127}$")]
RegionName = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,}(-[a-z]+)+-[0-9]+$")]


class Deployment(BaseModel):
    """The answers for one stack; only parameters with another value than the template's default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    region: RegionName
    profile: str | None = None
    parameters: Mapping[str, str] = Field(default_factory=dict)


class Deployments(BaseModel):
    """The content of ``courier.toml``: the answers by stack, and the stack that was deployed last."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stack: Name | None = None
    stacks: Mapping[Name, Deployment] = Field(default_factory=dict)

    def with_stack(self, name: str, deployment: Deployment) -> Deployments:
        """Return a copy in which a stack has these answers and is the last one."""
        return Deployments(stack=name, stacks={**self.stacks, name: deployment})


@dataclass(frozen=True, kw_only=True)
class StackChoice:
    """The stack that a command works on; ``file`` is set if the region comes from it."""

    stack: str
    region: str | None
    profile: str | None
    file: Path | None


def deployments_file() -> Path:
    """Return the file of the working directory, otherwise the one of the checkout, which may not exist."""
    here = Path.cwd() / FILE_NAME
    return here if here.exists() else CHECKOUT / FILE_NAME


def read_deployments(path: Path) -> Deployments:
    """Return the answers in a file; without the file, none.

    Raises
    ------
    SettingsError
        The file cannot be read or is wrong; the message names the line or the setting.
    """
    try:
        return Deployments.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return Deployments()
    except OSError as exc:
        raise SettingsError(f"{path}: cannot be read: {exc.strerror or type(exc).__name__}") from exc
    except UnicodeDecodeError as exc:
        raise SettingsError(f"{path}: is not UTF-8 text") from exc
    except tomllib.TOMLDecodeError as exc:
        raise SettingsError(f"{path}: invalid TOML: {exc}") from exc
    except ValidationError as exc:
        raise SettingsError(f"{path}: {describe_validation(exc)}; correct it, or delete it and deploy again") from None


def write_deployments(path: Path, deployments: Deployments) -> None:
    """Replace the file, as a whole or not at all.

    Raises
    ------
    SettingsError
        The file cannot be written.
    """
    lines = [_HEADER + _line("stack", deployments.stack or "")]
    for name, deployment in sorted(deployments.stacks.items()):
        lines += ["", f"[stacks.{name}]", _line("region", deployment.region)]
        lines += [_line("profile", deployment.profile)] if deployment.profile else []
        if deployment.parameters:
            lines += ["", f"[stacks.{name}.parameters]"]
            lines += [_line(parameter, value) for parameter, value in sorted(deployment.parameters.items())]
    draft = path.with_suffix(".toml.new")
    try:
        draft.write_text("\n".join(lines) + "\n", encoding="utf-8")
        draft.replace(path)
    except OSError as exc:
        raise SettingsError(f"{path}: cannot be written: {exc.strerror or type(exc).__name__}") from exc


def choose_stack(name: str, *, region: str | None, profile: str | None) -> StackChoice:
    """Complete what the options and the environment say by the answers of ``make deploy``.

    Raises
    ------
    SettingsError
        The file is needed and wrong.
    """
    if name and region:
        return StackChoice(stack=name, region=region, profile=profile, file=None)
    path = deployments_file()
    deployments = read_deployments(path)
    name = name or deployments.stack or USUAL_STACK
    known = deployments.stacks.get(name)
    if known is None or region is not None:
        return StackChoice(stack=name, region=region, profile=profile, file=None)
    if profile is None and not os.environ.keys() & {"AWS_PROFILE", "AWS_ACCESS_KEY_ID"}:
        profile = known.profile
    return StackChoice(stack=name, region=known.region, profile=profile, file=path)


def _line(name: str, value: str) -> str:
    # A JSON string without escapes of Unicode is a TOML string; values have no control characters.
    return f"{name} = {json.dumps(value, ensure_ascii=False)}"
