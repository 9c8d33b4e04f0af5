"""What the campaign has found, and what became of it; newest last."""

from typing import Final

DEFECTS: Final = (
    (
        "One odd answer while `copy_artifact` asked for the link (a proxy's page, a 404 of a replica, a conflict, a "
        "link that was not there yet) made a finished report `undeliverable` at once. It gets three more tries "
        "(`test_patience_of_the_copy.py`)."
    ),
    (
        "A key refused at that moment did the same, although nothing is to be lost while a key is put right. It gets "
        "the hour that a provider gets that is down (same test)."
    ),
    (
        "A copy that was killed (`Runtime.ExitError`), or met a ledger or Parameter Store that throttled every try "
        "(`ClientError`, `GetParameterError`), failed the execution: the state machine knew other names only. Whatever "
        "it does not know is repeated now (same test)."
    ),
    (
        "The wait for a build knew four names of DynamoDB's errors; any other failed the execution before it had a "
        "token. All are repeated now, and the end of the wait never is (`test_patience_of_the_wait.py`)."
    ),
    (
        "The embedded AWS: an answer lost on the way to the state machine ended the execution as `States.Runtime`, "
        "where Step Functions says `SdkClientException`; and an execution had no status for a moment, which a look at "
        "that moment stumbled over."
    ),
    (
        "`discover_builds` queries the index of builds in flight and releases executions, and its role allowed "
        "neither: on AWS every discovery would have failed (`tests/functional/rights`)."
    ),
    (
        "A status word that nobody knows, and an entry of a list that nobody understands, were counted, and logged as "
        "one sentence that said neither which source nor which word: the fields went to a logger that drops them "
        "(`test_what_the_log_says.py`)."
    ),
    (
        "The experiment runner ended an experiment whose only two discoveries had both failed, before the courier saw "
        "the builds; now it waits for all listed builds. And a function that is killed between publishing a notice "
        "about a source and noting it may publish the notice twice, which the campaign had not allowed."
    ),
    (
        "An upload whose copier was killed, or never heard its id, before it was noted stayed open until the bucket's "
        "lifecycle rule took it. It is swept now (`test_orphans.py`)."
    ),
    (
        "A request whose three attempts were all killed became a dead letter, and the storms did not do what the "
        "runbook says of those; they do now (`test_sent_again.py`)."
    ),
)
