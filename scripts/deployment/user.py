"""What a user types: `sam deploy`, and the `courier` command, against the second engine."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from cli.deployment import FILE_NAME
from scripts.deployment.deployed_courier import DeployedCourier, DeploymentError
from scripts.deployment.paths import COURIER, SAM
from scripts.deployment.second_engine import REGION, SecondEngine

# Deployment of one stack on a busy machine.
_LONGEST_SECONDS = 600


class User:
    """Types commands in a folder of its own, with an AWS configuration that points to the second engine.

    Parameters
    ----------
    folder
        Holds the answers to `make deploy`, so that those of the checkout stay.
    """

    def __init__(self, engine: SecondEngine, folder: Path) -> None:
        self._engine = engine
        self._folder = folder
        self._clients: dict[str, Any] = {}
        (folder / FILE_NAME).touch()

    def client(self, service: str) -> Any:  # noqa: ANN401
        """Return a client of the second engine."""
        if service not in self._clients:
            self._clients[service] = boto3.session.Session().client(  # type: ignore[call-overload]  # any service
                service,
                endpoint_url=self._engine.url,
                region_name=REGION,
                aws_access_key_id="test",
                aws_secret_access_key="test",  # noqa: S106 - LocalStack takes any
                config=Config(read_timeout=960, retries={"max_attempts": 0}),
            )
        return self._clients[service]

    def deploy(self, stack: str, parameters: Mapping[str, str] | None = None) -> None:
        """Deploy the build of the checkout, as `make deploy YES=1` does.

        Raises
        ------
        DeploymentError
            It fails; the message has the output.
        """
        settings = [f"{name}={value}" for name, value in (parameters or {}).items()]
        command: list[str | Path] = [COURIER.with_name("python"), "-m", "scripts.deploy", "--yes"]
        self.type([*command, "--stack", stack, "--region", REGION, *settings])

    def deploy_folder(self, stack: str, folder: Path) -> None:
        """Deploy the build of another checkout with the SAM CLI alone.

        Raises
        ------
        DeploymentError
            It fails; the message has the output.
        """
        command: list[str | Path] = [SAM, "deploy", "--config-file", "samplconfig.toml", "--stack-name", stack]
        self.type([*command, "--no-confirm-changeset", "--no-progressbar"], folder=folder)

    def courier(self, *arguments: str, text: str = "") -> str:
        """Type a `courier` command, with this on its standard input, and return its output.

        Raises
        ------
        DeploymentError
            It fails; the message has its output.
        """
        return self.type([COURIER, *arguments], text=text)

    def type(self, command: Sequence[str | Path], *, folder: Path | None = None, text: str = "") -> str:
        """Run a command and return its output.

        Raises
        ------
        DeploymentError
            It fails; the message has its output.
        """
        done = subprocess.run(
            command,
            cwd=folder or self._folder,
            env=self._engine.environment(),
            input=text,
            capture_output=True,
            text=True,
            timeout=_LONGEST_SECONDS,
            check=False,
        )
        if done.returncode:
            words = " ".join(Path(command[0]).name if word is command[0] else str(word) for word in command)
            raise DeploymentError(f"{words} failed with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}")
        return done.stdout + done.stderr

    def stack(self, name: str) -> DeployedCourier:
        """Return a deployed stack."""
        cloudformation = self.client("cloudformation")
        described = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        resources = cloudformation.describe_stack_resources(StackName=name)["StackResources"]
        return DeployedCourier(
            self.client,
            # What LocalStack cannot create, such as a dashboard, has no id.
            resources={
                each["LogicalResourceId"]: each["PhysicalResourceId"]
                for each in resources
                if "PhysicalResourceId" in each
            },
            outputs={output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]},
        )

    def configure(self, stack: str, sources: Sequence[Mapping[str, object]], secrets: Mapping[str, str]) -> None:
        """Store the secrets and the sources, as the README says."""
        file = self._folder / f"{stack}.yaml"
        for name, key in secrets.items():
            self.courier("config", "set-secret", name, "--stack", stack, text=key)
        # JSON is YAML.
        file.write_text(json.dumps({"sources": sources}, indent=1), encoding="utf-8")
        self.courier("config", "push", str(file), "--stack", stack)
