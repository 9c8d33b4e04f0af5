"""Fault plans are read from files, and errors in a file name the line or the field."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from pathlib import Path

import pytest

from courier.errors import SettingsError
from local.simulator import faults, faults_json, faults_range
from local.simulator.fault_files import FAULTS, describe, read_rules
from local.simulator.fault_plan import FaultRule
from local.simulator.faults import CorruptBody, CutBody, ErrorStatus, Fault, LinkExpired, ReplaceBody
from local.simulator.faults_json import SetFields, ShiftTimes
from local.simulator.messages import ConnectionEnd, RequestKind, SimulatedResponse
from tests.support.command import courier

DOCS = Path(__file__).parents[3] / "docs"


def test_every_field_of_a_rule_is_read() -> None:
    entry = {"fault": "cut_body", "with": {"keep_bytes": 3, "ending": "reset"}, "on": "artifact", "build_id": "b"}
    (rule,) = read_rules(json.dumps({"rules": [{**entry, "scope": "s", "ranged": True, "nth": 2, "times": None}]}))
    assert rule == FaultRule(
        CutBody(3, ending=ConnectionEnd.RESET), RequestKind.ARTIFACT, "b", "s", ranged=True, nth=2, times=None
    )


def test_what_is_left_out_is_usual() -> None:
    (rule,) = read_rules('{"rules": [{"fault": "link_expired"}]}')
    assert rule == FaultRule(LinkExpired())


def test_every_fault_of_the_simulator_has_a_name_in_files() -> None:
    abstract = {Fault, faults_json.JsonFault, faults_json.ObjectFault}
    known = {
        kind
        for module in (faults, faults_json, faults_range)
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Fault) and kind not in abstract
    }
    assert set(FAULTS.values()) == known


def test_the_page_about_faults_knows_every_fault_and_every_setting() -> None:
    page = (DOCS / "faults.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    for name, kind in FAULTS.items():
        (row,) = [row for row in rows if f"`{name}`" in row.split("|")[1]]
        for setting in dataclasses.fields(kind):  # type: ignore[arg-type]  # every fault of the list is a dataclass
            assert f"`{setting.name}`" in row.split("|")[2], (name, setting.name)
    for request_kind in RequestKind:
        assert f"`{request_kind}`" in page


def test_the_example_of_the_page_is_the_file() -> None:
    (block,) = re.findall(r"```json\n(.*?)```", (DOCS / "faults.md").read_text(encoding="utf-8"), re.DOTALL)
    assert block == (DOCS / "faults.example.json").read_text(encoding="utf-8")
    assert len(read_rules(block)) == 4


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (LinkExpired(), "link_expired"),
        (ErrorStatus(429, retry_after=3), 'error_status {"status": 429, "retry_after": 3}'),
        (SetFields({"status": 7}), 'set_fields {"fields": {"status": 7}}'),
        (ReplaceBody(b"secret"), 'replace_body {"body": "6 bytes"}'),
    ],
)
def test_a_fault_is_written_down_as_a_file_names_it(fault: Fault, words: str) -> None:
    assert describe(fault) == words


RULE = '{"fault": "error_status", "with": {"status": 503}}'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no valid JSON in line 1: "),
        ('{"rules": [\n{"fault" "x"}]}', "no valid JSON in line 2: "),
        ("[" * 100_000, "no valid JSON: "),
        ('{"rules": [], "rules": []}', "no valid JSON: rules is given twice"),
        ("[]", 'must be an object such as {"rules": '),
        ("{}", "rules: field required"),
        ('{"rules": []}', "rules: is empty"),
        ('{"rules": {}}', "rules: must be a list, such as [a, b]"),
        ('{"rules": [7]}', "rules[0]: must be a mapping"),
        ('{"rule": []}', "rule: is unknown; did you mean rules?"),
        (f'{{"rules": [{RULE}, {{}}]}}', "rules[1].fault: field required"),
        ('{"rules": [{"fault": "rain"}]}', "rules[0].fault: 'rain' is unknown; use one of add_text, capital_ids"),
        ('{"rules": [{"fault": "link_expired", "on": "lunch"}]}', "rules[0].on: input should be 'list_models'"),
        (
            '{"rules": [{"fault": "link_expired", "nth": 0}]}',
            "rules[0].nth: input should be greater than or equal to 1",
        ),
        ('{"rules": [{"fault": "link_expired", "times": "2"}]}', "rules[0].times: must be a whole number"),
        ('{"rules": [{"fault": "link_expired", "when": 1}]}', "rules[0].when: is unknown"),
        ('{"rules": [{"fault": "cut_body"}]}', "rules[0].with.keep_bytes: field required"),
        ('{"rules": [{"fault": "cut_body", "with": {"keep_bytes": -1}}]}', "rules[0].with.keep_bytes: "),
        ('{"rules": [{"fault": "error_status", "with": {"status": 200}}]}', "rules[0].with.status: "),
        ('{"rules": [{"fault": "delay", "with": {"seconds": NaN}}]}', "rules[0].with.seconds: "),
        ('{"rules": [{"fault": "set_headers", "with": {"headers": {"A": "b\\r\\nC: d"}}}]}', "rules[0].with.headers"),
        ('{"rules": [{"fault": "no_length", "with": {"at": 1}}]}', "rules[0].with.at: is unknown"),
        (
            '{"rules": [{"fault": "cut_body", "with": {"keep_byte": 1, "keep_bytes": 1}}]}',
            "rules[0].with.keep_byte: is unknown; did you mean keep_bytes?",
        ),
    ],
)
def test_a_file_that_is_wrong_is_refused_by_line_or_field_and_nothing_is_started(
    tmp_path: Path, text: str, words: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        read_rules(text)
    assert str(caught.value).startswith(words)
    (tmp_path / "faults.json").write_text(text, encoding="utf-8")
    ended = courier("run", "--faults", tmp_path / "faults.json", "--out", tmp_path / "out")
    assert (ended.exit_code, ended.out) == (2, "")
    assert ended.error_line.startswith(f"courier: {tmp_path / 'faults.json'}: {words}")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--faults", DOCS / "faults.example.json", "--chaos", "1"], "courier: pass --faults or --chaos, not both"),
        (["--chaos", "lots"], "courier run: Invalid value for '--chaos'"),
        (["--faults", DOCS / "absent.json"], "No such file or directory"),
        (["--faults", DOCS], "Is a directory"),
        (["--chaos", "1", "--sources", "sources.yaml"], "work with the simulated providers only: omit --sources"),
    ],
)
def test_options_that_do_not_go_together(options: list[object], words: str) -> None:
    ended = courier("run", *options)
    assert (ended.exit_code, ended.out) == (2, "")
    assert words in ended.error_line


def test_faults_that_do_not_fit_a_response_leave_it_unchanged() -> None:
    response = SimulatedResponse(200, {"Content-Type": "application/json"}, b'{"created": "soon", "started": null}')
    request: object = None
    assert CorruptBody(at=1_000).on_response(request, response) == response  # type: ignore[arg-type]  # not looked at
    for seconds in (5.0, 1e300, float("inf"), float("nan")):
        shifted = ShiftTimes(seconds).on_response(request, response)  # type: ignore[arg-type]  # likewise
        assert json.loads(bytes(shifted.body)) == json.loads(bytes(response.body))
