"""Measurements and kept results as Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from edgekit.core.decode import to_json
from edgekit.core.errors import UsageError
from edgekit.core.suggest import unknown
from edgekit.measure.measurement import Measurement, to_document
from edgekit.report import clean
from edgekit.report.fields import MEASUREMENT_FIELDS, RESULT_FIELDS, Field
from edgekit.results.record import StoredResult

Format = Literal["markdown", "csv", "json"]


def export_measurements(measurements: Sequence[Measurement], form: str) -> str:
    """A list of measurements as text.

    Args:
        measurements: in the order of the rows.
        form: ``markdown``, ``csv`` or ``json``.

    Raises:
        UsageError: no such form.
    """
    documents = [to_document(measurement) for measurement in measurements]
    return _export(MEASUREMENT_FIELDS, documents, form, {"schema": "edgekit.measurements/1", "measurements": documents})


def export_results(results: Sequence[StoredResult], form: str) -> str:
    """A list of kept results as text.

    Args:
        results: in the order of the rows.
        form: ``markdown``, ``csv`` or ``json``.

    Raises:
        UsageError: no such form.
    """
    rows = [to_json(result) for result in results]
    return _export(RESULT_FIELDS, rows, form, {"schema": "edgekit.results/1", "results": rows})


def _export(fields: Sequence[Field], rows: Sequence[Mapping[str, Any]], form: str, document: dict[str, Any]) -> str:
    if form == "markdown":
        return _markdown(fields, rows)
    if form == "csv":
        return _csv(fields, rows)
    if form == "json":
        return json.dumps(document, indent=1, allow_nan=False) + "\n"
    message, hint = unknown("format", form, get_args(Format))
    raise UsageError(message, hint=hint)


def _markdown(fields: Sequence[Field], rows: Sequence[Mapping[str, Any]]) -> str:
    chosen = [field for field in fields if "markdown" in field.where]
    lines = [[field.header for field in chosen], ["--:" if field.right else "---" for field in chosen]]
    lines += [[clean.markdown(field.show(field.get(row))) for field in chosen] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _csv(fields: Sequence[Field], rows: Sequence[Mapping[str, Any]]) -> str:
    chosen = [field for field in fields if field.name != "latency"]  # its parts have columns of their own
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([field.name for field in chosen])
    for row in rows:
        writer.writerow([clean.cell(_plain(field.get(row))) for field in chosen])
    return out.getvalue()


def _plain(value: Any) -> Any:
    return "; ".join(map(str, value)) if isinstance(value, (list, tuple)) else value
