"""A gate as JUnit XML, which every CI system shows: one test suite a board and model, one test case a check.

Format: the schema of the Jenkins xUnit plug-in, ``junit-10.xsd``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from edgekit.core.version import VERSION
from edgekit.measure.gate import Check, Gate
from edgekit.measure.measurement import to_document
from edgekit.report import words
from edgekit.report.clean import clean

# what XML 1.0 cannot hold, not even written as an entity
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(gate: Gate, *, fail_inconclusive: bool = True) -> bytes:
    """The document, UTF-8.

    Args:
        gate: what was decided.
        fail_inconclusive: what is neither shown to be worse nor to be within the limit counts as an error; else it is
            a test that was skipped.
    """
    root = ElementTree.Element("testsuites", name="edgekit gate")
    for comparison in gate.comparisons:
        model, device = comparison.candidate.model.name, comparison.device
        checks = [check for check in gate.checks if (check.model, check.device) == (model, device)]
        about = {
            "name": _text(f"{model} on {device}"),
            "timestamp": comparison.candidate.created[:19],
            "hostname": _text(device),
            "time": "0",
        }
        suite = ElementTree.SubElement(root, "testsuite", {**about, **_counts(checks, fail_inconclusive)})
        properties = ElementTree.SubElement(suite, "properties")
        for name, value in {
            "edgekit": VERSION,
            "circumstances": words.circumstances(to_document(comparison.candidate)),
            "baseline_sha256": comparison.baseline.model.sha256,
            "candidate_sha256": comparison.candidate.model.sha256,
            "pairs": str(comparison.pairs),
            "seed": str(comparison.seed),
        }.items():
            ElementTree.SubElement(properties, "property", name=name, value=_text(value))
        for check in checks:
            _case(suite, check, fail_inconclusive)
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode()


def _case(suite: ElementTree.Element, check: Check, fail_inconclusive: bool) -> None:
    case = ElementTree.SubElement(
        suite, "testcase", name=check.name, classname=_text(f"{check.device}.{check.model}"), time="0"
    )
    message = _text(check.message)
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
    open_ones = outcomes.count("inconclusive")
    return {
        "tests": str(len(checks)),
        "failures": str(outcomes.count("failed")),
        "errors": str(outcomes.count("invalid") + (open_ones if fail_inconclusive else 0)),
        "skipped": str(outcomes.count("skipped") + (0 if fail_inconclusive else open_ones)),
    }


def _text(value: str) -> str:
    return _NOT_XML.sub("\ufffd", clean(value))
