"""Vendors' own clients over a simulated vendor: a program for `.venv-vendors`, which knows nothing of the courier.

Reads a case as JSON from standard input, drives the client, checks what it made of the responses by the client's own
models, and writes what was covered. A disagreement is an exception.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any

PATIENCE_SECONDS = 20.0


@dataclass(frozen=True)
class Case:
    """One simulated vendor: its addresses, secret, an access token, a job that runs, what to start, the definition."""

    name: str
    url: str
    artifacts: str
    secret: Any
    token: str
    job: str
    scope: str
    input: Any
    api: Any


def until(poll: Callable[[], Any], is_done: Callable[[Any], bool]) -> Any:
    """Poll until a job has ended, and return the last response."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_done(found := poll()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the job does not end: {found}")
        time.sleep(0.1)
    return found


def check(condition: object, text: str) -> None:
    """Raise if a condition does not hold; ``assert`` would vanish under ``-O``."""
    if not condition:
        raise AssertionError(text)


def raises(call: Callable[[], Any], kind: type[Exception], text: str) -> None:
    """Check that a client understands an error response: it raises its own error, with the vendor's message in it."""
    try:
        call()
    except kind as exc:
        check(text in str(exc), f"{kind.__name__} says {exc}, not {text}")
    else:
        raise AssertionError(f"no {kind.__name__} was raised")


def conforms(value: Any, declared: Any, place: str) -> None:
    """Check a value against a declared type, where a client does not do it itself."""
    origin, arguments = typing.get_origin(declared), typing.get_args(declared)
    if declared is Any or isinstance(declared, typing.TypeVar):
        return
    if origin in {typing.Union, UnionType}:
        kinds = [kind for kind in arguments if kind is not NoneType]
        if value is None:
            check(NoneType in arguments, f"{place} is null")
            return
        conforms(value, kinds[0], place)
    elif origin is typing.Literal:
        check(value in arguments, f"{place} is {value!r}, not one of {arguments}")
    elif origin in {list, typing.List}:  # noqa: UP006 - what older clients write
        for index, entry in enumerate(value):
            conforms(entry, arguments[0], f"{place}[{index}]")
    elif isinstance(declared, type) and declared in {str, int, bool, float}:
        check(isinstance(value, declared) and (declared is bool or not isinstance(value, bool)), f"{place}: {value!r}")


def stripe(case: Case) -> Iterable[str]:
    """Stripe: a client, whose objects are compared with their annotations."""
    import stripe

    addresses = {"api": case.url, "files": case.artifacts}
    runs = stripe.StripeClient(case.secret, base_addresses=addresses, max_network_retries=0).v1.reporting.report_runs
    parameters = {"interval_start": case.input["start"], "interval_end": case.input["end"]}
    run = runs.create({"report_type": case.input["type"], "parameters": parameters})
    _check_stripe(run)
    yield "start"
    run = until(lambda: runs.retrieve(run.id), lambda found: found.status != "pending")
    _check_stripe(run)
    check(run.status == "succeeded" and run.result.size > 0, f"{run}")
    yield "status"
    listed = list(runs.list({"limit": 100}).auto_paging_iter())
    check(run.id in [entry.id for entry in listed], "the run is not in the list")
    yield "list"
    strangers = stripe.StripeClient(
        "rk_wrong", base_addresses=addresses, max_network_retries=0
    ).v1.reporting.report_runs
    raises(lambda: strangers.retrieve(run.id), stripe.AuthenticationError, "Invalid API Key")
    raises(lambda: runs.retrieve("frr_0"), stripe.InvalidRequestError, "No such")
    yield "errors"


def _check_stripe(run: Any) -> None:
    import stripe
    from stripe.reporting import ReportRun

    for kind, found in ((ReportRun, run), (stripe.File, run.result)):
        if found is None:
            continue
        hints = typing.get_type_hints(
            kind, localns={"File": stripe.File, "ListObject": stripe.ListObject, "FileLink": stripe.FileLink}
        )
        fields = {
            name: hint for name, hint in hints.items() if not name.startswith("_") and name in kind.__annotations__
        }
        for name, value in found.to_dict().items():
            check(name in fields, f"{kind.__name__} has no {name}")
            conforms(value, fields[name], f"{kind.__name__}.{name}")


