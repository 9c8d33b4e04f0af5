"""The house rules: each a function from a `Checkout` to findings, one line each.

`tests/template/faults.py` plants a fault for each rule and the tests see it caught.
"""

from collections.abc import Callable, Iterator

from scripts.checks.checkout import Checkout, CheckResult
from scripts.checks.house_rules import agreement, encryption, error_classes, imports, names, state_machine, template

Rule = Callable[[Checkout], Iterator[str]]

RULES: tuple[Rule, ...] = (
    state_machine.tasks_have_timeouts_and_retries,
    state_machine.throttling_is_waited_out,
    state_machine.choices_have_defaults,
    state_machine.states_do_not_loop,
    state_machine.substitutions_match,
    state_machine.tasks_outlast_their_functions,
    error_classes.error_names_are_classes,
    error_classes.copy_catches_what_it_raises,
    error_classes.error_tree_is_documented,
    template.permissions_are_exact,
    template.functions_have_log_groups,
    template.physical_names_are_unique,
    template.metric_lines_pass_the_log_filter,
    template.function_names_agree,
    template.schedules_are_valid,
    template.asynchronous_functions_keep_failures,
    template.dashboards_parse,
    template.every_condition_is_checked,
    template.no_region_or_account_is_named,
    encryption.stores_use_the_key,
    encryption.roles_can_use_the_key,
    encryption.key_policy_is_documented,
    imports.handlers_only_handle,
    imports.layer_imports_what_it_ships,
    imports.imports_point_downward,
    agreement.events_belong_to_functions,
    agreement.version_is_defined_once,
    agreement.python_version_agrees,
    agreement.durations_agree,
    agreement.waiting_states_are_equal,
    names.retired_words_stay_retired,
)


def house_rules(checkout: Checkout) -> CheckResult:
    """Check the repository against every rule."""
    findings = [f"{rule.__name__}: {finding}" for rule in RULES for finding in dict.fromkeys(rule(checkout))]
    return CheckResult(check="house rules", checked=f"{len(RULES)} rules", findings=tuple(findings))
