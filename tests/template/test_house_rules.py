"""Every house rule holds, and every rule bites: a fault is planted for it and the rule finds it."""

import pytest

from scripts.checks.checkout import Checkout
from scripts.checks.house_rules import RULES, Rule
from tests.template.conftest import Plant
from tests.template.faults import FAULTS, PlantedFault


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_holds_in_this_checkout(rule: Rule, checkout: Checkout) -> None:
    assert list(rule(checkout)) == []


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.rule.__name__}: {fault.words}")
def test_rule_catches_a_planted_fault(fault: PlantedFault, planted: Plant) -> None:
    findings = list(fault.rule(planted(fault.path, fault.old, fault.new)))
    assert any(fault.words in finding for finding in findings), findings


def test_every_rule_has_a_fault_planted() -> None:
    assert {fault.rule for fault in FAULTS} == set(RULES)