def openai(case: Case) -> Iterable[str]:
    """OpenAI: a client that validates responses strictly."""
    from openai import AuthenticationError, NotFoundError, OpenAI

    client = OpenAI(api_key=case.secret, base_url=f"{case.url}/v1", max_retries=0, _strict_response_validation=True)
    batch = client.batches.create(**case.input)
    yield "start"
    batch = until(lambda: client.batches.retrieve(batch.id), lambda found: found.status == "completed")
    yield "status"
    check(batch.id in [entry.id for entry in client.batches.list(limit=100)], "the batch is not in the list")
    yield "list"
    check(len(client.files.content(batch.output_file_id).read()) > 0, "the file is empty")
    yield "file"
    client.batches.cancel(client.batches.create(**case.input).id)
    yield "cancel"
    raises(client.with_options(api_key="wrong").batches.list, AuthenticationError, "Incorrect API key")
    raises(lambda: client.batches.retrieve("batch_0"), NotFoundError, "No batch found")
    yield "errors"


def anthropic(case: Case) -> Iterable[str]:
    """Anthropic: a client that validates responses strictly."""
    from anthropic import Anthropic, AuthenticationError, NotFoundError

    client = Anthropic(api_key=case.secret, base_url=case.url, max_retries=0, _strict_response_validation=True)
    batches = client.messages.batches
    batch = batches.create(**case.input)
    yield "start"
    batch = until(lambda: batches.retrieve(batch.id), lambda found: found.processing_status == "ended")
    check(batch.results_url, "there is no results_url")
    yield "status"
    check(batch.id in [entry.id for entry in batches.list(limit=100)], "the batch is not in the list")
    yield "list"
    check(len(batches.with_raw_response.results(batch.id).http_response.read()) > 0, "the file is empty")
    yield "file"
    batches.cancel(batches.create(**case.input).id)
    yield "cancel"
    raises(client.with_options(api_key="wrong").messages.batches.list, AuthenticationError, "invalid")
    raises(lambda: batches.retrieve("msgbatch_0"), NotFoundError, "Not found")
    yield "errors"


def github(case: Case) -> Iterable[str]:
    """GitHub: a client with models generated from GitHub's own description."""
    from githubkit import GitHub, TokenAuthStrategy

    client = GitHub(TokenAuthStrategy(case.secret), base_url=case.url, auto_retry=False, follow_redirects=True)
    migrations = client.rest("2022-11-28").migrations
    migration = migrations.start_for_org(case.scope, data=case.input).parsed_data
    yield "start"
    poll = lambda: migrations.get_status_for_org(case.scope, migration.id).parsed_data  # noqa: E731
    until(poll, lambda found: found.state == "exported")
    yield "status"
    listed = [entry.id for entry in client.paginate(migrations.list_for_org, org=case.scope, per_page=100)]
    check(migration.id in listed, "the migration is not in the list")
    yield "list"
    check(len(migrations.download_archive_for_org(case.scope, migration.id).content) > 0, "the archive is empty")
    yield "file"


def azure(case: Case) -> Iterable[str]:
    """Azure: a client that waits for the operation by itself."""
    from azure.core.credentials import AccessToken
    from azure.core.pipeline.policies import BearerTokenCredentialPolicy
    from azure.mgmt.costmanagement import CostManagementClient
    from azure.mgmt.costmanagement.models import CostDetailsTimePeriod, GenerateCostDetailsReportRequestDefinition

    class Static:
        def get_token(self, *_: str, **__: Any) -> AccessToken:
            return AccessToken(case.token, int(time.time()) + 3600)

    policy = BearerTokenCredentialPolicy(Static(), "https://management.azure.com/.default", enforce_https=False)
    client = CostManagementClient(
        Static(),
        base_url=case.url,
        authentication_policy=policy,
        retry_total=0,
        polling_interval=0,
        enforce_https=False,
    )
    wanted = GenerateCostDetailsReportRequestDefinition(
        metric=case.input["metric"], time_period=CostDetailsTimePeriod(start=case.input["from"], end=case.input["to"])
    )
    begin = client.generate_cost_details_report.begin_create_operation
    poller = begin(f"subscriptions/{case.scope}", wanted, enforce_https=False, polling_interval=1)
    yield "start"
    result = poller.result(timeout=PATIENCE_SECONDS)
    check(result.status == "Completed" and result.valid_till.tzinfo is not None, f"{result}")
    yield "status"
    check(result.manifest.blob_count == len(result.manifest.blobs) == 1, f"{result.manifest}")
    check(result.manifest.blobs[0].blob_link.startswith("http"), "there is no link")
    yield "link"


