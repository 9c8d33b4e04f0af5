"""What is wrong in a file of sources or with a definition, all at once and each with its place."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from cli.source_files import check_file
from courier.providers.http_json.shipped import FOLDER, shipped_names

DEFINITION = """\
auth: {kind: header, name: X-API-TOKEN, prefix: ""}
start:
  post: /surveys/{scope}/exports
  body: {format: csv}
status: {get: "/surveys/{scope}/exports/{id}", at: result}
build: {id: progressId, status: status, keep: {file: fileId}}
words:
  running: [inProgress]
  succeeded: [complete]
  failed: [failed]
link: {file: "/surveys/{scope}/exports/{file}/file", name: "{id}.csv"}
"""
SOURCE = """\
sources:
  - name: survey
    provider: http_json
    endpoint: https://api.example.com/v3
    secret: build-courier/survey
    scopes: [SV_1]
    artifact: {hosts: [api.example.com], content_types: [text/csv]}
    api:
""" + "".join(f"      {line}\n" for line in DEFINITION.splitlines())


def problems_of(folder: Path, text: str) -> list[str]:
    path = folder / "file.yaml"
    path.write_text(text, encoding="utf-8")
    return [problem.line_for("file") for problem in check_file(path).problems]


@pytest.mark.parametrize("text", [DEFINITION, SOURCE], ids=["definition", "source"])
def test_nothing_is_wrong(tmp_path: Path, text: str) -> None:
    assert problems_of(tmp_path, text) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('prefix: ""', 'prefx: ""', "file:1:41: auth.prefx: is unknown; did you mean prefix?"),
        ("kind: header", "kind: heder", "file:1:14: auth.kind: input should be 'header', 'basic', "),
        ("at: result", 'at: "a.(b"', "file:5:52: status.at: does not compile at character 3, '(b'"),
        ("{id: progressId", "{id: {read: a, match: b}", "file:6:30: build.id.match: has 0 groups; put ( ) around"),
        ("/surveys/{scope}/exports\n", "surveys\n", "file:3:9: start.post: must begin with one slash"),
        ("{scope}/exports\n", "{scop}/exports/{in put}\n", "file:3:9: start.post: has a brace that belongs to no"),
        ("{format: csv}", '{a: [{b: "{scpe.c}"}]}', "file:4:18: start.body.a[0].b: nothing fills {scpe.c}"),
        ("{format: csv}", '{a: ["{secret.b}"]}', "file:4:14: start.body.a[0]: {secret} may stand under auth only"),
        ("[complete]", "[complete, INPROGRESS]", "file:9:25: words.succeeded[1]: 'inprogress' is in running and in"),
        ("[inProgress]", "[on]", 'file:8:13: words.running[0]: is a boolean in YAML 1.1; put it in quotes: "on"'),
        ("[inProgress]", "[10]", 'file:8:13: words.running[0]: is a number in YAML 1.1; put it in quotes: "10"'),
        ("{format: csv}", "{on: csv}", 'file:4:10: start.body.on: is a boolean in YAML 1.1; put it in quotes: "on"'),
        ("{format: csv}", "{day: 2026-01-01}", "file:4:15: start.body.day: is a date in YAML 1.1; put it in quotes"),
        ("  failed:", "  fialed:", "file:10:3: words.fialed: is unknown; did you mean failed?"),
        (', name: "{id}.csv"', "", "file:11:1: link.name: field required"),
        ("at: result", "codes: {404: lost}", "file:5:61: status.codes.404: input should be 'queued', "),
        ("at: result", "codes: {4040: gone}", "file:5:56: status.codes.4040: "),
        ("{file: fileId}", "{id: fileId}", "file:1:1: id is the name of something else already; choose another"),
        ("link: {", 'link: {auth: "a.(b)", ', "file:11:14: link.auth: does not compile at character 3, '(b)'"),
        (
            "words:",
            "list: {get: /x, each: a, next: {query: b}}\nwords:",
            "file:7:40: list.next: query and value belong",
        ),
        ("words:", "rules: [{means: empty}]\nwords:", "file:7:9: rules[0]: name code, when, or both"),
        ("auth:", "auth: &a [*a]\nx:", "file:1:1: auth: must be a mapping"),
    ],
)
def test_one_mistake(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert DEFINITION.count(old) == 1
    found = problems_of(tmp_path, DEFINITION.replace(old, new))
    assert any(problem.startswith(expected) for problem in found), found


def test_all_mistakes_of_a_file_at_once(tmp_path: Path) -> None:
    """Mistakes in single values do not hide what is wrong with the whole, nor one source another."""
    text = SOURCE.replace("at: result", 'at: "a[", codse: {}').replace("[complete]", "[yes, inprogress]")
    text = text.replace("{format: csv}", '{format: "{inptu.format}"}') + "  - {name: other, provider: htp}\n"
    places = [problem.partition(": ")[2].partition(": ")[0] for problem in problems_of(tmp_path, text)]
    assert places == [
        "sources[0].api.start.body.format",
        "sources[0].api.status.at",
        "sources[0].api.status.codse",
        "sources[0].api.words.succeeded[0]",
        "sources[0].api.words.succeeded[1]",
        "sources[1].provider",
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("[SV_1]", "[SV_1, 10]", "file:6:20: sources[0].scopes[1]: is a number in YAML 1.1; put it in quotes"),
        ("[SV_1]", "everything", 'file:6:13: sources[0].scopes: use "all" or a list of scopes'),
        ("    artifact:", "    values: {a: b}\n    artifact:", "file:7:17: sources[0].values.a: is unknown"),
        ("    artifact:", "    requests: [{inptu: {}}]\n    artifact:", "file:7:17: sources[0].requests[0].inptu: is"),
        ("build-courier/survey", "0123456789", "file:5:13: sources[0].secret: "),
        ("[api.example.com]", "[a b]", "file:7:24: sources[0].artifact.hosts[0]: 'a b' does not look like"),
        ("https://api", "http://api", "file:4:15: sources[0]: endpoint must be https"),
    ],
)
def test_a_mistake_in_a_source(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert SOURCE.count(old) == 1
    found = problems_of(tmp_path, SOURCE.replace(old, new))
    assert any(problem.startswith(expected) for problem in found), found


def test_a_number_in_the_place_of_a_secret_is_not_shown(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, SOURCE.replace("build-courier/survey", "1234567890"))
    assert "1234567890" not in problem


def test_a_source_names_a_definition_that_does_not_exist(tmp_path: Path) -> None:
    text = SOURCE.partition("    api:")[0] + "    api: stripe-report-rns@1\n"
    (problem,) = problems_of(tmp_path, text)
    assert problem.endswith(
        "sources[0].api: no definition of this name comes with the courier; did you mean stripe-report-runs@1?"
    )


def test_what_yaml_reads_otherwise_in_a_body_is_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    body = '{country: NO, code: 010, at: 12:30:00, text: "NO", is: true, n: 10}'
    path.write_text(DEFINITION.replace("{format: csv}", body), encoding="utf-8")
    checked = check_file(path)
    assert checked.problems == ()
    assert [(warning.path, warning.message) for warning in checked.warnings] == [
        ("start.body.country", 'is false in YAML 1.1; write "NO" if you mean the text, or false'),
        ("start.body.code", 'is 8 in YAML 1.1; write "010" if you mean the text, or 8'),
        ("start.body.at", 'is 45000 in YAML 1.1; write "12:30:00" if you mean the text, or 45000'),
    ]


def test_a_definition_alone_says_what_a_source_has_to_fill_in(tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(DEFINITION.replace("csv}", '"{input.format?}", zone: "{region}"}'), encoding="utf-8")
    assert check_file(path).needs == ("input.format (optional)", "scopes", "secret", "values.region")


@pytest.mark.parametrize("name", shipped_names())
def test_what_ships_is_right_and_so_is_its_example(name: str) -> None:
    checked = check_file(FOLDER / f"{name}.yaml")
    assert (checked.problems, checked.warnings) == ((), ())
    assert len(checked.sources) == 1


def test_a_source_that_does_not_fit_into_a_parameter(tmp_path: Path) -> None:
    padding = ", ".join(f'h{index}: "{"x" * 900}"' for index in range(9))
    (problem,) = problems_of(tmp_path, SOURCE.replace("      auth:", f"      headers: {{{padding}}}\n      auth:"))
    assert problem.startswith("file:2:5: sources[0]: its settings take 8,")
    assert "bytes, and a parameter holds 8,192; api takes 8," in problem


def test_aliases_that_multiply(tmp_path: Path) -> None:
    names = "abcdefghi"
    lists = [f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]" for before, name in itertools.pairwise(names)]
    (problem,) = problems_of(tmp_path, "\n".join(["a: &a [1]", *lists, SOURCE]))
    assert problem == "file:1:1: has more than 200,000 values, with those that aliases repeat"
