"""What is suspicious about a dataset that can be read: each suspicion names the option or the edit that helps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from edgekit.core.artifact import TensorSpec
from edgekit.core.notice import Notice
from edgekit.data.fit import plain

if TYPE_CHECKING:
    from edgekit.data.dataset import Dataset
    from edgekit.data.findings import DataReport

FEW_ROWS = 100
_SPAN_FACTOR = 8.0


def suspicions(
    report: DataReport,
    dataset: Dataset,
    inputs: Sequence[TensorSpec],
    *,
    reference_range: tuple[float, float] | None,
    num_classes: int | None,
    rescales: bool | None,
    normalizes: bool,
) -> Iterator[Notice]:
    """Notices about a dataset's figures. Arguments as in :func:`edgekit.data.check.check_dataset`."""
    if report.role == "representative" and report.count < FEW_ROWS:
        yield Notice(
            code="few-representative-samples",
            message=f"{report.count} representative samples: ranges of activations may be missed",
            hint="give 100 to 500 typical samples with --representative",
        )
    yield from _repeated(report)
    yield from _constant(report)
    yield from _scaled(report, dataset, inputs, rescales=rescales, normalizes=normalizes)
    yield from _saturated(report)
    if reference_range is not None and report.ranges:
        yield from _unlike(report, reference_range)
    yield from _missing_classes(report, num_classes)
    if report.label_kind == "one-hot":
        yield Notice(code="labels-one-hot", message="labels are one-hot: the position of the 1 is the class")


def _repeated(report: DataReport) -> Iterator[Notice]:
    seen = min(report.count, 200_000)
    again = seen - report.distinct
    if seen < 2 or again <= 0.1 * seen:
        return
    if report.distinct == 1:
        message, hint = f"all {seen} {report.role} samples are the same one", "yield a new sample each time: "
    else:
        message, hint = f"{again} of {seen} {report.role} samples are repeats", "yield each sample once: "
    yield Notice(
        code="identical-samples",
        message=message,
        hint=hint + "a generator with next(iter(data)) inside its loop gives the first sample again and again",
    )


def _constant(report: DataReport) -> Iterator[Notice]:
    for name, found in report.ranges.items():
        if found.minimum == found.maximum:
            yield Notice(
                code="constant-data",
                message=f"every value of {plain(name) or 'the input'!r} is {found.minimum:g}",
                hint="int8 needs real samples: nothing can be calibrated with constants",
            )


def _scaled(
    report: DataReport, dataset: Dataset, inputs: Sequence[TensorSpec], *, rescales: bool | None, normalizes: bool
) -> Iterator[Notice]:
    if rescales is None or normalizes:
        return
    for spec in inputs:
        found = report.ranges.get(spec.name)
        if found is None or len(spec.shape) < 3 or found.minimum == found.maximum:
            continue  # columns of a table have ranges of their own
        span = f"{found.minimum:.3g} to {found.maximum:.3g}"
        if rescales and found.maximum <= 2:
            scaled = dataset.spec.preprocessing.arithmetic
            yield Notice(
                code="value-range",
                message=f"the values go from {span}, but the model scales its input itself (Rescaling layer)",
                hint="leave out --scale, --mean and --std" if scaled else "give the raw values, mostly 0..255",
            )
        elif not rescales and max(found.maximum, -found.minimum) > (4 if found.minimum >= 0 else 16):
            # pixels and counts have no sign and pass 4; a standardised input has one and may reach some more than 4,
            # but raw samples of sound and millivolts go far beyond
            top = 255 if 16 < found.maximum <= 255 else found.maximum
            yield Notice(
                code="value-range",
                message=f"the values go from {span} and the model has no Rescaling layer: was it trained on these?",
                hint=f"if it was trained on 0..1, add --scale 1/{top:g}; a wrong scale ruins int8 without any error",
            )


def _saturated(report: DataReport) -> Iterator[Notice]:
    for name, fraction in report.saturated.items():
        if fraction > 0.01:
            found = report.ranges[name]
            yield Notice(
                code="inputs-saturate",
                message=f"{fraction:.0%} of the values of {plain(name)!r} ({found.minimum:.3g} to {found.maximum:.3g}) "
                "are outside of what the quantized input can represent",
                hint="give the preprocessing of the training: --scale, --mean, --std",
            )


def _unlike(report: DataReport, reference: tuple[float, float]) -> Iterator[Notice]:
    span, wanted = report.maximum - report.minimum, reference[1] - reference[0]
    if not span or not wanted or 1 / _SPAN_FACTOR <= span / wanted <= _SPAN_FACTOR:
        return
    yield Notice(
        code="range-differs",
        message=f"{report.role} values go from {report.minimum:.3g} to {report.maximum:.3g}, evaluation values from "
        f"{reference[0]:.3g} to {reference[1]:.3g}",
        hint="give both the same preprocessing (--scale, --mean, --std)",
    )


def _missing_classes(report: DataReport, num_classes: int | None) -> Iterator[Notice]:
    if report.role != "representative" or report.label_kind in (None, "values"):
        return
    if num_classes is None or num_classes < 2 or report.count < 2 * num_classes:
        return
    missing = [str(name) for name in range(num_classes) if str(name) not in report.classes]
    if missing:
        some = ", ".join(missing[:8]) + (", …" if len(missing) > 8 else "")
        yield Notice(
            code="classes-missing",
            message=f"{len(missing)} of {num_classes} classes have no representative sample: {some}",
            hint="take some samples of every class",
        )
