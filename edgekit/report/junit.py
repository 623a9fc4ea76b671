"""A gate as JUnit XML, which every CI system shows: one test suite a board and model, one test case a check.

Format: the schema of the Jenkins xUnit plug-in, ``junit-10.xsd``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from edgekit.core.errors import EdgekitError
from edgekit.core.version import VERSION
from edgekit.measure.gate import Gate
from edgekit.measure.gate_checks import Check
from edgekit.report.clean import clean
from edgekit.report.gated import Looked, looked_at

# what XML 1.0 cannot hold, not even written as an entity
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(gate: Gate, *, fail_inconclusive: bool) -> bytes:
    """The document, UTF-8.

    Args:
        gate: what was decided.
        fail_inconclusive: what is neither shown to be worse nor to be within the limit counts as an error; else it is
            a test that was skipped.
    """
    groups = looked_at(gate)
    root = ElementTree.Element("testsuites", {"name": "edgekit gate", **_counts(gate.checks, fail_inconclusive)})
    for looked in groups:
        _suite(root, gate, looked, fail_inconclusive)
    return _document(root)


def refused_xml(error: EdgekitError) -> bytes:
    """The document of a gate that did not come to any board, UTF-8: one test case, and the error."""
    counts = {"tests": "1", "failures": "0", "errors": "1", "skipped": "0"}
    root = ElementTree.Element("testsuites", {"name": "edgekit gate", **counts})
    suite = ElementTree.SubElement(root, "testsuite", {"name": "edgekit gate", **counts})
    case = ElementTree.SubElement(suite, "testcase", name="gate", classname="edgekit")
    message = _text(error.message)
    ElementTree.SubElement(case, "error", message=message, type=type(error).__name__).text = _text(
        f"{error.message}; {error.hint}" if error.hint else error.message
    )
    return _document(root)


def _document(root: ElementTree.Element) -> bytes:
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode()


def _suite(root: ElementTree.Element, gate: Gate, looked: Looked, fail_inconclusive: bool) -> None:
    facts = {"edgekit": VERSION, "device": looked.device, "model": looked.model}
    about = {"name": _text(f"{looked.model} on {looked.device}"), "hostname": _text(looked.device)}
    own = (one for one in gate.comparisons if one.device == looked.device)
    if comparison := next((one for one in own if one.candidate.model.name == looked.checks[0].model), None):
        about["timestamp"] = comparison.candidate.created[:19]
        facts |= {
            "circumstances": looked.circumstances,
            "baseline_sha256": comparison.baseline.model.sha256,
            "candidate_sha256": comparison.candidate.model.sha256,
            "pairs": str(comparison.pairs),
            "seed": str(comparison.seed),
        }
    suite = ElementTree.SubElement(root, "testsuite", {**about, **_counts(looked.checks, fail_inconclusive)})
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in facts.items():
        ElementTree.SubElement(properties, "property", name=name, value=_text(value))
    for check in looked.checks:
        _case(suite, check, fail_inconclusive)


def _case(suite: ElementTree.Element, check: Check, fail_inconclusive: bool) -> None:
    case = ElementTree.SubElement(suite, "testcase", name=check.name, classname=_text(f"{check.device}.{check.model}"))
    message = _text(check.sentence)
    if check.outcome == "failed":
        ElementTree.SubElement(case, "failure", message=message, type="regression").text = message
    elif check.outcome == "invalid" or (check.outcome == "inconclusive" and fail_inconclusive):
        ElementTree.SubElement(case, "error", message=message, type=check.outcome).text = message
    elif check.outcome in ("skipped", "inconclusive"):
        ElementTree.SubElement(case, "skipped", message=message)
    else:
        ElementTree.SubElement(case, "system-out").text = message


def _counts(checks: Sequence[Check], fail_inconclusive: bool) -> dict[str, str]:
    outcomes = [check.outcome for check in checks]
    still_open = outcomes.count("inconclusive")
    return {
        "tests": str(len(checks)),
        "failures": str(outcomes.count("failed")),
        "errors": str(outcomes.count("invalid") + (still_open if fail_inconclusive else 0)),
        "skipped": str(outcomes.count("skipped") + (0 if fail_inconclusive else still_open)),
    }


def _text(value: str) -> str:
    return _NOT_XML.sub("\ufffd", clean(value))
