"""Every format is valid by its publisher's rules, whatever students call and write things.

The schemas below restate what the documentation of each format demands of the members that are
used, and allow no other. The published files themselves are large and not ours to hand on: with
their folder in GRADTOOL_PUBLISHED_SCHEMAS, `-m published` validates the reports against them.
"""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from lxml import etree
from markdown_it import MarkdownIt

from gradtool.lint.choice import Choice
from gradtool.lint.rules import RULES
from gradtool.lint.summary import summary
from gradtool.records import replace
from gradtool.report import formats, lint_text
from gradtool.report.findings_text import seeds
from gradtool.report.safe import cell, markdown, one_line
from gradtool.spec.usage import UsageError
from tests.report.formats.course import HOSTILE, HOSTILE_COURSE, course, graded, right

ALL = Choice()


def published(name: str) -> Path:
    """A schema as its publisher gives it."""
    return Path(os.environ["GRADTOOL_PUBLISHED_SCHEMAS"], name)


def report(name: str, choice: Choice = ALL) -> str:
    return formats.find(name).text(HOSTILE_COURSE, choice)


def test_every_format_is_found_by_itself() -> None:
    names = {"json", "junit", "sarif", "github", "gitlab", "gradescope", "csv", "markdown"}
    assert set(formats.names()) == names
    for name in names:
        assert name == formats.find(name).NAME
        assert formats.find(name).ABOUT


@pytest.mark.parametrize("name", ["github", "markdown", "csv", "text"])
def test_nothing_foreign_begins_a_line_or_moves_the_cursor(name: str) -> None:
    out = io.StringIO()
    if name == "text":
        lint_text.write(HOSTILE_COURSE, ALL, out, statistics=False)
    text = out.getvalue() or report(name)
    assert all(c.isprintable() or c in "\r\n" for c in text)
    assert "##[" not in text
    commands = [line for line in text.splitlines() if line.lstrip().startswith("::")]
    if name == "github":
        own = ("::error file=", "::warning file=", "::notice file=", "::notice title=")
        assert all(
            line.startswith((*own, "::error title=", "::warning title=")) for line in commands
        )
    else:
        assert commands == []


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_lines_of_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    wide, narrow = io.StringIO(), _Terminal()
    for out in (wide, narrow):
        lint_text.write(HOSTILE_COURSE, ALL, out, statistics=False)
    piped, lines = wide.getvalue().splitlines(), narrow.getvalue().splitlines()
    assert max(map(len, piped)) > 100
    assert "\x1b" not in narrow.getvalue()
    assert all(len(line) <= 40 or len(line.split()) == 1 for line in lines)
    assert not any(line.lstrip().startswith("::") for line in lines)
    assert "".join(narrow.getvalue().split()) == "".join(wide.getvalue().split())


# -- JUnit -------------------------------------------------------------------------------------

JUNIT = """
<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">
  <xs:complexType name="told"><xs:simpleContent><xs:extension base="xs:string">
    <xs:attribute name="type" type="xs:string" use="required"/>
    <xs:attribute name="message" type="xs:string" use="required"/>
  </xs:extension></xs:simpleContent></xs:complexType>
  <xs:complexType name="property">
    <xs:attribute name="name" type="xs:string" use="required"/>
    <xs:attribute name="value" type="xs:string" use="required"/>
  </xs:complexType>
  <xs:complexType name="testcase">
    <xs:sequence>
      <xs:choice minOccurs="0">
        <xs:element name="failure" type="told"/>
        <xs:element name="error" type="told"/>
        <xs:element name="skipped"><xs:complexType/></xs:element>
      </xs:choice>
      <xs:element name="system-out" type="xs:string" minOccurs="0"/>
    </xs:sequence>
    <xs:attribute name="name" type="xs:string" use="required"/>
    <xs:attribute name="classname" type="xs:string" use="required"/>
    <xs:attribute name="time" type="xs:decimal"/>
  </xs:complexType>
  <xs:complexType name="testsuite">
    <xs:sequence>
      <xs:element name="properties">
        <xs:complexType><xs:sequence>
          <xs:element name="property" type="property" maxOccurs="unbounded"/>
        </xs:sequence></xs:complexType>
      </xs:element>
      <xs:element name="testcase" type="testcase" minOccurs="0" maxOccurs="unbounded"/>
    </xs:sequence>
    <xs:attribute name="name" type="xs:string" use="required"/>
    <xs:attribute name="tests" type="xs:nonNegativeInteger" use="required"/>
    <xs:attribute name="failures" type="xs:nonNegativeInteger" use="required"/>
    <xs:attribute name="errors" type="xs:nonNegativeInteger" use="required"/>
    <xs:attribute name="skipped" type="xs:nonNegativeInteger"/>
    <xs:attribute name="time" type="xs:decimal"/>
  </xs:complexType>
  <xs:element name="testsuites">
    <xs:complexType>
      <xs:sequence>
        <xs:element name="testsuite" type="testsuite" minOccurs="0" maxOccurs="unbounded"/>
      </xs:sequence>
      <xs:attribute name="name" type="xs:string"/>
    </xs:complexType>
  </xs:element>
</xs:schema>
"""


