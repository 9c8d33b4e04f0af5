"""``python -m scripts.deployment.embedded_run FILE``: play the scenario on the embedded AWS, and write the histories.

A process of its own, because the embedded AWS takes the environment of its process.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from moto.stepfunctions.parser.asl.component.common.retry import jitter_strategy_decl
from moto.stepfunctions.parser.asl.jsonata import jsonata as moto_jsonata

from local.embedded.embedded_aws import EmbeddedAws
from local.embedded.function_runtime import Handler, LambdaContext, load_checked_out
from local.embedded.function_spec import FunctionSpec
from local.embedded.interception import AwsCall, Interception, Invocation, InvocationFault, Kill, Throttle
from local.embedded.moto import step_functions
from local.embedded.moto.jsonata import evaluate_jsonata
from scripts.deployment.deployed_courier import DeployedCourier, DeploymentError
from scripts.deployment.paths import ROOT
from scripts.deployment.play import THROTTLED_ATTEMPTS, play
from scripts.deployment.scenario import LITTLE_TIME_SECONDS, SECOND, SECOND_PREFIX, Case, providers, secrets, sources
from scripts.deployment.second_engine import PAUSE_SCALE

_COPY = "copy_artifact"


class EmbeddedFaults(Interception):
    """The faults of the copy, injected into the embedded AWS."""

    def __init__(self) -> None:
        self.has_little_time = False
        self._kills = 0
        self._throttles = 0

    def load(self, spec: FunctionSpec) -> Handler:
        """Return the checkout's handler; the copy's may get little time."""
        handler = load_checked_out(spec)
        if spec.name != _COPY:
            return handler

        def hurried(event: object, context: LambdaContext) -> object:
            spare = spec.timeout_seconds - LITTLE_TIME_SECONDS if self.has_little_time else 0
            return handler(event, replace(context, remaining_seconds=lambda: context.remaining_seconds() - spare))

        return hurried

    def before_call(self, call: AwsCall) -> Kill | None:
        """Kill the copy at its first part."""
        if self._kills and call.caller == _COPY and call.action == "s3:UploadPart":
            self._kills -= 1
            return Kill()
        return None

    def before_invocation(self, invocation: Invocation) -> InvocationFault | None:
        """Throttle the copy."""
        if self._throttles and invocation.function == _COPY:
            self._throttles -= 1
            return Throttle()
        return None

    @contextmanager
    def little_time(self, courier: DeployedCourier) -> Iterator[None]:  # noqa: ARG002 - the protocol's
        """Let invocations of the copy begin with little time."""
        self.has_little_time = True
        yield
        self.has_little_time = False

    @contextmanager
    def killed(self, courier: DeployedCourier, case: Case) -> Iterator[None]:  # noqa: ARG002 - the protocol's
        """Kill the copy at its first part."""
        self._kills = 1
        yield
        if self._kills:
            raise DeploymentError("the copy was not killed")

    @contextmanager
    def throttled(self, courier: DeployedCourier, case: Case) -> Iterator[None]:  # noqa: ARG002 - the protocol's
        """Throttle the copy's first attempts."""
        self._throttles = THROTTLED_ATTEMPTS
        yield
        if self._throttles:
            raise DeploymentError("the copy was not throttled")


def run() -> dict[str, object]:
    """Play the scenario, and return the histories and every evaluated expression with its result."""
    expressions: list[dict[str, object]] = []
    evaluate = evaluate_jsonata

    def recorded(expression: str) -> object:
        try:
            result = evaluate(expression)
        except moto_jsonata.JSONataException:
            expressions.append({"expression": expression, "failed": True})
            raise
        expressions.append({"expression": expression, "result": result})
        return result

    faults = EmbeddedFaults()
    with (
        patch.object(jitter_strategy_decl, "random", SimpleNamespace(uniform=lambda _, longest: longest)),
        patch.object(step_functions, "evaluate_jsonata", recorded),
        providers() as simulated,
        EmbeddedAws(
            ROOT / "template.yaml",
            stack_name=SECOND,
            parameters={"SecretPrefix": SECOND_PREFIX},
            interception=faults,
            load_handler=faults.load,
            time_scale=PAUSE_SCALE,
        ) as aws,
    ):
        untyped: Any = aws.client
        courier = DeployedCourier(untyped, resources=aws.resources, outputs=aws.outputs)
        for name, key in secrets(SECOND_PREFIX).items():
            aws.client("secretsmanager").create_secret(Name=name, SecretString=key)
        for document in sources(simulated.url, secret_prefix=SECOND_PREFIX):
            aws.client("ssm").put_parameter(
                Name=f"{courier.outputs['ParameterPath']}/{document['name']}", Value=json.dumps(document), Type="String"
            )
        played = play(courier, faults, lambda text: print(f"embedded AWS: {text}", flush=True))
        return {
            "executions": {name: asdict(execution) for name, execution in played.items()},
            "resources": dict(aws.resources),
            "expressions": expressions,
            "definition": aws.client("stepfunctions").describe_state_machine(
                stateMachineArn=aws.resources["BuildLifecycle"]
            )["definition"],
        }


def main() -> int:
    """Write the result."""
    target = Path(sys.argv[1])
    started = time.monotonic()
    target.write_text(json.dumps(run(), default=str), encoding="utf-8")
    print(f"embedded AWS: {time.monotonic() - started:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
