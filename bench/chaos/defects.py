"""The defects that the campaign found and how they were fixed; newest last."""

from typing import Final

DEFECTS: Final = (
    (
        "One unexpected response while `copy_artifact` requested the link (a proxy's page, a 404 of a replica, a "
        "conflict, a missing link) made a finished report `undeliverable` immediately. It is retried three times now "
        "(`test_patience_of_the_copy.py`)."
    ),
    (
        "A refused API key at that moment did the same, although nothing may be lost while a key is being replaced. "
        "It is retried for an hour, like a provider that is down (same test)."
    ),
    (
        "A copy that was killed (`Runtime.ExitError`), or met a ledger or Parameter Store that throttled every attempt "
        "(`ClientError`, `GetParameterError`), failed the execution, because the state machine listed other names "
        "only. It retries every unlisted error now (same test)."
    ),
    (
        "The wait for a build retried four names of DynamoDB's errors; any other failed the execution before it had a "
        "token. All are retried now, except the timeout of the wait (`test_patience_of_the_wait.py`)."
    ),
    (
        "The embedded AWS ended an execution as `States.Runtime` when a response to the state machine was lost, where "
        "Step Functions reports `SdkClientException`; and an execution had no status for a moment, which failed a "
        "reader at that moment."
    ),
    (
        "`discover_builds` queries the index of builds in flight and releases executions, but its role allowed "
        "neither: on AWS every discovery would have failed (`tests/functional/chaos/test_campaign.py`)."
    ),
    (
        "An unknown status value and an unreadable list entry were counted, and logged as one sentence without the "
        "source and the value, because the fields went to a logger that drops them (`test_what_the_log_says.py`)."
    ),
    (
        "The experiment runner ended an experiment whose only two discoveries had both failed, before the courier had "
        "registered the builds; it waits for all listed builds now. A function that is killed between publishing a "
        "notice about a source and recording it may publish the notice twice, which the campaign did not allow for."
    ),
    (
        "An upload whose copy was killed, or never received the upload id, before the id was stored stayed open until "
        "the bucket's lifecycle rule removed it. The courier aborts it now (`test_upload_cleanup.py`)."
    ),
    (
        "A request whose three attempts were all killed became a dead letter, and the storms did not follow the "
        "runbook for dead letters; they do now (`test_sent_again.py`)."
    ),
    (
        "From public bug reports of other programs, not from the campaign: a 200 without a result (empty, or a page of "
        "a proxy) in response to CompleteMultipartUpload or PutObject was recorded as `delivered`, and the parts were "
        "swept. A write counts only with what S3 promises, or after the object was compared (`test_s3_calls.py`)."
    ),
    (
        "From the same source: a zip of zips that was cut anywhere, and a PDF that was cut after its first `%%EOF`, "
        "counted as complete where the storage declares no length (`test_end_marks.py`)."
    ),
    (
        "From the same source: a store that ignores `If-None-Match` overwrote other objects, and `courier copy` called "
        "them the same (`test_publisher.py`)."
    ),
    (
        "From the same source: a report that one plain GET could fetch was `undeliverable` where the storage handles "
        "ranges incorrectly: 416 beyond the end, a 412 to its own ETag, replicas with different ETags, short or "
        "malformed 206 (`test_ranges.py`)."
    ),
    (
        "From the same source: an upload that lost bytes on the way (`IncompleteBody`, `RequestTimeout`) ended the "
        "copy for good as a `SettingsError` (`test_s3_calls.py`)."
    ),
    (
        "An invocation of `copy_artifact` that outlived its execution's retries could store a report after the build "
        "was recorded as `undeliverable`. The row is read right before the report is published "
        "(`test_copy_artifact.py`)."
    ),
    (
        "A gateway's 404 during a redeployment made every build in flight `lost`, and one challenge page of a firewall "
        "raised the alarm about the API key. A 404 counts only in the API's own form, and a page says nothing about a "
        "key (`tests/unit/providers/test_error_mapping.py`)."
    ),
    (
        "A key that had expired with 403 was never read again, and 503 with Retry-After was requested six times before "
        "its time. 403 is treated as 401, and Retry-After counts with every status (same test, `test_http_client.py`)."
    ),
    (
        "Times in another form than ISO 8601 were no times: the whole history of a data model was announced as new. "
        "They are read in the vendors' forms, or reported, and then the build is history (`test_times.py`, "
        "`tests/unit/builds/test_discovery.py`)."
    ),
    (
        "An id in capitals was another build than the same id in lower case, and was recorded twice "
        "(`test_treasure_insights.py`)."
    ),
    (
        "A NaN, a name that stood twice or a declared charset in a field that the courier does not read spoilt the "
        "whole response, until the build timed out (`test_parsing.py`)."
    ),
    (
        "A list in pages was taken for whole after its first page: a build on the second one was never found. Pages "
        "are read, or reported as unread (`test_paging.py`)."
    ),
    (
        "From public bug reports: one data model whose list failed hid all models after it, and models beyond "
        "the limit of requests were never listed. A failing scope is retried on its own, and discovery continues where "
        "it stopped (`test_discovery.py`)."
    ),
    (
        "From public bug reports: an API that has moved (redirect, 404, 410, 426) was reported as `No builds`, "
        "exit code 0. The source is unhealthy now, and the notice names the cause (`test_discovery.py`)."
    ),
    (
        "From public bug reports: one 401 was announced as an invalid API key, and a replaced secret was tried "
        "only after the pause. A second refusal a minute later is required, and a changed "
        "secret is tried at once (`test_health.py`)."
    ),
    (
        "From public bug reports: `timed_out` hid what the provider had said, and a completion time with an unknown "
        "status was waited on until the deadline (`test_evaluation.py`)."
    ),
    (
        "`record_outcome` believed that a record was stored when S3 returned an empty 200: the notice was sent, and "
        "there was no record. It requires the ETag (`test_records.py`)."
    ),
    (
        "A source that recovered while another invocation announced it as unhealthy was announced as unhealthy again, "
        "after its recovery (`test_health.py`)."
    ),
    (
        "`courier run --faults` called it a broken promise when its time was over before a build had ended "
        "(`test_runs_with_faults.py`)."
    ),
)