def test_junit_has_the_members_that_ci_systems_document() -> None:
    schema = etree.XMLSchema(etree.fromstring(JUNIT))
    root = etree.fromstring(report("junit").encode())
    schema.assertValid(root)
    del root[0].attrib["tests"]
    assert not schema.validate(root)


def test_junit_has_what_jenkins_requires() -> None:
    root = ET.fromstring(report("junit").encode())
    assert root.tag == "testsuites"
    assert len(root) == len(HOSTILE) + 1
    for suite in root:
        assert {"name", "tests", "failures", "errors"} <= set(suite.keys())
        cases = suite.findall("testcase")
        assert int(suite.get("tests", "")) == len(cases)
        assert int(suite.get("failures", "")) == len(suite.findall("testcase/failure"))
        assert int(suite.get("errors", "")) == len(suite.findall("testcase/error"))
        assert all(case.get("name") and case.get("classname") for case in cases)
        assert {e.tag for e in suite} <= {"properties", "testcase"}


@pytest.mark.published
def test_junit_is_valid_by_the_schema_of_jenkins() -> None:
    schema = etree.XMLSchema(etree.parse(published("junit-10.xsd")))
    schema.assertValid(etree.fromstring(report("junit").encode()))


# -- SARIF -------------------------------------------------------------------------------------

_TEXT = {
    "type": "object",
    "required": ["text"],
    "properties": {"text": {"type": "string", "minLength": 1}},
    "additionalProperties": False,
}
_LEVEL = {"enum": ["none", "note", "warning", "error"]}


def _object(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **optional},
        "additionalProperties": False,
    }


SARIF = _object(
    {
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "items": _object(
                {
                    "tool": _object(
                        {
                            "driver": _object(
                                {"name": {"type": "string"}},
                                version={"type": "string"},
                                rules={
                                    "type": "array",
                                    "uniqueItems": True,
                                    "items": _object(
                                        {"id": {"type": "string"}},
                                        name={"type": "string"},
                                        shortDescription=_TEXT,
                                        fullDescription=_TEXT,
                                        help=_TEXT,
                                        defaultConfiguration=_object({}, level=_LEVEL),
                                    ),
                                },
                            )
                        }
                    ),
                    "results": {
                        "type": "array",
                        "items": _object(
                            {"message": _TEXT},
                            ruleId={"type": "string"},
                            ruleIndex={"type": "integer", "minimum": 0},
                            level=_LEVEL,
                            partialFingerprints={"type": "object"},
                            locations={
                                "type": "array",
                                "items": _object(
                                    {},
                                    physicalLocation=_object(
                                        {"artifactLocation": _object({"uri": {"type": "string"}})},
                                        region=_object(
                                            {"startLine": {"type": "integer", "minimum": 1}}
                                        ),
                                    ),
                                ),
                            },
                        ),
                    },
                },
                columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                properties={"type": "object"},
            ),
        },
    },
    **{"$schema": {"type": "string"}},
)


def test_sarif_has_the_members_of_the_standard() -> None:
    data = json.loads(report("sarif"))
    jsonschema.validate(data, SARIF)
    run = data["runs"][0]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == list(RULES)
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        parts = urlsplit(uri)
        assert (parts.scheme, parts.netloc, parts.query, parts.fragment) == ("", "", "", "")
        assert unquote(uri).removeprefix("hand-ins/") in {*HOSTILE}


