"""The stack of a template, deployed and running in this process."""

import json

import pytest

from local.embedded.embedded_aws import EmbeddedAws


def result_of(aws: EmbeddedAws, event: object) -> dict[str, object]:
    result: dict[str, object] = json.loads(aws.invoke("work", event).payload)
    return result


def test_outputs_and_resources_are_those_of_the_template(small: EmbeddedAws) -> None:
    assert small.outputs.keys() == {"StoreName", "MachineArn"}
    assert small.outputs["StoreName"] == small.resources["Store"]
    assert small.left_out["AlarmName"] == "an output of Alarm"


def test_what_moto_forgets_is_put_afterwards(small: EmbeddedAws) -> None:
    versioning = small.client("s3").get_bucket_versioning(Bucket=small.resources["Store"])
    assert versioning["Status"] == "Enabled"


def test_parameters_of_the_template_exist(small: EmbeddedAws) -> None:
    parameter = small.client("ssm").get_parameter(Name="/build-courier/setting")["Parameter"]
    assert parameter["Value"] == "hello"


def test_a_function_sees_its_context(small: EmbeddedAws) -> None:
    context = result_of(small, {"do": "context"})
    assert context["memory"] == 512
    assert context["name"] == small.resources["WorkFunction"]
    assert 0 < int(str(context["left"])) <= 60_000
    assert str(context["arn"]).endswith(f":function:{small.resources['WorkFunction']}")


def test_an_exception_becomes_lambdas_error_document(small: EmbeddedAws) -> None:
    result = small.invoke("work", {"do": "fail"})
    document = json.loads(result.payload)
    assert result.error_type == document["errorType"] == "HopelessError"
    assert document["errorMessage"] == "no way"
    assert "raise HopelessError" in document["stackTrace"][-1]


def test_a_result_that_is_no_json_is_an_error(small: EmbeddedAws) -> None:
    assert small.invoke("work", {"do": "unspeakable"}).error_type == "Runtime.MarshalError"


@pytest.mark.parametrize("by", ["name", "arn", "qualified"])
def test_the_api_invokes_functions(small: EmbeddedAws, by: str) -> None:
    name = small.resources["WorkFunction"]
    arn = small.client("lambda").get_function_configuration(FunctionName=name)["FunctionArn"]
    function = {"name": name, "arn": arn, "qualified": f"{arn}:$LATEST"}[by]
    response = small.client("lambda").invoke(FunctionName=function, Payload=b'{"a": 1}')
    assert json.load(response["Payload"]) == {"echo": {"a": 1}}
    assert "FunctionError" not in response


def test_the_api_reports_errors_of_functions(small: EmbeddedAws) -> None:
    response = small.client("lambda").invoke(FunctionName=small.resources["WorkFunction"], Payload=b'{"do": "fail"}')
    assert response["FunctionError"] == "Unhandled"
    assert json.load(response["Payload"])["errorType"] == "HopelessError"


def test_the_api_refuses_unknown_functions_and_broken_json(small: EmbeddedAws) -> None:
    client = small.client("lambda")
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.invoke(FunctionName="nobody")
    with pytest.raises(client.exceptions.InvalidRequestContentException):
        client.invoke(FunctionName=small.resources["WorkFunction"], Payload=b"{")


def test_calls_are_attributed_to_the_function_also_from_its_threads(small: EmbeddedAws) -> None:
    before = small.calls()
    small.invoke("work", {"do": "put"})
    made = small.calls() - before
    store = small.resources["Store"]
    assert made == {("work", "s3:PutObject", f"{store}/a/one"): 1, ("work", "s3:PutObject", f"{store}/a/two"): 1}


def test_what_functions_print_is_kept_and_not_shown(small: EmbeddedAws, capsys: pytest.CaptureFixture[str]) -> None:
    small.invoke("work", {"mark": "find me"})
    (line,) = [line for line in small.logs("work") if "find me" in line.text]
    written = json.loads(line.text)
    assert written["message"] == "working"
    assert written["service"] == "small"
    assert written["function_request_id"] == line.request_id
    print("the test itself")  # noqa: T201  # what others print still goes to the terminal
    assert capsys.readouterr().out == "the test itself\n"


def test_usage_counts_runs_and_errors(small: EmbeddedAws) -> None:
    before = small.usage()["work"]
    small.invoke("work", {})
    small.invoke("work", {"do": "fail"})
    after = small.usage()["work"]
    assert after.invocations - before.invocations == len(after.seconds) - len(before.seconds) == 2
    assert after.errors - before.errors == 1
