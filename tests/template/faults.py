"""One fault or more for each house rule: what is replaced in which file, and words of the finding."""

from typing import NamedTuple

from scripts.judges.house import Rule
from scripts.rules import definition, errors, sources, template
from tests.template.conftest import DEFINITION


class Fault(NamedTuple):
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
POLL = "functions/poll_builds/app.py"
TEMPLATE = "template.yaml"

FAULTS = [
    Fault(
        definition.tasks_have_timeouts_and_retries, DEFINITION, "TimeoutSeconds: 90", "Comment: x", "no TimeoutSeconds"
    ),
    Fault(
        definition.tasks_have_timeouts_and_retries, DEFINITION, "MaxAttempts: 99", "MaxAttempts: 100000", "more than 99"
    ),
    Fault(definition.choices_have_defaults, DEFINITION, "    Default: RecordOutcome\n", "", "has no Default"),
    Fault(definition.states_do_not_loop, DEFINITION, "Next: Notify", "Next: RouteBuild", "circle"),
    Fault(definition.substitutions_match, DEFINITION, "${TopicArn}", "${Topic}", "uses ${Topic}"),
    Fault(
        definition.substitutions_match,
        TEMPLATE,
        "        TopicArn: !Ref Out",
        "        Topic: !Ref Out",
        "fills in Topic",
    ),
    Fault(
        definition.tasks_outlast_their_functions,
        DEFINITION,
        "TimeoutSeconds: 960",
        "TimeoutSeconds: 900",
        "than the 900",
    ),
    Fault(errors.error_names_are_classes, DEFINITION, "[CopyUnfinishedError]", "[CopyUnfinished]", "does not have"),
    Fault(errors.error_names_are_classes, DEFINITION, "[CopyUnfinishedError]", "[ArtifactError]", "no inheritance"),
    Fault(errors.copy_catches_what_it_raises, DEFINITION, "          - ArtifactConflictError\n", "", "does not catch"),
    Fault(
        errors.copy_catches_what_it_raises,
        ERRORS,
        "class CopyUnfinishedError",
        'class ArtifactStaleError(ArtifactError):\n    """New."""\n\n\nclass CopyUnfinishedError',
        "does not catch ArtifactStaleError",
    ),
    Fault(errors.tree_is_drawn_as_it_is, ERRORS, "├── LedgerError ", "├── TableError ", "TableError is drawn"),
    Fault(
        errors.tree_is_drawn_as_it_is,
        ERRORS,
        "class SourceThrottledError(SourceUnavailableError)",
        "class SourceThrottledError(SourceError)",
        "stands below SourceError",
    ),
    Fault(
        template.rights_are_exact,
        TEMPLATE,
        "Resource: !Sub ${LedgerTable.Arn}/index/due",
        'Resource: "*"',
        "every resource",
    ),
    Fault(template.rights_are_exact, TEMPLATE, "Action: states:StartExecution", "Action: states:*", "allows states:*"),
    Fault(
        template.rights_are_exact,
        TEMPLATE,
        "        - &use_key\n",
        "        - AmazonS3FullAccess\n        - &use_key\n",
        "AmazonS3FullAccess",
    ),
    Fault(
        template.functions_have_log_groups,
        TEMPLATE,
        "LogGroup: !Ref PollBuildsLogGroup",
        "LogGroup: !Ref DiscoverBuildsLogGroup",
        "does not write",
    ),
    Fault(
        template.functions_have_log_groups,
        TEMPLATE,
        'poll_builds", RetentionInDays: !Ref LogRetentionDays',
        'poll_builds"',
        "keeps its lines",
    ),
    Fault(
        template.words_agree,
        TEMPLATE,
        "CodeUri: functions/poll_builds",
        "CodeUri: functions/request_build",
        "takes its code from",
    ),
    Fault(template.words_agree, TEMPLATE, '/poll_builds"', '/poll"', "not named after poll_builds"),
    Fault(template.words_agree, "functions/poll_forever/app.py", "", '"""New."""\n', "poll_forever is not both"),
    Fault(
        template.schedules_are_sound, TEMPLATE, "Default: rate(1 minute)", "Default: rate(1 minutes)", "rate(1 minutes)"
    ),
    Fault(template.schedules_are_sound, TEMPLATE, "Default: cron(0 5 * * ? *)", "Default: cron(0 5 * * * *)", "cron"),
    Fault(
        template.schedules_are_sound,
        TEMPLATE,
        "RetryPolicy: {MaximumRetryAttempts: 0}",
        "RetryPolicy: {MaximumRetryAttempts: 3}",
        "repeated 3 times",
    ),
    Fault(
        template.schedules_are_sound,
        TEMPLATE,
        "            DeadLetterConfig: {Arn: !GetAtt DeadLetters.Arn}\n",
        "",
        "no dead-letter queue",
    ),
    Fault(
        template.schedules_are_sound,
        TEMPLATE,
        '{"scheduled_time": "<aws.scheduler.scheduled-time>"}',
        '{"scheduled_time": }',
        "sends no JSON",
    ),
    Fault(
        template.asynchronous_functions_keep_failures,
        TEMPLATE,
        "EventInvokeConfig: *tick_invocation",
        "RecursiveLoop: Terminate",
        "no failure destination",
    ),
    Fault(template.dashboards_parse, "monitoring.yaml", '"widgets": [', '"widgets": ', "is no JSON"),
    Fault(template.dashboards_parse, "monitoring.yaml", '"widgets": [', '"gadgets": [', "shows nothing"),
    Fault(
        template.options_are_all_judged,
        TEMPLATE,
        "HasBoundary: !Not",
        "HasRegion: !Equals [!Ref AWS::Region, x]\n  HasBoundary: !Not",
        "HasRegion",
    ),
    Fault(template.nothing_names_a_place, TEMPLATE, "arn:${AWS::Partition}:ssm", "arn:aws:ssm", "names arn:aws:"),
    Fault(
        template.nothing_names_a_place,
        "samplconfig.toml",
        "[default.sync",
        'region = "eu-west-1"\n[default.sync',
        "eu-west-1",
    ),
    Fault(
        sources.handlers_only_handle,
        POLL,
        "from typing import TYPE_CHECKING, Any",
        "import os\nfrom typing import TYPE_CHECKING, Any\nX = os.environ",
        "mentions os.environ",
    ),
    Fault(
        sources.handlers_only_handle,
        POLL,
        "from typing import TYPE_CHECKING, Any",
        "import requests\nfrom typing import TYPE_CHECKING, Any",
        "imports requests",
    ),
    Fault(sources.layer_imports_what_it_ships, KEYS, "from courier", "import rich\nfrom courier", "imports rich"),
    Fault(sources.layer_imports_what_it_ships, KEYS, "from courier", "import local\nfrom courier", "imports local"),
    Fault(
        sources.imports_point_one_way,
        TRANSFER,
        "from courier.errors",
        "from courier.usecases.container import parts\nfrom courier.errors",
        "courier.transfer imports courier.usecases",
    ),
    Fault(sources.imports_point_one_way, MODELS, '"""\n', '"""\nimport courier.config.settings\n', "circle"),
    Fault(sources.events_belong_to_functions, "events/poll_builds.by_hand.json", "{", "{{", "is no JSON"),
    Fault(sources.events_belong_to_functions, "events/poll_build.json", "", "{}", "is not named after"),
    Fault(
        sources.version_stands_once, "pyproject.toml", 'dynamic = ["version"]', 'version = "0.1.0"', "tells the version"
    ),
    Fault(sources.python_version_agrees, TEMPLATE, "Runtime: python3.13", "Runtime: python3.12", "Python differs"),
]