def test_a_line_of_a_cell_is_none_of_the_file() -> None:
    """A platform would mark that line of the notebook as it is stored."""
    one = graded("a.ipynb")
    first, *others = one.answers
    inside = tuple(replace(f, place="cell 2") for f in first.findings)
    found = course(replace(one, answers=(replace(first, findings=inside), *others)))
    (run,) = json.loads(formats.find("sarif").text(found, ALL))["runs"]
    assert not any("region" in r["locations"][0]["physicalLocation"] for r in run["results"])
    assert "(cell 2 line 7)" in run["results"][0]["message"]["text"]
    assert "line=" not in formats.find("github").text(found, ALL)
    entries = json.loads(formats.find("gitlab").text(found, ALL))
    assert {entry["location"]["lines"]["begin"] for entry in entries} == {1}


def test_fingerprints_stay_when_a_line_moves() -> None:
    def prints(line: int) -> list[str]:
        one = graded("a.py")
        first, *others = one.answers
        moved = tuple(replace(f, line=f.line + line) for f in first.findings)
        answers = (replace(first, findings=moved), *others)
        data = json.loads(formats.find("sarif").text(course(replace(one, answers=answers)), ALL))
        return [r["partialFingerprints"]["gradtool/v1"] for r in data["runs"][0]["results"]]

    assert prints(0) == prints(5)
    assert len(set(prints(0))) == len(prints(0))


@pytest.mark.published
def test_sarif_is_valid_by_the_schema_of_oasis() -> None:
    schema = json.loads(published("sarif-schema-2.1.0.json").read_text())
    jsonschema.validate(json.loads(report("sarif")), schema)


# -- GitLab ------------------------------------------------------------------------------------

GITLAB = {
    "type": "array",
    "items": _object(
        {
            "description": {"type": "string", "minLength": 1},
            "check_name": {"type": "string", "minLength": 1},
            "fingerprint": {"type": "string", "minLength": 32},
            "severity": {"enum": ["info", "minor", "major", "critical", "blocker"]},
            "location": _object(
                {
                    "path": {"type": "string"},
                    "lines": _object({"begin": {"type": "integer", "minimum": 1}}),
                }
            ),
        }
    ),
}


def test_gitlab_has_the_documented_members_and_unique_fingerprints() -> None:
    data = json.loads(report("gitlab"))
    jsonschema.validate(data, GITLAB)
    fingerprints = [entry["fingerprint"] for entry in data]
    assert len(set(fingerprints)) == len(fingerprints)
    assert not any(entry["location"]["path"].startswith(("/", "./")) for entry in data)


# -- Gradescope --------------------------------------------------------------------------------

_VISIBILITY = {"enum": ["hidden", "after_due_date", "after_published", "visible"]}
_FORMAT = {"enum": ["text", "html", "simple_format", "md", "ansi"]}
GRADESCOPE = _object(
    {"score": {"type": "number"}},
    execution_time={"type": "integer", "minimum": 0},
    output={"type": "string"},
    output_format=_FORMAT,
    test_output_format=_FORMAT,
    test_name_format=_FORMAT,
    visibility=_VISIBILITY,
    stdout_visibility=_VISIBILITY,
    extra_data={"type": "object"},
    tests={
        "type": "array",
        "items": _object(
            {},
            score={"type": "number"},
            max_score={"type": "number"},
            status={"enum": ["passed", "failed"]},
            name={"type": "string"},
            name_format=_FORMAT,
            number={"type": "string"},
            output={"type": "string"},
            output_format=_FORMAT,
            tags={"type": "array"},
            visibility=_VISIBILITY,
            extra_data={"type": "object"},
        ),
    },
)


@pytest.mark.parametrize("name", HOSTILE)
def test_gradescope_has_the_documented_members(name: str) -> None:
    data = json.loads(formats.find("gradescope").text(course(graded(name)), ALL))
    jsonschema.validate(data, GRADESCOPE)
    assert data["score"] == 1.0
    assert sum(test["max_score"] for test in data["tests"]) == 4.0
    # The right value of the wrong entry (2.25) is nobody's business.
    assert "2.25" not in json.dumps(data)


def test_gradescope_is_for_one_submission() -> None:
    with pytest.raises(UsageError, match="for one submission, found 2"):
        formats.find("gradescope").text(course(right("a.py"), right("b.py")), ALL)


# -- GitHub ------------------------------------------------------------------------------------


def test_github_stays_below_ten_annotations_of_a_kind() -> None:
    lines = report("github").splitlines()
    for kind in ("error", "warning", "notice"):
        assert sum(line.startswith(f"::{kind} ") for line in lines) <= 10 + (kind == "notice")
    # 11 wrong submissions with GT202, GT106 and GT101 each, of which nine are shown.
    assert f"::error title={3 * len(HOSTILE) - 9} more of this kind::" in report("github")