def auth0(case: Case) -> Iterable[str]:
    """Auth0: a client whose models are pydantic's."""
    from auth0.management.client import Auth0
    from auth0.management.errors import NotFoundError, UnauthorizedError
    from auth0.management.types import CreateExportUsersFields

    jobs = Auth0(base_url=f"{case.url}/api/v2", token=case.token).jobs
    fields = [CreateExportUsersFields(**entry) for entry in case.input["fields"]]
    job = jobs.users_exports.create(**{**case.input, "fields": fields})
    yield "start"
    done = until(lambda: jobs.get(job.id), lambda found: found.status == "completed")
    known = set(type(done).model_fields)
    check(
        not set(done.model_extra or {}),
        f"fields that Auth0 does not document: {set(done.model_extra or {})} of {known}",
    )
    yield "status"
    check(done.location.startswith("http"), "there is no location")
    yield "link"
    wrong = Auth0(base_url=f"{case.url}/api/v2", token=case.token[:-1]).jobs
    raises(lambda: wrong.get(job.id), UnauthorizedError, "Invalid token")
    raises(lambda: jobs.get("job_0"), NotFoundError, "inexistent_job")
    yield "errors"


def hubspot(case: Case) -> Iterable[str]:
    """HubSpot: a client with validation of its models."""
    from hubspot import HubSpot
    from hubspot.crm.exports import ApiException, PublicExportViewRequest

    api = HubSpot(access_token=case.secret).crm.exports.public_exports_api
    api.api_client.configuration.host = case.url
    names = {PublicExportViewRequest.attribute_map[name]: name for name in PublicExportViewRequest.attribute_map}
    wanted = PublicExportViewRequest(**{names[name]: value for name, value in case.input.items()})
    task = api.start(public_export_request=wanted)
    yield "start"
    done = until(lambda: api.get_status(task.id), lambda found: found.status == "COMPLETE")
    yield "status"
    check(done.result.startswith("http") and done.completed_at.tzinfo is not None, f"{done}")
    yield "link"
    raises(lambda: api.get_status("0"), ApiException, "OBJECT_NOT_FOUND")
    yield "errors"


def looker(case: Case) -> Iterable[str]:
    """Looker: a client that logs in by itself."""
    os.environ |= {
        "LOOKERSDK_BASE_URL": case.url,
        "LOOKERSDK_CLIENT_ID": case.secret["client_id"],
        "LOOKERSDK_CLIENT_SECRET": case.secret["client_secret"],
        "LOOKERSDK_VERIFY_SSL": "false",
    }
    import looker_sdk
    from looker_sdk import models40

    client = looker_sdk.init40()
    wanted = {"width": case.input["width"], "height": case.input["height"]}
    body = models40.CreateDashboardRenderTask()
    task = client.create_dashboard_render_task(case.scope, case.input["format"], body, **wanted)
    yield "login"
    yield "start"
    done = until(lambda: client.render_task(task.id), lambda found: found.status == "success")
    check(done.result_format == case.input["format"], f"{done}")
    yield "status"
    check(client.render_task_results(task.id).startswith(b"%PDF"), "the result is no PDF")
    yield "file"


