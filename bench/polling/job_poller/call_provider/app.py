"""The only function of the loop: starts a build, polls it and fetches its report, with the courier's provider."""

import os
from typing import Any

import requests

import courier.aws.lambda_runtime  # noqa: F401 - like the courier's functions
from courier import aws
from courier.models import BuildRef, BuildRequest
from courier.providers import open_provider, parse_source

_TIMEOUT_SECONDS = 30


def handler(event: dict[str, Any], context: object) -> dict[str, str]:  # noqa: ARG001 - Lambda passes both
    """Perform one of the three actions."""
    provider = open_provider(parse_source(event["source"]))
    if event["action"] == "start":
        build = provider.start_build(BuildRequest(source=event["source"]["name"], report=event["report"]))
        return {"build_id": build.ref.build_id, "scope": build.ref.scope}
    name, scope = event["source"]["name"], provider.scopes()[0]
    ref = BuildRef(source=name, scope=scope, build_id=event["build_id"])
    if event["action"] == "copy":
        response = requests.get(provider.locate_artifact(ref).url.reveal(), timeout=_TIMEOUT_SECONDS)
        response.raise_for_status()
        aws.client("s3").put_object(Bucket=os.environ["BUCKET_NAME"], Key=ref.build_id, Body=response.content)
        return {}
    return {"status": provider.get_build(ref).status}
