"""One fault or more for each house rule: what is replaced in which file, and words of the finding."""

from typing import NamedTuple

from scripts.checks.house_rules import (
    Rule,
    agreement,
    encryption,
    error_classes,
    imports,
    names,
    state_machine,
    template,
)
from tests.template.conftest import DEFINITION


class PlantedFault(NamedTuple):
    """A piece of text, its replacement, and what the rule says about it; an empty old text makes a new file."""

    rule: Rule
    path: str
    old: str
    new: str
    words: str


ERRORS = "layers/courier/courier/errors.py"
KEYS = "layers/courier/courier/object_keys.py"
MODELS = "layers/courier/courier/models.py"
TRANSFER = "layers/courier/courier/transfer/url_policy.py"
RATE_LIMIT = "layers/courier/courier/sources/rate_limit.py"
EVALUATION = "layers/courier/courier/builds/evaluation.py"
EVENTS = "layers/courier/courier/usecases/events.py"
POLL = "functions/poll_builds/app.py"
TEMPLATE = "template.yaml"

FAULTS = [
    PlantedFault(
        state_machine.tasks_have_timeouts_and_retries,
        DEFINITION,
        "TimeoutSeconds: 90",
        "Comment: x",
        "no TimeoutSeconds",
    ),
    PlantedFault(
        state_machine.tasks_have_timeouts_and_retries,
        DEFINITION,
        "MaxAttempts: 99",
        "MaxAttempts: 100000",
        "more than 99",
    ),
    PlantedFault(
        state_machine.throttling_is_waited_out,
        DEFINITION,
        "        MaxDelaySeconds: 300\n",
        "",
        "gives up a throttled function within 4 hours",
    ),
    PlantedFault(
        template.physical_names_are_unique,
        TEMPLATE,
        "            OmitName: true\n",
        "",
        "has the same Name in every stack",
    ),
    PlantedFault(
        template.physical_names_are_unique,
        TEMPLATE,
        "      LayerName: !Sub ${AWS::StackName}-courier\n",
        "",
        "has the same LayerName in every stack",
    ),
    PlantedFault(
        template.metric_lines_pass_the_log_filter,
        TEMPLATE,
        "AllowedValues: [DEBUG, INFO]",
        "AllowedValues: [DEBUG, INFO, WARN]",
        "LogLevel WARN drops the metrics",
    ),
    PlantedFault(state_machine.choices_have_defaults, DEFINITION, "    Default: RecordOutcome\n", "", "has no Default"),
    PlantedFault(state_machine.states_do_not_loop, DEFINITION, "Next: Notify", "Next: RouteBuild", "circle"),
    PlantedFault(state_machine.substitutions_match, DEFINITION, "${TopicArn}", "${Topic}", "uses ${Topic}"),
    PlantedFault(
        state_machine.substitutions_match,
        TEMPLATE,
        "        TopicArn: !Ref Out",
        "        Topic: !Ref Out",
        "fills in Topic",
    ),
    PlantedFault(
        state_machine.tasks_outlast_their_functions,
        DEFINITION,
        "TimeoutSeconds: 960",
        "TimeoutSeconds: 900",
        "than the 900",
    ),
    PlantedFault(
        error_classes.error_names_are_classes, DEFINITION, "[CopyUnfinishedError]", "[CopyUnfinished]", "does not have"
    ),
    PlantedFault(
        error_classes.error_names_are_classes,
        DEFINITION,
        "[CopyUnfinishedError]",
        "[ArtifactError]",
        "ignores inheritance",
    ),
    PlantedFault(
        error_classes.copy_catches_what_it_raises,
        DEFINITION,
        "          - ArtifactConflictError\n",
        "",
        "does not catch",
    ),
    PlantedFault(
        error_classes.copy_catches_what_it_raises,
        ERRORS,
        "class CopyUnfinishedError",
        'class ArtifactStaleError(ArtifactError):\n    """New."""\n\n\nclass CopyUnfinishedError',
        "does not catch ArtifactStaleError",
    ),
    PlantedFault(
        error_classes.error_tree_is_documented, ERRORS, "├── LedgerError ", "├── TableError ", "TableError is drawn"
    ),
    PlantedFault(
        error_classes.error_tree_is_documented,
        ERRORS,
        "class SourceThrottledError(SourceUnavailableError)",
        "class SourceThrottledError(SourceError)",
        "stands below SourceError",
    ),
    PlantedFault(
        template.permissions_are_exact,
        TEMPLATE,
        "Resource: !Sub ${LedgerTable.Arn}/index/due",
        'Resource: "*"',
        "every resource",
    ),
    PlantedFault(
        template.permissions_are_exact, TEMPLATE, "Action: states:StartExecution", "Action: states:*", "allows states:*"
    ),
    PlantedFault(
        template.permissions_are_exact,
        TEMPLATE,
        "        - &use_key\n",
        "        - AmazonS3FullAccess\n        - &use_key\n",
        "AmazonS3FullAccess",
    ),
    PlantedFault(
        template.functions_have_log_groups,
        TEMPLATE,
        "LogGroup: !Ref PollBuildsLogGroup",
        "LogGroup: !Ref DiscoverBuildsLogGroup",
        "does not write",
    ),
    PlantedFault(
        template.functions_have_log_groups,
        TEMPLATE,
        'poll_builds", RetentionInDays: !Ref LogRetentionDays',
        'poll_builds"',
        "never expires",
    ),
    PlantedFault(
        template.function_names_agree,
        TEMPLATE,
        "CodeUri: functions/poll_builds",
        "CodeUri: functions/request_build",
        "takes its code from",
    ),
    PlantedFault(template.function_names_agree, TEMPLATE, '/poll_builds"', '/poll"', "not named after poll_builds"),
    PlantedFault(
        template.function_names_agree, "functions/poll_forever/app.py", "", '"""New."""\n', "poll_forever is not both"
    ),
    PlantedFault(
        template.schedules_are_valid, TEMPLATE, "Default: rate(1 minute)", "Default: rate(1 minutes)", "rate(1 minutes)"
    ),
    PlantedFault(
        template.schedules_are_valid, TEMPLATE, "Default: cron(0 5 * * ? *)", "Default: cron(0 5 * * * *)", "cron"
    ),
    PlantedFault(
        template.schedules_are_valid,
        TEMPLATE,
        "RetryPolicy: {MaximumRetryAttempts: 0}",
        "RetryPolicy: {MaximumRetryAttempts: 3}",
        "retried 3 times",
    ),
    PlantedFault(
        template.schedules_are_valid,
        TEMPLATE,
        "            DeadLetterConfig: {Arn: !GetAtt DeadLetters.Arn}\n",
        "",
        "no dead-letter queue",
    ),
    PlantedFault(
        template.schedules_are_valid,
        TEMPLATE,
        '{"scheduled_time": "<aws.scheduler.scheduled-time>"}',
        '{"scheduled_time": }',
        "input that is not JSON",
    ),
    PlantedFault(
        template.asynchronous_functions_keep_failures,
        TEMPLATE,
        "EventInvokeConfig: *tick_invocation",
        "RecursiveLoop: Terminate",
        "no failure destination",
    ),
    PlantedFault(
        encryption.stores_use_the_key,
        "monitoring.yaml",
        "KmsMasterKeyId: !If [HasKmsKey, !Ref KmsKeyArn, !Ref AWS::NoValue]",
        "FifoTopic: false",
        "AlarmsTopic is not encrypted",
    ),
    PlantedFault(
        encryption.roles_can_use_the_key,
        TEMPLATE,
        "!Ref RequestBuildFunctionScheduleRole, ",
        "",
        "RequestBuildFunctionScheduleRole uses DeadLetters and may not kms:Decrypt or kms:GenerateDataKey",
    ),
    PlantedFault(
        encryption.roles_can_use_the_key,
        TEMPLATE,
        "Action: [kms:Decrypt, kms:GenerateDataKey]",
        "Action: [kms:Decrypt]",
        "may not kms:GenerateDataKey with its key",
    ),
    PlantedFault(
        encryption.key_policy_is_documented,
        encryption.DOCUMENT,
        "events.amazonaws.com",
        "event.amazonaws.com",
        "does not allow events.amazonaws.com",
    ),
    PlantedFault(
        encryption.key_policy_is_documented, encryption.DOCUMENT, "```json", "```text", "no policy that is JSON"
    ),
    PlantedFault(
        encryption.key_policy_is_documented,
        TEMPLATE,
        "Principal: {Service: events.amazonaws.com}",
        "Principal: {Service: [events.amazonaws.com, scheduler.amazonaws.com]}",
        "scheduler.amazonaws.com is not both",
    ),
    PlantedFault(template.dashboards_parse, "monitoring.yaml", '"widgets": [', '"widgets": ', "is not JSON"),
    PlantedFault(template.dashboards_parse, "monitoring.yaml", '"widgets": [', '"gadgets": [', "has no widgets"),
    PlantedFault(
        template.every_condition_is_checked,
        TEMPLATE,
        "HasBoundary: !Not",
        "HasRegion: !Equals [!Ref AWS::Region, x]\n  HasBoundary: !Not",
        "HasRegion",
    ),
    PlantedFault(
        template.no_region_or_account_is_named, TEMPLATE, "arn:${AWS::Partition}:ssm", "arn:aws:ssm", "names arn:aws:"
    ),
    PlantedFault(
        template.no_region_or_account_is_named,
        "samplconfig.toml",
        "[default.sync",
        'region = "eu-west-1"\n[default.sync',
        "eu-west-1",
    ),
    PlantedFault(
        imports.handlers_only_handle,
        POLL,
        "from typing import TYPE_CHECKING, Any",
        "import os\nfrom typing import TYPE_CHECKING, Any\nX = os.environ",
        "mentions os.environ",
    ),
    PlantedFault(
        imports.handlers_only_handle,
        POLL,
        "from typing import TYPE_CHECKING, Any",
        "import requests\nfrom typing import TYPE_CHECKING, Any",
        "imports requests",
    ),
    PlantedFault(
        imports.layer_imports_what_it_ships, KEYS, "from courier", "import rich\nfrom courier", "imports rich"
    ),
    PlantedFault(
        imports.layer_imports_what_it_ships, KEYS, "from courier", "import local\nfrom courier", "imports local"
    ),
    PlantedFault(
        imports.imports_point_downward,
        TRANSFER,
        "from courier.errors",
        "from courier.usecases.container import Container\nfrom courier.errors",
        "courier.transfer imports courier.usecases",
    ),
    PlantedFault(
        imports.imports_point_downward,
        MODELS,
        '"""\n',
        '"""\nimport courier.config.settings\n',
        "courier.models imports courier.config",
    ),
    PlantedFault(
        imports.imports_point_downward,
        RATE_LIMIT,
        "if TYPE_CHECKING:\n",
        "if TYPE_CHECKING:\n    from courier.builds.intake import Intake\n",
        "courier.sources imports courier.builds",
    ),
    PlantedFault(
        imports.imports_point_downward,
        KEYS,
        "    return ",
        "    from courier import ledger\n\n    return ",
        "courier.object_keys imports courier.ledger",
    ),
    PlantedFault(
        imports.imports_point_downward,
        "layers/courier/courier/reports/pages.py",
        "",
        '"""New."""\n',
        "courier.reports is not both",
    ),
    PlantedFault(agreement.events_belong_to_functions, "events/poll_builds.by_hand.json", "{", "{{", "is not JSON"),
    PlantedFault(agreement.events_belong_to_functions, "events/poll_build.json", "", "{}", "is not named after"),
    PlantedFault(
        agreement.version_is_defined_once,
        "pyproject.toml",
        'dynamic = ["version"]',
        'version = "0.1.0"',
        "states the version",
    ),
    PlantedFault(
        agreement.python_version_agrees, TEMPLATE, "Runtime: python3.13", "Runtime: python3.12", "Python differs"
    ),
    PlantedFault(
        agreement.durations_agree,
        DEFINITION,
        "wait_seconds + 3600",
        "wait_seconds + 1800",
        "because of EXECUTION_GRACE",
    ),
    PlantedFault(
        agreement.durations_agree, EVALUATION, "timedelta(hours=1)", "timedelta(hours=2)", "wait_seconds + 7200"
    ),
    PlantedFault(agreement.durations_agree, EVALUATION, "EXECUTION_GRACE =", "GRACE =", "no constant EXECUTION_GRACE"),
    PlantedFault(
        agreement.durations_agree,
        "layers/courier/courier/ledger/builds.py",
        "KEEP_TOKENS = timedelta(days=2)",
        "KEEP_TOKENS = timedelta(minutes=30)",
        "shorter than KEEP_TOKENS",
    ),
    PlantedFault(
        agreement.durations_agree, TEMPLATE, "Timeout: 120", "Timeout: 130", "shorter than MAX_ATTEMPT_DURATION"
    ),
    PlantedFault(
        agreement.durations_agree, EVENTS, "_CALL_SECONDS = 25.0", "_CALL_SECONDS = 32.0", "than RESERVE_SECONDS"
    ),
    PlantedFault(agreement.durations_agree, TEMPLATE, "Timeout: 60", "Timeout: 30", "the Timeout of DiscoverBuilds"),
    PlantedFault(agreement.waiting_states_are_equal, DEFINITION, "MaxAttempts: 6", "MaxAttempts: 5", "differ in Retry"),
    PlantedFault(
        names.retired_words_stay_retired, KEYS, "\ndef ", "\ndef judge_key() -> None: ...\n\n\ndef ", "judge_key"
    ),
    PlantedFault(names.retired_words_stay_retired, KEYS, "\ndef ", "\nclass OldVerdict: ...\n\n\ndef ", "OldVerdict"),
    PlantedFault(
        names.retired_words_stay_retired, "layers/courier/courier/visits.py", "", '"""New."""\n', "visits contains"
    ),
    PlantedFault(names.retired_words_stay_retired, POLL, "event: ", "wishes: ", "wishes"),
]