def pinterest(case: Case) -> Iterable[str]:
    """Pinterest: a generated client that checks types."""
    from openapi_generated.pinterest_client import ApiClient, Configuration
    from openapi_generated.pinterest_client.api.ad_accounts_api import AdAccountsApi
    from openapi_generated.pinterest_client.model.ads_analytics_create_async_request import (
        AdsAnalyticsCreateAsyncRequest,
    )
    from openapi_generated.pinterest_client.model.bulk_reporting_job_status import BulkReportingJobStatus

    settings = Configuration(host=f"{case.url}/v5", access_token=case.token)
    api = AdAccountsApi(ApiClient(settings))
    wanted = AdsAnalyticsCreateAsyncRequest._from_openapi_data(**case.input, _configuration=settings)  # noqa: SLF001 - the way to its models
    report = api.analytics_create_report(case.scope, wanted, _host_index=None)
    yield "start"
    poll = lambda: api.analytics_get_report(case.scope, report.token, _host_index=None)  # noqa: E731
    done = until(poll, lambda found: found.report_status == "FINISHED")
    BulkReportingJobStatus(done.report_status)
    check(done.url.startswith("http") and done.size > 0, f"{done}")
    yield "status"
    yield "link"


def microsoft(case: Case) -> Iterable[str]:
    """Microsoft Advertising: the REST client of its SDK."""
    from openapi_client import ApiClient, Configuration
    from openapi_client.api.reporting_service_api import ReportingServiceApi
    from openapi_client.models.reporting.poll_generate_report_request import PollGenerateReportRequest
    from openapi_client.models.reporting.submit_generate_report_request import SubmitGenerateReportRequest

    api = ReportingServiceApi(ApiClient(Configuration(host=case.url)))
    headers = {
        "Authorization": f"Bearer {case.token}",
        "DeveloperToken": case.secret["developer_token"],
        "CustomerAccountId": case.scope,
        "CustomerId": "987654321",
    }
    wanted = SubmitGenerateReportRequest.from_dict({"ReportRequest": case.input})
    report = api.submit_generate_report(wanted, _headers=headers)
    yield "start"
    request = PollGenerateReportRequest(ReportRequestId=report.report_request_id)
    poll = lambda: api.poll_generate_report(request, _headers=headers).report_request_status  # noqa: E731
    done = until(poll, lambda found: found.status != "Pending")
    yield "status"
    check(done.report_download_url.startswith("http"), f"{done}")
    yield "link"


def amazon_ads(case: Case) -> Iterable[str]:
    """Amazon Ads: a public client, though not Amazon's, which writes another media type when it starts a report."""
    from ad_api.api.reports import Reports

    reports = Reports(credentials={**case.secret, "profile_id": case.scope}, access_token=case.token)
    reports.endpoint = case.url
    poll = lambda: reports.get_report(reportId=case.job).payload  # noqa: E731
    done = until(poll, lambda found: found["status"] == "COMPLETED")
    check(done["url"].startswith("http") and done["fileSize"] > 0, f"{done}")
    yield "status"
    yield "link"
    reports.delete_report(reportId=case.job)
    yield "cancel"


def marketo(case: Case) -> Iterable[str]:
    """Marketo: a public client, though not Adobe's."""
    from marketorestpython.client import MarketoClient

    client = MarketoClient("simulated", case.secret["client_id"], case.secret["client_secret"])
    client.host = case.url
    wanted = {"createdAt": {"startAt": case.input["from"], "endAt": case.input["to"]}}
    (job,) = client.create_leads_export_job(fields=case.input["fields"], filters=wanted)
    yield "token"
    yield "start"
    client.enqueue_leads_export_job(job["exportId"])
    yield "second step"
    poll = lambda: client.get_leads_export_job_status(job["exportId"])[0]  # noqa: E731
    done = until(poll, lambda found: found["status"] == "Completed")
    yield "status"
    check(job["exportId"] in [entry["exportId"] for entry in client.get_leads_export_jobs_list()], "it is not listed")
    yield "list"
    content = client.get_leads_export_job_file(job["exportId"])
    check(f"sha256:{hashlib.sha256(content).hexdigest()}" == done["fileChecksum"], "the checksum is another")
    yield "file"
    (other,) = client.create_leads_export_job(fields=case.input["fields"], filters=wanted)
    check(client.cancel_leads_export_job(other["exportId"])[0]["status"] == "Cancelled", "it is not canceled")
    yield "cancel"


