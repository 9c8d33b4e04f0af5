"""Every command of the runbook works as it stands there, with its placeholders filled in."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import jmespath
import pytest
from botocore import xform_name
from botocore.session import get_session

from courier.models import BuildStatus, NextStep
from local.embedded.embedded_aws import EmbeddedAws
from tests.functional.cli.acting_stack import DONE, OTHER, SCOPE, SLOW, Stack
from tests.support.providers import NOON, build_of, passage_of

ROOT = Path(__file__).resolve().parents[3]


def commands() -> list[str]:
    """Return the commands of the code blocks, in the order of the document, each as one line."""
    text = (ROOT / "docs/runbook.md").read_text(encoding="utf-8")
    code = "\n".join(line[4:] for line in text.splitlines() if line.startswith("    "))
    return code.replace("\\\n", " ").splitlines()


def aws_cli(command: str, account: dict[str, str], aws: EmbeddedAws) -> Any:  # noqa: ANN401 - as AWS responds
    """Run a command of the AWS CLI: the operation by its name, the parameters by those of the operation."""
    if match := re.search(r'"\$\((aws .*)\)"', command):
        command = command.replace(match[0], shlex.quote("\t".join(aws_cli(match[1], account, aws))))
    _, service, operation, *words = shlex.split(command)
    options = dict(zip(words[::2], words[1::2], strict=True))
    query = options.pop("--query", None)
    options.pop("--output", None)
    model = get_session().get_service_model(service)
    (name,) = [name for name in model.operation_names if xform_name(name, "-") == operation]
    shape: Any = model.operation_model(name).input_shape
    members = {f"--{xform_name(member, '-')}": member for member in shape.members}
    parameters: dict[str, Any] = {members[option]: account.get(value, value) for option, value in options.items()}
    if "AttributeNames" in parameters:
        parameters["AttributeNames"] = [parameters["AttributeNames"]]
    if name == "RedriveExecution":
        # moto has none; the embedded AWS does.
        return aws.redrive(parameters["executionArn"])
    client: Any = get_session().create_client(service)
    response = getattr(client, xform_name(name))(**parameters)
    return jmespath.search(query, response) if query else response


def test_every_command_of_the_runbook_works(stack: Stack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "events").symlink_to(ROOT / "events")
    monkeypatch.setattr("cli.request.time.sleep", lambda _: stack.poll())
    stack.configure(largest_bytes=1_000)
    stack.act("adopt", f"{SCOPE}/{DONE}")
    stack.configure()
    stack.act("adopt", f"{SCOPE}/{SLOW}")
    stack.aws.publish_logs(stack.aws.new_logs(0))
    # Its source is not configured.
    lost = passage_of(build_of("x", BuildStatus.SUCCEEDED, source="gone", completed=NOON), NextStep.FETCH)
    failed = stack.aws.start_execution("BuildLifecycle", lost.model_dump(mode="json"))
    stack.aws.wait_until_idle()
    account = {"STACK": stack.aws.location.stack_name, "ARN": failed}
    # The build that a command of this name is about, in the order of the document.
    builds = {"logs": SLOW, "stop": SLOW, "retry": SLOW}
    small = stack.operator.scenario.treasure.models[1].oid
    seen = set()
    for command in commands():
        seen.add(command.split()[1])
        if command.startswith("aws "):
            aws_cli(command, account, stack.aws)
            continue
        name = command.split()[1]
        filled = command.replace("SOURCE/SCOPE/ID", f"{SCOPE}/{OTHER}").replace("BUILD", builds.get(name, OTHER))
        filled = filled.replace("SOURCE", "insights" if "OID" in filled else "red-team").replace("OID", small)
        result = stack.command(*shlex.split(filled)[1:])
        assert result.exit_code == 0, (command, result)
    assert seen >= {"retry", "stop", "probe", "pause", "resume", "resend", "request", "adopt", "stepfunctions", "sqs"}
    assert {stack.show(build)["state"] for build in (DONE, OTHER)} == {"delivered"}
    assert stack.show(SLOW)["state"] == "running"
    assert (tmp_path / "report.pdf").stat().st_size == stack.show(OTHER)["artifact"]["size_bytes"]


def test_inline_commands_of_the_documents_exist() -> None:
    """A command that a text names in backticks is one of the program's."""
    from cli.main import app  # noqa: PLC0415

    known = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}
    for document in ("docs/runbook.md", "README.md"):
        text = (ROOT / document).read_text(encoding="utf-8")
        named = set(re.findall(r"`courier ([a-z]+)", text))
        assert named <= known, (document, named - known)
        assert named
