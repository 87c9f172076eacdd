"""JUnit XML as Jenkins reads it: a suite for each submission, a test case for each question."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from gradtool.lint.choice import Choice
from gradtool.lint.result import Answer, Course, Graded
from gradtool.lint.rules import RULES
from gradtool.report.findings_text import detail
from gradtool.report.safe import xml_text

NAME = "junit"
ABOUT = "JUnit XML, for Jenkins and most CI systems"


def text(course: Course, choice: Choice) -> str:
    """The document, in UTF-8."""
    root = ET.Element("testsuites", name=xml_text(course.heading.title))
    for one in course.graded:
        root.append(_suite(one, course, choice))
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(one: Graded, course: Course, choice: Choice) -> ET.Element:
    cases = [_case(one, answer, course, choice) for answer in one.answers]
    suite = ET.Element(
        "testsuite",
        name=xml_text(one.name),
        tests=str(len(cases)),
        failures=str(sum(case.find("failure") is not None for case in cases)),
        errors=str(sum(case.find("error") is not None for case in cases)),
        skipped=str(sum(case.find("skipped") is not None for case in cases)),
        time=f"{one.seconds:.3f}",
    )
    properties = ET.SubElement(suite, "properties")
    sandbox = course.heading.sandbox
    for name, value in (
        ("gradtool.version", course.heading.version),
        *([] if one.seed is None else [("gradtool.seed", str(one.seed))]),
        ("gradtool.sandbox", " ".join(layer.name for layer in sandbox.layers if layer.active)),
        ("gradtool.unguarded", " ".join(sandbox.missing)),
        ("points", f"{one.points:g}"),
        ("points.of", f"{one.of:g}"),
    ):
        ET.SubElement(properties, "property", name=name, value=xml_text(value))
    suite.extend(cases)
    return suite


def _case(one: Graded, answer: Answer, course: Course, choice: Choice) -> ET.Element:
    case = ET.Element(
        "testcase",
        name=xml_text(answer.question),
        classname=xml_text(one.name),
        time=f"{answer.seconds:.3f}",
    )
    found = [f for f in answer.findings if choice.takes(f)]
    errors = [f for f in found if RULES[f.code].level == "error"]
    if errors:
        first = errors[0]
        # What could not be run is an error of the test; what ran and is wrong is a failure.
        kind = "error" if first.code < "GT2" else "failure"
        told = ET.SubElement(case, kind, type=first.code, message=xml_text(first.message))
        told.text = xml_text("\n".join(detail(f, course.heading.explain) for f in errors))
    elif answer.skipped:
        ET.SubElement(case, "skipped")
    others = [f for f in found if f not in errors]
    if others:
        lines = "\n".join(detail(f, course.heading.explain) for f in others)
        ET.SubElement(case, "system-out").text = xml_text(lines)
    return case