# -- tables ------------------------------------------------------------------------------------


def test_csv_is_read_back_and_holds_no_formula() -> None:
    rows = list(csv.reader(io.StringIO(report("csv"))))
    assert len(rows) == len(HOSTILE) + 2
    assert {len(row) for row in rows} == {8}
    assert not any(text.startswith(("=", "+", "-", "@")) for row in rows for text in row)
    for text in ("=1+1", "\uff1d1+1", "@x", "\uff20x", " -1"):  # wide ones count in some languages
        assert cell(text) == f"'{text.strip()}"
    assert ["right.py", "yes", "4.0", "4.0", "2.0", "", "2.0", ""] in rows


def test_markdown_tables_keep_their_columns() -> None:
    lines = report("markdown").splitlines()
    start = lines.index("## Submissions") + 2
    table = [line for line in lines[start:] if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in table} == {5}
    assert len({len(line) for line in table}) == 1, "they are aligned, to be read as they are"
    assert "<script" not in report("markdown")
    assert "**Not guarded: network.**" in report("markdown")


TRICKS = (
    *HOSTILE,
    *(
        "_em_",
        "*em*",
        "__init__.py",
        "a_b_c",
        "~~x~~",
        "`x`",
        "\\",
        "\\\\",
        "\\[x](y)",
        "&lt;",
        "&#35;",
    ),
    *("[x](y)", "[x][y]", "![x](y)", "<b>", "<http://x>", "http://x", "www.x.org", "a@b.org"),
    *(
        "# x",
        "- x",
        "+ x",
        "1. x",
        "1) x",
        "> x",
        "[ ] x",
        "[x] x",
        "= x",
        "===",
        "---",
        "x #",
        "2.",
    ),
    *(
        "dX[2, 1] is -3.294; it is 1/N times the right one (cell 2 line 4)",
        "| a | b |",
        "$x$",
        "](",
    ),
)


@pytest.mark.parametrize("text", TRICKS)
def test_markdown_means_nothing_but_itself(text: str) -> None:
    """By a parser that is not ours."""
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    safe = markdown(text)
    page = f"- {safe}: x\n- x\n\n### {safe}\n\n| a |\n| - |\n| {safe} |\n"
    tokens = parser.parse(page)
    inline = [token for token in tokens if token.type == "inline"]
    shown = one_line(text)
    assert [token.content.count("\n") for token in inline] == [0] * 5
    kinds = {child.type for token in inline for child in token.children or ()}
    assert kinds <= {"text", "text_special"}
    read = ["".join(child.content for child in token.children or ()) for token in inline]
    assert read == [f"{shown}: x", "x", shown, "a", shown]


def test_markdown_leaves_what_needs_no_escape() -> None:
    text = (
        "softmax_cross_entropy (5 of 10): dX[2, 1] is -3.294, wrong at N=3, D=4 (cell 2 line 4); x"
    )
    assert markdown(text) == text


# -- all ---------------------------------------------------------------------------------------


def test_json_is_strict_and_hides_right_values() -> None:
    def no_constant(name: str) -> None:
        raise AssertionError(name)

    data = json.loads(report("json"), parse_constant=no_constant)
    assert data["summary"]["submissions"] == len(HOSTILE) + 1
    assert data["sandbox"]["missing"] == ["network"]
    assert {one["name"] for one in data["submissions"]} == {*HOSTILE, "right.py"}
    assert "2.25" not in report("json")


@pytest.mark.parametrize("name", sorted({*formats.names()} - {"gradescope", "csv"}))
def test_ignored_findings_are_in_no_report(name: str) -> None:
    assert "GT304" in report(name) or name in ("github", "sarif")
    left = report(name, Choice(ignore=("GT",)))
    if name != "sarif":  # it lists every rule
        assert "GT" not in left
    else:
        assert json.loads(left)["runs"][0]["results"] == []


def test_of_many_seeds_some_are_named() -> None:
    found = summary(HOSTILE_COURSE.graded, ALL)
    words = [seeds(replace(found, seeds=tuple(range(count)))) for count in range(5)]
    assert words == ["", "seed 0", "seeds 0, 1", "seeds 0, 1, 2", "4 seeds (0, 1, 2, …)"]
