"""A stack with a prefix of secrets of its own, which the command finds by environment variables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cli import stack as deployed
from local.embedded.embedded_aws import EmbeddedAws
from local.runs.session import TEMPLATE
from local.simulator import SimulatedProviders, demo_scenario
from tests.functional.cli.operator_setup import OperatorSetup, settings_in
from tests.support.command import courier

REGION = "eu-west-1"


@pytest.fixture
def operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OperatorSetup]:
    """Return a stack that no default names, in a region that only ``COURIER_REGION`` names."""
    scenario = demo_scenario()
    stack = EmbeddedAws(TEMPLATE, parameters={"SecretPrefix": "eu/"}, stack_name="courier-eu", region=REGION)
    with SimulatedProviders(scenario, seed=7) as providers, stack as aws:
        monkeypatch.setenv("COURIER_STACK", "courier-eu")
        monkeypatch.setenv("COURIER_REGION", REGION)
        yield OperatorSetup(aws, providers, scenario, tmp_path)


def test_a_stack_has_secrets_below_its_own_prefix_only(operator: OperatorSetup) -> None:
    key = operator.scenario.treasure.key
    stored = operator.command("config", "set-secret", "eu/td", piped=key.encode(), stack=False)
    assert (stored.exit_code, stored.out) == (0, "eu/td: stored\n")
    assert operator.key("eu/td") == key
    refused = operator.command("config", "set-secret", "build-courier/td", piped=key.encode(), stack=False)
    assert refused.exit_code == 2
    assert "must be the name of a secret that begins with eu/, not the key itself" in refused.error_line
    assert "begins with eu/" in operator.push([operator.insights(secret="build-courier/td")]).err
    assert operator.push([operator.insights(secret="eu/td", backfill_hours=2)]).exit_code == 0
    changed = operator.push([operator.insights(secret="eu/td", backfill_hours=2, account_id="1")], "--no-check")
    assert 'account_id: default -> "1"' in changed.out
    assert settings_in(operator.aws.invoke("discover_builds", {}).payload)["begun"] == {"insights": 4}
    operator.aws.wait_until_idle()


def test_variables_name_stack_and_region_and_options_override_them(operator: OperatorSetup) -> None:
    # Undone before the stack ends: the fixture would bring back the stack's own region after it.
    with pytest.MonkeyPatch.context() as inner:
        inner.setenv("AWS_REGION", "us-east-1")
        inner.setenv("AWS_DEFAULT_REGION", "us-east-1")
        assert "Stack courier-eu has no sources yet" in courier("status").out
        assert "there is no stack other" in courier("status", "--stack", "other").error_line
        assert "there is no stack courier-eu" in courier("status", "--region", "us-east-1").error_line


def test_a_stack_of_an_earlier_version_has_the_default_prefix(
    operator: OperatorSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = {name: value for name, value in operator.aws.outputs.items() if name != "SecretPrefix"}
    monkeypatch.setattr(deployed, "_outputs", lambda _: outputs)
    stored = operator.command("config", "set-secret", "build-courier/td", piped=b"a-key", stack=False)
    assert stored.out == "build-courier/td: stored\n"
