"""What an operator works with: a deployed stack, two providers, a file of sources, and the command."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import yaml
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from local.embedded.embedded_aws import EmbeddedAws
from local.runs.demo import DREADNODE_SECRET, TREASURE_SECRET
from local.simulator import Scenario, SimulatedProviders
from tests.support.command import CommandResult, courier


@dataclass(frozen=True)
class OperatorSetup:
    """A deployed stack with two simulated providers; each test starts with a stack that is not configured."""

    aws: EmbeddedAws
    providers: SimulatedProviders
    scenario: Scenario
    folder: Path

    @property
    def path(self) -> str:
        return self.aws.outputs["ParameterPath"]

    def insights(self, name: str = "insights", **more: object) -> dict[str, object]:
        usual = {"endpoint": self.providers.url, "insecure": True, "secret": TREASURE_SECRET}
        return {"name": name, "provider": "treasure_insights", **usual, **more}

    def red_team(self, name: str = "red-team", **more: object) -> dict[str, object]:
        usual = {"endpoint": self.providers.url, "insecure": True, "secret": DREADNODE_SECRET}
        place = {"organization": "acme", "workspace": "main", "project": "chatbot"}
        return {"name": name, "provider": "dreadnode_airt", **usual, **place, **more}

    def command(
        self,
        *arguments: object,
        typed: str | None = None,
        piped: bytes = b"",
        columns: int | None = None,
        stack: bool = True,
    ) -> CommandResult:
        """Run the command for this stack; ``typed`` is the input of a person at a terminal."""
        stdin = _TerminalInput(typed) if typed is not None else io.TextIOWrapper(io.BytesIO(piped), encoding="utf-8")
        with patch.object(sys, "stdin", stdin):
            named = ("--stack", self.aws.location.stack_name) if stack else ()
            return courier(*arguments, *named, columns=columns)

    def push(self, sources: Sequence[object], *options: str, typed: str | None = None) -> CommandResult:
        """Write the sources to a file and push it."""
        file = self.folder / "sources.yaml"
        file.write_text(yaml.safe_dump({"sources": list(sources)}), encoding="utf-8")
        return self.command("config", "push", file, *options, typed=typed)

    def store_keys(self) -> None:
        """Store the keys of both providers, and no other secret."""
        self.delete_keys()
        client = self.aws.client("secretsmanager")
        client.create_secret(Name=TREASURE_SECRET, SecretString=self.scenario.treasure.key)
        client.create_secret(Name=DREADNODE_SECRET, SecretString=self.scenario.airt.key)

    def delete_keys(self) -> None:
        client = self.aws.client("secretsmanager")
        for page in client.get_paginator("list_secrets").paginate(IncludePlannedDeletion=True):
            for secret in page["SecretList"]:
                client.delete_secret(SecretId=secret["Name"], ForceDeleteWithoutRecovery=True)

    def key(self, name: str) -> str | None:
        client = self.aws.client("secretsmanager")
        try:
            return client.get_secret_value(SecretId=name)["SecretString"]
        except ClientError:
            return None

    def parameters(self) -> dict[str, str]:
        """Return the parameters of the stack by the names of the sources."""
        pages = self.aws.client("ssm").get_paginator("get_parameters_by_path").paginate(Path=self.path)
        return {
            item["Name"].removeprefix(f"{self.path}/"): item["Value"] for page in pages for item in page["Parameters"]
        }

    def put_parameter(self, name: str, text: str) -> None:
        self.aws.client("ssm").put_parameter(Name=f"{self.path}/{name}", Value=text, Type="String", Overwrite=True)

    def clear(self) -> None:
        """Delete all parameters, rows, objects and faults."""
        for name in self.parameters():
            self.aws.client("ssm").delete_parameter(Name=f"{self.path}/{name}")
        table, bucket = self.aws.outputs["LedgerTableName"], self.aws.outputs["BucketName"]
        for row in self.aws.ledger_rows():
            self.aws.client("dynamodb").delete_item(TableName=table, Key={"build": {"S": str(row["build"])}})
        for item in self.aws.client("s3").list_objects_v2(Bucket=bucket).get("Contents", []):
            self.aws.client("s3").delete_object(Bucket=bucket, Key=item["Key"])
        self.providers.faults.clear()

    def no_secret_in(self, result: CommandResult) -> bool:
        keys = (self.scenario.treasure.key, self.scenario.airt.key)
        return not any(key in result.out + result.err for key in keys)


@contextmanager
def aws_refuses(operation: str, code: str, message: str) -> Iterator[None]:
    """Make AWS reject one operation, which the embedded AWS would accept."""
    call = BaseClient._make_api_call  # type: ignore[attr-defined]  # all calls of botocore go through it

    def refuse(client: BaseClient, name: str, arguments: dict[str, object]) -> object:
        if name == operation:
            raise ClientError({"Error": {"Code": code, "Message": message}}, name)
        return call(client, name, arguments)

    with patch.object(BaseClient, "_make_api_call", refuse):
        yield


class _TerminalInput(io.StringIO):
    """A standard input that is a terminal."""

    def isatty(self) -> bool:
        return True


def settings_in(text: str) -> dict[str, object]:
    document: dict[str, object] = json.loads(text)
    return document
