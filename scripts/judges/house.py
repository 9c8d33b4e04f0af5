"""The house rules as one judge."""

from collections.abc import Callable, Iterator

from scripts.judges.case import Case, Verdict
from scripts.rules import definition, errors, sources, template

Rule = Callable[[Case], Iterator[str]]

RULES: tuple[Rule, ...] = (
    definition.tasks_have_timeouts_and_retries,
    definition.choices_have_defaults,
    definition.states_do_not_loop,
    definition.substitutions_match,
    definition.tasks_outlast_their_functions,
    errors.error_names_are_classes,
    errors.copy_catches_what_it_raises,
    errors.tree_is_drawn_as_it_is,
    template.rights_are_exact,
    template.functions_have_log_groups,
    template.words_agree,
    template.schedules_are_sound,
    template.asynchronous_functions_keep_failures,
    template.dashboards_parse,
    template.options_are_all_judged,
    template.nothing_names_a_place,
    sources.handlers_only_handle,
    sources.layer_imports_what_it_ships,
    sources.imports_point_one_way,
    sources.events_belong_to_functions,
    sources.version_stands_once,
    sources.python_version_agrees,
)


def house_rules(case: Case) -> Verdict:
    """Hold the repository against every rule."""
    findings = [f"{rule.__name__}: {finding}" for rule in RULES for finding in dict.fromkeys(rule(case))]
    return Verdict(judge="house rules", judged=f"{len(RULES)} rules", findings=tuple(findings))