# The fields, words and nullability of https://shopify.dev/docs/api/admin-graphql/latest/objects/BulkOperation.
SHOPIFY_TYPES = """
scalar DateTime
scalar UnsignedInt64
scalar URL
interface Node { id: ID! }
enum BulkOperationStatus { CANCELED CANCELING COMPLETED CREATED EXPIRED FAILED RUNNING }
enum BulkOperationErrorCode { ACCESS_DENIED INTERNAL_SERVER_ERROR TIMEOUT }
enum BulkOperationType { MUTATION QUERY }
type BulkOperation implements Node {
  completedAt: DateTime createdAt: DateTime! errorCode: BulkOperationErrorCode fileSize: UnsignedInt64 id: ID!
  objectCount: UnsignedInt64! partialDataUrl: URL query: String! rootObjectCount: UnsignedInt64!
  status: BulkOperationStatus! type: BulkOperationType! url: URL
}
type UserError { field: [String!] message: String! }
type BulkOperationRunQueryPayload { bulkOperation: BulkOperation userErrors: [UserError!]! }
type BulkOperationCancelPayload { bulkOperation: BulkOperation userErrors: [UserError!]! }
type Query { node(id: ID!): Node }
type Mutation {
  bulkOperationRunQuery(query: String!, groupObjects: Boolean): BulkOperationRunQueryPayload
  bulkOperationCancel(id: ID!): BulkOperationCancelPayload
}
"""


def shopify(case: Case) -> Iterable[str]:
    """Shopify: the queries of the definition, and what comes back, by the documented types."""
    import requests
    from graphql import build_schema, graphql_sync

    schema: Any = build_schema(SHOPIFY_TYPES)
    schema.type_map["Node"].resolve_type = lambda *_: "BulkOperation"
    path, headers = f"{case.url}/admin/api/2026-07/graphql.json", {"X-Shopify-Access-Token": case.secret}

    def send(call: str, variables: dict[str, str]) -> Any:
        query = case.api[call]["body"]["query"]
        answer = requests.post(path, json={"query": query, "variables": variables}, headers=headers, timeout=10).json()
        result = graphql_sync(schema, query, root_value=answer["data"], variable_values=variables)
        check(not result.errors, f"{call}: {result.errors}")
        check(result.data == answer["data"], f"{call}: the response holds more than was asked for: {answer['data']}")
        return next(iter(answer["data"].values()))

    job = send("start", {"q": case.input["query"]})["bulkOperation"]
    yield "start"
    for word in ("RUNNING", "COMPLETED"):
        until(lambda: send("status", {"id": job["id"]})["status"], word.__eq__)
    yield "status"
    send("cancel", {"id": job["id"]})
    yield "cancel"


CLIENTS: dict[str, tuple[str, Callable[[Case], Iterable[str]]]] = {
    "amazon-ads-reports@1": ("python-amazon-ad-api", amazon_ads),
    "anthropic-batches@1": ("anthropic", anthropic),
    "auth0-user-exports@1": ("auth0-python", auth0),
    "azure-cost-details@1": ("azure-mgmt-costmanagement", azure),
    "github-org-migrations@1": ("githubkit", github),
    "hubspot-crm-exports@1": ("hubspot-api-client", hubspot),
    "looker-render-tasks@1": ("looker-sdk", looker),
    "marketo-bulk-leads@1": ("marketorestpython", marketo),
    "microsoft-advertising-reports@1": ("msads", microsoft),
    "openai-batches@1": ("openai", openai),
    "pinterest-ads-reports@1": ("pinterest-generated-client", pinterest),
    "shopify-bulk-operations@1": ("graphql-core with the documented types", shopify),
    "stripe-report-runs@1": ("stripe", stripe),
}


def main() -> None:
    """Drive one case; without one, list what there is."""
    if sys.argv[1:] == ["--list"]:
        print(json.dumps({name: package for name, (package, _) in CLIENTS.items()}))
        return
    case = Case(**json.load(sys.stdin))
    _, drive = CLIENTS[case.name]
    print(json.dumps(list(drive(case))))


if __name__ == "__main__":
    main()
