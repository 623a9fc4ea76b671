"""The forecast of a step beside what the step then makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from optimize_workshop import Workshop

from edgekit.core import decode, files
from edgekit.core.errors import UsageError
from edgekit.model import flatbuffer
from edgekit.optimize.forecast.compare import compare
from edgekit.optimize.forecast.forecast import forecast
from edgekit.optimize.forecast.records import Forecast

_DIGITS = Path(__file__).parents[2] / "examples" / "digits"
_ROWS = {"source": str(_DIGITS / "digits.npz"), "rows": list(range(200))}
_PI = {"abi": "aarch64", "device": "pi4"}


def digits(workshop: Workshop) -> Path:
    """The float32 .tflite of the trained example."""
    workshop.folder.joinpath("digits.keras").write_bytes((_DIGITS / "digits.keras").read_bytes())
    return workshop.float_model("digits.keras")[1]


def measured(path: Path) -> dict[str, Any]:
    read = flatbuffer.read(str(path))
    return {
        "size_bytes": path.stat().st_size,
        "gzip_bytes": files.gzip_size(path),
        "macs": read.macs,
        "parameters_count": read.parameters,
    }


def one(tflite: Path, step: dict[str, Any], **options: Any) -> Forecast:
    (found,) = forecast(str(tflite), [step], **options)
    return found


@pytest.mark.parametrize("mode", ["float32", "float16", "dynamic", "int8", "int8-float-io", "int16x8"])
def test_size_and_download_of_each_numeric_mode_come_out_as_forecast(
    workshop: Workshop, tmp_path: Path, mode: str
) -> None:
    tflite = digits(workshop)
    expected = one(tflite, {"step": "quantize", "mode": mode})
    out = tmp_path / "made.tflite"
    if mode in ("float32", "float16", "dynamic"):
        workshop.call("convert:convert", saved_model=str(tflite.parent / "saved"), out=str(out), mode=mode)
    else:
        workshop.call(
            "quantize:quantize",
            float_model=str(tflite),
            out=str(out),
            mode=mode,
            representative=_ROWS,
        )
    agreement = compare(expected, measured(out))
    assert agreement.agrees, agreement.notes
    assert {verdict.figure for verdict in agreement.verdicts} == set(measured(out))


@pytest.mark.parametrize(
    "parameters", [{"sparsity": 0.5}, {"sparsity": 0.8}, {"pattern": "2:4"}, {"pattern": "block", "sparsity": 0.6}]
)
def test_pruning_and_int8_after_it_come_out_as_forecast(
    workshop: Workshop, tmp_path: Path, parameters: dict[str, Any]
) -> None:
    tflite = digits(workshop)
    steps = [{"step": "prune", **parameters}, {"step": "quantize", "mode": "int8"}]
    first, second = forecast(str(tflite), steps)
    pruned, float_file, int8_file = (tmp_path / name for name in ("p.keras", "p.tflite", "i.tflite"))
    workshop.call(
        "prune:prune",
        source=str(_DIGITS / "digits.keras"),
        out=str(pruned),
        data=_ROWS,
        tuning={"epochs": 1},
        **parameters,
    )
    workshop.call("export:export", source=str(pruned), out=str(tmp_path / "saved"))
    workshop.call("convert:convert", saved_model=str(tmp_path / "saved"), out=str(float_file))
    workshop.call(
        "quantize:quantize",
        float_model=str(float_file),
        out=str(int8_file),
        mode="int8",
        representative=_ROWS,
    )
    for expected, made in ((first, float_file), (second, int8_file)):
        agreement = compare(expected, measured(made))
        assert agreement.agrees, agreement.notes
    assert first.latency.kind == "none"


def test_a_forecast_that_does_not_come_true_says_so(workshop: Workshop) -> None:
    tflite = digits(workshop)
    expected = one(tflite, {"step": "prune", "sparsity": 0.8})
    half = expected.gzip_bytes.value // 2
    agreement = compare(decode.to_json(expected), {"gzip_bytes": half, "latency_ratio": 0.6, "memory_ratio": 1.01})
    assert not agreement.agrees
    assert [(v.figure, v.agrees) for v in agreement.verdicts] == [
        ("gzip_bytes", False),
        ("latency_ratio", False),
        ("memory_ratio", True),
    ]
    assert len(agreement.notes) == 2
    assert "was expected" in agreement.notes[0]


def test_a_ratio_agrees_when_its_interval_reaches_the_range(workshop: Workshop) -> None:
    tflite = digits(workshop)
    expected = one(tflite, {"step": "prune"})
    noisy = compare(expected, {"latency_ratio": 1.08, "latency_ratio_ci95": (0.99, 1.2)})
    assert noisy.agrees
    assert noisy.verdicts[0].off > 0


def test_without_a_device_no_latency_is_promised(workshop: Workshop) -> None:
    tflite = digits(workshop)
    found = one(tflite, {"step": "quantize", "mode": "int8"})
    assert found.latency.kind == "unknown"
    assert "--device" in found.latency.because
    agreement = compare(found, {"latency_ratio": 0.5})
    assert agreement.agrees
    assert agreement.verdicts[0].agrees is None


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ({"abi": "x86_64"}, "none"),
        ({"abi": "aarch64"}, "none"),
        ({"abi": "aarch64", "runtime": "tflite-runtime", "version": "2.14.0"}, "none"),
    ],
)
def test_sparse_kernels_are_not_promised_to_a_model_without_the_form(
    workshop: Workshop, target: dict[str, str], kind: str
) -> None:
    tflite = digits(workshop)
    steps: list[dict[str, Any]] = [{"step": "xnnpack-sparse"}, {"step": "quantize", "mode": "float32", "sparse": True}]
    first, second = forecast(str(tflite), steps, target=target)
    assert second.latency.kind == kind
    assert "no sparse kernels" in second.latency.because
    assert "refuse" in first.notes[0]


def test_fewer_filters_shrink_every_figure(workshop: Workshop) -> None:
    tflite = digits(workshop)
    found = one(tflite, {"step": "filters", "ratio": 0.5}, target=_PI)
    assert found.macs.after < 0.6 * found.macs.before
    assert found.parameters_count.after < 0.6 * found.parameters_count.before
    assert found.size_bytes.value < 0.75 * tflite.stat().st_size
    planned = one(tflite, {"step": "filters", "ratio": 0.5}, expected={"filters": {"macs": 0.3, "parameters": 0.4}})
    assert planned.macs.after == round(0.3 * planned.macs.before)


def test_clusters_are_seen_by_gzip_alone(workshop: Workshop) -> None:
    tflite = digits(workshop)
    found = one(tflite, {"step": "cluster", "clusters": 8}, target=_PI)
    assert found.latency.kind == found.memory.kind == "none"
    assert found.size_bytes.value == pytest.approx(tflite.stat().st_size, rel=0.01)
    assert found.gzip_bytes.value < 0.7 * files.gzip_size(tflite)


def test_a_step_that_nothing_is_known_about_is_unknown_and_one_without_a_name_refused(workshop: Workshop) -> None:
    tflite = digits(workshop)
    assert one(tflite, {"step": "fold"}).latency.kind == "unknown"
    with pytest.raises(UsageError):
        forecast(str(tflite), [{"mode": "int8"}])
